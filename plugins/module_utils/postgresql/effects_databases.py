# SPDX-License-Identifier: GPL-3.0-or-later
"""What steps on databases and on what is inside of them change, noted in the observed state.

Bound by the planners to their steps; see effects_roles.py. Who owns something decides whose name it is changed in,
and whether a role that is to go is held up by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import acls, effects_acls, effects_defaults
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import AclObject, CatalogKey
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Database,
    DatabaseContent,
    Extension,
    OwnedObject,
    PassedOn,
    ServerState,
)


def make(state: ServerState, *, database: Database, template: str) -> None:
    """A database is made, with what its template has inside; privileges on the database itself are not copied."""
    state.databases[database.name] = database
    content = database.content
    known = state.acls.get(template)
    made = acls.copied(known, database.name, database.owner) if known and not known.problem else None
    if made is None:
        made = acls.predicted(database.name, database.owner, content.schemas if content else {})
    state.acls[database.name] = made
    _shut(state, database)
    _own(state, "", database.owner, OwnedObject("", "", database.name, "database"))


def alter(state: ServerState, *, name: str, options: Mapping[str, Any]) -> None:
    """Some options of a database get other values."""
    if name in state.databases:
        state.databases[name] = replace(state.databases[name], **options)
        _shut(state, state.databases[name])


def _shut(state: ServerState, database: Database) -> None:
    there = state.acls.get(database.name)
    if there:
        there.problem = None if database.allow_connections else acls.shut(database.name)


def give(state: ServerState, *, name: str, owner: str) -> None:
    """A database gets another owner."""
    known = state.databases.get(name)
    if known is None or known.owner == owner:
        return
    state.databases[name] = replace(known, owner=owner)
    there = state.acls.get(name)
    one = there.database if there else AclObject("database", "", name, known.owner, oid=known.oid)
    _change_owner(state, "", one, owner, OwnedObject("", "", name, "database"))
    _give_schemas_of_database_owner(state, name, known.owner, owner)


def _give_schemas_of_database_owner(state: ServerState, database: str, before: str, owner: str) -> None:
    """Schemas of pg_database_owner, such as public, are whoever's the database is."""
    there = state.acls.get(database)
    schemas = [
        one for key, those in (there.objects if there else {}).items() if key[0] == "schema" for one in those.values()
    ]
    owned = {one.catalog_key for one in schemas if one.owner == before}
    whose = "" if owner == state.facts.bootstrap else owner
    former = "" if before == state.facts.bootstrap else before
    for role in [role for role in state.roles.values() if role.dependencies is not None]:
        had = role.dependencies.privileges.get(database, {}) if role.dependencies else {}
        for key in [key for key, one in had.items() if key[0] == "pg_namespace" and one == former and key not in owned]:
            effects_acls.set_dependency(state, role.name, database, key, whose, there=True)
    _change_passed_on(
        state,
        database,
        lambda one: replace(one, owner=owner) if one.owner and one.grantor == "pg_database_owner" else one,
    )


def drop(state: ServerState, *, name: str) -> None:
    """A database is gone: roles that are to go as well are not held up any more by what was in it."""
    known = state.databases.pop(name, None)
    there = state.acls.pop(name, None)
    numbers = {one.oid for one in (known, there.database if there else None) if one} - {0}
    keys: list[CatalogKey] = [("pg_database", name), *(("pg_database", one) for one in numbers)]
    if known:
        _disown(state, "", known.owner, OwnedObject("", "", name, "database"))
    for role in list(state.roles.values()):
        had = role.dependencies
        if had is None:
            continue
        for key in keys:
            effects_acls.set_dependency(state, role.name, "", key, None, there=False)
        had = state.roles[role.name].dependencies or had
        left = replace(
            had,
            owned=tuple(one for one in had.owned if one.database != name),
            owned_counts={where: count for where, count in had.owned_counts.items() if where != name},
            privileges={where: those for where, those in had.privileges.items() if where != name},
            passed_on={
                where: tuple(one for one in those if where or one.name != name)
                for where, those in had.passed_on.items()
                if where != name
            },
        )
        state.roles[role.name] = replace(state.roles[role.name], dependencies=left)


def make_schema(state: ServerState, *, database: str, name: str, owner: str) -> None:
    """A schema is made."""
    _with_content(state, database, lambda had: replace(had, schemas={**had.schemas, name: owner}))
    if database in state.acls:
        acls.add_schemas(state.acls[database], {name: owner})
    _own(state, database, owner, OwnedObject(database, "", name, "schema"))


def give_schema(state: ServerState, *, database: str, name: str, before: str, owner: str) -> None:
    """A schema gets another owner."""
    _with_content(state, database, lambda had: replace(had, schemas={**had.schemas, name: owner}))
    there = state.acls.get(database)
    one = (there.schema(name) if there else None) or AclObject("schema", name, "", before)
    _change_owner(state, database, one, owner, OwnedObject(database, "", name, "schema"))


def drop_schema(state: ServerState, *, database: str, name: str, owner: str) -> None:
    """A schema is gone, and all that was in it."""

    def left(had: DatabaseContent) -> DatabaseContent:
        return replace(
            had,
            schemas={one: whose for one, whose in had.schemas.items() if one != name},
            schema_content={one: what for one, what in had.schema_content.items() if one != name},
            extensions={one: which for one, which in had.extensions.items() if which.schema != name},
        )

    _with_content(state, database, left)
    effects_defaults.change(state, database, lambda rows: tuple(one for one in rows if one.schema != name))
    _change_passed_on(state, database, lambda one: None if one.schema == name else one)
    there = state.acls.get(database)
    gone = [those for key, those in (there.objects if there else {}).items() if key[1] == name]
    if there:
        there.objects = {key: those for key, those in there.objects.items() if key[1] != name}
    keys = [one.catalog_key for those in gone for one in those.values()]
    for role in [role for role in state.roles.values() if role.dependencies is not None]:
        for key in keys:
            effects_acls.set_dependency(state, role.name, database, key, None, there=False)
    _disown(state, database, owner, OwnedObject(database, "", name, "schema"))
    for role in list(state.roles.values()):
        for one in role.dependencies.owned if role.dependencies else ():
            if one.database == database and one.schema in (name, quoted(name)):
                _disown(state, database, role.name, one)


