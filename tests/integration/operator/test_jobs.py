# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work in real runs of ansible-runner: what comes back, how it is cancelled, what is left of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from dbops_operator.metrics import Metrics
from dbops_operator.run import processes
from dbops_operator.run.pool import Pool
from dbops_operator.settings import Settings
from dbops_operator.work import Job, RunFailed, Told
from localstack.postgresql import PostgreSQLServer
from localstack.processes import wait_until

WAITING = "SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database WHERE NOT granted AND datname = %s"


@pytest_asyncio.fixture
async def pool(tmp_path: Path, postgres: PostgreSQLServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    """A pool without standby runs, whose runs find the client tools."""
    runs = tmp_path / "runs"
    runs.mkdir()
    one = Pool(Settings(cluster_id="c", run_directory=runs, standby_runs=0), Metrics())
    monkeypatch.setenv("PATH", str(postgres.binaries.directory), prepend=os.pathsep)
    yield one
    await one.close()
    assert processes.of_run(runs) == []
    assert not list(runs.iterdir())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The directory of a store of files."""
    path = tmp_path / "store"
    path.mkdir()
    return path


@pytest.fixture
def locked(postgres: PostgreSQLServer, unique: Callable[[str], str]) -> Iterator[str]:
    """A database with a table that cannot be dumped as long as the test lasts."""
    name, login = unique("d"), postgres.admin
    postgres.query(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    with psycopg.connect(
        host=login.host, port=login.port, user=login.user, password=login.password, dbname=name
    ) as holder:
        holder.execute("CREATE TABLE t AS SELECT 1 AS x")
        holder.commit()
        holder.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        yield name
    # A killed dump's session ends on the server when it gets the lock, or has waited for as long as it may.
    sessions = "SELECT 1 FROM pg_stat_activity WHERE datname = %s"
    wait_until(lambda: postgres.query(sessions, [name]) == [], what="nobody is in the database")
    postgres.query(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name)))


def backup(postgres: PostgreSQLServer, store: Path, database: str, *, seconds: float = 60) -> Job:
    options = {
        **postgres.admin.options(),
        "database": database,
        "started": "2026-01-01T00:00:00Z",
        "storage": {"type": "file", "prefix": "", "file": {"path": str(store)}},
        "compression": {"algorithm": "none"},
    }
    return Job("DatabaseBackup/team/b", "backup", options, seconds=seconds)


async def do(pool: Pool, job: Job, cancels: asyncio.Queue[str], told: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    return await pool.job(job, on_run=lambda _: None, told=Told(told.append), cancels=cancels)


async def until_it_waits(postgres: PostgreSQLServer, database: str) -> None:
    """Return when the dump waits for the lock."""
    await asyncio.to_thread(wait_until, lambda: postgres.query(WAITING, [database]) != [], what="the dump waits")


def left(store: Path) -> list[str]:
    """What is in the store."""
    return sorted(one.name for one in store.iterdir())


@pytest.mark.feature("B09")
async def test_a_job_is_done_and_its_end_comes_back(pool: Pool, store: Path, postgres: PostgreSQLServer) -> None:
    told: list[Mapping[str, Any]] = []
    result = await do(pool, backup(postgres, store, "postgres"), asyncio.Queue(), told)
    assert not result["failed"], result
    assert result["backup"]["path"] in left(store)
    assert told
    again = await do(pool, backup(postgres, store, "postgres"), asyncio.Queue(), told)
    assert (again["changed"], again["backup"]) == (False, result["backup"])


@pytest.mark.feature("B08")
async def test_a_cancelled_job_leaves_nothing(pool: Pool, store: Path, postgres: PostgreSQLServer, locked: str) -> None:
    cancels: asyncio.Queue[str] = asyncio.Queue()
    job = backup(postgres, store, locked)
    work = asyncio.ensure_future(do(pool, job, cancels, []))
    await until_it_waits(postgres, locked)
    cancels.put_nowait(job.ref)
    result = await asyncio.wait_for(work, 10)
    assert (result["failed"], result["reason"]) == (True, "Cancelled")
    assert left(store) == []


@pytest.mark.feature("B08")
async def test_the_end_of_the_operator_takes_a_job_back(
    pool: Pool, store: Path, postgres: PostgreSQLServer, locked: str
) -> None:
    work = asyncio.ensure_future(do(pool, backup(postgres, store, locked), asyncio.Queue(), []))
    await until_it_waits(postgres, locked)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert left(store) == []


@pytest.mark.feature("B08")
async def test_a_deadline_ends_a_job(pool: Pool, store: Path, postgres: PostgreSQLServer, locked: str) -> None:
    result = await do(pool, backup(postgres, store, locked, seconds=2), asyncio.Queue(), [])
    assert (result["reason"], result["field"]) == ("Timeout", "deadline")
    assert left(store) == []


async def test_a_job_that_nobody_knows_breaks_its_run_alone(pool: Pool) -> None:
    with pytest.raises(RunFailed):
        await do(pool, Job("x", "nonsense", {}, seconds=60), asyncio.Queue(), [])
