# SPDX-License-Identifier: GPL-3.0-or-later
"""What declarations give to users and roles, by the ledger and by the list that is worked on; pure.

Called by mysql/observing.py and the planners. A plan takes away only what its own declaration gave and no other one
gives. What the list declares counts before the ledger has learnt it: what is about to be given is not taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    Desired,
    DesiredGrant,
    DesiredRole,
    DesiredUser,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import grant_items
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Declaration, Facts

Thing = tuple[str, str]
Given = tuple[str, Declaration]
"""Who gets something, and what."""


def by_entry(entry: Entry) -> Given | None:
    """Give what the ledger says of one declaration."""
    applied, owner = entry.applied, str(entry.owner)
    if entry.kind == "grant":
        return (applied["grantee"], from_ledger(owner, applied, roles="roles")) if "grantee" in applied else None
    return (entry.name, from_ledger(owner, applied, roles="in_roles")) if entry.kind == "role" else None


def from_ledger(owner: str, applied: Mapping[str, Any], *, roles: str) -> Declaration:
    """Read what a declaration was remembered to have given; ROLES is the word that it has for these."""
    items, copies = (grant_items.from_ledger(applied.get(one, ())) for one in ("grants", "copied"))
    return Declaration(owner, frozenset(applied.get(roles, ())), items, copies)


def by_list(desired: Desired, facts: Facts, dynamic: frozenset[str]) -> Given | None:
    """Give what an object of the list that is worked on gives; one that is wrong gives nothing."""
    if not desired.present:
        return None
    owner = desired.ref
    with suppress(DbopsError):
        if isinstance(desired, DesiredUser):
            return desired.name, Declaration(owner, frozenset(desired.in_roles or ()))
        if isinstance(desired, DesiredRole):
            items = grant_items.read(desired.grants or (), facts, dynamic)
            return desired.name, Declaration(owner, frozenset(desired.in_roles or ()), items)
        if isinstance(desired, DesiredGrant):
            items = grant_items.read(desired.grants, facts, dynamic)
            return desired.grantee, Declaration(owner, frozenset(desired.roles), items)
    return None


def grantees(desired: Desired) -> frozenset[str]:
    """Give whose declarations matter to an object of the list."""
    if isinstance(desired, DesiredUser | DesiredRole) and desired.present:
        return frozenset({desired.name})
    return frozenset({desired.grantee} if isinstance(desired, DesiredGrant) else ())


def joined(one: Declaration, other: Declaration | None) -> Declaration:
    """Give both together, under the owner of ONE."""
    if other is None:
        return one
    items = grant_items.merge(dict(one.privileges), other.privileges)
    copies = grant_items.merge(dict(one.copied), other.copied)
    return Declaration(one.owner, one.roles | other.roles, items, copies)