def set_extension(state: ServerState, *, database: str, name: str, extension: Extension | None) -> None:
    """An extension is installed, changed, or removed (None)."""

    def changed(had: DatabaseContent) -> DatabaseContent:
        rest = {one: which for one, which in had.extensions.items() if one != name}
        return replace(had, extensions=rest if extension is None else {**rest, name: extension})

    _with_content(state, database, changed)


def reassign(state: ServerState, *, database: str, name: str, owner: str) -> None:
    """What a role owns in a database, and databases themselves, get another owner."""
    for each in list(state.databases.values()):
        if each.owner == name:
            give(state, name=each.name, owner=owner)
    known = state.databases.get(database)
    for schema, whose in (known.content.schemas if known and known.content else {}).items():
        if whose == name:
            give_schema(state, database=database, name=schema, before=name, owner=owner)
    there = state.acls.get(database)
    for one in [one for those in (there.objects if there else {}).values() for one in those.values()]:
        if one.owner == name:
            _change_owner(state, database, one, owner, OwnedObject(database, "", "", ""))
    role = state.roles.get(name)
    if role and role.dependencies:
        had = role.dependencies
        counts = {where: count for where, count in had.owned_counts.items() if where not in ("", database)}
        owned = tuple(one for one in had.owned if one.database not in ("", database))
        state.roles[name] = replace(role, dependencies=replace(had, owned=owned, owned_counts=counts))


def drop_owned(state: ServerState, *, database: str, name: str) -> None:
    """A role that owns nothing loses its privileges in a database, and those on what all databases share."""
    for there in state.acls.values():
        objects = [there.database]
        if there.database.name == database:
            objects += [one for those in there.objects.values() for one in those.values()]
        for one in objects:
            one.entries.pop(name, None)
            one.options.pop(name, None)
    if database:
        effects_defaults.forget(state, database=database, role=name)
    for member, role in list(state.roles.items()):
        if any(row.grantor == name for row in role.member_of):
            rows = tuple(row for row in role.member_of if row.grantor != name)
            state.roles[member] = replace(role, member_of=rows)
    going = state.roles.get(name)
    if going and going.dependencies:
        had = going.dependencies
        privileges = {where: those for where, those in had.privileges.items() if where not in ("", database)}
        state.roles[name] = replace(going, dependencies=replace(had, privileges=privileges))


def _with_content(state: ServerState, database: str, changed: Any) -> None:
    known = state.databases.get(database)
    if known and known.content:
        state.databases[database] = replace(known, content=changed(known.content))


def _change_owner(state: ServerState, database: str, one: AclObject, owner: str, what: OwnedObject) -> None:
    """What was given in the old owner's name is the new one's from then on, who has what the old one had."""
    before = one.owner
    acls.change_owner(one, owner)
    _disown(state, database, before, what)
    _own(state, database, owner, what)
    whose = "" if owner == state.facts.bootstrap else owner
    object_key = (one.type, one.schema, one.name, one.arguments)

    def renamed(row: PassedOn) -> PassedOn | None:
        if not row.owner or (row.type, row.schema, row.name, row.arguments) != object_key:
            return row
        return None if row.grantee == owner else replace(row, grantor=owner, owner=owner)

    _change_passed_on(state, database, renamed)
    for role in [role for role in state.roles.values() if role.dependencies is not None]:
        had = role.dependencies.privileges.get(database, {}) if role.dependencies else {}
        if one.catalog_key in had:
            there = role.name not in (owner, before)
            effects_acls.set_dependency(state, role.name, database, one.catalog_key, whose, there=there)


def _change_passed_on(state: ServerState, database: str, changed: Callable[[PassedOn], PassedOn | None]) -> None:
    """Change what is noted for roles that are to go of what DROP OWNED may leave in a database."""
    for role in list(state.roles.values()):
        had = role.dependencies
        if had and database in had.passed_on:
            rows = tuple(one for one in map(changed, had.passed_on[database]) if one)
            passed_on = {**had.passed_on, database: rows}
            state.roles[role.name] = replace(role, dependencies=replace(had, passed_on=passed_on))


def _own(state: ServerState, database: str, name: str, what: OwnedObject) -> None:
    role = state.roles.get(name)
    if role and role.dependencies is not None:
        had = role.dependencies
        counts = {**had.owned_counts, database: had.owned_counts.get(database, 0) + 1}
        state.roles[name] = replace(role, dependencies=replace(had, owned=(*had.owned, what), owned_counts=counts))


def _disown(state: ServerState, database: str, name: str, what: OwnedObject) -> None:
    role = state.roles.get(name)
    if role is None or role.dependencies is None or not role.dependencies.owned_counts.get(database):
        return
    had = role.dependencies
    counts = {**had.owned_counts, database: had.owned_counts[database] - 1}
    # As the catalogs say it, the name may be in quotes.
    gone = (what, replace(what, name=quoted(what.name)))
    left = tuple(one for one in had.owned if one not in gone)
    state.roles[name] = replace(
        role,
        dependencies=replace(had, owned=left, owned_counts={where: count for where, count in counts.items() if count}),
    )
