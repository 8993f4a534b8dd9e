# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role that is to go got from others than the owners, or could pass on: DROP OWNED may leave that.

Called by dependencies.py, in the session of each database where the role has privileges, and by role_drop.py. Only
who gave it takes it back, and as long as it is there the role cannot be dropped. DROP OWNED needs the rights of the
role, and then revokes in the name of the first role at hand that has all grant options on an object: that may be the
role itself, which gave itself nothing (select_best_grantor in acl.c).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import AclObject, Change
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acting_as import acting_as, can_act_as
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_statements import (
    Name,
    in_names,
    sentences,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    PassedOn,
    Reader,
    ServerState,
)

# By pg_shdepend, so that only those objects are looked at that name the role at all.
_INSIDE = """
WITH role AS (SELECT oid FROM pg_roles WHERE rolname = %s),
named AS (
    SELECT s.classid, s.objid, s.objsubid FROM pg_shdepend s JOIN role ON s.refobjid = role.oid
    WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'a'
      AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())),
acls AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS type, n.nspname AS schema, c.relname AS name,
           '{}'::text[] AS schemas, '{}'::text[] AS types, '' AS col, c.relowner AS owner, c.relacl AS acl
    FROM named d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND d.objsubid = 0
    JOIN pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT 'table', n.nspname, c.relname, '{}', '{}', a.attname, c.relowner, a.attacl
    FROM named d JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid JOIN pg_namespace n ON n.oid = c.relnamespace
    UNION ALL
    SELECT 'function', n.nspname, p.proname, t.schemas, t.names, '', p.proowner, p.proacl
    FROM named d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    JOIN pg_namespace n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(ns.nspname::text ORDER BY o.n), '{}') AS schemas,
               coalesce(array_agg(ty.typname::text ORDER BY o.n), '{}') AS names
        FROM unnest(p.proargtypes) WITH ORDINALITY o (oid, n)
        JOIN pg_type ty ON ty.oid = o.oid JOIN pg_namespace ns ON ns.oid = ty.typnamespace) t
    UNION ALL
    SELECT 'schema', n.nspname, '', '{}', '{}', '', n.nspowner, n.nspacl
    FROM named d JOIN pg_namespace n ON d.classid = 'pg_namespace'::regclass AND n.oid = d.objid)
SELECT type, schema, name, schemas, types, col, pg_get_userbyid(x.grantor),
       CASE x.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(x.grantee) END, array_agg(x.privilege_type),
       CASE WHEN x.grantor <> owner THEN '' ELSE pg_get_userbyid(
           CASE pg_get_userbyid(owner) WHEN 'pg_database_owner'
           THEN (SELECT datdba FROM pg_database WHERE datname = current_database()) ELSE owner END) END
FROM acls CROSS JOIN LATERAL aclexplode(acl) x JOIN role ON role.oid IN (x.grantee, x.grantor)
WHERE x.grantor <> owner OR (x.is_grantable AND x.grantee <> owner)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 10
"""

_ON_DATABASES = """
SELECT 'database', '', d.datname, '{}'::text[], '{}'::text[], '', pg_get_userbyid(x.grantor),
       CASE x.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(x.grantee) END, array_agg(x.privilege_type),
       CASE WHEN x.grantor <> d.datdba THEN '' ELSE pg_get_userbyid(d.datdba) END
FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) x JOIN pg_roles r ON r.oid IN (x.grantee, x.grantor)
WHERE r.rolname = %s AND (x.grantor <> d.datdba OR (x.is_grantable AND x.grantee <> d.datdba))
GROUP BY 3, 7, 8, 10
"""


def read(session: Reader, role: str, *, shared: bool) -> tuple[PassedOn, ...]:
    """Read what DROP OWNED may leave of what ROLE got or gave in a database; on databases if SHARED."""
    found = []
    rows = session.rows(_ON_DATABASES if shared else _INSIDE, [role])
    for kind, schema, name, schemas, types, column, grantor, grantee, privileges, owner in rows:
        arguments = tuple(zip(schemas, types, strict=True))
        words = frozenset(privileges)
        found.append(PassedOn(kind, schema, name, arguments, column, grantor, grantee, words, owner))
    return tuple(found)


def plan(role: str, passed_on: Iterable[PassedOn], database: str | None, state: ServerState) -> list[Step]:
    """Give the steps that take all of it back, in the name of each who gave it. Raises PrivilegeMissing."""
    objects: dict[tuple[str, str, str, tuple[tuple[str, str], ...]], AclObject] = {}
    changes: dict[str, list[tuple[Change, Name]]] = {}
    admin = state.facts.admin
    for one in sorted(passed_on, key=lambda one: _order(one, role)):
        # A superuser revokes in the owner's name, and so does the owner.
        if one.owner and (admin.superuser or one.grantor == admin.name):
            continue
        giver = one.owner or one.grantor
        if not can_act_as(giver, state):
            text = (
                f"{giver} gave privileges to {role}, which {admin.name} cannot revoke; a superuser can allow it: "
                f"GRANT {quoted(giver)} TO {quoted(admin.name)}"
            )
            raise DbopsError(Reason.PRIVILEGE_MISSING, text)
        key = (one.type, one.schema, one.name, one.arguments)
        there = objects.setdefault(key, _known(one, database, state))
        name = Name((giver,), giver)
        those = changes.setdefault(one.grantee, [])
        those += [
            (Change(there, one.column, privilege, grantor=one.grantor), name) for privilege in sorted(one.privileges)
        ]
    steps: list[Step] = []
    # Who has the rights of the role may be taken for it here as well, so these are given up in between.
    for got in (False, True):
        found = [
            sentence
            for grantee, those in changes.items()
            if (grantee == role) is got
            for sentence in sentences(Action.REVOKE, those, grantee, database, cascade=True)
        ]
        steps += acting_as([name for one in found for name in one.name.roles], in_names(found, database), state)
    return steps


def _order(one: PassedOn, role: str) -> tuple[Any, ...]:
    """What the role passed on comes first: with what it got that goes as well, and is nobody's to revoke then."""
    return one.grantee == role, one.type, one.schema, one.name, one.arguments, one.column, one.grantor, one.grantee


def _known(one: PassedOn, database: str | None, state: ServerState) -> AclObject:
    """Give the object as it was observed, or what is known of it."""
    there = state.acls.get(database or one.name)
    found = None
    if there and one.type == "database":
        found = there.database
    elif there:
        those = there.objects.get((one.type, one.schema), {}).values()
        found = next((had for had in those if (had.name, had.arguments) == (one.name, one.arguments)), None)
    return found or AclObject(one.type, one.schema, one.name, "", arguments=one.arguments)
