# SPDX-License-Identifier: GPL-3.0-or-later
"""Random changes and random faults together, on three engines: in the end all is as declared.

The seed is printed and can be given by DBOPS_SEED, so that a run can be repeated.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest
from harness.life import live
from harness.sides import MySQLSide, PostgreSQLSide, Side
from installation import install_crds
from operator_process import OperatorProcess, install_account

from localstack.controlplane import ControlPlane
from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, binaries
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls


@pytest.fixture
def sides() -> Iterator[list[Side]]:
    """A server of each kind, to be broken."""
    with (
        PostgreSQLServer(embedded_with_tls()) as postgres,
        MySQLServer(binaries(MYSQL_9_7)) as mysql,
        MySQLServer(binaries(MARIADB_11_8)) as mariadb,
    ):
        yield [PostgreSQLSide("pg", postgres), MySQLSide("my", mysql), MySQLSide("ma", mariadb)]


def life(sides: list[Side], seconds: float, teams: int) -> None:
    """One random life."""
    seed = int(os.environ.get("DBOPS_SEED") or secrets.randbelow(2**32))
    print(f"DBOPS_SEED={seed}")
    with ControlPlane() as cluster:
        install_crds(cluster)
        # The brake on drops is another test's: here they are meant.
        operator = OperatorProcess(install_account(cluster), "--drop-brake=0")
        try:
            operator.start()
            print(live(cluster, operator, sides, seed=seed, seconds=seconds, teams=teams))
        finally:
            operator.clean_up()


@pytest.mark.feature("L14")
def test_a_random_life(sides: list[Side]) -> None:
    life(sides, seconds=180, teams=4)


@pytest.mark.slow
@pytest.mark.feature("L14")
@pytest.mark.timeout(3600)
def test_a_long_random_life(sides: list[Side]) -> None:
    life(sides, seconds=1800, teams=10)
