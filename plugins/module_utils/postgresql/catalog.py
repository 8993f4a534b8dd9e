# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: what the server as a whole knows about itself, our account, and the roles of interest.

Called by postgresql/server.py with a session; gives the plain values of state.py. Sets are read in one query
each, whatever their number. Databases are read by catalog_databases.py.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Session
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Admin,
    Facts,
    Membership,
    Reader,
    Role,
    Setting,
)

_FACTS = """
SELECT current_setting('server_version'), pg_is_in_recovery(),
       current_setting('transaction_read_only')::bool, current_setting('search_path'), pg_backend_pid(),
       r.rolname, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolreplication, r.rolbypassrls,
       has_column_privilege('pg_authid', 'rolpassword', 'SELECT'),
       pg_has_role(r.oid, (SELECT oid FROM pg_roles WHERE rolname = 'pg_signal_backend'), 'USAGE'),
       has_function_privilege('pg_control_system()', 'EXECUTE'), pg_get_userbyid(10)
FROM pg_roles r WHERE r.rolname = session_user
"""

_ROLES = """
SELECT r.oid, r.rolname, r.rolsuper, r.rolcreatedb, r.rolcreaterole, r.rolinherit, r.rolcanlogin, r.rolreplication,
       r.rolbypassrls, r.rolconnlimit,
       CASE WHEN isfinite(r.rolvaliduntil)
            THEN to_char(r.rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')
            ELSE r.rolvaliduntil::text END,
       r.rolconfig, {verifier}
FROM pg_roles r {authid} WHERE r.rolname = ANY(%s)
"""

# By whether verifiers may be read.
_VERIFIERS = {
    True: {"verifier": "coalesce(a.rolpassword, '')", "authid": "JOIN pg_authid a ON a.oid = r.oid"},
    False: {"verifier": "NULL", "authid": ""},
}

_MEMBERSHIPS = """
SELECT m.member, g.rolname, coalesce(by.rolname, ''), m.admin_option, {options}
FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid LEFT JOIN pg_roles by ON by.oid = m.grantor
WHERE m.member = ANY(%s) ORDER BY 2, 3
"""

_CIRCLES = """
WITH RECURSIVE wanted AS (
    SELECT member.oid AS member, role.oid AS role, w.member AS member_name, w.role AS role_name
    FROM unnest(%s::text[], %s::text[]) w (member, role)
    JOIN pg_roles member ON member.rolname = w.member JOIN pg_roles role ON role.rolname = w.role
), reached (start, oid) AS (
    SELECT role, role FROM wanted
    UNION SELECT r.start, m.roleid FROM reached r JOIN pg_auth_members m ON m.member = r.oid
)
SELECT w.member_name, w.role_name FROM wanted w JOIN reached r ON r.start = w.role AND r.oid = w.member
"""

_RIGHTS = """
SELECT rolname, pg_has_role(oid, 'USAGE'), pg_has_role(oid, '{set}'), pg_has_role(oid, 'MEMBER WITH ADMIN OPTION')
FROM pg_roles WHERE rolname = ANY(%s)
"""

# A setting with a dot in its name that the server does not know belongs to an extension, or to the application.
_SETTINGS = """
SELECT w.name, coalesce(s.name, w.name), coalesce(s.context, 'superuser'), {settable}
FROM unnest(%s::text[]) AS w (name) LEFT JOIN pg_settings s ON lower(s.name) = w.name
WHERE s.name IS NOT NULL OR strpos(w.name, '.') > 0
"""


def facts(session: Session) -> Facts:
    """Read the server's facts and our account's attributes."""
    ((version, recovering, read_only, path, pid, *account, control, bootstrap),) = session.rows(_FACTS)
    name, superuser, create_db, create_role, replication, bypass_rls, verifiers, signals = account
    identifier = session.rows("SELECT system_identifier::text FROM pg_control_system()") if control else []
    return Facts(
        version=version,
        version_number=session.version_number,
        system_identifier=identifier[0][0] if identifier else None,
        in_recovery=recovering,
        read_only=read_only,
        database=session.database,
        admin=Admin(
            name=name,
            superuser=superuser,
            create_db=create_db or superuser,
            create_role=create_role or superuser,
            replication=replication,
            bypass_rls=bypass_rls,
            reads_verifiers=verifiers,
            signals_sessions=signals,
        ),
        # A pooler makes up the number of the process, and drops or overwrites what we pinned.
        bootstrap=bootstrap,
        pooler=pid != session.backend_pid or path != "pg_catalog",
    )


def roles(reader: Reader, names: Iterable[str], admin: Admin) -> dict[str, Role]:
    """Read the roles of these NAMES that exist, with their settings and memberships."""
    rows = reader.rows(_ROLES.format(**_VERIFIERS[admin.reads_verifiers]), [list(names)])
    oids = [row[0] for row in rows]
    member_of: dict[int, list[Membership]] = {}
    if oids:
        modern = versions.has(versions.MEMBERSHIP_OPTIONS, reader.version_number)
        options = "m.inherit_option, m.set_option" if modern else "true, true"
        for member, *membership in reader.rows(_MEMBERSHIPS.format(options=options), [oids]):
            member_of.setdefault(member, []).append(Membership(*membership))
    return {
        row[1]: Role(
            name=row[1],
            superuser=row[2],
            create_db=row[3],
            create_role=row[4],
            inherit=row[5],
            login=row[6],
            replication=row[7],
            bypass_rls=row[8],
            connection_limit=row[9],
            valid_until=_moment(row[10]),
            verifier=row[12],
            config_parameters=dict(one.split("=", 1) for one in row[11] or ()),
            member_of=tuple(member_of.get(row[0], ())),
        )
        for row in rows
    }


def _moment(text: str | None) -> datetime.datetime | str | None:
    return text if text in (None, "infinity", "-infinity") else datetime.datetime.fromisoformat(text)


def rights(reader: Reader, names: Iterable[str], admin: Admin) -> dict[str, Any]:
    """Read what our account may do with the roles of these NAMES: the fields of Admin that depend on them."""
    if admin.superuser:
        return {}
    modern = versions.has(versions.MEMBERSHIP_OPTIONS, reader.version_number)
    rows = reader.rows(_RIGHTS.format(set="SET" if modern else "MEMBER"), [list(names)])
    administers = frozenset(name for name, _ignored, _ignored, administrator in rows if administrator)
    return {
        "inherits": frozenset(name for name, usage, _ignored, _ignored in rows if usage),
        "member_of": frozenset(name for name, _ignored, settable, _ignored in rows if settable),
        "administers": administers if modern else None,
    }


def circles(reader: Reader, pairs: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """Give those PAIRS of a member and a role that would close a circle: the role is a member of the member."""
    members, names = zip(*pairs, strict=True)
    return frozenset(reader.rows(_CIRCLES, [list(members), list(names)]))


def settings(reader: Reader, names: Iterable[str], admin: Admin) -> dict[str, Setting]:
    """Read the rules of the server settings of these NAMES (lower case) that the server knows."""
    wanted = list(names)
    if not wanted:
        return {}
    settable = "true"
    if not admin.superuser:
        grantable = versions.has(versions.SETTING_PRIVILEGES, reader.version_number)
        settable = "has_parameter_privilege(w.name, 'SET')" if grantable else "false"
    rows = reader.rows(_SETTINGS.format(settable=settable), [wanted])
    return {key: Setting(name, context, settable=context == "user" or allowed) for key, name, context, allowed in rows}
