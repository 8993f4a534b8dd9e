# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe accounts: users with their hosts, roles, and who has which role.

Called by mysql/server.py and catalog.py; gives the plain values of state.py. Sets are read in one query each,
whatever their number, from the tables that the server itself works with.
https://dev.mysql.com/doc/refman/9.0/en/grant-tables.html https://mariadb.com/kb/en/mysqlglobal_priv-table/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.dialects import Dialect
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    AccountName,
    OwnedObject,
    Reader,
    RoleGrant,
)

_MYSQL_ACCOUNTS = """
SELECT User, Host, plugin, authentication_string, account_locked = 'Y', password_expired = 'Y', ssl_type,
       max_questions, max_updates, max_connections, max_user_connections, password_lifetime, {attributes}
FROM mysql.user WHERE User IN %s
"""
_MARIADB_ACCOUNTS = "SELECT User, Host, Priv FROM mysql.global_priv WHERE User IN %s"

_ROLES = {
    "mysql": """
SELECT TO_USER, TO_HOST, FROM_USER, FROM_HOST, WITH_ADMIN_OPTION = 'Y', d.USER IS NOT NULL
FROM mysql.role_edges LEFT JOIN mysql.default_roles d
  ON d.HOST = TO_HOST AND d.USER = TO_USER AND DEFAULT_ROLE_HOST = FROM_HOST AND DEFAULT_ROLE_USER = FROM_USER
WHERE TO_USER IN %s
""",
    "mariadb": "SELECT User, Host, Role, '', Admin_option = 'Y', FALSE FROM mysql.roles_mapping WHERE User IN %s",
}

_SESSIONS = """
SELECT USER, ID FROM information_schema.PROCESSLIST
WHERE USER IN %s AND ID <> CONNECTION_ID() AND COMMAND <> 'Killed'
"""

# Who lacks EVENT sees no events in information_schema. MariaDB's table can be read all the same; MySQL has none, and
# refuses itself to drop a definer for such an account (error 4006).
_EVENTS = {
    "mysql": "SELECT DEFINER, EVENT_SCHEMA, EVENT_NAME, 'event' FROM information_schema.EVENTS",
    "mariadb": "SELECT definer, db, name, 'event' FROM mysql.event",
}
_DEFINED = """
SELECT DEFINER, TABLE_SCHEMA, TABLE_NAME, 'view' FROM information_schema.VIEWS WHERE {ours}
UNION ALL SELECT DEFINER, ROUTINE_SCHEMA, ROUTINE_NAME, LOWER(ROUTINE_TYPE)
  FROM information_schema.ROUTINES WHERE {ours}
UNION ALL SELECT DEFINER, TRIGGER_SCHEMA, TRIGGER_NAME, 'trigger' FROM information_schema.TRIGGERS WHERE {ours}
UNION ALL {events} WHERE {ours}
"""
# A definer is kept as user@host in one text; the user may have an @ as well, the host never has.
_OURS = "SUBSTRING(DEFINER, 1, CHAR_LENGTH(DEFINER) - LOCATE('@', REVERSE(DEFINER))) IN %(names)s"
_TLS = {"": "", "ANY": "SSL", "X509": "X509", "SPECIFIED": "SPECIFIED"}
_MARIADB_TLS = ("", "SSL", "X509", "SPECIFIED")


def of_users(reader: Reader, users: Iterable[str], dialect: Dialect) -> dict[str, dict[str, Account]]:
    """Read all accounts of these USERS (or roles), by user and host."""
    names = list(users)
    found: dict[str, dict[str, Account]] = {}
    if not names:
        return found
    asked = frozenset(names)
    query, read = (_mysql_query(dialect), _mysql) if dialect.flavour == "mysql" else (_MARIADB_ACCOUNTS, _mariadb)
    # The server may compare names without regard to case or accents.
    rows = [row for row in reader.rows(query, [names]) if row[0] in asked]
    if not rows:
        return found
    sessions: dict[str, list[int]] = {}
    for user, number in reader.rows(_SESSIONS, [names]):
        sessions.setdefault(user, []).append(number)
    granted = roles(reader, {row[0] for row in rows}, dialect.flavour)
    for row in rows:
        name = AccountName(row[0], row[1])
        found.setdefault(name.user, {})[name.host] = Account(
            name=name, roles=granted.get(name, ()), sessions=tuple(sessions.get(name.user, ())), **read(row)
        )
    return found


def _mysql_query(dialect: Dialect) -> str:
    has_attributes = versions.has(versions.ACCOUNT_ATTRIBUTES, dialect.version_number)
    return _MYSQL_ACCOUNTS.format(attributes="User_attributes" if has_attributes else "NULL")


