# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what with a table, and through what: from lists, ownership and memberships to ways; pure.

Called through the table of kinds.py, with what catalog_access.py has read. A way begins at whom the right was given
(an entry of the table's list or of a column's, its owner, a predefined role, PUBLIC) and leads over memberships to
who has it. It is at hand where every membership on it inherits; else it takes a SET ROLE first.
https://www.postgresql.org/docs/current/ddl-priv.html
https://www.postgresql.org/docs/current/predefined-roles.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredAccess
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.access_state import (
    Access,
    Given,
    Membership,
    RoleFacts,
    TableName,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import (
    ALL,
    PRIVILEGES,
    PUBLIC,
    meant,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState, Wanted

_PREDEFINED = {
    "SELECT": "pg_read_all_data",
    "INSERT": "pg_write_all_data",
    "UPDATE": "pg_write_all_data",
    "DELETE": "pg_write_all_data",
    "MAINTAIN": "pg_maintain",
}
EVERYBODY = "PUBLIC"


class Source(NamedTuple):
    """To whom something was given, and how: `owner`, `grant`, `column`, `predefined`, `public`."""

    role: str
    kind: str
    columns: tuple[str, ...] = ()
    grantor: str = ""
    grantable: bool = False


class Way(NamedTuple):
    """How a role comes to what was given: by these roles, itself first, the one that it was given to last."""

    path: tuple[str, ...]
    at_hand: bool
    source: Source


def _name(desired: DesiredAccess) -> TableName:
    return TableName(desired.database, desired.schema or "public", desired.table)


def wanted(desired: DesiredAccess) -> Wanted:
    """Give which table must be read."""
    return Wanted(access=frozenset({_name(desired)}))


def plan(desired: DesiredAccess, state: ServerState, _memory: Mapping[str, Any]) -> Plan:
    """Check that the question can be answered; there is nothing to do. Raises DbopsError."""
    for name, option in zip(_name(desired), TableName._fields, strict=True):
        check_name(name, field=option)
    meant(desired.privileges, ["table"], state.facts.version_number, field="privileges")
    found = state.access[_name(desired)]
    if isinstance(found, DbopsError):
        raise found
    return Plan()


def observed(desired: DesiredAccess, state: ServerState) -> dict[str, Any]:
    """Give the answer: the table's facts, and by role and privilege through what it is had."""
    found = state.access.get(_name(desired))
    facts: dict[str, Any] = _name(desired)._asdict()
    if found is None or isinstance(found, DbopsError):
        return {"exists": False, **facts}
    words = frozenset(desired.privileges)
    privileges = [one for one in PRIVILEGES["table"] if one in words or words & ALL]
    facts |= {"type": found.type, "owner": found.owner, "row_security": found.row_security}
    return {"exists": True, **facts, "access": [one for word in privileges for one in explain(found, word)]}


def explain(access: Access, privilege: str) -> Iterator[dict[str, Any]]:
    """Give who has PRIVILEGE on a table, everybody first and then by name, each with the ways to it.

    `effective`: what it may do with the table it can do, since it also gets into the schema and the database.
    """
    members = _members(access)
    usage = _at_hand([*_given(access.on_schema, "USAGE"), *_predefined("USAGE")], members)
    connect = _at_hand(_given(access.on_database, "CONNECT"), members)
    sources = [*_on_table(access, privilege), *_predefined(privilege)]
    everybody = [Way((EVERYBODY,), True, one) for one in sources if one.role == PUBLIC]
    everybody_enters = PUBLIC in usage and PUBLIC in connect
    if everybody:
        yield _entry(RoleFacts(EVERYBODY, False, False), privilege, everybody, access, effective=everybody_enters)
    ways = _ways([one for one in sources if one.role != PUBLIC], members)
    for name, role in sorted(access.roles.items()):
        if role.superuser:
            way = Way((name,), True, Source(name, "superuser"))
            yield _entry(role, privilege, [way], access, effective=True)
            continue
        enters = _in(name, usage) and (_in(name, connect) or not role.login)
        # What everybody has is said once, unless only some can get there.
        those = [*ways.get(name, ()), *(everybody if enters and not everybody_enters else ())]
        if those:
            yield _entry(role, privilege, those, access, effective=enters and any(one.at_hand for one in those))


def _in(role: str, those: frozenset[str]) -> bool:
    return role in those or PUBLIC in those


def _entry(role: RoleFacts, privilege: str, ways: Iterable[Way], access: Access, *, effective: bool) -> dict[str, Any]:
    through = [
        {"kind": one.source.kind, "path": list(one.path), "at_hand": one.at_hand, "columns": list(one.source.columns)}
        | {"grantor": one.source.grantor or None, "grantable": one.source.grantable}
        for one in ways
    ]
    whole = any(not one["columns"] for one in through)
    columns = {column for one in ways for column in one.source.columns}
    return {
        "role": role.name,
        "login": role.login,
        "privilege": privilege,
        "columns": None if whole else [one for one in access.columns if one in columns],
        "effective": effective,
        "through": through,
    }


def _on_table(access: Access, privilege: str) -> Iterator[Source]:
    """Give to whom a privilege was given on the table and, in one source for each giver, on its columns."""
    of_columns: dict[tuple[str, str], list[Given]] = {}
    for one in access.on_table:
        if one.privilege != privilege:
            continue
        if one.column:
            of_columns.setdefault((one.grantee, one.grantor), []).append(one)
        elif one.grantee == access.owner:
            yield Source(one.grantee, "owner", grantable=True)
        else:
            kind = "public" if one.grantee == PUBLIC else "grant"
            yield Source(one.grantee, kind, (), one.grantor, one.grantable)
    for (grantee, grantor), entries in of_columns.items():
        columns = tuple(one.column for one in entries)
        yield Source(grantee, "column", columns, grantor, all(one.grantable for one in entries))


def _given(entries: Iterable[Given], privilege: str) -> Iterator[Source]:
    return (Source(one.grantee, "grant") for one in entries if one.privilege == privilege)


def _predefined(privilege: str) -> Iterator[Source]:
    # Who reads or writes all data gets into every schema as well.
    words = ("SELECT", "INSERT") if privilege == "USAGE" else (privilege,)
    return (Source(_PREDEFINED[word], "predefined") for word in words if word in _PREDEFINED)


def _members(access: Access) -> dict[str, list[Membership]]:
    found: dict[str, list[Membership]] = {}
    for one in access.memberships:
        found.setdefault(one.role, []).append(one)
    return found


def _at_hand(sources: Iterable[Source], members: Mapping[str, list[Membership]]) -> frozenset[str]:
    ways = _ways(sources, members)
    return frozenset(name for name, those in ways.items() if any(one.at_hand for one in those))


def _ways(sources: Iterable[Source], members: Mapping[str, list[Membership]]) -> dict[str, list[Way]]:
    """Give by role how it comes to the SOURCES, one way for each."""
    found: dict[str, list[Way]] = {}
    for source in sources:
        for name, (path, at_hand) in _reached(source.role, members).items():
            found.setdefault(name, []).append(Way(path, at_hand, source))
    return found


def _reached(role: str, members: Mapping[str, list[Membership]]) -> dict[str, tuple[tuple[str, ...], bool]]:
    """Give who comes to ROLE: by what path, and whether all of it is at hand.

    A session can become a role by memberships with SET, one after the other, and has by then what that one inherits.
    """
    found: dict[str, tuple[tuple[str, ...], bool]] = {role: ((role,), True)}
    for at_hand in (True, False):
        queue = deque(found)
        while queue:
            reached = queue.popleft()
            for one in members.get(reached, ()):
                if one.member not in found and (one.inherit if at_hand else one.set):
                    found[one.member] = ((one.member, *found[reached][0]), at_hand)
                    queue.append(one.member)
    return found
