# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: databases as the whole server sees them, and what is inside of those that must be looked into.

Called by postgresql/observing.py and export.py; fills the state. All databases are read in one query, the content of
each in one session of its own and three queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import DefaultAcl
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    AvailableExtension,
    Database,
    DatabaseContent,
    Extension,
    ExtensionVersion,
    Reader,
    ServerState,
    Sessions,
    Wanted,
    WantedExtension,
)

# A session may be ended by its own role, by pg_signal_backend, and that of a superuser by superusers only.
_DATABASES = """
SELECT d.datname, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, t.spcname,
       d.datconnlimit, d.datistemplate, d.datallowconn,
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
            THEN pg_database_size(d.oid) END,
       s.count, s.protected, d.oid::bigint
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace
CROSS JOIN LATERAL (
    SELECT count(*) AS count,
           coalesce(array_agg(DISTINCT r.rolname::text) FILTER (WHERE NOT (
               me.rolsuper OR (NOT r.rolsuper AND (pg_has_role(r.oid, 'USAGE') OR pg_has_role(signals.oid, 'USAGE')))
           )), '{}') AS protected
    FROM pg_stat_activity a
    JOIN pg_roles r ON r.oid = a.usesysid
    JOIN pg_roles me ON me.rolname = session_user
    JOIN pg_roles signals ON signals.rolname = 'pg_signal_backend'
    WHERE a.datid = d.oid AND a.pid <> pg_backend_pid()
      AND a.pid <> ALL(%s)
) s
WHERE d.datname = ANY(%s)
"""

_TABLESPACES = "SELECT spcname, has_tablespace_privilege(oid, 'CREATE') FROM pg_tablespace"

_AVAILABLE = """
SELECT v.name, e.default_version, v.version, v.superuser, v.trusted, v.schema, v.requires::text[]
FROM pg_available_extension_versions v JOIN pg_available_extensions e ON e.name = v.name
"""

_EXTENSIONS = """
SELECT e.extname, e.extversion, n.nspname, pg_get_userbyid(e.extowner), e.extrelocatable
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
"""

# What depends on a schema as a member of it, without members of extensions, which go with their extension.
_SCHEMAS = """
SELECT n.nspname, pg_get_userbyid(n.nspowner), ARRAY(
    SELECT pg_describe_object(d.classid, d.objid, 0)
    FROM pg_depend d
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'
      AND d.classid <> 'pg_default_acl'::regclass
      AND NOT EXISTS (
          SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')
    ORDER BY 1 LIMIT 6)
FROM pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""

_DEFAULT_ACLS = """
SELECT pg_get_userbyid(a.defaclrole), n.nspname,
       CASE a.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
                            WHEN 'T' THEN 'types' END,
       CASE WHEN x.grantee = 0 THEN 'public' ELSE pg_get_userbyid(x.grantee) END,
       array_agg(x.privilege_type), coalesce(array_agg(x.privilege_type) FILTER (WHERE x.is_grantable), '{}'),
       a.oid::bigint
FROM pg_default_acl a JOIN pg_namespace n ON n.oid = a.defaclnamespace CROSS JOIN LATERAL aclexplode(a.defaclacl) x
WHERE a.defaclobjtype IN ('r', 'S', 'f', 'T')
GROUP BY 1, 2, 3, 4, a.oid
"""


def read_into(state: ServerState, reader: Reader, wanted: Wanted, ours: Sequence[int]) -> frozenset[str]:
    """Read what is WANTED of databases, anew, into STATE; give those that must be looked into as well.

    OURS are the processes behind the sessions that are open in databases: they are not counted, since they end before
    a step that needs the database for itself.
    """
    for name in wanted.databases:
        state.databases.pop(name, None)
    found = {row[0]: _database(row) for row in reader.rows(_DATABASES, [list(ours), sorted(wanted.databases)])}
    contents = {*wanted.contents, *(template for name, template in wanted.copies if name not in found)}
    state.databases |= found
    state.tablespaces = dict(reader.rows(_TABLESPACES))
    return frozenset(contents & found.keys())


def read_extensions(state: ServerState, reader: Reader, wanted: Iterable[WantedExtension]) -> None:
    """Where a database lacks an extension, read into STATE which of them the server has files of."""
    if state.extensions is None and any(_lacks(state, one) for one in wanted):
        state.extensions = _available(reader)


def _lacks(state: ServerState, wanted: WantedExtension) -> bool:
    content = state.databases[wanted.database].content if wanted.database in state.databases else None
    installed = content.extensions.get(wanted.name) if content else None
    if installed is None:
        return True
    return wanted.version not in (None, installed.version) or wanted.schema not in (None, installed.schema)


def _database(row: tuple[Any, ...]) -> Database:
    *fields, count, protected, oid = row
    return replace(Database(*fields), sessions=Sessions(count, frozenset(protected)), oid=oid)


def look_into(state: ServerState, name: str, inside: Callable[[str], Reader]) -> None:
    """Read what is in a database of STATE; INSIDE gives a session in it."""
    database = state.databases[name]
    if not database.allow_connections:
        return
    try:
        state.databases[name] = replace(database, content=_content(inside(name)))
    except DbopsError as error:
        state.databases[name] = replace(database, content_problem=error)


def _content(session: Reader) -> DatabaseContent:
    schemas = session.rows(_SCHEMAS)
    return DatabaseContent(
        extensions={name: Extension(*fields) for name, *fields in session.rows(_EXTENSIONS)},
        schemas={name: owner for name, owner, _ignored in schemas},
        schema_content={name: tuple(content) for name, _ignored, content in schemas if content},
        default_acls=default_acls(session),
    )


def default_acls(session: Reader) -> tuple[DefaultAcl, ...]:
    """Read who gets what by default, in the database of SESSION."""
    return tuple(
        DefaultAcl(grantor, schema, kind, grantee, frozenset(privileges), frozenset(grantable), oid)
        for grantor, schema, kind, grantee, privileges, grantable, oid in session.rows(_DEFAULT_ACLS)
    )


def _available(reader: Reader) -> dict[str, AvailableExtension]:
    versions: dict[str, dict[str, ExtensionVersion]] = {}
    defaults: dict[str, str] = {}
    for name, default, version, superuser, trusted, schema, requires in reader.rows(_AVAILABLE):
        defaults[name] = default
        versions.setdefault(name, {})[version] = ExtensionVersion(superuser, trusted, schema, tuple(requires or ()))
    return {name: AvailableExtension(defaults[name], found) for name, found in versions.items()}
