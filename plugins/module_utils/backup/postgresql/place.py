# SPDX-License-Identifier: GPL-3.0-or-later
"""The place where a PostgreSQL dump is restored: a fresh database, a login for it alone, and the swap at the end.

Called by backup/postgresql/engine.py. What is restored belongs to a role without administrator's rights, and the dump
runs in sessions of a login that is a member of that role (and of the roles that the request maps to) and of nothing
else. Names are made from the target's, so that the next try finds what a killed one left behind.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import RestoreRequest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql import properties
from ansible_collections.dbprovision.dbops.plugins.module_utils.core import passwords
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Literal,
    Secret,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import catalog, ledger, versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acting_as import acting_as
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import MAX_BYTES, role_beside
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server import Server
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Role, ServerState

RESTORE, VERIFY = "dbops_restore_", "dbops_verify_"
"""How the names of what is made begin: for restores, and for scratch databases of verifications."""
_PRIVILEGED = ("superuser", "create_role", "create_db", "replication", "bypass_rls")
_OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"
_SESSIONS = """
SELECT count(*) FILTER (WHERE NOT pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = %s AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True)
class Place:
    """What was made for one restore."""

    database: str
    final: str | None
    """The name in the end; None: a scratch database."""
    owner: str
    login: str
    password: str = field(repr=False)
    existing: bool
    """Whether it is loaded into a database that stays, in one transaction."""
    made_owner: bool
    """Whether the owner was made for it."""


def made_name(request: RestoreRequest, *, scratch: bool) -> str:
    """Give the name of the fresh database and of the login."""
    return (VERIFY if scratch else RESTORE) + hashlib.sha256(request.database.encode()).hexdigest()[:16]


def owner_of(server: Server, database: str) -> str | None:
    """Give who owns DATABASE; None when there is none."""
    rows = server.main.rows(_OWNER, [database])
    return str(rows[0][0]) if rows else None


def existing(request: RestoreRequest, owner: str | None) -> bool:
    """Whether the dump is loaded into the target as it is; OWNER is the target's, None when it does not exist."""
    return owner is not None and not request.in_place and not request.drop_existing


def prepare(server: Server, request: RestoreRequest, noted: Mapping[str, str], *, scratch: bool) -> Place:
    """Make the place; NOTED is what the manifest says of encoding and locale. Raises DbopsError."""
    name = made_name(request, scratch=scratch)
    _lock(server, name, request.database)
    current = None if scratch else owner_of(server, request.database)
    owner, made = _owner(server, request, current, name=name, scratch=scratch)
    place = Place(
        database=request.database if existing(request, current) else name,
        final=None if scratch else request.database,
        owner=owner,
        login=name,
        password=secrets.token_urlsafe(24),
        existing=existing(request, current),
        made_owner=made,
    )
    _remove_leftovers(server, name)
    try:
        _make_login(server, place, request)
        if not place.existing:
            _make_database(server, place, noted)
    except BaseException:
        with contextlib.suppress(DbopsError):
            abandon(server, place)
        raise
    return place


def finish(server: Server, place: Place, request: RestoreRequest) -> str | None:
    """Give the place its final name; give the name of the database that it replaced and that is kept.

    Whatever fails, the old database is as it was, under its own name.
    """
    _drop_login(server, place)
    if place.existing:
        return None
    if place.final is None:
        raise AssertionError("a scratch database is abandoned")
    server.leave()
    current = owner_of(server, place.final)
    if current is None:
        opened = Statement("GRANT CONNECT, TEMPORARY ON DATABASE {} TO PUBLIC", Identifier(place.database))
        _send(server, [place.owner], [opened, _renaming(place.database, place.final)])
        return None
    for session_statement in properties.copied(server, place.final, place.database):
        _send(server, [current, place.owner], [session_statement])
    previous = previous_name(place.final, datetime.datetime.now(datetime.UTC))
    _swap(server, place, current, previous)
    if request.in_place:
        return previous
    drop(server, previous)
    return None


