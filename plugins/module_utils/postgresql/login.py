# SPDX-License-Identifier: GPL-3.0-or-later
"""Trying a login: does the declared password work? One real login over TCP decides, never more than one.

Called by postgresql/server.py, before planning where verifiers may not be read, and after applying where the
declaration asks for it. A server that lets in without a password proves nothing.
"""

from __future__ import annotations

import datetime

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import passwords
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import ConnectError, Connector
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Role

_WRONG_PASSWORD = "28P01"  # noqa: S105 (an SQLSTATE)


def matches(connector: Connector, role: Role, user: DesiredUser) -> bool | None:
    """Whether ROLE has the password that USER declares; None when no login can tell."""
    if not user.password:
        raise AssertionError("the caller has looked")
    if passwords.is_verifier(user.password):
        return None
    try:
        connector.try_login(user.name, user.password, connector.database)
    except ConnectError as error:
        if error.proven:
            # Refused for something else, after the password had been found right.
            return True
        expired = _expired(role, datetime.datetime.now(datetime.UTC))
        return False if error.sqlstate == _WRONG_PASSWORD and not expired else None
    return True


def verify(connector: Connector, role: Role | None, user: DesiredUser, *, now: datetime.datetime) -> dict[str, str]:
    """Log in as USER; give the condition: status True, False or Unknown, with reason and message."""
    obstacle = _obstacle(role, user, now)
    if obstacle:
        return _unknown(obstacle)
    if not user.password:
        raise AssertionError("the caller has looked")
    try:
        connector.try_login(user.name, user.password, connector.database)
    except ConnectError as error:
        if error.sqlstate == _WRONG_PASSWORD:
            text = f"the server refuses the declared password of {user.name}"
            return {"status": "False", "reason": Reason.AUTHENTICATION_FAILED.value, "message": text}
        right = "the password is right, but " if error.proven else ""
        return _unknown(f"{right}no login from here: {error.message}")
    return {"status": "True", "reason": "LoginSucceeded", "message": f"{user.name} logged in with this password"}


def _obstacle(role: Role | None, user: DesiredUser, now: datetime.datetime) -> str | None:
    """Say why a try would prove nothing."""
    if user.password is None:
        return "no password is declared"
    if passwords.is_verifier(user.password):
        return "a verifier is declared, and nobody can log in with that"
    if role is None:
        return "the role could not be read"
    if not role.login:
        return f"{role.name} may not log in (NOLOGIN)"
    if role.connection_limit == 0:
        return f"{role.name} has connection limit 0"
    if _expired(role, now):
        return f"the password of {role.name} has expired (valid_until)"
    return None


def _expired(role: Role, now: datetime.datetime) -> bool:
    until = role.valid_until
    return until == "-infinity" or (isinstance(until, datetime.datetime) and until <= now)


def _unknown(message: str) -> dict[str, str]:
    return {"status": "Unknown", "reason": Reason.NOT_VERIFIABLE.value, "message": message}
