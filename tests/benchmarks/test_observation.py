# SPDX-License-Identifier: GPL-3.0-or-later
"""Observing a server with 10,000 roles and 50,000 grants, against bare queries that read the same rows.

The engine looks in a process of its own, whose memory is its own. Both connect anew each time.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from benchmarks import crowd
from benchmarks.measures import Figures

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import engines, parse
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Desired
from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, binaries
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

ROUNDS = 3
SLOWEST = 3
MOST_MEMORY = 200

_POSTGRESQL: tuple[LiteralString, ...] = (
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_auth_members",
    "SELECT d.*, pg_database_size(d.oid), o.rolname FROM pg_database d JOIN pg_authid o ON o.oid = d.datdba",
    "SELECT d.datname, x.* FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x",
)
_INSIDE: tuple[LiteralString, ...] = (
    "SELECT * FROM pg_extension",
    "SELECT * FROM pg_default_acl",
    "SELECT n.nspname, x.* FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x",
    """SELECT n.nspname, c.relname, g.rolname, x.grantor, x.privilege_type, x.is_grantable
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) x
    JOIN pg_authid g ON g.oid = x.grantee WHERE n.nspname = 'public'""",
)
_EACH = (
    "SELECT * FROM mysql.db",
    "SELECT * FROM mysql.tables_priv",
    "SELECT * FROM mysql.columns_priv",
    "SELECT * FROM mysql.procs_priv",
    "SELECT * FROM information_schema.SCHEMATA",
    "SELECT DB, ID FROM information_schema.PROCESSLIST",
    "SELECT * FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY",
)
_MYSQL = {
    "mysql": (
        *("SELECT * FROM mysql.user", "SELECT * FROM mysql.role_edges", "SELECT * FROM mysql.default_roles", *_EACH),
        *("SELECT * FROM mysql.global_grants", "SELECT * FROM information_schema.TABLES"),
    ),
    "mariadb": (
        *("SELECT * FROM mysql.global_priv", "SELECT * FROM mysql.roles_mapping", *_EACH),
        "SELECT * FROM information_schema.INNODB_SYS_TABLESPACES",
    ),
}


def engine_looks(engine: str, connection: dict[str, Any]) -> tuple[float, float]:
    """Observe all of it; give the median of the seconds that it took, and the most memory of this process in MiB."""
    declared = [one for one in parse.entries(crowd.declared(engine), engine) if isinstance(one, Desired)]
    options = parse.connection({**connection, "engine": engine})

    def look() -> None:
        with engines.server(options) as server:
            server.observe(declared)

    seconds = seconds_of(look)
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM:")]
    return seconds, int(line.split()[1]) / 1024


def seconds_of(work: Callable[[], None]) -> float:
    """How long WORK takes: the median of some rounds."""
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def bare_postgresql(server: PostgreSQLServer) -> None:
    """Read the same rows by bare psycopg."""
    with psycopg.connect(server.admin_dsn) as connection:
        for query in _POSTGRESQL:
            connection.execute(query).fetchall()
    for number in range(crowd.DATABASES["postgres"]):
        with psycopg.connect(server.admin.dsn(dbname=f"database_{number}")) as connection:
            for query in _INSIDE:
                connection.execute(query).fetchall()


def bare_mysql(server: MySQLServer) -> None:
    """Read the same rows by bare PyMySQL."""
    with server.admin.connect() as connection, connection.cursor() as cursor:
        for query in _MYSQL[server.engine]:
            cursor.execute(query)
            cursor.fetchall()


def compare(figures: Figures, server: PostgreSQLServer | MySQLServer, title: str, bare: Callable[[], None]) -> None:
    """Measure both and note the figures."""
    engine = server.engine if isinstance(server, MySQLServer) else "postgres"
    crowd.make(server)
    floor = seconds_of(bare)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        seconds, memory = pool.apply(engine_looks, (engine, server.admin.options()))
    ratio = seconds / floor
    figures.note(
        f"(f) {title} with 10,000 roles and 50,000 grants in {crowd.DATABASES[engine]:,} databases, observed",
        f"{seconds:.1f} s: {ratio:.1f} times bare queries for the same rows ({floor:.1f} s); {memory:.0f} MiB",
    )
    assert ratio <= SLOWEST
    assert memory < MOST_MEMORY


def test_postgresql(figures: Figures) -> None:
    with PostgreSQLServer(embedded_with_tls()) as server:
        compare(figures, server, "PostgreSQL", lambda: bare_postgresql(server))


@pytest.mark.parametrize(("title", "version"), [("MySQL", MYSQL_9_7), ("MariaDB", MARIADB_11_8)])
def test_mysql(figures: Figures, title: str, version: Any) -> None:
    with MySQLServer(binaries(version)) as server:
        compare(figures, server, title, lambda: bare_mysql(server))
