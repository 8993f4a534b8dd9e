# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of a database and who holds what on them by their access control lists, as plain values.

Filled by catalog_grants.py with what was asked for and no more: the objects that are declared, and of their lists
what concerns the roles of interest. Read by grant_privileges.py. Grants are by role names; `public` is everybody.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import routines
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import EVERY, Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PRIVILEGES, PUBLIC

Key = tuple[str, tuple[str, ...]]
"""What tells an object from others of its type and schema: its name, and what it takes if it is a routine."""
CatalogKey = tuple[str, int | str]  # pylint: disable=unsupported-binary-operation
"""What pg_shdepend calls an object within its database: its catalog, and its number; its name if only foreseen."""
Value = TypeVar("Value")
_CATALOGS = {"database": "pg_database", "schema": "pg_namespace", "function": "pg_proc"}


class AclEntry(NamedTuple):
    """What GRANTOR gave to a role on an object, or on one of its columns."""

    grantor: str
    column: str
    privileges: frozenset[str]
    grantable: frozenset[str]


class Dependent(NamedTuple):
    """What a role has passed on of what it holds, to whom."""

    grantee: str
    column: str
    privileges: frozenset[str]


@dataclass(frozen=True)
class DefaultAcl:
    """One grantee's privileges in pg_default_acl."""

    grantor: str
    schema: str
    object_type: str
    grantee: str
    privileges: frozenset[str]
    grantable: frozenset[str] = frozenset()
    oid: int = 0

    @property
    def catalog_key(self) -> CatalogKey:
        """What it is in pg_shdepend, together with all grantees."""
        return "pg_default_acl", self.oid or f"{self.object_type} of {self.grantor} in {self.schema}"


@dataclass
class AclObject:
    """Something that privileges are on. `type` is as in privileges.PRIVILEGES; columns are part of their table."""

    type: str
    schema: str
    name: str
    owner: str
    oid: int = 0
    arguments: tuple[tuple[str, str], ...] = ()
    """Of a routine: the types that it takes, each with its schema."""
    signature: tuple[str, ...] = ()
    """The same as format_type() writes them."""
    columns: frozenset[str] = frozenset()
    """Of the columns that were asked for those that are there."""
    usable: bool = True
    """Of a schema: whether the admin account may name what is in it."""
    options: dict[str, frozenset[str]] = field(default_factory=dict)
    """What roles may pass on that are not the owner."""
    entries: dict[str, tuple[AclEntry, ...]] = field(default_factory=dict)
    """By grantee, for those of interest. An owner has what the owner's entry says, which is all unless revoked."""
    passed_on: dict[str, tuple[Dependent, ...]] = field(default_factory=dict)
    """By grantor, for those of interest."""
    effective: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """By grantee and column what it may do after all, through PUBLIC or its roles; only where the admin account
    cannot grant."""

    def take_over(self, before: AclObject, grantees: frozenset[str]) -> None:
        """Keep what is known of others than these GRANTEES."""
        self.entries = _kept(before.entries, grantees) | self.entries
        self.passed_on = _kept(before.passed_on, grantees) | self.passed_on
        self.effective = {key: had for key, had in before.effective.items() if key[0] not in grantees} | self.effective

    def effectively(self, grantee: str, column: str) -> AbstractSet[str]:
        """Give what GRANTEE may do after all as far as that was looked at; what everybody may do with a schema, too."""
        everybody = self.entries.get(PUBLIC, ()) if self.type == "schema" else ()
        return self.effective.get((grantee, column), frozenset()).union(*(entry.privileges for entry in everybody))

    @property
    def label(self) -> str:
        """Name it for people; what is in schema public goes without."""
        name = f"{self.name}({', '.join(self.signature)})" if self.type == "function" else self.name
        if self.type in ("database", "schema"):
            return self.schema or self.name
        return name if self.schema == "public" else f"{self.schema}.{name}"

    @property
    def key(self) -> Key:
        """What tells it from others of its type and schema."""
        return self.name, self.signature

    @property
    def catalog_key(self) -> CatalogKey:
        """What it is in pg_shdepend."""
        return _CATALOGS.get(self.type, "pg_class"), self.oid or self.label


@dataclass(frozen=True)
class Change:
    """One privilege on one object, or on a column of it. `option`: together with, or only, the right to pass it on."""

    object: AclObject
    column: str
    privilege: str
    option: bool = False
    grantor: str = ""
    """Who gives it or gave it, as the object's list calls them."""


@dataclass
class DatabaseAcls:
    """What was read of one database."""

    database: AclObject
    objects: dict[tuple[str, str], dict[Key, AclObject]] = field(default_factory=dict)
    """By type and schema; the schemas themselves are of type `schema` in the schema of their name."""
    default_acls: tuple[DefaultAcl, ...] = ()
    problem: DbopsError | None = None
    """Why it could not be looked into."""

    @property
    def owner(self) -> str:
        """Who owns the database."""
        return self.database.owner

    def real_owner(self, one: AclObject) -> str:
        """Give who owns an object; nobody can be made a member of pg_database_owner, who is the database's owner."""
        return self.owner if one.owner == "pg_database_owner" else one.owner

    def schema(self, name: str) -> AclObject | None:
        """Give a schema that was asked for."""
        return self.objects.get(("schema", name), {}).get(("", ()))

    def find(self, target: Target) -> list[AclObject]:
        """Give what TARGET stands for, of the objects that were asked for."""
        if target.type == "database":
            return [self.database]
        kind = "table" if target.type == "column" else target.type
        there = self.objects.get((kind, target.schema), {})
        if target.name == EVERY and kind != "schema":
            return [one for one in there.values() if not target.column or target.column in one.columns]
        if kind != "function":
            found = there.get((target.name, ()))
            return [] if found is None or (target.column and target.column not in found.columns) else [found]
        return _routines(target.name, there.values())

    def overloads(self, target: Target) -> list[AclObject]:
        """Give the routines of a target's name, whatever they take."""
        name, _ignored = routines.split(target.name)
        return [one for one in self.objects.get(("function", target.schema), {}).values() if one.name == name]

    def owners(self) -> set[str]:
        """The roles that own the database and what was read of it, and those that gave something of it or could."""
        objects = [self.database, *(one for group in self.objects.values() for one in group.values())]
        givers = {entry.grantor for one in objects for those in one.entries.values() for entry in those}
        return givers.union(*(one.options for one in objects), (one.owner for one in objects))


