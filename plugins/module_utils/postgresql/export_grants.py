# SPDX-License-Identifier: GPL-3.0-or-later
"""Access control lists of a database in, the entries of `grants` that would give the same out; pure.

Called by export.py. Left out with a warning is what the options have no words for: rights that owners gave up or
that everybody lost, and privileges in a schema that the grantee cannot use at all, since a grant would change that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.export_catalog import Item, ObjectRow
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import EVERY
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import (
    PUBLIC,
    known,
    ordered,
)

Entries = list[dict[str, Any]]
_LISTS = {"table": "tables", "column": "tables", "sequence": "sequences", "function": "functions"}
_OWNER = "pg_database_owner"


class Held(NamedTuple):
    """Some privileges of one grantee on one object; `option`: it may pass them on."""

    row: ObjectRow
    grantee: str
    privileges: frozenset[str]
    option: bool


@dataclass
class Reading:
    """The lists of one database while they are read."""

    database: str
    owner: str
    version_number: int
    warnings: list[str]
    held: list[Held] = field(default_factory=list)
    using: set[tuple[str, str]] = field(default_factory=set)
    """Who has USAGE itself on which schema, everybody (PUBLIC) included."""

    def add(self, row: ObjectRow) -> None:
        """Read the list of one object."""
        owner = self.owner if row.owner == _OWNER else row.owner
        had: dict[str, frozenset[str]] = {one.grantee: one.privileges for one in row.default}
        if row.type == "schema" and row.schema == "public":
            modern = versions.has(versions.PUBLIC_OF_DATABASE_OWNER, self.version_number)
            had[PUBLIC] = frozenset({"USAGE"} if modern else {"USAGE", "CREATE"})
        plain: dict[str, set[str]] = {}
        grantable: dict[str, set[str]] = {}
        for item in row.acl:
            plain.setdefault(item.grantee, set()).update(item.privileges)
            grantable.setdefault(item.grantee, set()).update(item.grantable)
            if item.grantor != row.owner and item.grantee != row.owner:
                self._by_others(row, item)
        if row.type == "schema":
            self.using |= {(grantee, row.schema) for grantee, privileges in plain.items() if "USAGE" in privileges}
        for grantee, all_of_it in had.items():
            lost = all_of_it - plain.get(grantee, set())
            if lost:
                who = "everybody (PUBLIC)" if grantee == PUBLIC else f"the owner {grantee}"
                words = ", ".join(ordered(row.type, lost))
                self.warn(f"{who} has no {words} on {self.label(row)} any more, which cannot be declared")
        for grantee, privileges in plain.items():
            own = privileges - (had[PUBLIC] if grantee == PUBLIC and PUBLIC in had else set())
            if grantee in (owner, row.owner) or not own:
                continue
            passes = own & grantable[grantee]
            for some, option in ((own - passes, False), (passes, True)):
                if some:
                    self.held.append(Held(row, grantee, frozenset(some), option))

    def _by_others(self, row: ObjectRow, item: Item) -> None:
        words = ", ".join(ordered(row.type, item.privileges))
        self.warn(
            f"{item.grantee} has {words} on {self.label(row)} from {item.grantor}; who gave it cannot be declared, "
            "so where it is missing the owner gives it"
        )

    def warn(self, text: str) -> None:
        """Note what cannot be declared."""
        self.warnings.append(f"database {self.database}: {text}")

    def label(self, row: ObjectRow) -> str:
        """Name an object for people."""
        if row.type == "database":
            return "the database"
        if row.type == "schema":
            return f"schema {row.schema}"
        return f"{row.type} {row.schema}.{_name(row)}{f'.{row.column}' if row.column else ''}"

    def schemas(self) -> set[tuple[str, str]]:
        """Give the grantees and schemas where a grant would give USAGE on the schema that is not declared itself."""
        return {(one.grantee, one.row.schema) for one in self.held if one.row.schema} - self.using

    def entries(self, grantees: Iterable[str], reaching: frozenset[tuple[str, str]]) -> dict[str, Entries]:
        """Give the entries of these GRANTEES; REACHING are those of `schemas` that may use the schema all the same."""
        lacking = self.schemas() - reaching
        names = frozenset(grantees)
        groups: dict[tuple[Any, ...], list[Held]] = {}
        for one in self.held:
            if one.grantee not in names:
                continue
            if (one.grantee, one.row.schema) in lacking:
                self.warn(
                    f"{one.grantee} has privileges on {self.label(one.row)} and may not use schema {one.row.schema}, "
                    "which a grant would change"
                )
            elif one.row.type != "schema" and EVERY in (one.row.name, one.row.column):
                self.warn(f"{self.label(one.row)} is called what stands for everything")
            else:
                groups.setdefault(_group(one), []).append(one)
        found: dict[str, Entries] = {}
        for those in groups.values():
            found.setdefault(those[0].grantee, []).append(self._entry(those))
        return found

    def _entry(self, those: list[Held]) -> dict[str, Any]:
        row = those[0].row
        entry: dict[str, Any] = {"database": self.database}
        if row.schema:
            entry["schema"] = row.schema
        if row.type == "column":
            entry |= {"tables": [row.name], "columns": [one.row.column for one in those]}
        elif row.type in _LISTS:
            entry[_LISTS[row.type]] = [_name(one.row) for one in those]
        words = those[0].privileges
        every = row.type == "table" and words == known("table", self.version_number)
        entry["privileges"] = ["ALL"] if every else ordered(row.type, words)
        return entry | ({"grant_option": True} if those[0].option else {})


def _name(row: ObjectRow) -> str:
    return f"{row.name}({', '.join(row.signature)})" if row.type == "function" else row.name


def _group(one: Held) -> tuple[Any, ...]:
    """What objects have in common that stand in one entry."""
    row = one.row
    # Not all tables have the same columns.
    table = row.name if row.type == "column" else ""
    return one.grantee, row.type, row.schema, table, one.privileges, one.option


def read(database: ObjectRow, rows: Iterable[ObjectRow], version_number: int, warnings: list[str]) -> Reading:
    """Read the lists of a DATABASE and of what is in it (ROWS)."""
    reading = Reading(database.name, database.owner, version_number, warnings)
    for row in (database, *rows):
        reading.add(row)
    return reading


def merged(many: Iterable[dict[str, Entries]]) -> Iterator[tuple[str, Entries]]:
    """Give the entries of all databases together, by grantee."""
    found: dict[str, Entries] = {}
    for one in many:
        for grantee, entries in one.items():
            found.setdefault(grantee, []).extend(entries)
    yield from sorted(found.items())
