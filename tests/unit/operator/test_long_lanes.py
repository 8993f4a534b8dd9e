# SPDX-License-Identifier: GPL-3.0-or-later
"""Places of long work: who waits for whom, what a cancel does, and that no place is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator.long_lanes import LongWork
from dbops_operator.metrics import Metrics
from dbops_operator.settings import Settings
from dbops_operator.work import Job, RunFailed, Told


class Runs:
    """Jobs end when the test says so."""

    def __init__(self) -> None:
        self.working: dict[str, asyncio.Event] = {}
        self.cancelled: list[str] = []
        self.breaks: set[str] = set()

    async def job(
        self, job: Job, *, on_run: Callable[[str], None], told: Told, cancels: asyncio.Queue[str]
    ) -> Mapping[str, Any]:
        on_run(f"run-of-{job.ref}")
        self.working[job.ref] = end = asyncio.Event()
        told.progress({"phase": "dump", "bytes": 1})
        ended, cancelled = asyncio.ensure_future(end.wait()), asyncio.ensure_future(cancels.get())
        try:
            await asyncio.wait({ended, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if job.ref in self.breaks:
                raise RunFailed(Reason.INTERNAL_ERROR, "broken")
            if cancelled.done():
                self.cancelled.append(cancelled.result())
                return {"failed": True, "reason": "Cancelled"}
            return {"failed": False}
        finally:
            del self.working[job.ref]
            ended.cancel()
            cancelled.cancel()


class Bench:
    """Long work, and what was told of it."""

    def __init__(self, places: int = 2, per_server: int = 1) -> None:
        self.runs = Runs()
        self.metrics = Metrics()
        settings = Settings(cluster_id="c", max_concurrent_backups=places, max_concurrent_backups_per_server=per_server)
        self.work = LongWork(self.runs, settings, self.metrics)
        self.begun: list[str] = []
        self.told: list[Mapping[str, Any]] = []
        self.cancels: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[Mapping[str, Any]]] = {}

    async def start(self, ref: str, *, server: str = "one", action: str = "backup") -> None:
        async def prepare() -> Job:
            self.begun.append(ref)
            return Job(ref, action, {}, seconds=60)

        self.cancels[ref] = asyncio.Event()
        doing = self.work.do(action, server, prepare, told=Told(self.told.append), cancel=self.cancels[ref])
        self.tasks[ref] = asyncio.create_task(doing)
        await turn()

    async def end(self, ref: str) -> Mapping[str, Any]:
        self.runs.working[ref].set()
        result = await self.tasks[ref]
        await turn()
        return result


async def turn() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.feature("S02")
async def test_one_backup_at_a_time_on_a_server_and_others_beside_it() -> None:
    bench = Bench()
    for ref in ("a", "b"):
        await bench.start(ref)
    await bench.start("other", server="two")
    assert bench.begun == ["a", "other"]
    assert set(bench.runs.working) == {"a", "other"}
    await bench.end("a")
    assert bench.begun == ["a", "other", "b"]
    await bench.end("b")
    assert await bench.end("other") == {"failed": False}
    assert not bench.work._servers
    assert bench.told[0] == {"phase": "dump", "bytes": 1}


async def test_who_waits_for_a_busy_server_takes_no_place() -> None:
    bench = Bench(places=2)
    for ref in ("a", "b", "c"):
        await bench.start(ref)
    await bench.start("other", server="two")
    assert set(bench.runs.working) == {"a", "other"}
    await bench.start("third", server="three")
    assert bench.begun == ["a", "other"]
    await bench.end("other")
    assert bench.begun == ["a", "other", "third"]


async def test_restores_do_not_wait_for_backups() -> None:
    bench = Bench(places=1)
    await bench.start("backup")
    await bench.start("restore", action="restore")
    await bench.start("second", action="restore")
    assert set(bench.runs.working) == {"backup", "restore"}


@pytest.mark.feature("B08")
async def test_what_is_cancelled_while_it_waits_never_begins() -> None:
    bench = Bench()
    for ref in ("a", "b", "c"):
        await bench.start(ref)
    bench.cancels["b"].set()
    with pytest.raises(DbopsError) as error:
        await bench.tasks["b"]
    assert error.value.reason is Reason.CANCELLED
    await bench.end("a")
    assert bench.begun == ["a", "c"]


@pytest.mark.feature("B08")
async def test_what_is_cancelled_at_work_is_told_to_end() -> None:
    bench = Bench()
    await bench.start("a")
    bench.cancels["a"].set()
    assert (await bench.tasks["a"])["reason"] == "Cancelled"
    assert bench.runs.cancelled == ["a"]


async def test_no_place_is_lost_however_it_ends() -> None:
    bench = Bench(places=1)
    bench.runs.breaks = {"a"}
    await bench.start("a")
    bench.runs.working["a"].set()
    with pytest.raises(RunFailed):
        await bench.tasks["a"]
    await bench.start("b")
    for ref in ("waits", "c"):
        await bench.start(ref)
    for ref in ("waits", "b"):
        bench.tasks[ref].cancel()
        await asyncio.gather(bench.tasks[ref], return_exceptions=True)
    await turn()
    assert set(bench.runs.working) == {"c"}
    await bench.end("c")
    assert not bench.work._servers
    assert b'dbops_long_work{action="backup"} 0.0' in _text(bench.metrics)


def _text(metrics: Metrics) -> bytes:
    from prometheus_client import generate_latest

    return generate_latest(metrics.registry)
