# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of the harness, asked themselves: what is there, who logs in, and how one breaks them.

One Side for each server; PostgreSQL's and MySQL's answer the same questions. Used by harness.faults and harness.life.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import objects
import psycopg
import pymysql

from harness.teams import NAMESPACE, Declared, Team
from localstack.mysql import MySQLServer
from localstack.postgresql import PostgreSQLServer


class Side(Protocol):
    """A server with the DatabaseInstance `name`."""

    name: str
    family: str
    server: PostgreSQLServer | MySQLServer

    def instance(self) -> list[objects.Body]:
        """Manifests of the instance and its Secrets."""

    def names(self, team: Team) -> set[str]:
        """Those of the team's names that the server has."""

    def all_names(self) -> set[str]:
        """The names of all teams that the server has."""

    def found(self, declared: Declared) -> Declared | None:
        """What the server has instead of what is DECLARED; None if any of it is missing."""

    def log_in(self, content: Mapping[str, str]) -> str:
        """Log in with a Secret's content; give who one is then."""

    def edit(self, declared: Declared) -> None:
        """Change by hand what is DECLARED, where the server has it."""

    def set_password(self, password: str) -> None:
        """Give the admin another password, underneath the operator."""

    def read_only(self, *, on: bool) -> None:
        """Let the server refuse all changes, or no longer."""

    def exhausted(self) -> contextlib.AbstractContextManager[None]:
        """Let the server have no connection free in the meantime."""

    def open_intents(self) -> list[tuple[Any, ...]]:
        """What the ledger says is begun and not done."""

    def sessions(self) -> list[tuple[Any, ...]]:
        """The sessions of others than the tests."""


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class PostgreSQLSide:
    """PostgreSQL."""

    family = "postgres"

    def __init__(self, name: str, server: PostgreSQLServer) -> None:
        self.name = name
        self.server = server

    def instance(self) -> list[objects.Body]:
        """Manifests of the instance and its Secrets."""
        return objects.instance(NAMESPACE, self.server.admin, self.name)

    def names(self, team: Team) -> set[str]:
        """Those of the team's names that the server has."""
        return {name for name in self.all_names() if name[:-2] == team.name}

    def all_names(self) -> set[str]:
        """The names of all teams that the server has."""
        query = (
            "SELECT rolname::text FROM pg_roles WHERE rolname ~ %(ours)s"
            " UNION ALL SELECT datname FROM pg_database WHERE datname ~ %(ours)s"
        )
        return {row[0] for row in self.server.query(query, {"ours": f"^{self.name}[0-9x]+_[urd]$"})}

    def found(self, declared: Declared) -> Declared | None:
        """What the server has instead of what is DECLARED; None if any of it is missing."""
        query = """
            SELECT u.rolconnlimit, d.datconnlimit,
                   EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = r.oid AND m.member = u.oid),
                   ARRAY(SELECT a.privilege_type FROM aclexplode(d.datacl) AS a WHERE a.grantee = u.oid)
            FROM pg_roles u, pg_roles r, pg_database d
            WHERE u.rolname = %s AND u.rolcanlogin AND r.rolname = %s AND NOT r.rolcanlogin AND d.datname = %s"""
        rows = self.server.query(query, [declared.login, declared.role, declared.database])
        if not rows:
            return None
        connections, setting, member, privileges = rows[0]
        names = (declared.login, declared.role, declared.database)
        return Declared(*names, connections, str(setting), member, frozenset(privileges))

    def log_in(self, content: Mapping[str, str]) -> str:
        """Log in with a Secret's content; give who one is then."""
        return objects.log_in(content)

    def edit(self, declared: Declared) -> None:
        """Change by hand what is DECLARED, where the server has it."""
        role = psycopg.sql.Identifier(declared.login)
        with contextlib.suppress(psycopg.errors.UndefinedObject):
            self.server.query(psycopg.sql.SQL("ALTER ROLE {} CONNECTION LIMIT 99 CREATEDB").format(role))

    def set_password(self, password: str) -> None:
        """Give the admin another password, underneath the operator."""
        self.server.query(psycopg.sql.SQL("ALTER ROLE postgres PASSWORD {}").format(password))

    def read_only(self, *, on: bool) -> None:
        """Let the server refuse all changes, or no longer."""
        setting = psycopg.sql.SQL("ALTER SYSTEM SET default_transaction_read_only = {}").format("on" if on else "off")
        with psycopg.connect(self.server.admin_dsn, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(setting)
        self.server.reload()

    @contextlib.contextmanager
    def exhausted(self) -> Iterator[None]:
        """Let the server have no connection free in the meantime."""
        with contextlib.ExitStack() as stack:
            try:
                while True:
                    stack.enter_context(psycopg.connect(self.server.admin_dsn))
            except psycopg.OperationalError:
                yield

    def open_intents(self) -> list[tuple[Any, ...]]:
        """What the ledger says is begun and not done."""
        return self.server.query("SELECT name FROM dbops.object WHERE state = 'intent'", dbname="dbops")

    def sessions(self) -> list[tuple[Any, ...]]:
        """The sessions of others than the tests."""
        query = "SELECT application_name FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return [row for row in self.server.query(query) if row[0] != "localstack"]


class MySQLSide:
    """MySQL or MariaDB."""

    family = "mysql"

    def __init__(self, name: str, server: MySQLServer) -> None:
        self.name = name
        self.server = server

    def instance(self) -> list[objects.Body]:
        """Manifests of the instance and its Secrets."""
        login = self.server.admin
        assert login.ca_certificate
        metadata = {"namespace": NAMESPACE}
        secrets = {
            f"{self.name}-admin": {"username": login.user, "password": login.password},
            f"{self.name}-tls": {"ca.crt": login.ca_certificate.read_text(encoding="utf-8")},
        }
        spec = {
            "engine": self.server.engine,
            "deletionProtection": False,
            "connection": {
                "host": login.host,
                "port": login.port,
                "database": "mysql",
                "secretRef": {"name": f"{self.name}-admin"},
            },
            "tls": {"enabled": True, "mode": "verify-full", "secretRef": {"name": f"{self.name}-tls"}},
            "mysql": {},
        }
        return [
            *(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": name, **metadata},
                    "data": {key: _encoded(value) for key, value in data.items()},
                }
                for name, data in secrets.items()
            ),
            {
                "apiVersion": "dbops.dbprovision.io/v1alpha1",
                "kind": "DatabaseInstance",
                "metadata": {"name": self.name, **metadata},
                "spec": spec,
            },
        ]

    def names(self, team: Team) -> set[str]:
        """Those of the team's names that the server has."""
        return {name for name in self.all_names() if name[:-2] == team.name}

    def all_names(self) -> set[str]:
        """The names of all teams that the server has."""
        query = (
            "SELECT user FROM mysql.user WHERE user REGEXP %(ours)s"
            " UNION ALL SELECT schema_name FROM information_schema.schemata WHERE schema_name REGEXP %(ours)s"
        )
        return {row[0] for row in self.server.query(query, {"ours": f"^{self.name}[0-9x]+_[urd]$"})}

    def found(self, declared: Declared) -> Declared | None:
        """What the server has instead of what is DECLARED; None if any of it is missing."""
        collation = "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name = %s"
        limits = "SELECT max_user_connections FROM mysql.user WHERE user = %s AND host = '%%'"
        setting = self.server.query(collation, [declared.database])
        connections = self.server.query(limits, [declared.login])
        role = self.server.query("SELECT 1 FROM mysql.user WHERE user = %s", [declared.role])
        if not (setting and connections and role):
            return None
        edges, member, group = (
            ("role_edges", "to_user", "from_user")
            if self.server.engine == "mysql"
            else ("roles_mapping", "user", "role")
        )
        query = f"SELECT 1 FROM mysql.{edges} WHERE {member} = %s AND {group} = %s"
        held = (
            "SELECT privilege_type FROM information_schema.schema_privileges WHERE grantee = %s AND table_schema = %s"
        )
        pattern = declared.database.replace("_", "\\_")
        names = (declared.login, declared.role, declared.database)
        return Declared(
            *names,
            connections[0][0],
            setting[0][0],
            bool(self.server.query(query, [declared.login, declared.role])),
            frozenset(row[0] for row in self.server.query(held, [f"'{declared.login}'@'%'", pattern])),
        )

    def log_in(self, content: Mapping[str, str]) -> str:
        """Log in with a Secret's content; give who one is then."""
        login = self.server.login(content["username"], content["password"])
        with login.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)")
            row = cursor.fetchone()
        assert row
        return str(row[0])

    def edit(self, declared: Declared) -> None:
        """Change by hand what is DECLARED, where the server has it."""
        with contextlib.suppress(pymysql.err.OperationalError):
            self.server.query("ALTER USER %s@'%%' WITH MAX_USER_CONNECTIONS 99", [declared.login])

    def set_password(self, password: str) -> None:
        """Give the admin another password, underneath the operator."""
        self.server.query("ALTER USER %s@'%%' IDENTIFIED BY %s", [self.server.admin.user, password])

    def read_only(self, *, on: bool) -> None:
        """Let the server refuse all changes, or no longer."""
        if self.server.engine == "mysql":
            self.server.query(f"SET GLOBAL super_read_only = {int(on)}")
        self.server.query(f"SET GLOBAL read_only = {int(on)}")

    @contextlib.contextmanager
    def exhausted(self) -> Iterator[None]:
        """Let the server have no connection free in the meantime."""
        with self.server.admin.connect() as connection, connection.cursor() as cursor:
            # What is open stays open, and one more is kept for an administrator.
            cursor.execute("SET GLOBAL max_connections = 1")
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(pymysql.err.OperationalError):
                    while True:
                        stack.enter_context(self.server.admin.connect())
                try:
                    yield
                finally:
                    cursor.execute("SET GLOBAL max_connections = 151")

    def open_intents(self) -> list[tuple[Any, ...]]:
        """What the ledger says is begun and not done."""
        return self.server.query("SELECT name FROM dbops.object WHERE state = 'intent'")

    def sessions(self) -> list[tuple[Any, ...]]:
        """The sessions of others than the tests."""
        query = (
            "SELECT id, user, info FROM information_schema.processlist"
            " WHERE id <> CONNECTION_ID() AND user NOT IN ('event_scheduler', 'system user')"
        )
        return self.server.query(query)
