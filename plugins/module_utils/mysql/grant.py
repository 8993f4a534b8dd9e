# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a grant: what a user or role is declared to get, and observed server in, steps out; pure.

Called through the table of kinds.py. Three sets decide: what is declared, what this declaration gave before (the
ledger's MEMORY), and what other declarations give to the same grantee. Privileges are compared in
grant_privileges.py, roles in memberships.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredGrant
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    declared,
    emulation,
    grant_items,
    memberships,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_compare import Held
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_privileges import Privileges, together
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.memberships import Memberships
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    AccountName,
    Declaration,
    Facts,
    ServerState,
    Wanted,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import require_rights

_LISTED = 100
_ROLES = "roles"


def wanted(desired: DesiredGrant) -> Wanted:
    """Give what must be read: who gets it with its privileges, the roles, and what the privileges are on."""
    databases, targets = grant_items.named(desired.grants)
    users = {desired.grantee, memberships.umbrella(desired.grantee), *desired.roles}
    return Wanted(
        users=frozenset(users),
        memberships=frozenset((desired.grantee, role) for role in desired.roles),
        privileges=frozenset({desired.grantee}),
        databases=frozenset(databases),
        targets=frozenset(targets),
    )


def plan(desired: DesiredGrant, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Compare and give the steps. Raises DbopsError for what is wrong whatever is on the server."""
    _check(desired, state.facts)
    items = grant_items.read(desired.grants, state.facts, state.dynamic_privileges)
    require_rights(state.facts)
    accounts = grantees(desired, state)
    if not accounts:
        if not desired.present:
            return Plan()
        text = f"the {desired.grantee_kind} {desired.grantee!r} does not exist"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field=desired.grantee_kind)
    declares = Declaration(desired.ref, frozenset(desired.roles), items)
    before = declared.from_ledger(desired.ref, memory, roles=_ROLES)
    others = state.others(desired.grantee, ("grant", desired.name))
    if not desired.present:
        if not desired.owner_record:
            # Nothing is recorded of it: it takes back just what it lists.
            before = replace(declares, copied=emulation.copied(declares.roles, state))
            if not desired.force:
                _refuse_others(desired.grantee, before, others)
            others = []
        declares = Declaration(desired.ref)
    return _plan(desired, accounts, declares, before, others, memory, state)


def former(desired: DesiredGrant, state: ServerState, memory: Mapping[str, Any]) -> DesiredGrant | None:
    """Give what takes back what the declaration gave to somebody else before; see core.kinds.

    A user and a role of the same name are two on MariaDB.
    """
    kind = memory.get("grantee_kind", desired.grantee_kind)
    found = desired.taken_from(memory.get("grantee", desired.grantee), kind)
    if found.grantee == desired.grantee and _names(found, state) == _names(desired, state):
        return None
    return found


def _names(desired: DesiredGrant, state: ServerState) -> set[AccountName]:
    return {one.name for one in grantees(desired, state)}


def grantees(desired: DesiredGrant, state: ServerState) -> list[Account]:
    """Give all accounts of who gets it; a user and a role of MariaDB may have the same name."""
    accounts = state.of_user(desired.grantee)
    if state.facts.dialect.roles_are_accounts:
        return accounts
    roles = [one for one in accounts if one.is_role]
    users = [one for one in accounts if not one.is_role]
    # A role that is none of the server's is a locked account.
    return (roles or users) if desired.grantee_kind == "role" else users


def _check(desired: DesiredGrant, facts: Facts) -> None:
    dialect, admin = facts.dialect, facts.admin.name.user
    longest = max(dialect.user_characters, dialect.role_characters)
    check_name(desired.grantee, field=desired.grantee_kind, characters=longest)
    for role in desired.roles:
        check_name(role, field=_ROLES, characters=dialect.role_characters)
        if role == admin or role in dialect.system_accounts:
            text = f"roles names {role!r}, which nobody becomes a member of"
            raise DbopsError(Reason.ACCESS_DENIED, text, field=_ROLES)
    if desired.grantee == admin:
        text = f"{admin!r} is the account that manages this server"
        raise DbopsError(Reason.ACCESS_DENIED, text, field=desired.grantee_kind)
    if desired.grantee in dialect.system_accounts:
        text = f"{desired.grantee!r} is an account that the server keeps for itself"
        raise DbopsError(Reason.ACCESS_DENIED, text, field=desired.grantee_kind)
    if desired.grantee in desired.roles:
        text = f"{desired.grantee} cannot be a member of itself"
        raise DbopsError(Reason.INVALID_SPEC, text, field=_ROLES)


def _refuse_others(grantee: str, before: Declaration, others: Sequence[Declaration]) -> None:
    """Refuse with Conflict to take away what another declaration gives to the same grantee."""
    for one in others:
        same = any(words & one.privileges.get(target, frozenset()) for target, words in before.privileges.items())
        if same or one.roles & before.roles:
            text = f"{one.owner} gives it to {grantee} as well; use force to take it away all the same"
            raise DbopsError(Reason.CONFLICT, text, field=grant_items.FIELD)


def _plan(
    desired: DesiredGrant,
    accounts: Sequence[Account],
    declares: Declaration,
    before: Declaration,
    others: Sequence[Declaration],
    memory: Mapping[str, Any],
    state: ServerState,
) -> Plan:
    made = Plan()
    work = Privileges(
        state,
        made,
        wanted=dict(declares.privileges),
        given=dict(before.privileges),
        others=[*emulation.given_by(others, state), emulation.copied(declares.roles, state)],
        carried=grant_items.from_ledger(memory.get("carried", ())),
    )
    work.plan(accounts)
    own = replace(declares, roles=frozenset())
    copied, problems = emulation.plan_copies(accounts, declares.roles, before, [*others, own], state, made)
    if emulation.is_emulated(desired.grantee, state):
        had: grant_items.Items = {}
        for one in accounts:
            grant_items.merge(had, Held(one, state.facts).items())
        after = grant_items.merge(dict(work.after), copied)
        problems += emulation.plan_members(desired.grantee, had, after, state, made)
    takes = desired.allow_destructive or not desired.present
    members = Memberships(desired.grantee, accounts, state, made, option=_ROLES, field=_ROLES, takes=takes)
    kept = members.plan_set(
        declares.roles,
        before.roles,
        {name for one in others for name in one.roles},
        problems,
        activate=desired.grantee_kind == "user",
    )
    made.waits = together([*work.problems, *problems])
    made.applied = _remembered(desired, kept, work.remembered, copied, work.now_carried)
    if made.steps:
        items = grant_items.merge(dict(before.privileges), work.remembered)
        copies = grant_items.merge(dict(before.copied), copied)
        made.ahead = _remembered(desired, kept | before.roles, items, copies, work.now_carried)
    return made


def _remembered(
    desired: DesiredGrant,
    roles: frozenset[str],
    items: grant_items.Items,
    copied: grant_items.Items,
    carried: grant_items.Items,
) -> dict[str, Any]:
    found: dict[str, Any] = {"grantee": desired.grantee, "grantee_kind": desired.grantee_kind, "roles": sorted(roles)}
    found["grants"] = grant_items.to_ledger(items)
    more = {emulation.COPIED: copied, "carried": carried}
    return found | {name: grant_items.to_ledger(those) for name, those in more.items() if those}


def observed(desired: DesiredGrant, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result: how much of what is declared is there, and what is not."""
    accounts = grantees(desired, state)
    facts: dict[str, Any] = {"exists": bool(accounts), "name": desired.name, "grantee": desired.grantee}
    facts |= {"roles": [], "direct_grants": 0, "default_privileges": 0, "missing": []}
    if not accounts or not desired.present:
        return facts
    facts["roles"] = sorted(set(memberships.observed(accounts)) & set(desired.roles))
    return facts | entries_held(desired.grants, accounts, state)


def entries_held(entries: Any, accounts: Sequence[Account], state: ServerState) -> dict[str, Any]:
    """Give the facts about declared entries: how many hold on all accounts, and what is missing."""
    all_held = [Held(one, state.facts) for one in accounts]
    count, missing = 0, []
    for entry in entries:
        with suppress(DbopsError):
            items = grant_items.read_entry(entry, state.facts, state.dynamic_privileges)
            lacking = {
                target: words.difference(frozenset.intersection(*(held.on(target) for held in all_held)))
                for target, words in items.items()
            }
            count += not any(lacking.values())
            missing += [
                {"database": target.database or None, "type": target.level, "name": grant_items.label(target)}
                | {"privileges": sorted(words), "effective": False}
                for target, words in lacking.items()
                if words
            ]
    return {"direct_grants": count, "missing": missing[:_LISTED]}
