# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order declared objects are worked on; pure.

Called by core.converge. What is referred to comes before what refers to it; what goes, goes in reverse and after
all that stays or comes.
"""

from __future__ import annotations

import graphlib
from collections.abc import Sequence

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    Desired,
    DesiredDatabase,
    DesiredUser,
)

Thing = tuple[str, str]
"""What it is on the server (`role`, `database`, `server`) and its name."""


def thing(desired: Desired) -> Thing:
    """Give what a declaration stands for on the server."""
    if isinstance(desired, DesiredUser):
        return "role", desired.name
    if isinstance(desired, DesiredDatabase):
        return "database", desired.name
    return "server", desired.name


def needs(desired: Desired) -> set[Thing]:
    """Give what must be there, and right, before DESIRED can be worked on."""
    names: set[str | None] = set()
    databases: set[Thing] = set()
    if isinstance(desired, DesiredUser):
        names = {desired.reassign_owned_to}
        if desired.present:
            names |= {desired.default_role, *(desired.in_roles or ())}
    elif isinstance(desired, DesiredDatabase) and desired.present:
        names = {desired.owner, *(schema.owner for schema in desired.schemas if schema.present)}
        for privilege in desired.default_privileges or ():
            names |= {privilege.role, privilege.granted_by}
        if desired.template:
            databases = {("database", desired.template)}
    return ({("role", name) for name in names if name} | databases) - {thing(desired)}


def ordered(declared: Sequence[Desired]) -> list[Desired]:
    """Give DECLARED in the order of work. Objects that need each other keep their order; the server will refuse."""
    present = _by_needs([one for one in declared if one.present])
    # Databases go before the roles that own them; among roles, members before what they are members of.
    absent = [one for one in declared if not one.present]
    return [*present, *sorted(absent, key=lambda one: thing(one)[0] != "database")]


def _by_needs(declared: Sequence[Desired]) -> list[Desired]:
    by_thing = {thing(one): one for one in declared}
    sorter: graphlib.TopologicalSorter[Thing] = graphlib.TopologicalSorter()
    for key, one in by_thing.items():
        sorter.add(key, *(needed for needed in sorted(needs(one)) if needed in by_thing))
    try:
        return [by_thing[key] for key in sorter.static_order()]
    except graphlib.CycleError:
        return list(declared)
