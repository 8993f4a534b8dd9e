# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of a database and who holds what on them by their access control lists, as plain values.

Filled by catalog_grants.py with what was asked for and no more: the objects that are declared, and of their lists
what concerns the roles of interest. Read by grant_privileges.py. Grants are by role names; `public` is everybody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import routines
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import EVERY, Target

Key = tuple[str, tuple[str, ...]]
"""What tells an object from others of its type and schema: its name, and what it takes if it is a routine."""
Value = TypeVar("Value")


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
    """Give a database as it will be once it is made, with its SCHEMAS (names and owners): nobody holds anything yet."""
    made = DatabaseAcls(AclObject("database", "", name, owner))
    add_schemas(made, schemas)
    return made


def add_schemas(database: DatabaseAcls, schemas: Mapping[str, str]) -> None:
    """Note those of the SCHEMAS (names and owners) that are not there yet."""
    for name, owner in schemas.items():
        one = AclObject("schema", name, "", owner)
        database.objects.setdefault(("schema", name), {}).setdefault(one.key, one)


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
