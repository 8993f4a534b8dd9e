# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what with a table, and through what: from grants, roles and rules of precedence to ways; pure.

Called through the table of kinds.py, with what catalog_access.py has read. A way begins at whom the right was given
(everywhere, on databases of a pattern, on the table, on columns) and leads over roles to the account that has it. It is
at hand where those roles are active from the login on; else it takes a SET ROLE first. Which rows count for an account
is decided by access_rows.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredAccess
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.access_rows import Acting, Source, sources
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.access_state import Access, TableName
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import ALL, TABLE, usual_word
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    AccountName,
    Facts,
    ServerState,
    Wanted,
)

PUBLIC = AccountName("PUBLIC", "")
"""MariaDB: what everybody has."""
_VIRTUAL = ("information_schema", "performance_schema")
"""What these show is not a matter of privileges on their tables."""

Path = tuple[AccountName, ...]


class _Way(NamedTuple):
    """As whom an account may act, whether from the login on, and whose privileges are told of it (None: of all)."""

    acting: Acting
    at_hand: bool = True
    told: frozenset[AccountName] | None = None


def _name(desired: DesiredAccess) -> TableName:
    return TableName(desired.database, desired.table)


def wanted(desired: DesiredAccess) -> Wanted:
    """Give which table must be read."""
    return Wanted(access=frozenset({_name(desired)}))


def plan(desired: DesiredAccess, state: ServerState, _memory: Mapping[str, Any]) -> Plan:
    """Check that the question can be answered; there is nothing to do. Raises DbopsError."""
    check_name(desired.database, field="database")
    check_name(desired.table, field="table")
    _privileges(desired, state.facts)
    if desired.database.lower() in _VIRTUAL:
        text = f"what {desired.database} shows is decided by the server and not by privileges on its tables"
        raise DbopsError(Reason.UNSUPPORTED, text, field="database")
    found = state.access[_name(desired)]
    if isinstance(found, DbopsError):
        raise found
    return Plan()


def observed(desired: DesiredAccess, state: ServerState) -> dict[str, Any]:
    """Give the answer: the table's facts, and by account and privilege through what it is had."""
    found = state.access.get(_name(desired))
    facts: dict[str, Any] = _name(desired)._asdict()
    if found is None or isinstance(found, DbopsError):
        return {"exists": False, **facts}
    privileges = _privileges(desired, state.facts)
    facts |= {"type": found.type}
    name = TableName(state.facts.fold(desired.database), state.facts.fold(desired.table))
    return {
        "exists": True,
        **facts,
        "access": [one for word in privileges for one in explain(found, name, word, state.facts)],
    }


def _privileges(desired: DesiredAccess, facts: Facts) -> list[str]:
    """Give the privileges that are asked for, in the order in which statements name them. Raises DbopsError."""
    known = facts.dialect.privileges_at(TABLE)
    words = {usual_word(word, flavour=facts.dialect.flavour) for word in desired.privileges}
    unknown = sorted(words - ALL - set(known))
    if unknown or not words:
        text = f"privileges names {', '.join(unknown) or 'nothing'}; tables have {', '.join(known)}"
        raise DbopsError(Reason.INVALID_SPEC, text, field="privileges")
    return [one for one in known if one in words or words & ALL]


def explain(access: Access, name: TableName, privilege: str, facts: Facts) -> Iterator[dict[str, Any]]:
    """Give who has PRIVILEGE on a table, everybody first and then by name, each with the ways to it."""
    for account in sorted(access.accounts, key=lambda one: (one != PUBLIC, one)):
        if not account.user:
            # What those without a name have counts for others too, and is told there.
            continue
        ways = []
        for way in _ways(account, access, facts):
            found = sources(way.acting, access, name, privilege, facts)
            ways += [(one, way) for one in found if way.told is None or one.holder in way.told]
        if ways:
            yield _entry(account, privilege, ways, access)


def _entry(account: AccountName, privilege: str, ways: Iterable[tuple[Source, _Way]], access: Access) -> dict[str, Any]:
    through: list[dict[str, Any]] = []
    for one, way in ways:
        path = way.acting.paths.get(one.holder, (account, one.holder))
        through.append(
            {"kind": one.kind, "path": [str(step) for step in path], "at_hand": way.at_hand}
            | {"columns": list(one.columns), "pattern": one.pattern, "grantable": one.grantable}
        )
    whole = any(not one["columns"] for one in through)
    columns = {column for one in through for column in one["columns"]}
    return {
        "role": str(account),
        "login": access.accounts[account].login,
        "privilege": privilege,
        "columns": None if whole else [one for one in access.columns if one in columns],
        "effective": any(one["at_hand"] for one in through),
        "through": through,
    }


def _ways(account: AccountName, access: Access, facts: Facts) -> Iterator[_Way]:
    """Give as whom an ACCOUNT acts: from the login on, and after a SET ROLE."""
    given = access.accounts[account].roles
    itself: dict[AccountName, Path] = {account: (account,)}
    together = facts.dialect.roles_are_accounts
    if not account.host or (together and not access.accounts[account].login):
        # It is no account that roles become active for: what it has itself is active with it.
        yield _Way(Acting({**itself, **_reached(account, [one.role for one in given], access)}))
        return
    # Mandatory roles are active from the login on, whatever the manual says of SET ROLE (tried on MySQL 9.7).
    active = [one.role for one in given if one.default or facts.activates_roles]
    active += [one for one in access.mandatory if one != account]
    reached = _reached(account, active, access)
    if reached and together:
        yield _Way(Acting({**itself, **reached}))
    else:
        yield _Way(Acting(itself, account))
        yield _Way(Acting(reached))
    for role in (one.role for one in given):
        if role not in reached:
            then = _reached(account, [role], access)
            acting = Acting({**itself, **then} if together else then)
            yield _Way(acting, at_hand=False, told=frozenset(then.keys() - reached.keys()))


def _reached(account: AccountName, roles: Iterable[AccountName], access: Access) -> dict[AccountName, Path]:
    """Give ROLES and those that they have in turn, each with the shortest path to it from ACCOUNT."""
    found: dict[AccountName, Path] = {}
    queue: deque[tuple[AccountName, Path]] = deque((role, (account, role)) for role in roles)
    while queue:
        role, path = queue.popleft()
        if role in found or role == account or role not in access.accounts:
            continue
        found[role] = path
        queue.extend((one.role, (*path, one.role)) for one in access.accounts[role].roles)
    return found
