# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of test_drift.py: what is declared of each kind on each engine, what is changed by hand, what that shows.

In all texts `{n}` is a name of the test's own: that of what is declared, or of the database and user that grants are
about. Beside it there are the roles `{n}_grp`, which is declared, and `{n}_oth`, which is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, LiteralString, cast

from localstack.mysql import MySQLServer
from localstack.postgresql import PostgreSQLServer

Server = PostgreSQLServer | MySQLServer
Statements = Sequence[str]


@dataclass(frozen=True)
class Case:
    """One kind on one engine."""

    kind: str
    engine: str
    declared: Mapping[str, Any]
    """The spec, but for references and policies."""
    changes: Statements
    """What somebody does to it by hand."""
    differences: Sequence[tuple[str, str, str]]
    """Field, expected and actual of what is put right at once."""
    judges: Mapping[str, str]
    """Queries of the catalogs: `mended` for that, and `taken` for what takes data or access away."""
    taking: Sequence[tuple[str, str, str]] = ()
    before: Statements = ()
    """What has to be there."""

    def prepare(self, server: Server, name: str) -> None:
        """Make what the declaration is about."""
        for statement in self.before:
            _run(server, statement, name)

    def spec(self, name: str) -> dict[str, Any]:
        """The spec for this NAME."""
        return cast("dict[str, Any]", _named(self.declared, name))

    def change(self, server: Server, name: str) -> None:
        """Do by hand what is drift."""
        for statement in self.changes:
            _run(server, statement, name)

    def found(self, name: str) -> set[tuple[str, str, str, bool]]:
        """What status lists then: field, expected, actual, destructive."""
        every = [(*one, False) for one in self.differences] + [(*one, True) for one in self.taking]
        return {cast("tuple[str, str, str, bool]", _named(one, name)) for one in every}

    def state(self, server: Server, name: str) -> dict[str, list[tuple[Any, ...]]]:
        """What the catalogs say."""
        return {what: sorted(_run(server, query, name)) for what, query in self.judges.items()}