def abandon(server: Server, place: Place) -> None:
    """Take away all that was made. Raises DbopsError for what could not be; the next try removes it."""
    if server.main.closed:
        server.reopen()
    server.leave()
    if not place.existing:
        drop(server, place.database)
    _drop_login(server, place)
    if place.made_owner and place.final and owner_of(server, place.final) is None and _role(server, place.owner):
        _send(server, [], [Statement("DROP ROLE {}", Identifier(place.owner))])


def drop(server: Server, database: str) -> None:
    """Drop DATABASE with the sessions in it, if it exists."""
    owner = owner_of(server, database)
    if owner is None:
        return
    statement = Statement("DROP DATABASE {} WITH (FORCE)", Identifier(database))
    _send(server, [owner], [statement], transactional=False)


def previous_name(name: str, moment: datetime.datetime) -> str:
    """Give the name under which a replaced database is kept, within the server's 63 bytes."""
    suffix = f"_before_{moment:%Y%m%d%H%M%S}"
    room = MAX_BYTES - len(suffix)
    return name.encode()[:room].decode(errors="ignore") + suffix


def _lock(server: Server, name: str, database: str) -> None:
    ((held,),) = server.main.rows("SELECT pg_try_advisory_lock(%s)", [ledger.lock_key("restore", name)])
    if not held:
        raise DbopsError(Reason.IN_USE, f"another restore of database {database} is at work", field="target")


def _owner(
    server: Server, request: RestoreRequest, current: str | None, *, name: str, scratch: bool
) -> tuple[str, bool]:
    """Give the role that everything shall belong to, made if need be, and whether it was made."""
    if scratch:
        return name, False
    owner = request.owner or current
    if owner and owner != server.facts.admin.name:
        require_harmless(server, owner)
        return owner, False
    beside = role_beside(request.database)
    if _role(server, beside):
        require_harmless(server, beside)
        return beside, False
    _send(server, [], [Statement("CREATE ROLE {}", Identifier(beside))])
    if not server.facts.admin.superuser:
        _send(server, [], [Statement(_membership(server), Identifier(beside), Identifier(server.facts.admin.name))])
    return beside, True


def require_harmless(server: Server, name: str) -> None:
    """Refuse a role that does not exist, or has rights that no restore may have. Raises DbopsError."""
    role = _role(server, name)
    if role is None:
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"role {name} does not exist", field="owner")
    dangerous = [one for one in _PRIVILEGED if getattr(role, one)]
    if dangerous or name.startswith("pg_"):
        rights = ", ".join(dangerous) or "a role of the system"
        text = f"nothing is restored for {name}, which has an administrator's rights ({rights}); name another owner"
        raise DbopsError(Reason.ACCESS_DENIED, text, field="owner")


def _remove_leftovers(server: Server, name: str) -> None:
    """Remove what a try that was killed has left; its sessions end with the database."""
    drop(server, name)
    if _role(server, name):
        _end_sessions_of(server, name)
        _send(server, [], [Statement("DROP ROLE {}", Identifier(name))])


def _make_login(server: Server, place: Place, request: RestoreRequest) -> None:
    login, limit = Identifier(place.login), Literal(max(1, request.jobs) + 3)
    verifier = Secret(passwords.scram_verifier(place.password))
    statements = [Statement("CREATE ROLE {} LOGIN CONNECTION LIMIT {} PASSWORD {}", login, limit, verifier)]
    if place.owner != place.login:
        # Its sessions begin as the owner, and RESET ROLE leads back there.
        statements.append(Statement("ALTER ROLE {} SET role = {}", login, Literal(place.owner)))
    _send(server, [], statements)
    roles = dict.fromkeys([place.owner, *request.role_mapping.values()])
    members = [Statement(_membership(server), Identifier(role), login) for role in roles if role != place.login]
    for statement in members:
        _send(server, [], [statement])


def _make_database(server: Server, place: Place, noted: Mapping[str, str]) -> None:
    name = Identifier(place.database)
    parts = [
        Statement("CREATE DATABASE {} TEMPLATE template0", name),
        *properties.locale(noted, server.facts.version_number),
    ]
    create = Statement(" ".join("{}" for _part in parts), *parts)
    _send(server, [], [create], transactional=False)
    closed = Statement("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC", name)
    give = Statement("ALTER DATABASE {} OWNER TO {}", name, Identifier(place.owner))
    _send(server, [place.owner], [closed, give])


