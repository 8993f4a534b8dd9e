# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool of runs: a few wait for work at any time, each does one unit and is replaced.

The lanes (lanes.py) hand units over, at most as many at a time as there are cores; that bound is theirs. With no
run waiting a new one is started and everything is the same, only slower.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator.metrics import Metrics
from dbops_operator.run.directory import RunsFolder
from dbops_operator.run.standby import Run
from dbops_operator.settings import Settings, cores
from dbops_operator.work import Job, Outcome, RunNotStarted, Told, UnitOfWork

logger = logging.getLogger(__name__)

SECONDS_TO_WAIT = 300.0
"""A run that waited longer is replaced: its Ansible or collection may have changed meanwhile."""
# Between two tries to fill the pool when runs do not start.
_FIRST_PAUSE = 5.0
_LONGEST_PAUSE = 60.0


class Pool:
    """The runs of one operator process; a Runner of work.py."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Keep `settings.standby_runs` runs waiting."""
        # ansible-runner finds ansible-playbook by PATH: it shall be the one beside this Python.
        os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
        self._folder = RunsFolder(settings.run_directory)
        self._wanted = settings.standby_runs
        self._metrics = metrics
        self._waiting: deque[Run] = deque()
        self._running: set[Run] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._filling = asyncio.Semaphore(cores())
        self._coming = 0
        self._failures = 0
        self._changed = asyncio.Event()
        self._closed = False

    def start(self) -> None:
        """Begin to fill the pool."""
        self._refill()
        self._spawn(self._replace_old())

    async def available(self) -> None:
        """Return when a run waits for work, or when none is on its way: what gathers until then is one unit."""
        while not self._waiting and self._coming and not self._failures:
            self._changed.clear()
            await self._changed.wait()

    async def run(
        self,
        unit: UnitOfWork,
        *,
        on_run: Callable[[str], None],
        on_result: Callable[[ObjectResult], None],
        cancels: asyncio.Queue[str],
        more: Callable[[Outcome], Awaitable[UnitOfWork | None]],
    ) -> None:
        """Do UNIT in a run of its own, and what MORE gives after it. Raises RunFailed."""
        begin = time.monotonic()
        run = self._take()
        if run is None:
            run = await self._prepare()
        if not self._waiting:
            self._refill()
        on_run(run.name)
        self._metrics.run_seconds.labels("prepare").observe(time.monotonic() - begin)
        begin = time.monotonic()
        try:
            await run.work(unit, on_result=on_result, cancels=cancels, more=more)
        except BaseException:
            self._metrics.runs.labels("failed").inc()
            raise
        finally:
            self._metrics.run_seconds.labels("work").observe(time.monotonic() - begin)
            self._spawn(self._finish(run))
            # Only now: preparing runs takes the cores from the work that is waited for.
            self._refill()
        self._metrics.runs.labels("done").inc()

    async def job(
        self, job: Job, *, on_run: Callable[[str], None], told: Told, cancels: asyncio.Queue[str]
    ) -> Mapping[str, Any]:
        """Do JOB in a run of its own; the next one comes in its place at once. Raises RunFailed."""
        run = self._take() or await self._prepare()
        self._refill()
        on_run(run.name)
        try:
            result = await run.job(job, told=told, cancels=cancels)
        except BaseException:
            self._metrics.runs.labels("failed").inc()
            raise
        finally:
            self._spawn(self._finish(run))
        self._metrics.runs.labels("done").inc()
        return result

    async def close(self) -> None:
        """End all runs and remove the folder."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(run.kill() for run in tuple(self._running)), return_exceptions=True)
        self._folder.close()

    def _take(self) -> Run | None:
        while self._waiting:
            run = self._waiting.popleft()
            self._metrics.standby_runs.set(len(self._waiting))
            if run.usable and not run.ended.is_set():
                return run
        return None

    def _refill(self) -> None:
        while not self._closed and len(self._waiting) + self._coming < self._wanted:
            self._coming += 1
            self._spawn(self._fill())

    async def _fill(self) -> None:
        try:
            async with self._filling:
                run = await self._prepare()
            self._failures = 0
            self._waiting.append(run)
            self._metrics.standby_runs.set(len(self._waiting))
            self._spawn(self._watch(run))
        except RunNotStarted as error:
            self._failures += 1
            self._changed.set()
            logger.error("%s", error.message)
            await asyncio.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * self._failures))
        finally:
            self._coming -= 1
            self._changed.set()
            self._refill()

    async def _prepare(self) -> Run:
        try:
            run = Run(self._folder.new_run())
        except OSError as error:
            raise RunNotStarted(Reason.INTERNAL_ERROR, f"the folder of a run cannot be made: {error}") from error
        self._running.add(run)
        run_ended = asyncio.ensure_future(run.ended.wait())
        run_ended.add_done_callback(lambda _: self._running.discard(run))
        await run.ready()
        return run

    async def _watch(self, run: Run) -> None:
        """Replace a run that ends while it waits."""
        await run.ended.wait()
        with suppress(ValueError):
            self._waiting.remove(run)
            logger.warning("run %s ended while it waited for work", run.name)
            self._refill()

    async def _replace_old(self) -> None:
        while True:
            await asyncio.sleep(SECONDS_TO_WAIT / 10)
            for run in [one for one in self._waiting if time.monotonic() - one.started > SECONDS_TO_WAIT]:
                self._waiting.remove(run)
                self._spawn(run.kill())
            self._refill()

    async def _finish(self, run: Run) -> None:
        begin = time.monotonic()
        await run.finish()
        self._metrics.run_seconds.labels("end").observe(time.monotonic() - begin)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
