# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine on the session's servers of MySQL and MariaDB, each test twice: as root and as a managed cloud's admin."""

from __future__ import annotations

import pytest
from integration.mysql.engine import Engine

from localstack.mysql import MySQLLogin, MySQLServer


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
