# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers with a database that has everything, and stores for its backups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from integration.backup.postgresql.backups import Backups
from integration.backup.postgresql.shop import Shop, make_shop
from psycopg.sql import SQL, Identifier

from localstack.postgresql import Login, PostgreSQLServer


@pytest.fixture
def shop(postgres: PostgreSQLServer, weak_postgres: Login, unique: Callable[[str], str]) -> Shop:
    """A database of the test's own on the session's server."""
    return make_shop(postgres, unique("shop"), weak=weak_postgres)


@pytest.fixture
def backups(postgres: PostgreSQLServer, tmp_path: Path) -> Backups:
    """The worker as the superuser of the session's server, with a store of the test's own."""
    return Backups(postgres, postgres.admin, tmp_path)


@pytest.fixture(params=["superuser", "weak admin"])
def both_backups(
    request: pytest.FixtureRequest, postgres: PostgreSQLServer, weak_postgres: Login, tmp_path: Path
) -> Iterator[Backups]:
    """The worker as each of the two kinds of admin."""
    if request.param == "superuser":
        yield Backups(postgres, postgres.admin, tmp_path)
        return
    # What a superuser gives to an account that shall dump tables with row-level security.
    weak = Identifier(weak_postgres.user)
    postgres.query(SQL("ALTER ROLE {} BYPASSRLS").format(weak))
    yield Backups(postgres, weak_postgres, tmp_path)
    postgres.query(SQL("ALTER ROLE {} NOBYPASSRLS").format(weak))