def _swap(server: Server, place: Place, current: str, previous: str) -> None:
    """Rename both in one transaction, with nobody in the old database."""
    if place.final is None:
        raise AssertionError("the caller has looked")
    old = Identifier(place.final)
    roles = [current, place.owner]
    _send(server, roles, [Statement("ALTER DATABASE {} ALLOW_CONNECTIONS false", old)])
    try:
        _end_sessions_in(server, place.final)
        _send(server, roles, [_renaming(place.final, previous), _renaming(place.database, place.final)])
    except BaseException:
        _send(server, roles, [Statement("ALTER DATABASE {} ALLOW_CONNECTIONS true", old)])
        raise


def _renaming(name: str, new: str) -> Statement:
    return Statement("ALTER DATABASE {} RENAME TO {}", Identifier(name), Identifier(new))


def _end_sessions_in(server: Server, database: str) -> None:
    ((left,),) = server.main.rows(_SESSIONS, [database], doing=f"end the sessions in {database}")
    if left:
        raise DbopsError(Reason.IN_USE, f"{left} sessions in database {database} did not end")


def _end_sessions_of(server: Server, login: str) -> None:
    query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s"
    server.main.rows(query, [login], doing=f"end the sessions of {login}")


def _drop_login(server: Server, place: Place) -> None:
    """Give what the login owns to the owner, and drop it."""
    if not _role(server, place.login):
        return
    _end_sessions_of(server, place.login)
    login, owner = Identifier(place.login), Identifier(place.owner)
    if place.owner != place.login and owner_of(server, place.database):
        inside = [Statement("REASSIGN OWNED BY {} TO {}", login, owner), Statement("DROP OWNED BY {}", login)]
        _send(server, [place.login, place.owner], inside, database=place.database)
    _send(server, [], [Statement("DROP ROLE {}", login)])


def _membership(server: Server) -> str:
    if versions.has(versions.MEMBERSHIP_OPTIONS, server.facts.version_number):
        return "GRANT {} TO {} WITH INHERIT TRUE, SET TRUE"
    return "GRANT {} TO {}"


def _send(
    server: Server,
    roles: Sequence[str],
    statements: Sequence[Statement],
    *,
    database: str | None = None,
    transactional: bool = True,
) -> None:
    """Send STATEMENTS in one transaction, with the rights of ROLES for a moment. Raises DbopsError."""
    steps = list(_steps(statements, database=database, transactional=transactional))
    if transactional:
        steps = acting_as(roles, steps, _seen(server, roles))
        server.apply(steps, stopped=_never, committed=_ignore, closing=None)
        return
    # What refuses to be in a transaction: the memberships are taken before and put back after.
    wrapped = acting_as(roles, steps, _seen(server, roles))
    server.apply(wrapped, stopped=_never, committed=_ignore, closing=None)


def _steps(statements: Sequence[Statement], *, database: str | None, transactional: bool) -> Iterator[Step]:
    for statement in statements:
        target = " ".join(statement.template.replace("{}", "").split()[:2]).lower()
        yield Step(Action.RUN, target, statement, database=database, transactional=transactional, changes=False)


def _seen(server: Server, names: Sequence[str]) -> ServerState:
    """Give the server's state with these roles, and what we may do with them, as they are now."""
    admin = server.facts.admin
    looked_at = [*names, admin.name]
    rights = catalog.rights(server.main, looked_at, admin)
    facts = replace(server.facts, admin=replace(admin, **rights))
    return replace(server.state, facts=facts, roles=catalog.roles(server.main, looked_at, admin))


def _role(server: Server, name: str) -> Role | None:
    return catalog.roles(server.main, [name], server.facts.admin).get(name)


def _never() -> bool:
    return False


def _ignore(_unused: Sequence[Step]) -> None:
    """Nobody is told of single steps."""