def _named(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return value.replace("{n}", name)
    if isinstance(value, Mapping):
        return {key: _named(one, name) for key, one in value.items()}
    return type(value)(_named(one, name) for one in value) if isinstance(value, list | tuple) else value


def _run(server: Server, statement: str, name: str) -> list[tuple[Any, ...]]:
    """Run a statement as the admin; on PostgreSQL one that begins with `in {n}: ` in that database."""
    text = cast("LiteralString", _named(statement, name))
    if isinstance(server, MySQLServer):
        # Who made a role of MariaDB is the only one who gives it.
        with server.admin.connect() as connection, connection.cursor() as cursor:
            cursor.execute(text)
            return list(cursor.fetchall())
    if text.startswith("in "):
        database, _, text = text.removeprefix("in ").partition(": ")  # type: ignore[assignment]
        return server.query(text, dbname=database)
    return server.query(text)


_ROLES = ("CREATE ROLE {n}_grp", "CREATE ROLE {n}_oth")
_CONTENT = (
    "CREATE DATABASE {n}",
    "in {n}: CREATE SCHEMA sales",
    "in {n}: CREATE TABLE sales.orders (id int)",
)
_MEMBER = "SELECT g.rolname FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid WHERE member = '{n}'::regrole"
_TABLE = (
    "in {n}: SELECT privilege_type FROM pg_class, aclexplode(relacl) "
    "WHERE relname = 'orders' AND grantee = '{n}'::regrole"
)
_FLAGS = (
    "SELECT rolcreatedb, rolcreaterole, rolinherit, rolconnlimit, "
    "pg_has_role(oid, '{n}_grp', 'MEMBER') FROM pg_roles WHERE rolname = '{n}'"
)
_ATTRIBUTES = (("createdb", "true", "false"), ("createrole", "false", "true"), ("inherit", "true", "false"))
_SUPERUSER = ("superuser", "false", "true")
_TAKING = (_SUPERUSER, ("inRoles.extra", "", "{n}_oth"))
_TAKEN = (
    "SELECT rolsuper::text FROM pg_roles WHERE rolname = '{n}' UNION ALL SELECT g.rolname FROM pg_auth_members "
    "JOIN pg_roles g ON g.oid = roleid WHERE member = '{n}'::regrole AND g.rolname = '{n}_oth'"
)
_BLOCK = {"createDB": True, "createRole": False, "superuser": False, "inherit": True, "inRoles": ["{n}_grp"]}
_MEMBERS = ("REVOKE {n}_grp FROM {n}", "GRANT {n}_oth TO {n}")

_DATABASE = Case(
    "Database",
    "postgres",
    {
        "name": "{n}",
        "owner": "{n}_grp",
        "postgres": {"connectionLimit": 5, "extensions": [{"name": "citext"}], "schemas": [{"name": "sales"}]},
    },
    (
        "ALTER DATABASE {n} CONNECTION LIMIT 9",
        "ALTER DATABASE {n} OWNER TO {n}_oth",
        "in {n}: DROP SCHEMA sales",
        "in {n}: DROP EXTENSION citext",
    ),
    (("connectionLimit", "5", "9"), ("schemas.missing", "sales", ""), ("extensions.missing", "citext", "")),
    {
        "mended": "in {n}: SELECT datconnlimit, to_regnamespace('sales') IS NULL, to_regtype('citext') IS NULL "
        "FROM pg_database WHERE datname = '{n}'",
        "taken": "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{n}'",
    },
    taking=(("owner", "{n}_grp", "{n}_oth"),),
    before=_ROLES,
)
_USER = Case(
    "DatabaseUser",
    "postgres",
    {"username": "{n}", "postgres": {**_BLOCK, "connectionLimit": 5}},
    ("ALTER ROLE {n} NOCREATEDB CREATEROLE NOINHERIT SUPERUSER CONNECTION LIMIT 9", *_MEMBERS),
    (*_ATTRIBUTES, ("connectionLimit", "5", "9"), ("inRoles.missing", "{n}_grp", "")),
    {"mended": _FLAGS, "taken": _TAKEN},
    taking=_TAKING,
    before=_ROLES,
)
_ROLE = Case(
    "DatabaseRole",
    "postgres",
    {
        "roleName": "{n}",
        "postgres": {
            **_BLOCK,
            "grants": [{"database": "{n}", "schema": "sales", "tables": ["orders"], "privileges": ["SELECT"]}],
        },
    },
    (
        "ALTER ROLE {n} NOCREATEDB CREATEROLE NOINHERIT SUPERUSER",
        "in {n}: REVOKE SELECT ON sales.orders FROM {n}",
        *_MEMBERS,
    ),
    (*_ATTRIBUTES, ("inRoles.missing", "{n}_grp", ""), ("grants.table.sales.orders", "SELECT", "")),
    {"mended": _FLAGS, "taken": _TAKEN, "table": _TABLE},
    taking=_TAKING,
    before=(*_ROLES, *_CONTENT),
)
_GRANT = Case(
    "DatabaseGrant",
    "postgres",
    {
        "postgres": {
            "roles": ["{n}_grp"],
            "grants": [
                {"database": "{n}", "schema": "sales", "tables": ["orders"], "privileges": ["SELECT", "INSERT"]}
            ],
        }
    },
    ("in {n}: REVOKE INSERT ON sales.orders FROM {n}", "REVOKE {n}_grp FROM {n}"),
    (("grants.table.sales.orders.missing", "INSERT", ""), ("roles.missing", "{n}_grp", "")),
    {"mended": _MEMBER, "table": _TABLE},
    before=(*_ROLES, *_CONTENT),
)

_ORDERS = ("CREATE DATABASE `{n}`", "CREATE TABLE `{n}`.orders (id int)")
_ON_TABLE = "SELECT table_priv FROM mysql.tables_priv WHERE user = '{n}' AND table_name = 'orders'"
_WHOLE = {"level": "database", "database": "{n}", "privileges": ["SELECT", "INSERT"]}


def _mysql(engine: str) -> list[Case]:
    """The same on both, but for the host of a role."""
    role = "'{n}'@'%'" if engine == "mysql" else "'{n}'"
    members = "mysql.role_edges" if engine == "mysql" else "mysql.roles_mapping"
    member, has = ("to_user", "from_user") if engine == "mysql" else ("user", "role")
    roles = f"SELECT {has} FROM {members} WHERE {member} = '{{n}}' AND {has} = '{{n}}_grp'"
    table = {"level": "table", "database": "{n}", "table": "orders", "privileges": ["SELECT", "INSERT"]}
    return [
        Case(
            "Database",
            engine,
            {"name": "{n}", "mysql": {"charset": "utf8mb4", "collation": "utf8mb4_bin"}},
            ("ALTER DATABASE `{n}` CHARACTER SET latin1 COLLATE latin1_bin",),
            (("charset", "utf8mb4", "latin1"), ("collation", "utf8mb4_bin", "latin1_bin")),
            {
                "mended": "SELECT default_character_set_name, default_collation_name "
                "FROM information_schema.schemata WHERE schema_name = '{n}'"
            },
        ),
        Case(
            "DatabaseUser",
            engine,
            {"username": "{n}", "mysql": {"maxUserConnections": 5, "accountLocked": False}},
            (
                "ALTER USER '{n}'@'%' WITH MAX_USER_CONNECTIONS 9",
                "ALTER USER '{n}'@'%' ACCOUNT LOCK",
                "CREATE USER '{n}'@'10.0.0.1'",
            ),
            (("maxUserConnections", "5", "9"), ("accountLocked", "false", "true")),
            {
                "mended": "SELECT max_user_connections FROM mysql.user WHERE user = '{n}' AND host = '%'",
                "taken": "SELECT host FROM mysql.user WHERE user = '{n}'",
            },
            taking=(("hosts.extra", "", "10.0.0.1"),),
        ),
        Case(
            "DatabaseRole",
            engine,
            {"roleName": "{n}", "mysql": {"useNativeRoles": True, "grants": [_WHOLE, table]}},
            (f"REVOKE INSERT ON `{{n}}`.orders FROM {role}",),
            (("grants.{n}.orders.missing", "INSERT", ""),),
            {"mended": _ON_TABLE},
            before=_ORDERS,
        ),
        Case(
            "DatabaseGrant",
            engine,
            {"mysql": {"roles": ["{n}_grp"], "grants": [table]}},
            ("REVOKE INSERT ON `{n}`.orders FROM '{n}'@'%'", "REVOKE {n}_grp FROM '{n}'@'%'"),
            (
                ("grants.{n}.orders.missing", "INSERT", ""),
                ("roles.missing", "{n}_grp", ""),
                # MariaDB keeps the default of a user that has the role no more.
                *([("defaultRole", "{n}_grp", "")] if engine == "mysql" else []),
            ),
            {"mended": _ON_TABLE, "roles": roles},
            before=("CREATE ROLE {n}_grp", *_ORDERS),
        ),
    ]


_OF_KINDS = [_DATABASE, _USER, _ROLE, _GRANT, *_mysql("mysql"), *_mysql("mariadb")]
CASES = [
    *_OF_KINDS,
    *(replace(one, kind=f"Cluster{one.kind}") for one in _OF_KINDS if one.kind in ("DatabaseRole", "DatabaseGrant")),
]
