# SPDX-License-Identifier: GPL-3.0-or-later
"""Trying a login: does the declared password work? One real login over TCP decides, never more than one.

Called by mysql/server.py, before planning where the stored hash tells nothing, and after applying where the
declaration asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import errors, hashes
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.connection import ConnectError, Connector
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Account


def must_try(account: Account, user: DesiredUser) -> bool:
    """Whether a login may tell what the hash of ACCOUNT does not.

    A try with a wrong password is counted where failures lock the account, so there none is made.
    """
    if not (user.present and user.password and user.update_password == "always"):  # noqa: S105 (no password)
        return False
    known = hashes.is_known(account.authentication, account.plugin)
    hashed = hashes.given_hash(user.password, account.plugin) is not None
    return not (known or hashed or account.is_role or account.failed_login_attempts)


def matches(connector: Connector, user: DesiredUser) -> bool | None:
    """Whether USER logs in with the declared password; None when no login can tell."""
    if not user.password:
        raise AssertionError("the caller has looked")
    try:
        taken_for = connector.try_login(user.name, user.password)
    except ConnectError as error:
        return True if error.proven else None
    return True if taken_for.rpartition("@")[0] == user.name else None


def verify(connector: Connector, accounts: Sequence[Account], user: DesiredUser) -> dict[str, str]:
    """Log in as USER; give the condition: status True, False or Unknown, with reason and message."""
    obstacle = _obstacle(connector, accounts, user)
    if obstacle:
        return _unknown(obstacle)
    if not user.password:
        raise AssertionError("the caller has looked")
    try:
        taken_for = connector.try_login(user.name, user.password)
    except ConnectError as error:
        if error.number in errors.WRONG_PASSWORD:
            return _refused(connector, accounts, user)
        right = "the password is right, but " if error.proven else ""
        return _unknown(f"{right}no login from here: {error.message}")
    if taken_for.rpartition("@")[0] != user.name:
        return _unknown(f"the server takes a login of {user.name} from here for {taken_for}")
    return {"status": "True", "reason": "LoginSucceeded", "message": f"{user.name} logged in with this password"}


def _obstacle(connector: Connector, accounts: Sequence[Account], user: DesiredUser) -> str | None:
    """Say why a try would prove nothing."""
    if user.password is None:
        return "no password is declared"
    if not accounts:
        return "the account could not be read"
    if any(hashes.given_hash(user.password, one.plugin) for one in accounts):
        return "a hash is declared, and nobody can log in with that"
    if all(one.locked for one in accounts):
        return f"{user.name} is locked"
    if all(one.expired for one in accounts):
        return f"the password of {user.name} has expired"
    if all(one.tls in ("X509", "SPECIFIED") for one in accounts) and not connector.has_certificate:
        return f"{user.name} must prove itself by a certificate, which only its owner has"
    if all(one.tls for one in accounts) and connector.options["ssl_mode"] == "disable":
        return f"{user.name} may log in over TLS only, and ssl_mode is disable"
    return None


def _refused(connector: Connector, accounts: Sequence[Account], user: DesiredUser) -> dict[str, str]:
    """The server says the same for a wrong password and for a host, or a way, that is not the account's."""
    open_to_us = [one for one in accounts if one.name.host == "%" and not one.locked]
    provable = [one for one in open_to_us if not one.tls or (one.tls == "SSL" and connector.encrypted)]
    if provable:
        text = f"the server refuses the declared password of {user.name}"
        return {"status": "False", "reason": Reason.AUTHENTICATION_FAILED.value, "message": text}
    if open_to_us:
        return _unknown(f"{user.name} must log in in a way that could not be tried (REQUIRE {open_to_us[0].tls})")
    hosts = ", ".join(one.name.host for one in accounts)
    return _unknown(f"{user.name} may log in from {hosts} only, which need not be here")


def _unknown(message: str) -> dict[str, str]:
    return {"status": "Unknown", "reason": Reason.NOT_VERIFIABLE.value, "message": message}
