# SPDX-License-Identifier: GPL-3.0-or-later
"""What steps on default privileges change, noted in the observed state.

Bound by the planners to their steps; see effects_roles.py. A row of the catalog is there as long as somebody gets
something by it, and names all of them and its maker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import CatalogKey, DefaultAcl
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.effects_acls import set_dependency
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import DefaultKey
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState

Rows = tuple[DefaultAcl, ...]


def grant(state: ServerState, *, key: DefaultKey, privileges: frozenset[str]) -> None:
    """Objects that somebody will make come with more for a role."""

    def given(rows: Rows) -> Rows:
        had = next((one for one in rows if _key(key.database, one) == key), None)
        oid = next((one.oid for one in rows if _of_same_row(one, key)), 0)
        row = had or DefaultAcl(*key[1:], frozenset(), frozenset(), oid)
        rest = [one for one in rows if one is not had]
        return (*rest, replace(row, privileges=row.privileges | privileges))

    change(state, key.database, given)


def revoke(state: ServerState, *, key: DefaultKey, privileges: frozenset[str]) -> None:
    """Objects that somebody will make come with less for a role."""

    def left(rows: Rows) -> Rows:
        return _not_empty(
            replace(one, privileges=one.privileges - privileges, grantable=one.grantable - privileges)
            if _key(key.database, one) == key
            else one
            for one in rows
        )

    change(state, key.database, left)


def forget(state: ServerState, *, database: str, role: str) -> None:
    """Nothing is left that a role gets, or gives, by default in a database."""
    change(state, database, lambda rows: tuple(one for one in rows if role not in (one.grantor, one.grantee)))
    # Its rows name whom they give to also where nobody asked for what is in the database.
    for going in [one for one in state.roles.values() if one.dependencies is not None]:
        had = going.dependencies.privileges.get(database, {}) if going.dependencies else {}
        for key in [key for key, owner in had.items() if key[0] == "pg_default_acl" and owner == role]:
            set_dependency(state, going.name, database, key, None, there=False)


def change(state: ServerState, database: str, changed: Callable[[Rows], Rows]) -> None:
    """Change the rows of a database wherever they are kept, and note it for roles that are to go."""
    before: Rows = ()
    after: Rows = ()
    known = state.databases.get(database)
    if known and known.content:
        before, after = known.content.default_acls, changed(known.content.default_acls)
        state.databases[database] = replace(known, content=replace(known.content, default_acls=after))
    there = state.acls.get(database)
    if there:
        before = (*before, *there.default_acls)
        there.default_acls = changed(there.default_acls)
        after = (*after, *there.default_acls)
    was, now = _named(before), _named(after)
    for key in {*was, *now}:
        for name in {*was.get(key, ()), *now.get(key, ())}:
            grantor = now.get(key, {}).get(name)
            owner = None if grantor is None or grantor == name else _owner(state, grantor)
            set_dependency(state, name, database, key, owner, there=grantor is not None)


def _named(rows: Rows) -> dict[CatalogKey, dict[str, str]]:
    """Give who is named by each row of the catalog, with whose objects it is about."""
    found: dict[CatalogKey, dict[str, str]] = {}
    for one in rows:
        found.setdefault(one.catalog_key, {}).update({one.grantee: one.grantor, one.grantor: one.grantor})
    return found


def _owner(state: ServerState, grantor: str) -> str:
    return "" if grantor == state.facts.bootstrap else grantor


def _key(database: str, row: DefaultAcl) -> DefaultKey:
    return DefaultKey(database, row.grantor, row.schema, row.object_type, row.grantee)


def _of_same_row(one: DefaultAcl, key: DefaultKey) -> bool:
    return (one.grantor, one.schema, one.object_type) == (key.grantor, key.schema, key.object_type)


def _not_empty(rows: Iterable[DefaultAcl]) -> Rows:
    return tuple(one for one in rows if one.privileges)
