# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: who holds what on databases, schemas, tables, columns, sequences and routines, of what was asked for.

Called by postgresql/server.py; fills the state with the plain values of acls.py. One query for all databases, and
two in a session of each database that something inside of was asked for, however many grants there are.
The lists of the catalogs are read, not has_*_privilege(): what a role has through PUBLIC is not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    aclitems,
    acls,
    catalog_databases,
    routines,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import (
    AclEntry,
    AclObject,
    DatabaseAcls,
    Dependent,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC, known
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Reader, ServerState, Wanted

# Every object with its list as text: a list that was never changed is the default of its type.
_DATABASES = """
SELECT 'database', d.oid, '', d.datname, pg_get_userbyid(d.datdba), '{}'::text[], '{}'::text[], '{}'::text[],
       '{}'::text[], true, coalesce(d.datacl, acldefault('d', d.datdba))::text[], d.datallowconn
FROM pg_database d WHERE d.datname = ANY(%(names)s)
"""

_SCHEMAS = """
SELECT 'schema', n.oid, n.nspname, '', pg_get_userbyid(n.nspowner), '{}'::text[], '{}'::text[], '{}'::text[],
       '{}'::text[], has_schema_privilege(n.oid, 'USAGE'), coalesce(n.nspacl, acldefault('n', n.nspowner))::text[]
FROM pg_namespace n WHERE n.nspname = ANY(%(schemas)s)
"""

_RELATIONS = """
SELECT a.type, c.oid, n.nspname, c.relname, pg_get_userbyid(c.relowner), '{}'::text[], '{}'::text[], '{}'::text[],
       CASE WHEN cardinality(%(columns)s::text[]) = 0 THEN '{}' ELSE ARRAY(
           SELECT attname::text FROM pg_attribute
           WHERE attrelid = c.oid AND attnum <> 0 AND NOT attisdropped AND attname = ANY(%(columns)s)) END,
       true, coalesce(c.relacl, acldefault(a.letter, c.relowner))::text[]
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END,
                           (CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char") a (type, letter)
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S')
  AND ((a.type, n.nspname::text, c.relname::text) IN (SELECT * FROM asked)
       OR (a.type, n.nspname::text, '*') IN (SELECT * FROM asked))
"""

_ROUTINES = """
SELECT 'function', p.oid, n.nspname, p.proname, pg_get_userbyid(p.proowner), t.schemas, t.names, t.formatted,
       '{}'::text[], true, coalesce(p.proacl, acldefault('f', p.proowner))::text[]
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(ns.nspname::text ORDER BY o.n), '{}') AS schemas,
           coalesce(array_agg(ty.typname::text ORDER BY o.n), '{}') AS names,
           coalesce(array_agg(format_type(o.oid, NULL) ORDER BY o.n), '{}') AS formatted
    FROM unnest(p.proargtypes) WITH ORDINALITY o (oid, n)
    JOIN pg_type ty ON ty.oid = o.oid JOIN pg_namespace ns ON ns.oid = ty.typnamespace) t
WHERE ('function', n.nspname::text, p.proname::text) IN (SELECT * FROM asked)
   OR ('function', n.nspname::text, '*') IN (SELECT * FROM asked)
"""

_ASKED = "WITH asked AS (SELECT * FROM unnest(%(types)s::text[], %(in)s::text[], %(names)s::text[]))"

_COLUMNS = """
SELECT attrelid, attname, attacl::text[] FROM pg_attribute
WHERE attrelid = ANY(%s::oid[]) AND attacl IS NOT NULL AND NOT attisdropped
"""

# What a role may do after all, whatever it is through.
_EFFECTIVE = {
    "database": "has_database_privilege(g.oid, o.oid, p)",
    "schema": "has_schema_privilege(g.oid, o.oid, p)",
    "table": "has_table_privilege(g.oid, o.oid, p)",
    "column": "has_column_privilege(g.oid, o.oid, o.col, p)",
    "sequence": "has_sequence_privilege(g.oid, o.oid, p)",
    "function": "has_function_privilege(g.oid, o.oid, p)",
}
_EFFECTIVE_QUERY = """
SELECT o.oid, o.who, o.col, ARRAY(SELECT p FROM unnest(%(privileges)s::text[]) p WHERE {has})
FROM unnest(%(oids)s::oid[], %(who)s::text[], %(cols)s::text[]) o (oid, who, col) JOIN pg_roles g ON g.rolname = o.who
"""


def read_into(state: ServerState, reader: Reader, wanted: Wanted, inside: Callable[[str], Reader]) -> None:
    """Read what is WANTED of access control lists, anew, into STATE. INSIDE gives a session in a database."""
    asked: dict[str, set[Target]] = {name: set() for name in wanted.default_acls}
    grantees: dict[str, set[str]] = {name: set() for name in wanted.default_acls}
    for grantee, target in wanted.acls:
        asked.setdefault(target.database, set()).add(target)
        grantees.setdefault(target.database, set()).add(grantee)
    if not asked:
        return
    rows = reader.rows(_DATABASES, {"names": sorted(asked)})
    everybody = frozenset().union(*grantees.values())
    found = {row[3]: _object(row[:-1], everybody) for row in rows}
    enterable = {row[3]: row[-1] for row in rows}
    for name, targets in asked.items():
        if name not in found:
            state.acls.pop(name, None)
            continue
        database = state.acls.setdefault(name, DatabaseAcls(found[name]))
        _renew(database, found[name], everybody)
        within = {target for target in targets if target.type != "database"}
        if within or name in wanted.default_acls:
            default_acls = name in wanted.default_acls
            _look_into(database, within, frozenset(grantees[name]), inside, enterable[name], default_acls=default_acls)


def _renew(database: DatabaseAcls, found: AclObject, grantees: frozenset[str]) -> None:
    if database.database is not found:
        found.take_over(database.database, grantees)
        database.database = found


def _look_into(
    database: DatabaseAcls,
    asked: set[Target],
    grantees: frozenset[str],
    inside: Callable[[str], Reader],
    enterable: bool,
    *,
    default_acls: bool,
) -> None:
    name = database.database.name
    database.problem = None
    try:
        if not enterable:
            text = f"database {name} takes no connections (allow_connections), so nobody can look into it"
            raise DbopsError(Reason.DEPENDENCY_NOT_READY, text)
        session = inside(name)
        objects = _objects(session, asked, grantees)
        acls.put(database, objects, asked, grantees)
        if default_acls:
            database.default_acls = catalog_databases.default_acls(session)
    except DbopsError as error:
        database.problem = error


def _objects(session: Reader, asked: Iterable[Target], grantees: frozenset[str]) -> list[AclObject]:
    """Give the objects that targets stand for, and all schemas that are named in them, with what GRANTEES hold."""
    names: set[tuple[str, str, str]] = set()
    schemas: set[str] = set()
    columns: set[str] = set()
    for target in asked:
        schemas.add(target.schema)
        if target.type in ("table", "column"):
            names.add(("table", target.schema, target.name))
            columns |= {target.column} - {""}
        elif target.type == "sequence":
            names.add(("sequence", target.schema, target.name))
        elif target.type == "function":
            names |= {("function", target.schema, one) for one in (target.name, routines.split(target.name)[0])}
    if not schemas:
        return []
    types = {one[0] for one in names}
    parts = [_SCHEMAS]
    if types & {"table", "sequence"}:
        parts.append(_RELATIONS)
    if "function" in types:
        parts.append(_ROUTINES)
    parameters = {
        "types": [one[0] for one in names],
        "in": [one[1] for one in names],
        "names": [one[2] for one in names],
        "schemas": sorted(schemas),
        "columns": sorted(columns),
    }
    found = [_object(row, grantees) for row in session.rows(_ASKED + " UNION ALL ".join(parts), parameters)]
    tables = {one.oid: one for one in found if one.type == "table"}
    for oid, column, items in session.rows(_COLUMNS, [list(tables)]) if tables else ():
        _fill(tables[oid], items, grantees, column)
    return found


def _object(row: tuple[Any, ...], grantees: frozenset[str]) -> AclObject:
    kind, oid, schema, name, owner, type_schemas, type_names, formatted, columns, usable, items = row
    found = AclObject(
        type=kind,
        schema=schema,
        name=name,
        owner=owner,
        oid=oid,
        arguments=tuple(zip(type_schemas, type_names, strict=True)),
        signature=tuple(formatted),
        columns=frozenset(columns),
        usable=usable,
    )
    _fill(found, items, grantees)
    return found


def _fill(one: AclObject, items: Iterable[str], grantees: frozenset[str], column: str = "") -> None:
    """Note of a list what GRANTEES hold and have passed on, and who could pass on something."""
    for text in items:
        grantee, grantor, privileges, grantable = aclitems.read(text)
        if grantee in grantees:
            entry = AclEntry(grantor, column, privileges, grantable)
            one.entries[grantee] = (*one.entries.get(grantee, ()), entry)
        # An owner passes on nothing, it just gives.
        if grantor in grantees and grantor != one.owner:
            dependent = Dependent(grantee, column, privileges)
            one.passed_on[grantor] = (*one.passed_on.get(grantor, ()), dependent)
        if grantable and not column and grantee != one.owner:
            one.options[grantee] = one.options.get(grantee, frozenset()) | grantable


def read_effective(reader: Reader, asked: Mapping[tuple[str, str], list[AclObject]]) -> None:
    """Read what roles may do after all on objects of one database, into these objects.

    ASKED has them by role and column ("" for the object itself).
    """
    by_type: dict[str, list[tuple[AclObject, str, str]]] = {}
    for (who, column), there in asked.items():
        for one in there:
            if who != PUBLIC:
                by_type.setdefault("column" if column else one.type, []).append((one, who, column))
    for kind, those in by_type.items():
        objects = {one[0].oid: one[0] for one in those}
        parameters = {
            "privileges": sorted(known(kind, reader.version_number)),
            "oids": [one[0].oid for one in those],
            "who": [one[1] for one in those],
            "cols": [one[2] for one in those],
        }
        query = _EFFECTIVE_QUERY.format(has=_EFFECTIVE[kind])
        for oid, name, part, privileges in reader.rows(query, parameters):
            objects[oid].effective[name, part] = frozenset(privileges)
