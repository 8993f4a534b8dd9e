# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a group role: declared role and observed server in, steps out; pure.

Called through the table of kinds.py. What it shares with logins stands in role_attributes.py and memberships.py,
how it is removed in role_drop.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredRole
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    memberships,
    role_attributes,
    role_drop,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState, Wanted


def wanted(desired: DesiredRole) -> Wanted:
    """Give what must be read: the role, those that it refers to, and what depends on it when it is to go."""
    named = {desired.name, *(desired.in_roles or ()), desired.reassign_owned_to}
    return Wanted(
        roles=frozenset(name for name in named if name),
        memberships=frozenset((desired.name, name) for name in desired.in_roles or ()),
        dependencies=frozenset() if desired.present else frozenset({desired.name}),
    )


def plan(desired: DesiredRole, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Compare and give the steps. Raises DbopsError for what cannot or must not be done."""
    role_attributes.check_names(desired, state)
    role = state.roles.get(desired.name)
    if not desired.present:
        # One that was given LOGIN may have sessions, which would go on without their role.
        return role_drop.plan(role, state, reassign_owned_to=desired.reassign_owned_to, end_sessions=True)
    made = Plan(creates=role is None)
    role_attributes.require_creatable(role, state)
    words, differences = role_attributes.compare(desired, role, state)
    role_attributes.add_step(desired.name, role, words, differences, state, made)
    memberships.plan_in_roles(desired, role, memory, state, made)
    made.applied = {"in_roles": list(desired.in_roles or ())}
    return made
