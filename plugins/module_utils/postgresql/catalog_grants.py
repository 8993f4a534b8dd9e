# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: who holds what on databases, schemas, tables, columns, sequences and routines, of what was asked for.

Called by postgresql/server.py; fills the state with the plain values of acls.py. One query for all databases, and
two or three in a session of each database that something inside of was asked for, however many grants there are.
The lists of the catalogs are read, not has_*_privilege(): what a role has through PUBLIC is not its own.
https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-ACLITEM-FN-TABLE
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import acls, catalog_databases, routines
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import (
    AclEntry,
    AclObject,
    DatabaseAcls,
    Dependent,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC, known
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Reader, ServerState, Wanted

# What the admin account may pass on by a grant option of its own; a superuser always acts as the owner.
_OPTIONS = """
CASE WHEN (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN '{{}}'
     ELSE ARRAY(SELECT DISTINCT x.privilege_type FROM aclexplode({acl}) x
                WHERE x.is_grantable AND x.grantee <> {owner} AND pg_has_role(x.grantee, 'USAGE')) END
"""

_DATABASES = f"""
SELECT 'database', d.oid, d.datname, '', pg_get_userbyid(d.datdba), '{{}}'::text[], '{{}}'::text[], '{{}}'::text[],
       '{{}}'::text[], true, {_OPTIONS.format(acl="d.datacl", owner="d.datdba")}, d.datallowconn
FROM pg_database d WHERE d.datname = ANY(%(names)s)
"""  # noqa: S608 (constants)

_SCHEMAS = f"""
SELECT 'schema', n.oid, n.nspname, '', pg_get_userbyid(n.nspowner), '{{}}'::text[], '{{}}'::text[], '{{}}'::text[],
       '{{}}'::text[], has_schema_privilege(n.oid, 'USAGE'), {_OPTIONS.format(acl="n.nspacl", owner="n.nspowner")}
FROM pg_namespace n WHERE n.nspname = ANY(%(schemas)s)
"""  # noqa: S608 (constants)

_RELATIONS = f"""
SELECT a.type, c.oid, n.nspname, c.relname, pg_get_userbyid(c.relowner), '{{}}'::text[], '{{}}'::text[],
       '{{}}'::text[],
       CASE WHEN cardinality(%(columns)s::text[]) = 0 THEN '{{}}' ELSE ARRAY(
           SELECT attname::text FROM pg_attribute
           WHERE attrelid = c.oid AND attnum <> 0 AND NOT attisdropped AND attname = ANY(%(columns)s)) END,
       true, {_OPTIONS.format(acl="c.relacl", owner="c.relowner")}
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END) a (type)
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S')
  AND ((a.type, n.nspname::text, c.relname::text) IN (SELECT * FROM asked)
       OR (a.type, n.nspname::text, '*') IN (SELECT * FROM asked))
"""  # noqa: S608 (constants)

_ROUTINES = f"""
SELECT 'function', p.oid, n.nspname, p.proname, pg_get_userbyid(p.proowner), t.schemas, t.names, t.formatted,
       '{{}}'::text[], true, {_OPTIONS.format(acl="p.proacl", owner="p.proowner")}
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(ns.nspname::text ORDER BY o.n), '{{}}') AS schemas,
           coalesce(array_agg(ty.typname::text ORDER BY o.n), '{{}}') AS names,
           coalesce(array_agg(format_type(o.oid, NULL) ORDER BY o.n), '{{}}') AS formatted
    FROM unnest(p.proargtypes) WITH ORDINALITY o (oid, n)
    JOIN pg_type ty ON ty.oid = o.oid JOIN pg_namespace ns ON ns.oid = ty.typnamespace) t
WHERE ('function', n.nspname::text, p.proname::text) IN (SELECT * FROM asked)
   OR ('function', n.nspname::text, '*') IN (SELECT * FROM asked)
"""  # noqa: S608 (constants)

_ASKED = "WITH asked AS (SELECT * FROM unnest(%(types)s::text[], %(in)s::text[], %(names)s::text[]))"

# The lists of objects by their numbers; a list that was never changed is the type's default.
_LISTS = {
    "database": "SELECT oid, '' AS col, datdba AS owner, coalesce(datacl, acldefault('d', datdba)) AS acl"
    " FROM pg_database WHERE oid = ANY(%(database)s::oid[])",
    "schema": "SELECT oid, '' AS col, nspowner AS owner, coalesce(nspacl, acldefault('n', nspowner)) AS acl"
    " FROM pg_namespace WHERE oid = ANY(%(schema)s::oid[])",
    "table": "SELECT oid, '' AS col, relowner AS owner, coalesce(relacl, acldefault('r', relowner)) AS acl"
    " FROM pg_class WHERE oid = ANY(%(table)s::oid[]) UNION ALL"
    " SELECT a.attrelid, a.attname, c.relowner, a.attacl"
    " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
    " WHERE a.attrelid = ANY(%(table)s::oid[]) AND a.attacl IS NOT NULL AND NOT a.attisdropped",
    "sequence": "SELECT oid, '' AS col, relowner AS owner, coalesce(relacl, acldefault('s', relowner)) AS acl"
    " FROM pg_class WHERE oid = ANY(%(sequence)s::oid[])",
    "function": "SELECT oid, '' AS col, proowner AS owner, coalesce(proacl, acldefault('f', proowner)) AS acl"
    " FROM pg_proc WHERE oid = ANY(%(function)s::oid[])",
}

# What those of interest hold, and what they have passed on; an owner passes on nothing, it just gives.
_ENTRIES = """
WITH interest AS (SELECT oid, rolname::text AS name FROM pg_roles WHERE rolname = ANY(%(grantees)s)
                  UNION ALL SELECT 0, 'public' WHERE 'public' = ANY(%(grantees)s)),
listed AS MATERIALIZED (
    SELECT l.type, l.oid, l.col, l.owner, x.grantor, x.grantee, x.privilege_type, x.is_grantable
    FROM ({lists}) l CROSS JOIN LATERAL aclexplode(l.acl) x)
SELECT l.type, l.oid, l.col, i.name, pg_get_userbyid(l.grantor), false, array_agg(l.privilege_type),
       coalesce(array_agg(l.privilege_type) FILTER (WHERE l.is_grantable), '{{}}')
FROM listed l JOIN interest i ON i.oid = l.grantee GROUP BY 1, 2, 3, 4, 5
UNION ALL
SELECT l.type, l.oid, l.col, i.name,
       CASE l.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(l.grantee) END, true,
       array_agg(l.privilege_type), '{{}}'
FROM listed l JOIN interest i ON i.oid = l.grantor WHERE l.grantor <> l.owner GROUP BY 1, 2, 3, 4, 5
"""

# What a role may do after all, whatever it is through.
_EFFECTIVE = {
    "database": "has_database_privilege({who}, o.oid, p)",
    "schema": "has_schema_privilege({who}, o.oid, p)",
    "table": "has_table_privilege({who}, o.oid, p)",
    "column": "has_column_privilege({who}, o.oid, o.col, p)",
    "sequence": "has_sequence_privilege({who}, o.oid, p)",
    "function": "has_function_privilege({who}, o.oid, p)",
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
    found = {row[2]: _object(row[:-1]) for row in rows}
    _fill(found.values(), reader, everybody)
    enterable = {row[2]: row[-1] for row in rows}
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
        objects = _objects(session, asked)
        _fill(objects, session, grantees)
        acls.put(database, objects, asked, grantees)
        if default_acls:
            database.default_acls = catalog_databases.default_acls(session)
    except DbopsError as error:
        database.problem = error


def _objects(session: Reader, asked: Iterable[Target]) -> list[AclObject]:
    """Give the objects that targets stand for, and all schemas that are named in them."""
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
    parts = [_SCHEMAS]
    types = {one[0] for one in names}
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
    return [_object(row) for row in session.rows(_ASKED + " UNION ALL ".join(parts), parameters)] if schemas else []


def _object(row: tuple[Any, ...]) -> AclObject:
    kind, oid, schema, name, owner, type_schemas, type_names, formatted, columns, usable, options = row
    return AclObject(
        type=kind,
        schema="" if kind == "database" else schema,
        name=schema if kind == "database" else name,
        owner=owner,
        oid=oid,
        arguments=tuple(zip(type_schemas, type_names, strict=True)),
        signature=tuple(formatted),
        columns=frozenset(columns),
        usable=usable,
        options=frozenset(options),
    )


def _fill(objects: Iterable[AclObject], session: Reader, grantees: frozenset[str]) -> None:
    """Read the entries of GRANTEES on OBJECTS."""
    numbers: dict[str, list[int]] = {kind: [] for kind in _LISTS}
    by_number: dict[tuple[str, int], AclObject] = {}
    for one in objects:
        numbers[one.type].append(one.oid)
        by_number[one.type, one.oid] = one
    if not by_number or not grantees:
        return
    lists = " UNION ALL ".join(
        f"SELECT '{kind}'::text AS type, * FROM ({query}) {kind}_lists"  # noqa: S608 (constants)
        for kind, query in _LISTS.items()
        if numbers[kind]
    )
    rows = session.rows(_ENTRIES.format(lists=lists), {**numbers, "grantees": sorted(grantees)})
    for kind, oid, column, role, other, passed_on, privileges, grantable in rows:
        one = by_number[kind, oid]
        if passed_on:
            dependent = Dependent(other, column, frozenset(privileges))
            one.passed_on[role] = (*one.passed_on.get(role, ()), dependent)
        else:
            entry = AclEntry(other, column, frozenset(privileges), frozenset(grantable))
            one.entries[role] = (*one.entries.get(role, ()), entry)


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
        query = _EFFECTIVE_QUERY.format(has=_EFFECTIVE[kind].format(who="g.oid"))
        for oid, name, part, privileges in reader.rows(query, parameters):
            objects[oid].effective[name, part] = frozenset(privileges)