def _mysql(row: tuple[Any, ...]) -> dict[str, Any]:
    """Give what a row says of an account, as fields."""
    attributes: dict[str, Any] = json.loads(row[12]) if row[12] else {}
    locking = attributes.get("Password_locking", {})
    return {
        "plugin": row[2],
        "authentication": row[3] or "",
        "second_password": "additional_password" in attributes,
        "locked": bool(row[4]),
        "expired": bool(row[5]),
        "tls": _TLS.get(row[6], row[6]),
        "max_queries_per_hour": row[7],
        "max_updates_per_hour": row[8],
        "max_connections_per_hour": row[9],
        "max_user_connections": row[10],
        "password_lifetime": row[11],
        "failed_login_attempts": locking.get("failed_login_attempts", 0),
        "password_lock_time": locking.get("password_lock_time_days", 0),
        "restrictions": {one["Database"]: frozenset(one["Privileges"]) for one in attributes.get("Restrictions", ())},
    }


def _mariadb(row: tuple[Any, ...]) -> dict[str, Any]:
    """Give what a row says of an account, as fields."""
    facts: dict[str, Any] = json.loads(row[2])
    lifetime = facts.get("password_lifetime", -1)
    return {
        "is_role": bool(facts.get("is_role")),
        "plugin": facts.get("plugin", ""),
        "authentication": facts.get("authentication_string", ""),
        "locked": bool(facts.get("account_locked")),
        # A password that was ended by hand counts as changed at the beginning of time.
        "expired": facts.get("password_last_changed") == 0,
        "tls": _MARIADB_TLS[facts.get("ssl_type", 0)],
        "max_queries_per_hour": facts.get("max_questions", 0),
        "max_updates_per_hour": facts.get("max_updates", 0),
        "max_connections_per_hour": facts.get("max_connections", 0),
        "max_user_connections": facts.get("max_user_connections", 0),
        "password_lifetime": None if lifetime < 0 else lifetime,
        "default_role": facts.get("default_role", ""),
    }


def roles(reader: Reader, users: Iterable[str], flavour: str) -> dict[AccountName, tuple[RoleGrant, ...]]:
    """Read which roles these USERS (or roles) have, by account."""
    found: dict[AccountName, list[RoleGrant]] = {}
    for user, host, role, role_host, admin, default in reader.rows(_ROLES[flavour], [list(users)]):
        grant = RoleGrant(AccountName(role, role_host), bool(admin), bool(default))
        found.setdefault(AccountName(user, host), []).append(grant)
    return {member: tuple(sorted(grants)) for member, grants in found.items()}


def roles_beyond(reader: Reader, users: Iterable[str], flavour: str) -> dict[AccountName, tuple[RoleGrant, ...]]:
    """Read which roles these USERS (or roles) have, and those in turn, by account; a query for each step on the way."""
    found: dict[AccountName, tuple[RoleGrant, ...]] = {}
    seen: set[str] = set()
    while new := frozenset(users) - seen:
        seen |= new
        there = roles(reader, new, flavour)
        found |= there
        users = {grant.role.user for grants in there.values() for grant in grants}
    return found


def definitions(reader: Reader, users: Iterable[str], flavour: str) -> dict[str, tuple[OwnedObject, ...]]:
    """Read which views, routines, triggers and events have an account of these USERS as their definer."""
    names = list(users)
    if not names:
        return {}
    found: dict[str, list[OwnedObject]] = {name: [] for name in names}
    query = _DEFINED.format(ours=_OURS, events=_EVENTS[flavour])
    for definer, database, name, kind in reader.rows(query, {"names": names}):
        # A role of MariaDB as a definer has no host.
        user, _ignored, host = definer.rpartition("@") if "@" in definer else (definer, "", "")
        if user in found:
            found[user].append(OwnedObject(database, name, kind, host))
    return {user: tuple(sorted(objects, key=str)) for user, objects in found.items()}


def names_in(text: str) -> Iterator[AccountName]:
    """Read a list such as CURRENT_ROLE() gives: `reader`@`%`,`writer`@`%`."""
    parts: list[str] = []
    rest = text
    while rest.startswith("`"):
        part, rest = _quoted(rest)
        parts.append(part)
        if not rest.startswith("@"):
            yield AccountName(*parts)
            parts = []
        rest = rest[1:]


def _quoted(text: str) -> tuple[str, str]:
    """Take one quoted name off the beginning."""
    name, position = "", 1
    while True:
        end = text.index("`", position)
        name += text[position:end]
        if text[end + 1 : end + 2] != "`":
            return name, text[end + 1 :]
        name += "`"
        position = end + 2
