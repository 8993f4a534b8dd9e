# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of dropping roles: one query over all databases, and names from inside of each.

Called by postgresql/server.py for roles that are to go. pg_shdepend is shared: it knows what a role owns, and
where it holds privileges, in every database of the server.
https://www.postgresql.org/docs/current/catalog-pg-shdepend.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import dependencies_grants
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import CatalogKey
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Dependencies,
    OwnedObject,
    PassedOn,
    Reader,
    Role,
)

_LISTED = 100

# Default privileges and user mappings are "owned", but hold no data and go with the privileges.
_COUNTS = """
SELECT r.rolname, coalesce(d.datname, ''),
       s.deptype = 'o' AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass), count(*),
       array_agg(s.classid::regclass::text), array_agg(s.objid::bigint),
       array_agg(CASE WHEN s.deptype = 'a' AND s.classid <> 'pg_auth_members'::regclass
                      THEN coalesce(owner.rolname::text, '') END)
FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid LEFT JOIN pg_database d ON d.oid = s.dbid
LEFT JOIN pg_shdepend o ON s.deptype = 'a' AND o.deptype = 'o' AND o.refclassid = 'pg_authid'::regclass
  AND (o.dbid, o.classid, o.objid) = (s.dbid, s.classid, s.objid) AND o.objsubid = 0
LEFT JOIN pg_roles owner ON owner.oid = o.refobjid
WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = ANY(%s)
GROUP BY 1, 2, 3
"""

_OWNED = """
SELECT coalesce(i.schema, ''), coalesce(i.name, i.identity), i.type
FROM (SELECT s.classid, s.objid, s.objsubid
      FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
      WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = %s AND s.deptype = 'o'
        AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass)
        AND s.dbid = CASE WHEN %s THEN 0 ELSE (SELECT oid FROM pg_database WHERE datname = current_database()) END
      ORDER BY s.classid, s.objid LIMIT %s) o,
     pg_identify_object(o.classid, o.objid, o.objsubid) i
ORDER BY 3, 1, 2
"""

_OF_DATABASE_OWNER = """
SELECT n.oid::bigint, CASE WHEN d.datdba = 10 THEN '' ELSE pg_get_userbyid(d.datdba) END
FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner AND r.rolname = 'pg_database_owner'
JOIN pg_database d ON d.datname = current_database()
WHERE n.oid = ANY(%s::bigint[])
"""

_SESSIONS = "SELECT usename, count(*) FROM pg_stat_activity WHERE usename = ANY(%s) GROUP BY 1"


def read(
    roles: dict[str, Role], names: Iterable[str], reader: Reader, inside: Callable[[str], Reader]
) -> dict[str, Role]:
    """Give those of ROLES that have NAMES with their dependencies and the number of their sessions.

    INSIDE opens a session in a database. One that cannot be entered is counted and has no names.
    """
    wanted = [name for name in names if name in roles]
    if not wanted:
        return {}
    sessions = dict(reader.rows(_SESSIONS, [wanted]))
    found = {name: Dependencies() for name in wanted}
    for name, database, owned, count, catalogs, numbers, owners_of in reader.rows(_COUNTS, [wanted]):
        one = found[name]
        if owned:
            listed = _names(name, database, count, reader, inside)
            found[name] = replace(
                one,
                owned=(one.owned + listed)[:_LISTED],
                owned_counts={**one.owned_counts, database: count},
            )
        else:
            found[name] = replace(
                one,
                privileges={**one.privileges, database: _privileges(database, catalogs, numbers, owners_of, inside)},
                passed_on={**one.passed_on, database: _passed_on(name, database, reader, inside)},
            )
    return {name: replace(roles[name], dependencies=found[name], sessions=sessions.get(name, 0)) for name in wanted}


def _privileges(
    database: str, catalogs: list[str], numbers: list[int], owners: list[str | None], inside: Callable[[str], Reader]
) -> dict[CatalogKey, str | None]:
    found: dict[CatalogKey, str | None] = {}
    for catalog, number, owner in zip(catalogs, numbers, owners, strict=True):
        # A default is of its own maker as well, and names it once more.
        had = found.get((catalog, number))
        found[catalog, number] = owner if had is None else had
    unknown = {number for (catalog, number), owner in found.items() if catalog == "pg_namespace" and owner == ""}
    if unknown:
        # Nothing is noted of pg_database_owner, a role of the system, which is whoever owns the database.
        with suppress(DbopsError):
            rows = inside(database).rows(_OF_DATABASE_OWNER, [sorted(unknown)])
            found |= {("pg_namespace", number): owner for number, owner in rows}
    return found


def owners(role: Role) -> set[str]:
    """Give the owners of what ROLE holds privileges on, and who else gave some: only they can take them back."""
    had = role.dependencies or Dependencies()
    givers = {one.grantor for those in had.passed_on.values() for one in those}
    return givers | {owner for those in had.privileges_in.values() for owner in those if owner}


def _passed_on(role: str, database: str, reader: Reader, inside: Callable[[str], Reader]) -> tuple[PassedOn, ...]:
    try:
        return dependencies_grants.read(inside(database) if database else reader, role, shared=not database)
    except DbopsError:
        # The step that clears the privileges there will say why it cannot.
        return ()


def _names(
    role: str, database: str, count: int, reader: Reader, inside: Callable[[str], Reader]
) -> tuple[OwnedObject, ...]:
    shared = not database
    try:
        rows = (reader if shared else inside(database)).rows(_OWNED, [role, shared, _LISTED])
    except DbopsError:
        return (OwnedObject(database, "", f"{count} that cannot be looked at from here", "objects"),)
    return tuple(OwnedObject(database, *row) for row in rows)
