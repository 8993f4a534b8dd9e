# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: who holds what on databases, schemas, tables, columns, sequences and routines, of what was asked for.

Called by postgresql/observing.py; fills the state with the plain values of acls.py. One query for all databases, and
three in a session of each database that something inside of was asked for, however many grants there are.
The lists of the catalogs are read, not has_*_privilege(): what a role has through PUBLIC is not its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
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
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import EVERY, Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC, known
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Asked, Reader, ServerState

_DATABASES = """
SELECT 'database', d.oid, '', d.datname, pg_get_userbyid(d.datdba), '{}'::text[], '{}'::text[], '{}'::text[],
       '{}'::text[], true, d.datallowconn
FROM pg_database d WHERE d.datname = ANY(%(names)s)
"""

_SCHEMAS = """
SELECT 'schema', n.oid, n.nspname, '', pg_get_userbyid(n.nspowner), '{}'::text[], '{}'::text[], '{}'::text[],
       '{}'::text[], has_schema_privilege(n.oid, 'USAGE')
FROM pg_namespace n WHERE n.nspname = ANY(%(schemas)s)
"""

_RELATIONS = """
SELECT a.type, c.oid, n.nspname, c.relname, pg_get_userbyid(c.relowner), '{{}}'::text[], '{{}}'::text[],
       '{{}}'::text[],
       CASE WHEN cardinality(%(columns)s::text[]) = 0 THEN '{{}}' ELSE ARRAY(
           SELECT attname::text FROM pg_attribute
           WHERE attrelid = c.oid AND attnum <> 0 AND NOT attisdropped AND attname = ANY(%(columns)s)) END, true
FROM asked a JOIN pg_namespace n ON n.nspname = a.schema JOIN pg_class c ON c.relnamespace = n.oid AND {these}
WHERE a.type IN ('table', 'sequence') AND c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S')
  AND (a.type = 'sequence') = (c.relkind = 'S')
"""

_ROUTINES = """
SELECT 'function', p.oid, n.nspname, p.proname, pg_get_userbyid(p.proowner), t.schemas, t.names, t.formatted,
       '{{}}'::text[], true
FROM asked a JOIN pg_namespace n ON n.nspname = a.schema JOIN pg_proc p ON p.pronamespace = n.oid AND {these}
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(ns.nspname::text ORDER BY o.n), '{{}}') AS schemas,
           coalesce(array_agg(ty.typname::text ORDER BY o.n), '{{}}') AS names,
           coalesce(array_agg(format_type(o.oid, NULL) ORDER BY o.n), '{{}}') AS formatted
    FROM unnest(p.proargtypes) WITH ORDINALITY o (oid, n)
    JOIN pg_type ty ON ty.oid = o.oid JOIN pg_namespace ns ON ns.oid = ty.typnamespace) t
WHERE a.type = 'function'
"""

# By type: the query, and what it takes for those that are named. All of a schema are read where a name is a star.
_OBJECTS = {
    "table": (_RELATIONS, "c.relname = a.name"),
    "sequence": (_RELATIONS, "c.relname = a.name"),
    "function": (_ROUTINES, "p.proname = a.name"),
}
_EVERY = "a.name = '*'"

_ASKED = (
    "WITH asked AS (SELECT * FROM unnest(%(types)s::text[], %(in)s::text[], %(names)s::text[]) a (type, schema, name))"
)

# The lists of objects by their numbers; one that was never changed is the default of its type.
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

