# SPDX-License-Identifier: GPL-3.0-or-later
"""What declared entries of `grants` give, item by item: a target, a privilege, and whether it may be passed on; pure.

Called by grant.py and role.py with what core.grants has read; what comes out is compared with the catalogs by
grant_privileges.py and kept in the ledger. A target is still as it was declared: `*` and the name of a routine may
stand for many objects. The two kinds that declare entries differ in what an entry without objects means: for a
role's own ones a schema's privileges are on the schema, for a grant's they are on the tables in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Grant
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import ALL, meant

EVERY = "*"
_FIELD = "grants"


class Target(NamedTuple):
    """What privileges are on. `type` is one of privileges.PRIVILEGES; a column stands with the name of its table."""

    database: str
    type: str
    schema: str = ""
    name: str = ""
    column: str = ""


class DefaultKey(NamedTuple):
    """Whose privileges on future objects: a type of them, in a schema, made by GRANTOR."""

    database: str
    grantor: str
    schema: str
    object_type: str
    grantee: str

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.object_type} of {self.grantor} in {self.schema} to {self.grantee}"


Rights = dict[str, bool]
"""Privileges, and whether they may be passed on."""
Items = dict[Target, Rights]


def merge(into: Items, other: Mapping[Target, Mapping[str, bool]]) -> Items:
    """Add the items of OTHER to INTO, which is given back."""
    for target, rights in other.items():
        have = into.setdefault(target, {})
        for privilege, option in rights.items():
            have[privilege] = option or have.get(privilege, False)
    return into


def read(entries: Iterable[Grant], version_number: int, *, inline: bool) -> Items:
    """Give all that ENTRIES declare; INLINE: they are a role's own. Raises DbopsError for what no server could do."""
    found: Items = {}
    for entry in entries:
        merge(found, read_entry(entry, version_number, inline=inline))
    return found


def read_entry(entry: Grant, version_number: int, *, inline: bool) -> Items:
    """Give what one entry declares."""
    _check(entry)
    if entry.tables or entry.sequences or entry.functions:
        return _on_objects(entry, version_number, inline=inline)
    if entry.schema:
        return _on_schema(entry, version_number, inline=inline)
    target = Target(_database(entry), "database")
    return {target: _rights(meant(entry.privileges, ["database"], version_number, field=_FIELD)["database"], entry)}


def targets(entries: Iterable[Grant]) -> Iterator[Target]:
    """Give all that ENTRIES can be about, before anybody has looked whether they are right."""
    for entry in entries:
        if not entry.database:
            continue
        if entry.tables or entry.sequences or entry.functions:
            found = list(_targets(entry))
            yield from found
            for schema in {target.schema for target in found}:
                yield Target(entry.database, "schema", schema)
        elif entry.schema:
            yield Target(entry.database, "schema", entry.schema)
            yield Target(entry.database, "table", entry.schema, EVERY)
        else:
            yield Target(entry.database, "database")


def _on_objects(entry: Grant, version_number: int, *, inline: bool) -> Items:
    """Give each type of object those of the privileges that it has."""
    targets = list(_targets(entry))
    types = dict.fromkeys(target.type for target in targets)
    # Of the types that objects can have only sequences know USAGE; a grant gives it on the schema anyway.
    words = [word for word in entry.privileges if inline or word != "USAGE" or "sequence" in types]
    rights = meant(words, types, version_number, field=_FIELD)
    found: Items = {}
    for target in targets:
        if rights[target.type]:
            merge(found, {target: _rights(rights[target.type], entry)})
        if not inline:
            merge(found, _usage(target))
    return found


