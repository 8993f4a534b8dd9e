# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: a table's access control list and all that decides who gets to it.

Called by postgresql/observing.py for tables that somebody asked about; three queries for each, and two for the
roles and memberships of the server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.access_state import (
    Access,
    Given,
    Membership,
    RoleFacts,
    TableName,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Reader

_TABLE = """
SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
                      ELSE 'table' END,
       pg_get_userbyid(c.relowner), c.relrowsecurity, c.oid,
       ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
             ORDER BY attnum),
       pg_get_userbyid((SELECT datdba FROM pg_database WHERE datname = current_database()))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

_LISTS = """
WITH acls (place, col, acl) AS (
    SELECT 'table', '', coalesce(relacl, acldefault('r', relowner)) FROM pg_class WHERE oid = %(oid)s
    UNION ALL SELECT 'table', attname, attacl FROM pg_attribute
      WHERE attrelid = %(oid)s AND attacl IS NOT NULL AND NOT attisdropped
    UNION ALL SELECT 'schema', '', coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
      WHERE oid = (SELECT relnamespace FROM pg_class WHERE oid = %(oid)s)
    UNION ALL SELECT 'database', '', coalesce(datacl, acldefault('d', datdba)) FROM pg_database
      WHERE datname = current_database()
)
SELECT place, CASE x.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(x.grantee) END, pg_get_userbyid(x.grantor),
       x.privilege_type, x.is_grantable, col
FROM acls CROSS JOIN LATERAL aclexplode(acl) x
"""

_ROLES = "SELECT rolname, rolsuper, rolcanlogin FROM pg_roles"

_MEMBERSHIPS = """
SELECT member.rolname, role.rolname, {options}
FROM pg_auth_members m JOIN pg_roles member ON member.oid = m.member JOIN pg_roles role ON role.oid = m.roleid
"""


def read(inside: Callable[[str], Reader], name: TableName) -> Access | DbopsError:
    """Read a table, or give why it could not be read. INSIDE gives a session in a database."""
    try:
        session = inside(name.database)
        rows = session.rows(_TABLE, [name.schema, name.table])
    except DbopsError as error:
        return error
    if not rows:
        text = f"table {name.schema}.{name.table} of database {name.database} does not exist"
        return DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="table")
    ((kind, owner, row_security, oid, columns, database_owner),) = rows
    lists: dict[str, list[Given]] = {"table": [], "schema": [], "database": []}
    for place, *entry in session.rows(_LISTS, {"oid": oid}):
        lists[place].append(Given(*entry))
    access = Access(
        type=kind,
        owner=owner,
        row_security=row_security,
        columns=tuple(columns),
        on_table=tuple(lists["table"]),
        on_schema=tuple(lists["schema"]),
        on_database=tuple(lists["database"]),
    )
    return _with_roles(access, session, database_owner)


def _with_roles(access: Access, session: Reader, database_owner: str) -> Access:
    modern = versions.has(versions.MEMBERSHIP_OPTIONS, session.version_number)
    # Before, it is the member's attribute that decides, and every member can become the role.
    options = "m.inherit_option, m.set_option" if modern else "member.rolinherit, true"
    memberships = [Membership(*row) for row in session.rows(_MEMBERSHIPS.format(options=options))]
    memberships.append(Membership(database_owner, "pg_database_owner", inherit=True, set=True))
    roles = {row[0]: RoleFacts(*row) for row in session.rows(_ROLES)}
    return replace(access, roles=roles, memberships=tuple(memberships))