# What those of interest hold, what they have passed on, and who could pass on something; an owner passes on nothing,
# it just gives. The list with an empty one behind it: aclexplode() would unpack a long one again for every row. Grouped
# by numbers first: comparing these decides nearly always, and is much quicker than comparing texts.
_ENTRIES = """
WITH interest AS MATERIALIZED (SELECT oid, rolname::text AS name FROM pg_roles WHERE rolname = ANY(%(grantees)s)
                               UNION ALL SELECT 0, 'public' WHERE 'public' = ANY(%(grantees)s)),
listed AS MATERIALIZED (
    SELECT l.type, l.oid, l.col, l.owner, x.grantor, x.grantee, x.privilege_type, x.is_grantable
    FROM ({lists}) l CROSS JOIN LATERAL aclexplode(l.acl || '{{}}'::aclitem[]) x
    WHERE x.grantee IN (SELECT oid FROM interest) OR x.is_grantable
       OR (x.grantor <> l.owner AND x.grantor IN (SELECT oid FROM interest)))
SELECT 'held', l.type, l.oid, l.col, i.name, pg_get_userbyid(l.grantor), string_agg(l.privilege_type, ','),
       coalesce(string_agg(l.privilege_type, ',') FILTER (WHERE l.is_grantable), '')
FROM listed l JOIN interest i ON i.oid = l.grantee GROUP BY l.oid, l.grantee, l.grantor, l.col, l.type, i.name
UNION ALL
SELECT 'passed on', l.type, l.oid, l.col, i.name,
       CASE l.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(l.grantee) END, string_agg(l.privilege_type, ','), ''
FROM listed l JOIN interest i ON i.oid = l.grantor WHERE l.grantor <> l.owner
GROUP BY l.oid, l.grantor, l.grantee, l.col, l.type, i.name
UNION ALL
SELECT 'option', l.type, l.oid, '', pg_get_userbyid(l.grantee), '', '', string_agg(l.privilege_type, ',')
FROM listed l WHERE l.is_grantable AND l.col = '' AND l.grantee <> l.owner GROUP BY l.type, l.oid, l.grantee
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


class Visit(NamedTuple):
    """What is to be read inside of a database."""

    targets: frozenset[Target]
    grantees: frozenset[str]
    enterable: bool
    default_acls: bool


def by_database(asked: Asked) -> Mapping[str, Asked]:
    """Give what is ASKED by the databases that it is in."""
    found: dict[str, dict[Target, AbstractSet[str]]] = {}
    for target, grantees in asked.items():
        found.setdefault(target.database, {})[target] = grantees
    return found


def read_into(
    state: ServerState, reader: Reader, asked: Mapping[str, Asked], default_acls: AbstractSet[str]
) -> dict[str, Visit]:
    """Read what is ASKED of the databases' own lists, anew, into STATE; give what is to be read inside of them.

    Of the databases in DEFAULT_ACLS their default privileges are to be read there as well.
    """
    names = {*asked, *default_acls}
    if not names:
        return {}
    # What everybody may do, a role may do as well.
    grantees = {name: frozenset({PUBLIC}.union(*asked.get(name, {}).values())) for name in names}
    rows = reader.rows(_DATABASES, {"names": sorted(names)})
    everybody = frozenset().union(*grantees.values())
    found = {row[3]: _object(row[:-1]) for row in rows}
    _fill(found.values(), reader, everybody)
    enterable = {row[3]: row[-1] for row in rows}
    visits: dict[str, Visit] = {}
    for name in names:
        if name not in found:
            state.acls.pop(name, None)
            continue
        database = state.acls.setdefault(name, DatabaseAcls(found[name]))
        _renew(database, found[name], everybody)
        within = frozenset(target for target in asked.get(name, {}) if target.type != "database")
        if within or name in default_acls:
            visits[name] = Visit(within, grantees[name], enterable[name], name in default_acls)
    return visits


def _renew(database: DatabaseAcls, found: AclObject, grantees: frozenset[str]) -> None:
    if database.database is not found:
        found.take_over(database.database, grantees)
        database.database = found


def look_into(state: ServerState, name: str, visit: Visit, inside: Callable[[str], Reader]) -> None:
    """Read what a VISIT to a database of STATE is for; INSIDE gives a session in it."""
    database = state.acls[name]
    database.problem = None
    try:
        if not visit.enterable:
            raise acls.shut(name)
        session = inside(name)
        objects = _objects(session, visit.targets, visit.grantees)
        acls.put(database, objects, visit.targets, visit.grantees)
        if visit.default_acls:
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
    parts = {_SCHEMAS: None}
    for kind, every in sorted({(kind, name == EVERY) for kind, _ignored, name in names}):
        query, named = _OBJECTS[kind]
        parts[query.format(these=_EVERY if every else named)] = None
    parameters = {
        "types": [one[0] for one in names],
        "in": [one[1] for one in names],
        "names": [one[2] for one in names],
        "schemas": sorted(schemas),
        "columns": sorted(columns),
    }
    # An object that is named, and one of all as well, is read twice.
    rows = {row[:2]: row for row in session.rows(_ASKED + " UNION ALL ".join(parts), parameters)}
    found = [_object(row) for row in rows.values()]
    _fill(found, session, grantees)
    return found


def _object(row: tuple[Any, ...]) -> AclObject:
    kind, oid, schema, name, owner, type_schemas, type_names, formatted, columns, usable = row
    return AclObject(
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


def _fill(objects: Iterable[AclObject], session: Reader, grantees: frozenset[str]) -> None:
    """Read of the lists of OBJECTS what GRANTEES hold and have passed on, and who could pass on something."""
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
    for what, kind, oid, column, role, other, privileges, grantable in rows:
        one = by_number[kind, oid]
        if what == "held":
            entry = AclEntry(other, column, _words(privileges), _words(grantable))
            one.entries[role] = (*one.entries.get(role, ()), entry)
        elif what == "passed on":
            one.passed_on[role] = (*one.passed_on.get(role, ()), Dependent(other, column, _words(privileges)))
        else:
            one.options[role] = _words(grantable)


@lru_cache(maxsize=1024)
def _words(text: str) -> frozenset[str]:
    """Give a list of privileges; there are few that are not alike."""
    return frozenset(text.split(",")) if text else frozenset()


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
