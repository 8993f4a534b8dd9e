# SPDX-License-Identifier: GPL-3.0-or-later
"""A server with very many roles and grants, made by plain SQL, and the objects that declare all of it.

10,000 roles: 1,000 group roles, and 9,000 logins that are members of one of them. 50,000 grants: each of them has one
on five tables (PostgreSQL, in one of 20 databases) or on five databases of 2,000 (MySQL and MariaDB). 2,000 databases
of PostgreSQL would be 2,000 connections for whoever reads them, and 15 GB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from benchmarks.content import Entry
from benchmarks.population import batches, run_mysql, run_postgresql

from localstack.mysql import MySQLServer
from localstack.postgresql import PostgreSQLServer

ROLES = 10_000
GROUPS = 1_000
EACH = 5
DATABASES = {"postgres": 20, "mysql": 2_000, "mariadb": 2_000}

# As many roles as one statement grants to.
_TOGETHER = 50


def make(server: PostgreSQLServer | MySQLServer) -> None:
    """Make all of it."""
    if isinstance(server, MySQLServer):
        run_mysql(server, _mysql(server.engine))
        return
    run_postgresql(server, (f"CREATE DATABASE database_{number}" for number in range(DATABASES["postgres"])))
    run_postgresql(server, _roles())
    for number in range(DATABASES["postgres"]):
        run_postgresql(server, _tables(number), database=f"database_{number}")


def _roles() -> Iterator[str]:
    for option, numbers in (("NOLOGIN", f"0..{GROUPS - 1}"), ("LOGIN", f"{GROUPS}..{ROLES - 1}")):
        yield f"DO $$BEGIN FOR i IN {numbers} LOOP EXECUTE 'CREATE ROLE role_' || i || ' {option}'; END LOOP; END$$"
    for group, members in _members():
        yield f"GRANT role_{group} TO {', '.join(members)}"


def _members() -> Iterator[tuple[int, list[str]]]:
    for group in range(GROUPS):
        yield group, [f"role_{number}" for number in range(GROUPS + group, ROLES, GROUPS)]


def _place(number: int) -> tuple[int, int]:
    """PostgreSQL: give the database of a role, and the first of its tables."""
    databases = DATABASES["postgres"]
    return number % databases, number // databases // _TOGETHER * EACH


def _tables(database: int) -> Iterator[str]:
    by_table: dict[int, list[str]] = {}
    for number in range(database, ROLES, DATABASES["postgres"]):
        by_table.setdefault(_place(number)[1], []).append(f"role_{number}")
    for first, roles in by_table.items():
        names = [f"table_{first + number}" for number in range(EACH)]
        yield from (f"CREATE TABLE {name} ()" for name in names)
        yield f"GRANT SELECT ON {', '.join(names)} TO {', '.join(roles)}"


def _mysql(engine: str) -> Iterator[str]:
    """Write it into the server's own tables, which is all that is read: GRANT takes 5 ms with so many accounts."""
    yield from (f"CREATE DATABASE database_{number}" for number in range(DATABASES[engine]))
    groups = [f"role_{number}" for number in range(GROUPS)]
    members = [(f"role_{group}", member) for group, those in _members() for member in those]
    host = "" if engine == "mariadb" else "%"
    if engine == "mariadb":
        accounts = [("", name, '{"access": 0, "is_role": true}') for name in groups]
        accounts += [
            ("%", name, json.dumps({"access": 0, "plugin": "mysql_native_password", "default_role": group}))
            for group, name in members
        ]
        yield from _rows("mysql.global_priv (Host, User, Priv)", accounts)
        yield from _rows("mysql.roles_mapping (Host, User, Role)", [("%", name, one) for one, name in members])
    else:
        accounts = [("%", name, "Y", "", "", "") for name in [*groups, *(name for _group, name in members)]]
        columns = "Host, User, account_locked, ssl_cipher, x509_issuer, x509_subject"
        yield from _rows(f"mysql.user ({columns})", accounts)
        columns = "FROM_HOST, FROM_USER, TO_HOST, TO_USER"
        yield from _rows(f"mysql.role_edges ({columns})", [("%", one, "%", name) for one, name in members])
        columns = "DEFAULT_ROLE_HOST, DEFAULT_ROLE_USER, HOST, USER"
        yield from _rows(f"mysql.default_roles ({columns})", [("%", one, "%", name) for one, name in members])
    grants = [
        (host if number < GROUPS else "%", database, f"role_{number}", "Y")
        for number in range(ROLES)
        for database in _databases(number)
    ]
    yield from _rows("mysql.db (Host, Db, User, Select_priv)", grants)
    yield "FLUSH PRIVILEGES"


def _rows(into: str, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for some in batches(rows, 1000):
        values = ", ".join("({})".format(", ".join(f"'{value}'" for value in row)) for row in some)
        yield f"INSERT INTO {into} VALUES {values}"


def _databases(number: int) -> list[str]:
    return [f"database_{(number * EACH + one) % DATABASES['mysql']}" for one in range(EACH)]


def declared(engine: str) -> list[Entry]:
    """Give the objects for `converge` that declare all of it."""
    objects: list[Entry] = [{"kind": "database", "name": f"database_{number}"} for number in range(DATABASES[engine])]
    for number in range(ROLES):
        name = f"role_{number}"
        if number < GROUPS:
            objects.append({"kind": "database_role", "name": name})
        else:
            objects.append({"kind": "database_user", "name": name, "in_roles": [f"role_{number % GROUPS}"]})
        grants: list[Entry] = []
        if engine == "postgres":
            database, first = _place(number)
            tables = [f"table_{first + one}" for one in range(EACH)]
            grants = [{"database": f"database_{database}", "tables": tables, "privileges": ["SELECT"]}]
        else:
            grants = [{"database": database, "privileges": ["SELECT"]} for database in _databases(number)]
        objects.append({"kind": "database_grant", "role" if number < GROUPS else "user": name, "grants": grants})
    return objects
