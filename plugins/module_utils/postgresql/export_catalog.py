# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: which names are there at all, and everything that was ever granted in a database.

Called by postgresql/export*.py, which need what planners never ask: what nobody declared. A few queries for the
server and a few for each database. What belongs to the system or to an extension is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Reader

# The superuser that the server was made with has the first oid, whatever it is called.
_ROLES = "SELECT rolname, oid = 10 FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname"

_DATABASES = """
SELECT d.datname, d.datconnlimit = -2, {provider}, pg_get_userbyid(d.datdba),
       {acl}, {default}
FROM pg_database d CROSS JOIN LATERAL (
    SELECT coalesce(d.datacl, acldefault('d', d.datdba)), acldefault('d', d.datdba)) o (acl, "default")
ORDER BY d.datname
"""

# Settings that are not a role's own for all databases.
_SETTINGS = """
SELECT d.datname, r.rolname, s.setconfig::text[] FROM pg_db_role_setting s
LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
WHERE s.setdatabase <> 0 OR s.setrole = 0 ORDER BY 1, 2
"""

_SHARED = """
SELECT 'tablespace ' || quote_ident(spcname) FROM pg_tablespace WHERE spcacl IS NOT NULL AND spcname !~ '^pg_'
"""
_PARAMETERS = " UNION ALL SELECT 'parameter ' || parname FROM pg_parameter_acl"

# A list as text. Appending nothing unpacks it once; else aclexplode() would unpack it for every row that it gives.
_ITEMS = """(
    SELECT coalesce(jsonb_agg(jsonb_build_array(
        CASE x.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(x.grantee) END, pg_get_userbyid(x.grantor),
        x.privilege_type, x.is_grantable)), '[]')::text
    FROM aclexplode(CASE WHEN cardinality(o.{0}) > 0 THEN o.{0} || '{{}}'::aclitem[] END) x)"""

# What extensions brought along, and schemas of the system.
_MEMBERS = "SELECT FROM pg_depend e WHERE e.classid = '{}'::regclass AND e.objid = {}.oid AND e.deptype = 'e'"
_PARTS = {
    "acl": _ITEMS.format("acl"),
    "default": _ITEMS.format('"default"'),
    "system": "(n.nspname ~ '^pg_' OR n.nspname = 'information_schema')",
    "of_schema": _MEMBERS.format("pg_namespace", "n"),
    "of_relation": _MEMBERS.format("pg_class", "c"),
    "of_routine": _MEMBERS.format("pg_proc", "p"),
    "of_type": _MEMBERS.format("pg_type", "t"),
    "of_language": _MEMBERS.format("pg_language", "l"),
}

_OBJECTS = """
SELECT o.type, o.schema, o.name, o.col, o.owner, o.signature, {acl}, {default} FROM (
SELECT 'schema', n.nspname, '', '', pg_get_userbyid(n.nspowner), '{{}}'::text[],
       coalesce(n.nspacl, acldefault('n', n.nspowner)), acldefault('n', n.nspowner)
FROM pg_namespace n
WHERE (n.nspacl IS NOT NULL OR n.nspname = 'public') AND NOT {system}
  AND NOT EXISTS ({of_schema})
UNION ALL
SELECT a.type, n.nspname, c.relname, '', pg_get_userbyid(c.relowner), '{{}}', c.relacl, acldefault(a.letter, c.relowner)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END,
                           (CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char") a (type, letter)
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') AND c.relacl IS NOT NULL AND NOT {system}
  AND NOT EXISTS ({of_relation})
UNION ALL
SELECT 'column', n.nspname, c.relname, a.attname, pg_get_userbyid(c.relowner), '{{}}', a.attacl,
       '{{}}'::aclitem[]
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND a.attacl IS NOT NULL AND NOT a.attisdropped AND NOT {system}
  AND NOT EXISTS ({of_relation})
UNION ALL
SELECT 'function', n.nspname, p.proname, '', pg_get_userbyid(p.proowner), ARRAY(
           SELECT format_type(o.oid, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY o (oid, n) ORDER BY o.n),
       p.proacl, acldefault('f', p.proowner)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.proacl IS NOT NULL AND NOT {system} AND NOT EXISTS ({of_routine})
) o (type, schema, name, col, owner, signature, acl, "default")
ORDER BY 1, 2, 3, 4, 6
"""

# Kinds of objects on which nothing can be declared.
_OTHERS = """
SELECT 'type ' || format_type(t.oid, NULL) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typacl IS NOT NULL AND NOT {system} AND NOT EXISTS ({of_type})
UNION ALL SELECT 'language ' || quote_ident(l.lanname) FROM pg_language l
WHERE l.lanacl IS NOT NULL AND NOT EXISTS ({of_language})
UNION ALL SELECT 'foreign data wrapper ' || quote_ident(fdwname) FROM pg_foreign_data_wrapper WHERE fdwacl IS NOT NULL
UNION ALL SELECT 'foreign server ' || quote_ident(srvname) FROM pg_foreign_server WHERE srvacl IS NOT NULL
UNION ALL SELECT 'large object ' || oid FROM pg_largeobject_metadata WHERE lomacl IS NOT NULL
UNION ALL SELECT 'all objects that ' || quote_ident(pg_get_userbyid(defaclrole)) || ' makes later, in whatever schema'
FROM pg_default_acl WHERE defaclnamespace = 0
UNION ALL SELECT 'schemas or large objects that ' || quote_ident(pg_get_userbyid(defaclrole)) || ' makes later'
FROM pg_default_acl WHERE defaclnamespace <> 0 AND defaclobjtype NOT IN ('r', 'S', 'f', 'T')
"""