def _on_schema(entry: Grant, version_number: int, *, inline: bool) -> Items:
    """Give some privileges on the schema and some on all the tables in it; `ALL` is of one of them."""
    schema = Target(_database(entry), "schema", entry.schema or "")
    tables = schema._replace(type="table", name=EVERY)
    rights = meant(entry.privileges, ["schema", "table"], version_number, field=_FIELD)
    if ALL.intersection(entry.privileges):
        other = "table" if inline else "schema"
        rights[other] &= frozenset(entry.privileges)
    found: Items = {}
    for target in (schema, tables):
        if rights[target.type]:
            merge(found, {target: _rights(rights[target.type], entry)})
    return merge(found, _usage(schema)) if rights["table"] or not inline else found


def _rights(privileges: Iterable[str], entry: Grant) -> Rights:
    return dict.fromkeys(sorted(privileges), entry.grant_option)


def _usage(target: Target) -> Items:
    """Give USAGE on the schema of TARGET, without which nothing in it can be reached."""
    return {Target(target.database, "schema", target.schema): {"USAGE": False}}


def _targets(entry: Grant) -> Iterator[Target]:
    database, schema = _database(entry), entry.schema or "public"
    for table in entry.tables:
        if entry.columns:
            yield from (Target(database, "column", schema, table, column) for column in entry.columns)
        else:
            yield Target(database, "table", schema, table)
    for sequence in entry.sequences:
        yield Target(database, "sequence", schema, sequence)
    for function in entry.functions:
        outer, dot, inner = function.partition(".")
        # Only where no schema is given: a name may have a dot.
        if dot and not entry.schema and "(" not in outer:
            yield Target(database, "function", outer, inner)
        else:
            yield Target(database, "function", schema, function)


def _database(entry: Grant) -> str:
    if not entry.database:
        raise DbopsError(Reason.INVALID_SPEC, "an entry of grants does not name its database", field=_FIELD)
    return entry.database


def _check(entry: Grant) -> None:
    if entry.columns and not entry.tables:
        raise DbopsError(Reason.INVALID_SPEC, "columns need the tables that they are of", field=_FIELD)
    if entry.columns and EVERY in entry.tables:
        text = "columns need tables that are named: not all tables have the same"
        raise DbopsError(Reason.INVALID_SPEC, text, field=_FIELD)
    schemas = (entry.schema,) if entry.schema else ()
    lists = {"schema": schemas, "tables": entry.tables, "columns": entry.columns, "sequences": entry.sequences}
    for option, names in ({"database": (_database(entry),)} | lists).items():
        for name in names:
            check_name(name, field=_FIELD, what=f"grants[].{option}")
    if not all(entry.functions):
        raise DbopsError(Reason.INVALID_SPEC, "grants[].functions is empty", field=_FIELD)


def implied(entries: Iterable[Grant]) -> frozenset[Target]:
    """Give the schemas that ENTRIES give USAGE on without saying so, because of what is in them."""
    named: set[Target] = set()
    said: set[Target] = set()
    for entry in entries:
        objects = entry.tables or entry.sequences or entry.functions
        schemas = {target.schema for target in _targets(entry)} if objects else {entry.schema} if entry.schema else ()
        # Sequences have a USAGE of their own.
        those = said if "USAGE" in entry.privileges and not entry.sequences else named
        those.update(Target(_database(entry), "schema", schema) for schema in schemas)
    return frozenset(named - said)


def within(database: str, items: Mapping[Target, Mapping[str, bool]]) -> Items:
    """Give those of ITEMS that are in DATABASE."""
    return {target: dict(rights) for target, rights in items.items() if target.database == database}


def to_ledger(items: Mapping[Target, Mapping[str, bool]]) -> list[list[Any]]:
    """Give ITEMS as plain data: the fields of the target, all privileges, and those that may be passed on."""
    return [
        [*target, sorted(rights), sorted(name for name, option in rights.items() if option)]
        for target, rights in sorted(items.items())
        if rights
    ]


def from_ledger(rows: Iterable[Sequence[Any]]) -> Items:
    """Read what `to_ledger` gave."""
    return {Target(*row[:5]): {name: name in row[6] for name in row[5]} for row in rows}
