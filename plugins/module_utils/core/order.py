# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order declared objects are worked on; pure.

Called by core.converge. What is referred to comes before what refers to it; what goes, goes in reverse and after
all that stays or comes.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Sequence

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    Desired,
    DesiredAccess,
    DesiredDatabase,
    DesiredGrant,
    DesiredRole,
    DesiredUser,
    Grant,
)

Thing = tuple[str, str]
"""What it is on the server (`role`, `database`, `server`) and its name."""


def thing(desired: Desired) -> Thing:
    """Give what a declaration stands for on the server."""
    if isinstance(desired, DesiredUser | DesiredRole):
        return "role", desired.name
    if isinstance(desired, DesiredDatabase):
        return "database", desired.name
    if isinstance(desired, DesiredGrant):
        return "grant", desired.name
    return "server", desired.name


def needs(desired: Desired) -> set[Thing]:
    """Give what must be there, and right, before DESIRED can be worked on."""
    names: set[str | None] = set()
    databases: set[str | None] = set()
    if isinstance(desired, DesiredUser | DesiredRole):
        names = {desired.reassign_owned_to}
        if desired.present:
            names |= set(desired.in_roles or ())
    if isinstance(desired, DesiredUser) and desired.present:
        names |= {desired.default_role}
    elif isinstance(desired, DesiredRole) and desired.present:
        databases = _databases(desired.grants or ())
    elif isinstance(desired, DesiredDatabase) and desired.present:
        names = {desired.owner, *(schema.owner for schema in desired.schemas if schema.present)}
        for privilege in desired.default_privileges or ():
            names |= {privilege.role, privilege.granted_by}
        databases = {desired.template}
    elif isinstance(desired, DesiredGrant) and desired.present:
        names = {desired.grantee, *desired.roles, *(one.granted_by for one in desired.default_privileges)}
        databases = _databases(desired.grants) | {one.database for one in desired.default_privileges}
    found = {("role", name) for name in names if name} | {("database", name) for name in databases if name}
    return found - {thing(desired)}


def _databases(grants: Iterable[Grant]) -> set[str | None]:
    return {one.database for one in grants}


# What was given is taken back before those go that it was given to; databases go before the roles that own them.
_GOING = {"grant": 0, "database": 1, "role": 2, "server": 3}


def ordered(declared: Sequence[Desired]) -> list[Desired]:
    """Give DECLARED in the order of work. Objects that need each other keep their order; the server will refuse."""
    asked = [one for one in declared if isinstance(one, DesiredAccess)]
    present = _by_needs([one for one in declared if one.present and not isinstance(one, DesiredAccess)])
    absent = [one for one in declared if not one.present]
    # Who may do what is asked when all is done.
    return [*present, *sorted(absent, key=lambda one: _GOING[thing(one)[0]]), *asked]


def _by_needs(declared: Sequence[Desired]) -> list[Desired]:
    by_thing: dict[Thing, list[Desired]] = {}
    for one in declared:
        by_thing.setdefault(thing(one), []).append(one)
    # A role may own a database and have privileges in it: then it comes first, and waits with those.
    for needed in (needs, _hard_needs):
        sorter: graphlib.TopologicalSorter[Thing] = graphlib.TopologicalSorter()
        for key, claims in by_thing.items():
            found = {other for one in claims for other in needed(one)}
            sorter.add(key, *(other for other in sorted(found) if other in by_thing))
        try:
            return [one for key in sorter.static_order() for one in by_thing[key]]
        except graphlib.CycleError:
            continue
    return list(declared)


def _hard_needs(desired: Desired) -> set[Thing]:
    found = needs(desired)
    if isinstance(desired, DesiredRole):
        return {one for one in found if one[0] == "role"}
    return found
