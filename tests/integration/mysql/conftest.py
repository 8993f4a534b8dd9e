# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine on the session's servers of MySQL and MariaDB, each test twice: as root and as a managed cloud's admin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration.mysql.engine import Engine

from localstack.mysql import MySQLLogin, MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, binaries


@pytest.fixture
def engine(mysql_server: MySQLServer, mysql_admin: MySQLLogin) -> Engine:
    """The engine as each of the two kinds of admin accounts."""
    return Engine(mysql_server, mysql_admin)


@pytest.fixture
def superuser_engine(mysql_server: MySQLServer) -> Engine:
    """The engine as root, for what does not depend on the account."""
    return Engine(mysql_server, mysql_server.admin)


@pytest.fixture
def weak_engine(mysql_server: MySQLServer) -> Engine:
    """The engine as the admin of a managed cloud."""
    return Engine(mysql_server, mysql_server.weak_admin())


@pytest.fixture(scope="module", params=[MYSQL_9_7, MARIADB_11_8], ids=["MySQL 9.7", "MariaDB 11.8"])
def own_server(request: pytest.FixtureRequest) -> Iterator[MySQLServer]:
    """A server of each engine for one file of tests: to break, to fill up, to configure."""
    with MySQLServer(binaries(request.param), settings={"max-connections": "12"}) as server:
        yield server


@pytest.fixture
def own_engine(own_server: MySQLServer) -> Engine:
    """The engine as root on the file's own servers."""
    return Engine(own_server, own_server.admin)
