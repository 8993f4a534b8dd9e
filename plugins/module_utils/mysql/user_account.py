# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of one account of a user: password, plugin, TLS, limits, locks; pure.

Called by user.py for each host. What does not differ is in no statement, and a password is there as a hash only.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from functools import partial

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Literal,
    Part,
    Secret,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import effects, hashes
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Account, AccountName, Facts
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import account, step

# Option, and what it is called in differences; the clause is the option in capitals.
LIMITS = {
    "max_queries_per_hour": "maxQueriesPerHour",
    "max_updates_per_hour": "maxUpdatesPerHour",
    "max_connections_per_hour": "maxConnectionsPerHour",
    "max_user_connections": "maxUserConnections",
}
_REQUIRE = {
    "": Statement(" REQUIRE NONE"),
    "SSL": Statement(" REQUIRE SSL"),
    "X509": Statement(" REQUIRE X509"),
}
LONGEST_LIFETIME = 65535
MOST_ATTEMPTS = 32767


@dataclass
class _Clauses:
    """What a statement says of an account, by its place in it, and the differences that it ends."""

    identified: list[Part] = field(default_factory=list)
    require: list[Part] = field(default_factory=list)
    limits: list[Part] = field(default_factory=list)
    options: list[Part] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    attributes: dict[str, object] = field(default_factory=dict)
    """What the account has from then on, as far as later plans look at it."""
    takes: bool = False
    """Whether they keep out who could log in before."""

    def differs(self, name: str, expected: object, actual: object) -> None:
        """Note a difference; values are text."""
        self.differences.append(Difference(name, _text(expected), _text(actual), destructive=self.takes))

    def statement(self, beginning: str, name: AccountName) -> Statement:
        """Give the statement."""
        limits = [Statement(" WITH {}", Joined(self.limits, " "))] if self.limits else []
        parts = Joined([*self.identified, *self.require, *limits, *self.options], "")
        return Statement(beginning + " {}{}", account(name), parts)


@dataclass
class Passwords:
    """The hashes of one declared password: made once for all accounts of a user."""

    desired: DesiredUser
    rounds: int
    _made: dict[str, str] = field(default_factory=dict, repr=False)

    def hashed(self, plugin: str) -> str:
        """Give the hash for PLUGIN; where no password is declared, that of one which nobody knows."""
        if plugin not in self._made:
            password = self.desired.password or secrets.token_urlsafe(32)
            given = hashes.given_hash(password, plugin)
            self._made[plugin] = given or hashes.make(password, plugin, rounds=self.rounds)
        return self._made[plugin]


def plan_account(
    desired: DesiredUser, name: AccountName, now: Account | None, facts: Facts, passwords: Passwords, made: Plan
) -> None:
    """Add to MADE what one account needs. NOW is what is there. Raises DbopsError."""
    clauses = _Clauses()
    taking = _Clauses(takes=True) if now else clauses
    changes_password = _identify(desired, now, facts, passwords, clauses, made)
    _require(desired, now, clauses, taking)
    _limit(desired, now, clauses)
    _options(desired, now, facts, clauses)
    _lock(desired, now, clauses, taking)
    target = f"user {name}"
    if now is None:
        statement = clauses.statement("CREATE USER", name)
        after = {one.field: one.expected for one in clauses.differences}
        new = Account(name, locked=bool(desired.account_locked))
        effect = partial(effects.make_account, account=new)
        made.steps.append(step(Action.CREATE, target, statement, after=after, effect=effect))
        if not made.creates:
            made.differences.append(Difference("hosts.missing", name.host, ""))
        return
    for some in (clauses, taking):
        _alter(name, some, made)
    if desired.discard_old_password and now.second_password and not changes_password:
        statement = Statement("ALTER USER {} DISCARD OLD PASSWORD", account(name))
        made.steps.append(step(Action.ALTER, target, statement, before="old password", after="discarded"))
        made.differences.append(Difference("oldPassword", "discarded", "works"))


def _alter(name: AccountName, clauses: _Clauses, made: Plan) -> None:
    """Add to MADE one statement with all CLAUSES, if there are any."""
    if not clauses.differences:
        return
    made.differences += [one for one in clauses.differences if one not in made.differences]
    made.steps.append(
        step(
            Action.ALTER,
            f"user {name}",
            clauses.statement("ALTER USER", name),
            before={one.field: one.actual for one in clauses.differences},
            after={one.field: one.expected for one in clauses.differences},
            destructive=clauses.takes,
            effect=partial(effects.alter_account, name=name, attributes=clauses.attributes),
        )
    )


