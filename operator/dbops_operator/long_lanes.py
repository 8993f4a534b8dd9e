# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work has places of its own, so that a backup never holds up a grant: how much of it is at work at a time.

The reconcilers of backups and restores call `do`; each job is a run of its own (run/pool.py), and is put together when
it has its place, since keys and passwords may change while it waits. Backups wait until their
server has room for one more, and then for a place; restores wait for places of their own, so that the night's backups
hold none of them up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator.logs import subject
from dbops_operator.metrics import Metrics
from dbops_operator.settings import Settings
from dbops_operator.work import Job, JobRunner, Told

RESTORE = "restore"


class LongWork:
    """All long work of one operator process; the LongLanes of work.py."""

    def __init__(self, runner: JobRunner, settings: Settings, metrics: Metrics) -> None:
        """Have jobs done by RUNNER."""
        self._runner = runner
        self._metrics = metrics
        self._places = {
            RESTORE: asyncio.Semaphore(settings.max_concurrent_backups),
            "": asyncio.Semaphore(settings.max_concurrent_backups),
        }
        self._per_server = settings.max_concurrent_backups_per_server
        self._servers: dict[str, asyncio.Semaphore] = {}
        self._users: Counter[str] = Counter()

    async def do(
        self,
        action: str,
        lane: str,
        prepare: Callable[[], Awaitable[Job]],
        *,
        told: Told,
        cancel: asyncio.Event,
    ) -> Mapping[str, Any]:
        """Wait for a place, and do the job that PREPARE gives then; see work.LongLanes."""
        async with AsyncExitStack() as stack:
            if lane and action != RESTORE:
                server = await stack.enter_async_context(self._server(lane))
                await self._take(stack, server, cancel)
            await self._take(stack, self._places[RESTORE if action == RESTORE else ""], cancel)
            job = await prepare()
            with self._metrics.long_work.labels(action).track_inprogress():
                return await self._work(job, told, cancel)

    async def _work(self, job: Job, told: Told, cancel: asyncio.Event) -> Mapping[str, Any]:
        cancels: asyncio.Queue[str] = asyncio.Queue()

        async def forward() -> None:
            await cancel.wait()
            cancels.put_nowait(job.ref)

        about = subject.get()

        def name(run: str) -> None:
            if about:
                about.run = run

        forwarding = asyncio.ensure_future(forward())
        try:
            return await self._runner.job(job, on_run=name, told=told, cancels=cancels)
        finally:
            forwarding.cancel()

    @asynccontextmanager
    async def _server(self, lane: str) -> AsyncIterator[asyncio.Semaphore]:
        """The room of a server, which is forgotten when nobody uses it."""
        self._users[lane] += 1
        try:
            yield self._servers.setdefault(lane, asyncio.Semaphore(self._per_server))
        finally:
            self._users[lane] -= 1
            if not self._users[lane]:
                del self._users[lane], self._servers[lane]

    async def _take(self, stack: AsyncExitStack, places: asyncio.Semaphore, cancel: asyncio.Event) -> None:
        """Take a place until STACK ends. Raises DbopsError with Cancelled when CANCEL is set before there is one."""
        taking, cancelled = asyncio.ensure_future(places.acquire()), asyncio.ensure_future(cancel.wait())
        either: set[asyncio.Future[Any]] = {taking, cancelled}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            cancelled.cancel()
            if taking.done():
                stack.callback(places.release)
            else:
                taking.cancel()
        if not taking.done():
            raise DbopsError(Reason.CANCELLED, "cancelled while it waited for its turn")
