# SPDX-License-Identifier: GPL-3.0-or-later
"""What declarations give to roles, by the ledger and by the list that is worked on: read once, compared in many plans.

Called by postgresql/server.py; pure. A plan takes away only what its own declaration gave and no other one gives.
What the list declares counts before the ledger has learnt it: what is about to be given is not taken away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    Desired,
    DesiredDatabase,
    DesiredGrant,
    DesiredRole,
    DesiredUser,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    default_privileges,
    grant_items,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.default_privileges import (
    declared_words,
    grantee_name,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import DefaultKey
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Declaration,
    Wanted,
    add_asked,
)

_DEFAULT = default_privileges.FIELD
Thing = tuple[str, str]
Given = dict[str, Declaration]
"""What one declaration gives, by who gets it."""


def by_entry(entry: Entry) -> Given:
    """Give what the ledger says of one declaration."""
    applied, owner = entry.applied, str(entry.owner)
    if entry.kind == "role":
        items = grant_items.from_ledger(applied.get("grants", ()))
        return {entry.name: Declaration(owner, frozenset(applied.get("in_roles", ())), items)}
    if entry.kind == "grant":
        return {applied["grantee"]: from_ledger(owner, applied)} if "grantee" in applied else {}
    keys = default_privileges.from_ledger(entry.name, applied.get(_DEFAULT, ()))
    return _by_grantee(owner, keys.items())


def recorded_grantees(entry: Entry) -> set[str]:
    """Give to whom a declaration gives something by the ledger."""
    if entry.kind == "role":
        return {entry.name}
    if entry.kind == "grant":
        return {entry.applied["grantee"]} if "grantee" in entry.applied else set()
    return {key.grantee for key in default_privileges.from_ledger(entry.name, entry.applied.get(_DEFAULT, ()))}


def to_ledger(grantee: str, given: Declaration) -> dict[str, Any]:
    """Give what a grant gives to GRANTEE as plain data."""
    keys = sorted(given.default_privileges.items())
    return {
        "grantee": grantee,
        "roles": sorted(given.roles),
        "grants": grant_items.to_ledger(given.items),
        default_privileges.FIELD: [[*key, sorted(privileges)] for key, privileges in keys],
    }


def from_ledger(owner: str, applied: Mapping[str, Any]) -> Declaration:
    """Read what `to_ledger` gave."""
    return Declaration(
        owner,
        frozenset(applied.get("roles", ())),
        grant_items.from_ledger(applied.get("grants", ())),
        {DefaultKey(*row[:5]): frozenset(row[5]) for row in applied.get(default_privileges.FIELD, ())},
    )


def _by_grantee(owner: str, keys: Iterable[tuple[DefaultKey, frozenset[str]]]) -> Given:
    found: dict[str, dict[DefaultKey, frozenset[str]]] = {}
    for key, privileges in keys:
        those = found.setdefault(key.grantee, {})
        those[key] = those.get(key, frozenset()) | privileges
    return {grantee: Declaration(owner, default_privileges=those) for grantee, those in found.items()}


def by_list(desired: Desired, version_number: int) -> Given:
    """Give what an object of the list that is worked on gives; one that is wrong gives nothing."""
    if not desired.present:
        return {}
    owner = desired.ref
    with suppress(DbopsError):
        if isinstance(desired, DesiredUser):
            return {desired.name: Declaration(owner, frozenset(desired.in_roles or ()))}
        if isinstance(desired, DesiredRole):
            items = grant_items.read(desired.grants or (), version_number, inline=True)
            return {desired.name: Declaration(owner, frozenset(desired.in_roles or ()), items)}
        if isinstance(desired, DesiredGrant):
            items = grant_items.read(desired.grants, version_number, inline=False)
            keys = default_privileges.of_grant(desired, version_number)
            return {grantee_name(desired.grantee): Declaration(owner, frozenset(desired.roles), items, keys)}
        if isinstance(desired, DesiredDatabase):
            return _by_grantee(owner, _of_database(desired, version_number))
    return {}


def _of_database(desired: DesiredDatabase, version_number: int) -> Iterator[tuple[DefaultKey, frozenset[str]]]:
    for one in desired.default_privileges or ():
        # Without either it is whoever owns the database, who is asked by nobody else's declaration.
        grantor = one.granted_by or desired.owner
        if grantor:
            key = DefaultKey(desired.name, grantor, one.schema, one.object_type, grantee_name(one.role))
            yield key, declared_words(one.object_type, one.privileges, version_number)


def grantees(desired: Desired | None) -> list[str]:
    """Give whom an object of the list gives something, or gave."""
    if isinstance(desired, DesiredUser | DesiredRole):
        return [desired.name]
    if isinstance(desired, DesiredGrant):
        return [grantee_name(desired.grantee)]
    if isinstance(desired, DesiredDatabase):
        return [grantee_name(one.role) for one in desired.default_privileges or ()]
    return []


def of_interest(desired: Desired) -> list[str]:
    """Give of whom it matters to an object of the list what other declarations give."""
    gives = not isinstance(desired, DesiredUser | DesiredRole) or (desired.present and desired.in_roles is not None)
    if not gives and not (isinstance(desired, DesiredRole) and desired.grants is not None):
        return []
    return grantees(desired)


def wanted_again(entry: Entry) -> Wanted:
    """Give what must be read to take back what the ledger says that a declaration gave."""
    given = by_entry(entry)
    acls: dict[grant_items.Target, set[str]] = {}
    for grantee, one in given.items():
        add_asked(acls, dict.fromkeys(one.items, frozenset((grantee,))))
    databases = {key.database for one in given.values() for key in one.default_privileges}
    grantors = {key.grantor for one in given.values() for key in one.default_privileges}
    return Wanted(
        # Who got it may be another one than now.
        roles=frozenset(grantors | ({*given} if entry.kind == "grant" else set())),
        grantees=frozenset(given),
        acls=acls,
        default_acls=frozenset(databases if entry.kind == "grant" else ()),
    )
