# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a group role: declared role and observed server in, steps out; pure.

Called through the table of kinds.py. What it shares with logins stands in role_attributes.py and memberships.py,
how it is removed in role_drop.py, and how privileges are given in grant_privileges.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredRole
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    grant_items,
    memberships,
    role_attributes,
    role_drop,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_compare import entries_held
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_privileges import (
    Giving,
    Work,
    add_steps,
    together,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState, Wanted


def wanted(desired: DesiredRole) -> Wanted:
    """Give what must be read: the role, those that it refers to, and what depends on it when it is to go."""
    named = {desired.name, *(desired.in_roles or ()), desired.reassign_owned_to}
    targets = grant_items.targets(desired.grants or ()) if desired.present else ()
    return Wanted(
        roles=frozenset(name for name in named if name),
        memberships=frozenset((desired.name, name) for name in desired.in_roles or ()),
        dependencies=frozenset() if desired.present else frozenset({desired.name}),
        acls=dict.fromkeys(targets, frozenset((desired.name,))),
    )


def plan(desired: DesiredRole, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Compare and give the steps. Raises DbopsError for what cannot or must not be done."""
    role_attributes.check_names(desired, state)
    role = state.roles.get(desired.name)
    if not desired.present:
        # One that was given LOGIN may have sessions, which would go on without their role.
        return role_drop.plan(role, state, reassign_owned_to=desired.reassign_owned_to, end_sessions=True)
    items = grant_items.read(desired.grants or (), state.facts.version_number, inline=True)
    made = Plan(creates=role is None)
    role_attributes.require_creatable(role, state)
    compared = role_attributes.compare(desired, role, state)
    role_attributes.add_step(desired.name, role, compared, state, made)
    if role is None and items:
        # Privileges in databases are given in other transactions than the role is made in.
        made.steps = [replace(step, look_again=True) for step in made.steps]
    memberships.plan_in_roles(desired, role, memory, state, made)
    _plan_grants(desired, items, memory, state, made)
    return made


def _plan_grants(
    desired: DesiredRole, items: grant_items.Items, memory: Mapping[str, Any], state: ServerState, made: Plan
) -> None:
    """Give and take what the role's own entries declare, and note what the ledger is to remember of it."""
    given = grant_items.from_ledger(memory.get("grants", ()))
    others = [one.items for one in state.others(desired.name, ("role", desired.name))]
    work = Work(Giving(grantee=desired.name, wanted=items, given=given, others=others), state, made)
    before = len(made.steps)
    for name in dict.fromkeys(target.database for target in (*items, *given)):
        add_steps(work.database(name), name, state, made)
    inside = len(made.steps) > before
    add_steps(work.shared, None, state, made)
    made.waits = together([*([made.waits] if made.waits else ()), *work.problems])
    made.applied = {"in_roles": list(desired.in_roles or ())}
    remembered = grant_items.merge(work.remembered, items)
    if remembered:
        made.applied["grants"] = grant_items.to_ledger(remembered)
    if inside:
        made.ahead = made.applied | {"grants": grant_items.to_ledger(grant_items.merge(given, items))}


def observed(desired: DesiredRole, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result."""
    facts = role_attributes.observed(desired.name, state)
    if desired.present and facts["exists"]:
        facts |= entries_held(desired.grants or (), desired.name, state, inline=True)
    return facts
