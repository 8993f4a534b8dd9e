# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine on the session's server, each test twice: as superuser and as the admin of a managed cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from integration.postgresql.engine import Engine
from integration.postgresql.shop import Shop, make_shop

from localstack.postgresql import Login, PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls


@pytest.fixture(params=["superuser", "weak admin"])
def engine(request: pytest.FixtureRequest, postgres: PostgreSQLServer, weak_postgres: Login) -> Engine:
    """The engine as each of the two kinds of admin accounts."""
    return Engine(postgres, postgres.admin if request.param == "superuser" else weak_postgres).own_ledger()


@pytest.fixture
def shop(engine: Engine, unique: Callable[[str], str]) -> Shop:
    """A database with something of every kind that can be granted, in the server of `engine`."""
    return make_shop(engine, unique)


@pytest.fixture
def superuser_engine(postgres: PostgreSQLServer) -> Engine:
    """The engine as superuser, for what does not depend on the account."""
    return Engine(postgres, postgres.admin)


@pytest.fixture
def weak_engine(postgres: PostgreSQLServer, weak_postgres: Login) -> Engine:
    """The engine as the admin of a managed cloud."""
    return Engine(postgres, weak_postgres)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgreSQLServer]:
    """A server for one file of tests: to break, to fill up, to configure."""
    with PostgreSQLServer(embedded_with_tls(), settings={"max_connections": "12"}) as server:
        yield server


@pytest.fixture
def own_engine(own_postgres: PostgreSQLServer) -> Engine:
    """The engine as superuser on the file's own server."""
    return Engine(own_postgres, own_postgres.admin)