def predicted(name: str, owner: str, schemas: Mapping[str, str]) -> DatabaseAcls:
    """Give a database as it will be once it is made, with its SCHEMAS (names and owners).

    https://www.postgresql.org/docs/current/ddl-priv.html has what is granted by default.
    """
    made = DatabaseAcls(_new("database", "", name, owner))
    made.database.entries[PUBLIC] = (AclEntry(owner, "", frozenset({"CONNECT", "TEMPORARY"}), frozenset()),)
    add_schemas(made, schemas)
    if "public" in schemas:
        there = made.objects["schema", "public"]["", ()]
        # Before PostgreSQL 15, where it belongs to a role, everybody may create something in it.
        words = {"USAGE"} if there.owner == "pg_database_owner" else {"USAGE", "CREATE"}
        there.entries[PUBLIC] = (AclEntry(there.owner, "", frozenset(words), frozenset()),)
    return made


def copied(template: DatabaseAcls, name: str, owner: str) -> DatabaseAcls:
    """Give a database as it will be once it is made from a TEMPLATE that was looked into."""
    made = predicted(name, owner, {})
    made.objects = copy.deepcopy(template.objects)
    made.default_acls = tuple(replace(one, oid=0) for one in template.default_acls)
    for those in made.objects.values():
        for one in those.values():
            one.oid = 0
    return made


def add_schemas(database: DatabaseAcls, schemas: Mapping[str, str]) -> None:
    """Note those of the SCHEMAS (names and owners) that are not there yet."""
    for name, owner in schemas.items():
        one = _new("schema", name, "", owner)
        database.objects.setdefault(("schema", name), {}).setdefault(one.key, one)


def _new(kind: str, schema: str, name: str, owner: str) -> AclObject:
    """Give an object that is made by now: its owner has all on it."""
    made = AclObject(kind, schema, name, owner)
    made.entries[owner] = _of_owner(kind, owner)
    return made


def _of_owner(kind: str, owner: str) -> tuple[AclEntry, ...]:
    return (AclEntry(owner, "", frozenset(PRIVILEGES[kind]), frozenset()),)


def change_owner(one: AclObject, owner: str) -> None:
    """Give an object to another OWNER, who takes the old one's place in its list.

    Where nothing was asked of the old one, it had what an owner has.
    """
    before, one.owner = one.owner, owner
    entries: dict[str, tuple[AclEntry, ...]] = {}
    for grantee, those in ({before: _of_owner(one.type, before)} | one.entries).items():
        name = owner if grantee == before else grantee
        changed = [entry._replace(grantor=owner) if entry.grantor == before else entry for entry in those]
        entries[name] = _together((*entries.get(name, ()), *changed))
    one.entries = entries
    one.options.pop(owner, None)
    one.passed_on.pop(owner, None)


def _together(entries: Iterable[AclEntry]) -> tuple[AclEntry, ...]:
    found: dict[tuple[str, str], AclEntry] = {}
    for one in entries:
        had = found.get((one.grantor, one.column), one)
        found[one.grantor, one.column] = had._replace(
            privileges=had.privileges | one.privileges, grantable=had.grantable | one.grantable
        )
    return tuple(found.values())


def shut(name: str) -> DbopsError:
    """Say that nobody gets into a database."""
    text = f"database {name} takes no connections (allow_connections), so nobody can look into it"
    return DbopsError(Reason.DEPENDENCY_NOT_READY, text)


def _routines(declared: str, there: Iterable[AclObject]) -> list[AclObject]:
    candidates = list(there)
    # A name may have parentheses of its own.
    named = [one for one in candidates if one.name == declared]
    name, types = routines.split(declared)
    if named or types is None:
        return named
    return [one for one in candidates if one.name == name and routines.takes(types, one.signature)]


def put(into: DatabaseAcls, found: Iterable[AclObject], asked: Collection[Target], grantees: frozenset[str]) -> None:
    """Replace in INTO what was ASKED for by what was FOUND, for these GRANTEES; what is known of others stays."""
    before: dict[tuple[str, str, Key], AclObject] = {}
    columns: dict[tuple[str, str], set[str]] = {}
    # With what is in it a schema is read as well.
    for target in {*asked, *(Target(one.database, "schema", one.schema) for one in asked)}:
        kind = "table" if target.type == "column" else target.type
        there = into.objects.get((kind, target.schema), {})
        if target.column:
            columns.setdefault((target.schema, target.name), set()).add(target.column)
        for one in [*into.find(target._replace(column="")), *(into.overloads(target) if kind == "function" else ())]:
            if there.pop(one.key, None):
                before[kind, target.schema, one.key] = one
    for one in found:
        old = before.get((one.type, one.schema, one.key))
        if old:
            one.take_over(old, grantees)
            one.columns |= old.columns - columns.get((one.schema, one.name), set())
        into.objects.setdefault((one.type, one.schema), {})[one.key] = one


def _kept(known: Mapping[str, Value], grantees: frozenset[str]) -> dict[str, Value]:
    return {name: value for name, value in known.items() if name not in grantees}
