# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that are configured in ways which change what names mean: case, partial revokes, required keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from integration.mysql.engine import Engine, database, grant, owner, role, user
from integration.mysql.test_grant import works

from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, binaries

Unique = Callable[[str], str]


@pytest.fixture(scope="module")
def folding() -> Iterator[Engine]:
    """A server of MariaDB that keeps names of databases and tables in lower case."""
    with MySQLServer(binaries(MARIADB_11_8), settings={"lower-case-table-names": "1"}) as server:
        yield Engine(server, server.weak_admin())


@pytest.fixture(scope="module")
def revoking() -> Iterator[Engine]:
    """A server of MySQL with partial revokes, where a pattern in a grant is none, and tables must have keys."""
    settings = {"partial-revokes": "ON", "sql-require-primary-key": "ON"}
    with MySQLServer(binaries(MYSQL_9_7), settings=settings) as server:
        yield Engine(server, server.admin)


@pytest.mark.feature("D12", "G03")
def test_case_does_not_matter_where_the_server_folds_it(folding: Engine, unique: Unique) -> None:
    name, place = unique("app"), unique("Db").upper()
    mine = owner("d", kind="Database")
    done = folding.four_runs(database(place, dbops_owner=mine))
    assert done["objects"][0]["observed"]["name"] == place.lower()
    assert not folding.one(database(place.lower(), dbops_owner=mine, adopt=True, force=True))["failed"]
    folding.query(f"CREATE TABLE `{place}`.Orders (Id int)")
    gift = grant(user=name, dbops_owner=owner("g", kind="DatabaseGrant"))
    folding.four_runs(
        user(name, password="x"),
        gift
        | {
            "grants": [
                {"database": place, "privileges": ["INSERT"]},
                {"database": place, "table": "ORDERS", "privileges": ["SELECT"]},
                {"database": place, "table": "Orders", "columns": ["ID"], "privileges": ["UPDATE"]},
            ]
        },
    )
    assert works(folding, name, f"SELECT * FROM {place}.orders")
    folding.four_runs(gift)
    assert folding.grants(name) == []
    folding.four_runs(database(place, dbops_owner=mine, state="absent", force=True))


@pytest.mark.feature("G03")
def test_with_partial_revokes_names_are_not_escaped(revoking: Engine, unique: Unique) -> None:
    """Escaped ones would grant nothing."""
    name, place = unique("app"), unique("db_x")
    gift = grant(user=name, dbops_owner=owner("g", kind="DatabaseGrant"))
    declared = gift | {"grants": [{"database": place, "privileges": ["SELECT", "CREATE"]}]}
    revoking.four_runs(user(name, password="x"), database(place), declared)
    assert revoking.query("SELECT Db FROM mysql.db WHERE User = %s", [name]) == [(place,)]
    assert works(revoking, name, f"CREATE TABLE {place}.t (i int PRIMARY KEY)")
    revoking.four_runs(gift)
    assert revoking.grants(name) == []


@pytest.mark.feature("I11")
def test_the_ledger_where_tables_must_have_keys(revoking: Engine, unique: Unique) -> None:
    name = unique("app")
    revoking.four_runs(role(name, dbops_owner=owner(name)))
    assert revoking.query("SELECT state FROM dbops.object WHERE name = %s", [name]) == [("present",)]