_EXTENSIONS = """
SELECT e.extname, a.default_version FROM pg_extension e
LEFT JOIN pg_available_extensions a ON a.name = e.extname ORDER BY e.oid
"""

_SCHEMAS = "SELECT n.nspname FROM pg_namespace n WHERE EXISTS ({of_schema})"

_REACHING = """
SELECT r.rolname, n.nspname FROM unnest(%s::text[], %s::text[]) w (role, schema)
JOIN pg_roles r ON r.rolname = w.role JOIN pg_namespace n ON n.nspname = w.schema
WHERE has_schema_privilege(r.oid, n.oid, 'USAGE')
"""


class Names(NamedTuple):
    """The roles that are not the system's, and which of them the server was made with."""

    roles: tuple[str, ...]
    bootstrap: frozenset[str]


class Item(NamedTuple):
    """Who got what from whom, and what of it may be passed on. `public` is everybody."""

    grantee: str
    grantor: str
    privileges: frozenset[str]
    grantable: frozenset[str]


Acl = tuple[Item, ...]


class DatabaseRow(NamedTuple):
    """A database. `broken`: one whose removal was interrupted. `provider`: of its locale, `c` for the C library."""

    name: str
    broken: bool
    provider: str
    owner: str
    acl: Acl
    default: Acl


class ObjectRow(NamedTuple):
    """Something in a database that privileges were given on, and what its type starts with."""

    type: str
    schema: str
    name: str
    column: str
    owner: str
    signature: list[str]
    acl: Acl
    default: Acl


@dataclass(frozen=True)
class Inside:
    """What else is known of a database."""

    objects: tuple[ObjectRow, ...]
    default_versions: dict[str, str | None]
    """Of the extensions, in the order in which they were made."""
    schemas_of_extensions: frozenset[str]
    others: tuple[str, ...]
    """What nothing can be declared on, though something was granted."""


def names(reader: Reader) -> Names:
    """Read which roles there are."""
    rows = reader.rows(_ROLES)
    return Names(tuple(name for name, _ignored in rows), frozenset(name for name, first in rows if first))


def databases(reader: Reader) -> list[DatabaseRow]:
    """Read which databases there are."""
    provider = "d.datlocprovider" if versions.has(versions.DATABASE_LOCALE_PROVIDER, reader.version_number) else "'c'"
    rows = reader.rows(_DATABASES.format(provider=provider, **_PARTS))
    return [
        DatabaseRow(name, broken, provider, owner, _acl(acl), _acl(default))
        for name, broken, provider, owner, acl, default in rows
    ]


def _acl(text: str) -> Acl:
    held: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for grantee, grantor, privilege, grantable in json.loads(text):
        privileges, options = held.setdefault((grantee, grantor), (set(), set()))
        privileges.add(privilege)
        if grantable:
            options.add(privilege)
    return tuple(Item(*names, frozenset(words), frozenset(options)) for names, (words, options) in held.items())


def settings(reader: Reader) -> list[tuple[str | None, str | None, list[str]]]:
    """Read settings of databases, and of roles in single databases."""
    return [(row[0], row[1], list(row[2])) for row in reader.rows(_SETTINGS)]


def shared(reader: Reader) -> list[str]:
    """Read on what else of the server something was granted, for people."""
    parameters = _PARAMETERS if versions.has(versions.SETTING_PRIVILEGES, reader.version_number) else ""
    return [row[0] for row in reader.rows(_SHARED + parameters)]


def inside(reader: Reader) -> Inside:
    """Read what a planner never asks, in the database of READER."""
    return Inside(
        objects=tuple(
            ObjectRow(kind, schema, name, column, owner, signature, _acl(acl), _acl(default))
            for kind, schema, name, column, owner, signature, acl, default in reader.rows(_OBJECTS.format(**_PARTS))
        ),
        default_versions=dict(reader.rows(_EXTENSIONS)),
        schemas_of_extensions=frozenset(row[0] for row in reader.rows(_SCHEMAS.format(**_PARTS))),
        others=tuple(row[0] for row in reader.rows(_OTHERS.format(**_PARTS))),
    )


def reaching(reader: Reader, pairs: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Give those PAIRS of a role and a schema where the role may use the schema, whatever it is through."""
    wanted = list(pairs)
    parameters: list[Any] = [[one[0] for one in wanted], [one[1] for one in wanted]]
    return frozenset((role, schema) for role, schema in reader.rows(_REACHING, parameters)) if wanted else frozenset()
