# SPDX-License-Identifier: GPL-3.0-or-later
"""Large servers in little time: what `content.Content` declares, made by plain SQL, many statements at a time.

The engine would need minutes for ten thousand objects, and this is not what is measured with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import psycopg
from benchmarks.content import Content, Entry
from pymysql.constants import CLIENT

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import engines, parse
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Desired
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry as LedgerEntry
from localstack.mysql import MySQLServer
from localstack.postgresql import PostgreSQLServer

AT_ONCE = 500
Statements = Iterable[str]
T = TypeVar("T")


def make(server: PostgreSQLServer | MySQLServer, content: Content) -> None:
    """Make the CONTENT on a SERVER that has nothing yet."""
    if isinstance(server, PostgreSQLServer):
        run_postgresql(server, _postgresql(content))
        by_database: dict[str, list[str]] = {}
        for database, role, word in content.of_roles:
            by_database.setdefault(database, []).append(f"GRANT {word} ON SCHEMA public TO {role}")
        for database, statements in by_database.items():
            run_postgresql(server, statements, database=database)
    else:
        run_mysql(server, _mysql(content, default_roles="TO" if server.engine == "mysql" else "FOR"))


def run_postgresql(server: PostgreSQLServer, statements: Statements, *, database: str = "postgres") -> None:
    """Run STATEMENTS as superuser, each run of those that may share a transaction as one message."""
    with psycopg.connect(server.admin.dsn(dbname=database), autocommit=True) as connection:
        for alone, those in _runs(statements):
            if alone:
                for one in those:
                    connection.execute(one.encode())
            else:
                connection.execute("; ".join(those).encode())


def _runs(statements: Statements) -> Iterator[tuple[bool, list[str]]]:
    alone: list[str] = []
    together: list[str] = []
    for one in statements:
        (alone if one.startswith("CREATE DATABASE") else together).append(one)
    yield True, alone
    for batch in batches(together, AT_ONCE):
        yield False, batch


def run_mysql(server: MySQLServer, statements: Statements) -> None:
    """Run STATEMENTS as root."""
    with server.admin.connect(client_flag=CLIENT.MULTI_STATEMENTS) as connection, connection.cursor() as cursor:
        for batch in batches(statements, AT_ONCE):
            cursor.execute("; ".join(batch))
            while cursor.nextset():
                pass


def batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Give THINGS in lists of at most SIZE."""
    rest = iter(things)
    while batch := list(islice(rest, size)):
        yield batch


def _postgresql(content: Content) -> Iterator[str]:
    yield from (f"CREATE DATABASE {name}" for name in content.databases)
    yield from (f"CREATE ROLE {name} NOLOGIN" for name in content.roles)
    yield from (f"CREATE ROLE {name} LOGIN" for name in content.users)
    yield from (f"GRANT {role} TO {user}" for user, role in content.memberships)
    yield from (f"GRANT {word} ON DATABASE {database} TO {user}" for database, user, word in content.on_databases)


def _mysql(content: Content, *, default_roles: str) -> Iterator[str]:
    yield from (f"CREATE DATABASE {name}" for name in content.databases)
    yield from (f"CREATE ROLE {name}" for name in content.roles)
    yield from (f"CREATE USER {name}@'%'" for name in content.users)
    for user, role in content.memberships:
        yield f"GRANT {role} TO {user}@'%'"
        yield f"SET DEFAULT ROLE {role} {default_roles} {user}@'%'"
    yield from (f"GRANT {word} ON {database}.* TO {user}@'%'" for database, user, word in content.on_databases)
    yield from (f"GRANT {word} ON {database}.* TO {role}" for database, role, word in content.of_roles)


def record(connection: Entry, objects: list[Entry]) -> None:
    """Write the OBJECTS, which are on the server, into its ledger, as if the engine had made them."""
    options = parse.connection(connection)
    declared = [one for one in parse.entries(objects, options["engine"]) if isinstance(one, Desired)]
    assert len(declared) == len(objects)
    with engines.server(options) as server:
        server.require_ledger()
        server.observe(declared)
        for one in declared:
            assert one.owner_record
            kind = server.kinds[one.kind]
            planned = kind.plan(one, server.state, {})
            assert planned.empty, (one.ref, planned.steps)
            server.note(LedgerEntry(str(kind.thing), one.name, one.owner_record, applied=planned.applied))
