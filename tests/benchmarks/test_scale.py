# SPDX-License-Identifier: GPL-3.0-or-later
"""What one object of a run with nothing to change costs, with 100 and with 10,000 of them, all with an owner."""

from __future__ import annotations

import statistics
import time
from typing import Any

import pytest
from benchmarks import population
from benchmarks.content import Content
from benchmarks.measures import Figures

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge
from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, binaries
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

SIZES = {100: 7, 1_000: 3, 10_000: 1}
"""How many objects, and how often."""
GROWTH = 1.5


def cost(server: PostgreSQLServer | MySQLServer, engine: str, count: int) -> float:
    """Give the milliseconds that each of COUNT objects takes, on a SERVER that has nothing yet."""
    content = Content(engine, count)
    population.make(server, content)
    objects = content.declared("bench")
    connection = {**server.admin.options(), "engine": engine}
    population.record(connection, objects)
    seconds = []
    for _ in range(SIZES[count]):
        begin = time.perf_counter()
        document = converge({"connection": connection, "objects": objects, "check": False})
        seconds.append(time.perf_counter() - begin)
        assert not document["changed"]
        assert not document["failed"]
    return statistics.median(seconds) / count * 1000


@pytest.mark.parametrize(
    ("title", "version"), [("PostgreSQL", None), ("MySQL", MYSQL_9_7), ("MariaDB", MARIADB_11_8)], ids=str
)
def test_flat(figures: Figures, title: str, version: Any) -> None:
    found = []
    for count in SIZES:
        start = MySQLServer(binaries(version)) if version else PostgreSQLServer(embedded_with_tls())
        with start as server:
            found.append(cost(server, server.engine if isinstance(server, MySQLServer) else "postgres", count))
    text = ", ".join(f"{one:.2f} ms with {count:,}" for one, count in zip(found, SIZES, strict=True))
    figures.note(f"(g) {title}, `converge` with nothing to change, for each object", text)
    assert found[-1] <= GROWTH * found[0]
