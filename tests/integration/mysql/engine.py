# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as the tests of this folder call it: one server, one admin account, and an independent judge.

Each state is brought about in four runs (check, run, check, run), which must say changed, changed, ok, ok, and a
check must leave the server as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pymysql

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge
from localstack.mysql import MySQLLogin, MySQLServer

# Everything about accounts, privileges and databases that a statement of ours could change, read as root.
_TABLES = {
    "mysql": (
        "user",
        "db",
        "tables_priv",
        "columns_priv",
        "procs_priv",
        "global_grants",
        "role_edges",
        "default_roles",
    ),
    "mariadb": ("global_priv", "db", "tables_priv", "columns_priv", "procs_priv", "roles_mapping"),
}
_DATABASES = (
    "SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA ORDER BY 1"
)

Document = dict[str, Any]


class Engine:
    """Calls of `converge` on a server with one account."""

    def __init__(self, server: MySQLServer, login: MySQLLogin) -> None:
        """Work on SERVER as LOGIN."""
        self.server = server
        self.login = login
        self.options = {**login.options(), "engine": server.engine}

    @property
    def mariadb(self) -> bool:
        """Whether the server is MariaDB."""
        return self.server.engine == "mariadb"

    @property
    def weak(self) -> bool:
        """Whether the account is not root."""
        return self.login.user != self.server.admin.user

    denied = (pymysql.err.OperationalError, pymysql.err.ProgrammingError)
    """What the driver raises where the server forbids something."""

    lost = (pymysql.err.OperationalError, pymysql.err.InterfaceError)
    """What it raises where the session was ended."""

    def own_ledger(self) -> Engine:
        """Take away a ledger that somebody else could have prepared."""
        self.query("DROP DATABASE IF EXISTS dbops")
        return self

    def run(self, *objects: Mapping[str, Any], connection: Mapping[str, Any] | None = None, **request: Any) -> Document:
        """Converge OBJECTS; CONNECTION are options that differ."""
        options = {**self.options, **(connection or {})}
        return converge({"connection": options, "objects": list(objects), **request})

    def one(self, declared: Mapping[str, Any], **request: Any) -> Document:
        """Converge one object and give its result."""
        result: Document = self.run(declared, **request)["objects"][0]
        return result

    def query(self, statement: str, parameters: Any = None, **more: Any) -> list[tuple[Any, ...]]:
        """Ask the server as root."""
        return self.server.query(statement, parameters, **more)

    def snapshot(self) -> dict[str, list[str]]:
        """Give what the server's tables say about accounts, privileges and databases."""
        tables = {name: self.query(f"SELECT * FROM mysql.{name}") for name in _TABLES[self.server.engine]}
        tables["databases"] = self.query(_DATABASES)
        return {name: sorted(map(str, rows)) for name, rows in tables.items()}

    def four_runs(self, *objects: Mapping[str, Any]) -> Document:
        """Bring OBJECTS about: changed, changed, ok, ok. Gives the document of the run that did it."""
        before = self.snapshot()
        planned = self.run(*objects, check=True)
        assert not planned["failed"], planned["objects"]
        assert planned["changed"]
        assert self.snapshot() == before, "a check changed the server"
        done = self.run(*objects)
        assert not done["failed"], done["objects"]
        assert done["changed"]
        after = self.snapshot()
        for check in (True, False):
            again = self.run(*objects, check=check)
            assert not again["failed"], again["objects"]
            assert not again["changed"], again["objects"]
            assert [one["steps"] for one in again["objects"]] == [[] for _ in objects]
        assert self.snapshot() == after, "a run without changes changed the server"
        return done

    def logs_in(self, user: str, password: str, database: str | None = None, **options: Any) -> bool:
        """Whether USER can log in, tried by nothing that the engine uses but the driver."""
        try:
            self.connect(user, password, database, **options).close()
        except pymysql.err.OperationalError:
            return False
        return True

    def connect(self, user: str, password: str, database: str | None = None, **options: Any) -> Any:
        """Log in as USER over TCP."""
        # As bytes: of text the driver takes that of Latin-1 only.
        return self.server.login(user, password.encode()).connect(database, **options)  # type: ignore[arg-type]

    def grants(self, user: str, host: str = "%") -> list[str]:
        """Give the server's own word about an account, without the lines that every account has."""
        name = "%s" if not host else "%s@%s"
        rows = self.query(f"SHOW GRANTS FOR {name}", (user, host) if host else (user,))
        return sorted(row[0] for row in rows if "GRANT USAGE ON *.*" not in row[0])


def owner(name: str, *, namespace: str = "team", kind: str = "DatabaseUser", cluster: str = "test") -> dict[str, str]:
    """Give an owner as the operator names one."""
    return {"cluster": cluster, "kind": kind, "namespace": namespace, "name": name}


def user(name: str, **options: Any) -> dict[str, Any]:
    """Declare a user."""
    return {"kind": "database_user", "name": name, **options}


def database(name: str, **options: Any) -> dict[str, Any]:
    """Declare a database."""
    return {"kind": "database", "name": name, **options}


def role(name: str, **options: Any) -> dict[str, Any]:
    """Declare a role."""
    return {"kind": "database_role", "name": name, **options}


def grant(**options: Any) -> dict[str, Any]:
    """Declare a grant."""
    return {"kind": "database_grant", **options}
