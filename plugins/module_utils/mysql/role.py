# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a group role: declared role and observed accounts in, steps out; pure.

Called through the table of kinds.py. A role of MySQL is an account for every host that nobody can log in as, so one
that is not `native` is the same there. MariaDB's roles have no host; one that is not `native` is a locked account,
whose privileges its members get one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredRole
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    declared,
    effects,
    emulation,
    grant_items,
    memberships,
    user_drop,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant import entries_held
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_compare import Held
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_privileges import Privileges, together
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import BLANKS, check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    AccountName,
    Declaration,
    Facts,
    ServerState,
    Wanted,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import account, require_rights, step

_EVERYWHERE = "%"


def wanted(desired: DesiredRole) -> Wanted:
    """Give what must be read: the role with its privileges, its roles, and what it is the definer of when it goes."""
    databases, targets = grant_items.named(desired.grants or ())
    return Wanted(
        users=frozenset({desired.name, *(desired.in_roles or ())}),
        memberships=frozenset((desired.name, role) for role in desired.in_roles or ()),
        definers=frozenset() if desired.present else frozenset({desired.name}),
        privileges=frozenset({desired.name}),
        databases=frozenset(databases if desired.present else ()),
        targets=frozenset(targets if desired.present else ()),
    )


def plan(desired: DesiredRole, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Compare and give the steps. Raises DbopsError for what cannot or must not be done."""
    _check(desired, state.facts)
    items = grant_items.read(desired.grants or (), state.facts, state.dynamic_privileges)
    require_rights(state.facts)
    existing = _existing(desired, state, memory)
    if not desired.present:
        made = user_drop.plan_role(desired.name, existing, state)
        if existing:
            had = Held(existing, state.facts).items()
            made.waits = together(emulation.plan_members(desired.name, had, {}, state, made))
        return made
    name = existing.name if existing else _name(desired, state.facts)
    made = Plan(creates=existing is None)
    if existing is None:
        effect = partial(effects.make_account, account=Account(name, is_role=not name.host, locked=True))
        made.add(
            step(Action.CREATE, f"role {desired.name}", _create(desired, name, state.facts), effect=effect),
            Difference("exists", "true", "false"),
        )
    elif not existing.is_role and not existing.locked:
        statement = Statement("ALTER USER {} ACCOUNT LOCK", account(name))
        lock = partial(effects.alter_account, name=name, attributes={"locked": True})
        made.add(
            step(Action.ALTER, f"role {desired.name}", statement, before=False, after=True, effect=lock),
            Difference("accountLocked", "true", "false"),
        )
    now = existing or Account(name, is_role=not name.host, locked=True)
    memberships.plan_in_roles(desired.name, desired.in_roles, [now], memory, state, made, activate=False)
    _plan_grants(desired, now, items, memory, state, made)
    return made


def _check(desired: DesiredRole, facts: Facts) -> None:
    dialect = facts.dialect
    native = desired.native and not dialect.roles_are_accounts
    longest = dialect.role_characters if native else dialect.user_characters
    check_name(desired.name, field="name", characters=longest)
    if (dialect.trims_start or native) and desired.name[0] in BLANKS:
        text = f"name {desired.name!r} begins with a blank, which {dialect.title} cuts off"
        raise DbopsError(Reason.INVALID_SPEC, text, field="name")
    if desired.name in dialect.system_accounts or desired.name.upper() in ("NONE", "PUBLIC", "CURRENT_ROLE"):
        text = f"{desired.name!r} is a name that the server keeps for itself"
        raise DbopsError(Reason.ACCESS_DENIED, text, field="name")
    if desired.name in (facts.admin.name.user, "root"):
        raise DbopsError(Reason.ACCESS_DENIED, f"{desired.name!r} is an administrator's account", field="name")
    memberships.check(desired.name, desired.in_roles or (), facts)


def _name(desired: DesiredRole, facts: Facts) -> AccountName:
    native = desired.native or facts.dialect.roles_are_accounts
    return AccountName(desired.name, facts.dialect.role_host if native else _EVERYWHERE)


def _create(desired: DesiredRole, name: AccountName, facts: Facts) -> Statement:
    if desired.native or facts.dialect.roles_are_accounts:
        return Statement("CREATE ROLE {}", account(name))
    return Statement("CREATE USER {} ACCOUNT LOCK", account(name))


def _existing(desired: DesiredRole, state: ServerState, memory: Mapping[str, Any]) -> Account | None:
    """Give the account that is the role. Raises DbopsError where the name is somebody else's."""
    accounts = state.accounts.get(desired.name, {})
    dialect = state.facts.dialect
    if not accounts:
        return None
    one = accounts.get(_name(desired, state.facts).host)
    if one is None and dialect.roles_are_accounts and len(accounts) == 1:
        (one,) = accounts.values()
    if one is None or (one.is_role != (not one.name.host)):
        text = f"{desired.name} is there already, but not as a role of this kind (see native)"
        raise DbopsError(Reason.CONFLICT, text, field="native")
    if not one.is_role and not one.locked and not memory:
        text = f"{desired.name} is a user who may log in; declare another name"
        raise DbopsError(Reason.CONFLICT, text, field="name")
    return one


def _plan_grants(
    desired: DesiredRole,
    now: Account,
    items: grant_items.Items,
    memory: Mapping[str, Any],
    state: ServerState,
    made: Plan,
) -> None:
    """Give and take what the role's own entries declare, and note what the ledger is to remember."""
    before = declared.from_ledger(desired.ref, memory, roles="in_roles")
    others = state.others(desired.name, ("role", desired.name))
    roles = desired.in_roles or ()
    work = Privileges(
        state,
        made,
        wanted=items,
        given=dict(before.privileges),
        others=[*emulation.given_by(others, state), emulation.copied(roles, state)],
        carried=grant_items.from_ledger(memory.get("carried", ())),
    )
    work.plan([now])
    own = Declaration(desired.ref, privileges=items)
    copied, problems = emulation.plan_copies([now], roles, before, [*others, own], state, made)
    had = Held(now, state.facts).items()
    after = grant_items.merge(dict(work.after), copied)
    problems += emulation.plan_members(desired.name, had, after, state, made)
    made.waits = together([*work.problems, *problems])
    made.applied = {"in_roles": list(roles)} | _remembered(work.remembered, copied, work.now_carried)
    if made.steps:
        items = grant_items.merge(dict(before.privileges), work.remembered)
        copies = grant_items.merge(dict(before.copied), copied)
        made.ahead = {"in_roles": list(dict.fromkeys([*memory.get("in_roles", ()), *roles]))}
        made.ahead |= _remembered(items, copies, work.now_carried)


def _remembered(items: grant_items.Items, copied: grant_items.Items, carried: grant_items.Items) -> dict[str, Any]:
    found = {"grants": items, emulation.COPIED: copied, "carried": carried}
    return {name: grant_items.to_ledger(those) for name, those in found.items() if those}


def observed(desired: DesiredRole, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result."""
    accounts = state.of_user(desired.name)
    if not accounts:
        return {"exists": False, "name": desired.name}
    native = any(one.is_role for one in accounts) or state.facts.dialect.roles_are_accounts
    facts: dict[str, Any] = {"exists": True, "name": desired.name, "native": native}
    facts["in_roles"] = memberships.observed(accounts)
    if desired.present:
        facts |= entries_held(desired.grants or (), accounts, state)
    return facts