def _identify(
    desired: DesiredUser, now: Account | None, facts: Facts, passwords: Passwords, clauses: _Clauses, made: Plan
) -> bool:
    """Decide about plugin and password; whether the password changes."""
    dialect = facts.dialect
    declared = dialect.plugins[desired.plugin] if desired.plugin else None
    present = now.plugin if now else None
    # One whose password is elsewhere (a socket, PAM, LDAP) has none of ours.
    keeps = present if present in hashes.PLUGINS else None
    plugin = declared or keeps or dialect.default_plugin
    moved = now is not None and plugin != present and (declared is not None or desired.password is not None)
    if moved and desired.password is None:
        text = f"the plugin of {desired.name} can be changed from {present} to {plugin} only together with a password"
        raise DbopsError(Reason.INVALID_SPEC, text, field="plugin")
    changes = moved or _password_differs(desired, now)
    if not changes and now is not None:
        return False
    arguments: list[Part] = [Identifier(plugin), Secret(passwords.hashed(plugin))]
    clauses.identified.append(Statement(dialect.identified, *arguments))
    if moved:
        clauses.differs("plugin", plugin, present)
    if desired.password is not None:
        clauses.differs("password", "as declared", "another" if now else "none")
    if now and now.password_matches is None and not hashes.is_known(now.authentication, now.plugin) and not moved:
        made.warnings.append("the stored hash tells nothing about the password, so it is set every time")
    if desired.retain_current_password and now:
        if moved or not now.authentication:
            text = f"the old password of {desired.name} cannot be kept: it has none, or the plugin changes"
            raise DbopsError(Reason.UNSUPPORTED, text, field="retain_current_password")
        clauses.identified.append(Keyword(" RETAIN CURRENT PASSWORD"))
    return True


def _password_differs(desired: DesiredUser, now: Account | None) -> bool:
    if desired.password is None or now is None:
        return now is None
    if desired.update_password == "on_create":  # noqa: S105 (not a password)
        return False
    if hashes.is_known(now.authentication, now.plugin):
        return not hashes.matches(desired.password, now.authentication, now.plugin)
    return now.password_matches is not True


def _require(desired: DesiredUser, now: Account | None, clauses: _Clauses, taking: _Clauses) -> None:
    present = now.tls if now else ""
    # A certain certificate is more than any.
    fits_x509 = present in ("X509", "SPECIFIED")
    no_tls, no_x509 = desired.require_ssl is False, desired.require_x509 is False
    wanted = present
    if desired.require_x509:
        wanted = present if fits_x509 else "X509"
    elif desired.require_ssl:
        wanted = present if fits_x509 and not no_x509 else "SSL"
    elif (no_tls and (present == "SSL" or no_x509)) or (no_x509 and fits_x509):
        wanted = ""
    if wanted == present:
        return
    # Who connects with less than is asked for from now on is kept out.
    if wanted == "X509" or not present:
        clauses = taking
    clauses.require.append(_REQUIRE[wanted])
    if desired.require_x509 is not None and fits_x509 != desired.require_x509:
        clauses.differs("requireX509", desired.require_x509, fits_x509)
    if desired.require_ssl is not None and bool(present) != desired.require_ssl:
        clauses.differs("requireSSL", desired.require_ssl, bool(present))


def _limit(desired: DesiredUser, now: Account | None, clauses: _Clauses) -> None:
    for option, name in LIMITS.items():
        wanted, present = getattr(desired, option), getattr(now, option) if now else 0
        if wanted is not None and wanted != present:
            clauses.limits.append(Statement("{} {}", Keyword(option.upper()), Literal(wanted)))
            clauses.differs(name, wanted, present)


def _options(desired: DesiredUser, now: Account | None, facts: Facts, clauses: _Clauses) -> None:
    lifetime, present = desired.password_lifetime, now.password_lifetime if now else None
    if lifetime is not None and lifetime != present:
        every = Statement(" PASSWORD EXPIRE INTERVAL {} DAY", Literal(lifetime))
        clauses.options.append(every if lifetime else Keyword(" PASSWORD EXPIRE NEVER"))
        clauses.differs("passwordLifetime", lifetime, "" if present is None else present)
    if facts.dialect.failed_login_tracking:
        _failed_logins(desired, now, clauses)


def _lock(desired: DesiredUser, now: Account | None, clauses: _Clauses, taking: _Clauses) -> None:
    locked = bool(now and now.locked)
    if desired.account_locked is not None and desired.account_locked != locked:
        some = taking if desired.account_locked else clauses
        some.options.append(Keyword(" ACCOUNT LOCK" if desired.account_locked else " ACCOUNT UNLOCK"))
        some.differs("accountLocked", desired.account_locked, locked)
        some.attributes["locked"] = desired.account_locked


def _failed_logins(desired: DesiredUser, now: Account | None, clauses: _Clauses) -> None:
    attempts, present = desired.failed_login_attempts, now.failed_login_attempts if now else 0
    if attempts is not None and attempts != present:
        clauses.options.append(Statement(" FAILED_LOGIN_ATTEMPTS {}", Literal(attempts)))
        clauses.differs("failedLoginAttempts", attempts, present)
    days, present = desired.password_lock_time, now.password_lock_time if now else 0
    if days is not None and days != present:
        for_ever = Keyword(" PASSWORD_LOCK_TIME UNBOUNDED")
        clauses.options.append(for_ever if days < 0 else Statement(" PASSWORD_LOCK_TIME {}", Literal(days)))
        clauses.differs("passwordLockTime", days, present)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
