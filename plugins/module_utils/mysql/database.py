# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a database: declared database and observed server in, steps out; pure.

Called through the table of kinds.py. Privileges on a database outlive it on MySQL and MariaDB, and come alive again
with a new one of that name: those that declarations of ours gave are taken back when it is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredDatabase
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.init_sql import MEMORY
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Literal,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    charsets,
    effects,
    grant_items,
    grant_statements,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_privileges import lacking_rights
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    AccountName,
    Database,
    ServerState,
    Target,
    Wanted,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import account, end_sessions, shown, step

SYSTEM = frozenset({"mysql", "information_schema", "performance_schema", "sys", "ndbinfo"})
LEDGER = "dbops"


def wanted(desired: DesiredDatabase) -> Wanted:
    """Give what must be read: the database, and when it is to go who has privileges on it."""
    name = frozenset({desired.name})
    return Wanted(databases=name, privileges_in=frozenset() if desired.present else name)


def observed(desired: DesiredDatabase, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result."""
    database = _existing(desired, state)
    if database is None:
        return {"exists": False, "name": desired.name}
    return {
        "exists": True,
        "name": database.name,
        "size_bytes": database.size_bytes,
        "encoding": database.charset,
        "collation": database.collation,
    }


def exists(desired: DesiredDatabase, state: ServerState) -> bool:
    """Whether there is a database of this name."""
    return _existing(desired, state) is not None


def plan(desired: DesiredDatabase, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Plan one database. Raises DbopsError for what cannot be or may not be done."""
    _check(desired)
    existing = _existing(desired, state)
    if not desired.present:
        return _plan_drop(desired, existing, state, memory)
    charset, collation = charsets.resolve(
        desired.encoding,
        desired.collation,
        charsets=state.default_collations,
        collations=state.collations,
        present=existing.charset if existing else None,
    )
    if existing is None:
        return _plan_create(desired, state, charset, collation)
    return _plan_alter(existing, state, charset, collation)


def _existing(desired: DesiredDatabase, state: ServerState) -> Database | None:
    return state.databases.get(state.facts.fold(desired.name))


def _check(desired: DesiredDatabase) -> None:
    check_name(desired.name, field="name")
    if desired.name.lower() in SYSTEM:
        raise DbopsError(Reason.ACCESS_DENIED, f"{desired.name!r} is a database of the server's own", field="name")
    if desired.name.lower() == LEDGER:
        text = f"{desired.name!r} is the database where ownership is recorded"
        raise DbopsError(Reason.ACCESS_DENIED, text, field="name")


def _require(privilege: str, doing: str, state: ServerState) -> None:
    """Say before trying what our account may not do; where its privileges could not be read the server decides."""
    admin = state.facts.admin
    if not admin.reads_accounts or admin.may(privilege):
        return
    # What it has on patterns of names may be enough: the server knows better.
    if any(privilege in words for target, words in admin.privileges.items() if target.level == "database"):
        return
    text = (
        f"{admin.name} may not {doing} databases; an administrator can allow it: "
        f"GRANT {privilege} ON *.* TO {shown(admin.name)}"
    )
    raise DbopsError(Reason.PRIVILEGE_MISSING, text)


def _plan_create(desired: DesiredDatabase, state: ServerState, charset: str | None, collation: str | None) -> Plan:
    _require("CREATE", "create", state)
    made = Plan(creates=True)
    statement = Statement("CREATE DATABASE {}{}", Identifier(desired.name), _options(charset, collation))
    key, facts = state.facts.fold(desired.name), state.facts
    by_default = state.default_collations.get(charset or facts.charset, facts.collation)
    database = Database(key, charset or facts.charset, collation or by_default)
    made.add(
        step(
            Action.CREATE,
            f"database {desired.name}",
            statement,
            after=desired.name,
            effect=partial(effects.make_database, key=key, database=database),
        ),
        Difference("exists", "true", "false"),
    )
    return made


def _plan_alter(existing: Database, state: ServerState, charset: str | None, collation: str | None) -> Plan:
    made = Plan()
    present = {
        "charset": charsets.charset_name(existing.charset),
        "collation": charsets.collation_name(existing.collation),
    }
    declared = {"charset": charset, "collation": collation}
    differing = {field: value for field, value in declared.items() if value and value != present[field]}
    if not differing:
        return made
    _require("ALTER", "alter", state)
    made.differences = [Difference(field, value, present[field]) for field, value in differing.items()]
    # A character set brings its default collation along, so a declared collation is named again.
    options = _options(differing.get("charset"), collation)
    statement = Statement("ALTER DATABASE {}{}", Identifier(existing.name), options)
    before = {field: present[field] for field in differing}
    effect = partial(effects.alter_database, key=state.facts.fold(existing.name), options=differing)
    target = f"database {existing.name}"
    made.steps = [step(Action.ALTER, target, statement, before=before, after=differing, effect=effect)]
    made.warnings = ["the new default is for tables made from now on; those that are there keep theirs"]
    return made


def _options(charset: str | None, collation: str | None) -> Joined:
    parts: list[Part] = []
    if charset:
        parts.append(Statement(" CHARACTER SET {}", Literal(charset)))
    if collation:
        parts.append(Statement(" COLLATE {}", Literal(collation)))
    return Joined(parts, "")


def _plan_drop(
    desired: DesiredDatabase, existing: Database | None, state: ServerState, memory: Mapping[str, Any]
) -> Plan:
    """Plan the end of a database; its sessions are ended only where that was asked for."""
    made = Plan(drops=existing is not None)
    if existing:
        _require("DROP", "drop", state)
        target = f"database {existing.name}"
        made.differences.append(Difference("exists", "false", "true", destructive=True))
        if existing.sessions and not desired.end_sessions:
            text = f"{target} has {len(existing.sessions)} sessions; set end_sessions, or let them end"
            raise DbopsError(Reason.IN_USE, text, field="end_sessions")
        made.steps += end_sessions(existing.sessions, of=target, facts=state.facts, look_again=False)
        drop = Statement("DROP DATABASE {}", Identifier(existing.name))
        effect = partial(effects.drop_database, key=state.facts.fold(existing.name))
        made.steps.append(step(Action.DROP, target, drop, before=existing.name, destructive=True, effect=effect))
    _take_back(state.facts.fold(desired.name), state, made)
    definer = (memory.get(MEMORY) or {}).get("made", {}).get("definer")
    if definer:
        # Made for what init_sql made, and for nothing else.
        name = AccountName(definer, "%")
        drop_user = Statement("DROP USER IF EXISTS {}", account(name))
        effect = partial(effects.drop_account, name=name)
        made.steps.append(step(Action.DROP, f"user {name}", drop_user, destructive=True, effect=effect))
    return made


def _take_back(database: str, state: ServerState, made: Plan) -> None:
    """Add to MADE what ends the privileges on a database that declarations of ours gave; warn of others."""
    left = []
    for name, held in sorted(state.privileges_in.get(database, {}).items()):
        ours: dict[Target, frozenset[str]] = {}
        for one in state.declared.get(name.user, {}).values():
            grant_items.merge(ours, one.privileges)
        extra = {}
        for target, words in held.items():
            plain = target._replace(database=database)
            mine = words & ours.get(plain, frozenset())
            if mine and not lacking_rights(state, plain, mine):
                extra[target] = mine
            if words - extra.get(target, frozenset()):
                left.append(str(name))
        made.steps += grant_statements.revokes(name, extra, state.facts.dialect)
    if left and (made.drops or made.steps):
        shown_names = ", ".join(dict.fromkeys(left))
        made.warnings.append(
            f"{shown_names} keep privileges on the name {database} that no declaration gave; "
            "they come alive again with a new database of that name"
        )
