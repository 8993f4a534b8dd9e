# SPDX-License-Identifier: GPL-3.0-or-later
"""Memberships that a list of a playbook declares in a circle: no server could make all of them; pure.

Called by core.parse when the list is read. What is declared by different owners is not looked at here: each is
compared with what is on the server, where the one that comes second is wrong.
"""

from __future__ import annotations

import graphlib
import itertools
from collections.abc import Iterable, Iterator

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    Desired,
    DesiredGrant,
    DesiredRole,
    DesiredUser,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import PLAYBOOK, Owner
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

Edge = tuple[str, str]


def errors(declared: Iterable[Desired]) -> dict[str, DbopsError]:
    """Give by their refs what is wrong with the objects that close a circle."""
    groups: dict[Owner | None, dict[Edge, list[tuple[Desired, str]]]] = {}
    for one in declared:
        if one.present and (one.owner_record is None or one.owner_record.cluster == PLAYBOOK):
            key = one.owner_record and Owner(PLAYBOOK, "", one.owner_record.namespace, "")
            edges = groups.setdefault(key, {})
            for edge, option in _edges(one):
                edges.setdefault(edge, []).append((one, option))
    found: dict[str, DbopsError] = {}
    for edges in groups.values():
        while circle := _circle(edges):
            text = f"these would be members of each other in a circle: {' in '.join(circle)}"
            for edge in itertools.pairwise(circle):
                for one, option in edges.pop(edge):
                    found[one.ref] = DbopsError(Reason.INVALID_SPEC, text, field=option)
    return found


def _edges(one: Desired) -> Iterator[tuple[Edge, str]]:
    """Give members and their roles, each with the option that declares it."""
    if isinstance(one, DesiredUser | DesiredRole):
        yield from (((one.name, role), "in_roles") for role in one.in_roles or () if role != one.name)
    elif isinstance(one, DesiredGrant):
        yield from (((one.grantee, role), "roles") for role in one.roles if role != one.grantee)


def _circle(edges: Iterable[Edge]) -> list[str] | None:
    """Give the names along a circle, the first once more at the end."""
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for member, role in edges:
        sorter.add(role, member)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        names: list[str] = error.args[1]
        return names
    return None
