# SPDX-License-Identifier: GPL-3.0-or-later
"""One lane per database server: what waits for it, what goes into the next run, and when it is not tried at all.

Reconcilers call `converge` with one object each. What gathers while a lane is busy becomes the next unit of work,
at most 100 objects; an object that is alone is never delayed. As many units are in work at a time as there are
cores, for servers that answered lately; others share a small pool, so that dead servers never fill all places.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator.breaker import Breaker
from dbops_operator.keys import Key
from dbops_operator.metrics import Metrics
from dbops_operator.settings import Settings
from dbops_operator.work import Item, Outcome, Priority, RunFailed, Runner, ServerTarget, UnitOfWork

logger = logging.getLogger(__name__)

LARGEST_UNIT = 100
DOUBTFUL_UNITS = 2
"""How many units for servers that did not answer lately are in work at a time."""
DEADLINE = 180.0
DEADLINE_PER_OBJECT = 3.0
UNREACHABLE = (Reason.CONNECTION_FAILED.value, Reason.TIMEOUT.value)
_numbers = itertools.count()


@dataclass(eq=False)
class Pending:
    """One object on its way through a lane."""

    key: Key
    target: ServerTarget = field(repr=False)
    item: Item = field(repr=False)
    check: bool
    priority: Priority
    future: asyncio.Future[ObjectResult]
    number: int = field(default_factory=lambda: next(_numbers))


def choose(pending: Sequence[Pending], limit: int = LARGEST_UNIT) -> list[Pending]:
    """Give what goes into the next unit: the most urgent first, namespaces in turn, one connection and mode.

    Two objects with the same ref never share a unit. Pure.
    """
    turns: Counter[tuple[Priority, str]] = Counter()
    order: list[tuple[tuple[int, int, int], Pending]] = []
    for one in sorted(pending, key=lambda one: one.number):
        turn = turns[one.priority, one.key.namespace]
        turns[one.priority, one.key.namespace] += 1
        order.append(((one.priority, turn, one.number), one))
    ranked = [one for _, one in sorted(order, key=lambda entry: entry[0])]
    first = ranked[0]
    chosen: dict[str, Pending] = {}
    for one in ranked:
        if len(chosen) < limit and one.check == first.check and one.target == first.target:
            chosen.setdefault(one.item.ref, one)
    return list(chosen.values())


@dataclass
class _Lane:
    name: str
    breaker: Breaker = field(default_factory=Breaker)
    pending: list[Pending] = field(default_factory=list)
    working: dict[str, asyncio.Queue[str]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class ServerLanes:
    """All lanes of one operator process; the Lanes of work.py."""

    def __init__(self, runner: Runner, settings: Settings, metrics: Metrics) -> None:
        """Have units of work done by RUNNER."""
        self._runner = runner
        self._metrics = metrics
        self._lanes: dict[str, _Lane] = {}
        self._sound = asyncio.Semaphore(settings.max_concurrent_runs)
        self._doubtful = asyncio.Semaphore(DOUBTFUL_UNITS)

    async def converge(
        self,
        target: ServerTarget,
        obj: Mapping[str, Any],
        *,
        key: Key,
        priority: Priority,
        cancel: asyncio.Event | None = None,
        check: bool = False,
    ) -> ObjectResult:
        """Bring one object to its declared state; see work.Lanes."""
        lane = self._lanes.setdefault(target.lane, _Lane(target.lane))
        item = Item(str(obj.get("ref") or key.ref), obj)
        if lane.breaker.refuses(time.monotonic()):
            return _failed(item.ref, Reason.CONNECTION_FAILED, f"{lane.breaker.message} (not tried again yet)")
        future: asyncio.Future[ObjectResult] = asyncio.get_running_loop().create_future()
        pending = Pending(key, target, item, check, priority, future)
        lane.pending.append(pending)
        self._show(lane)
        if lane.task is None:
            lane.task = asyncio.create_task(self._work_off(lane))
        try:
            if cancel is None:
                return await future
            return await self._cancellable(lane, pending, cancel)
        finally:
            if pending in lane.pending:
                lane.pending.remove(pending)

    async def _cancellable(self, lane: _Lane, pending: Pending, cancel: asyncio.Event) -> ObjectResult:
        """Wait for the result; when CANCEL is set first, take the object out of its unit, or off the list."""
        cancelled = asyncio.ensure_future(cancel.wait())
        either: set[asyncio.Future[Any]] = {pending.future, cancelled}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            cancelled.cancel()
        if not pending.future.done():
            if pending in lane.pending:
                return _failed(pending.item.ref, Reason.CANCELLED, "replaced by a newer change")
            queue = lane.working.get(pending.item.ref)
            if queue:
                queue.put_nowait(pending.item.ref)
        return await pending.future

    async def _work_off(self, lane: _Lane) -> None:
        """Do unit after unit until nothing waits for the server."""
        try:
            while lane.pending:
                doubtful = lane.breaker.doubtful(time.monotonic())
                async with self._doubtful if doubtful else self._sound:
                    await self._next_unit(lane)
        finally:
            lane.task = None

    async def _next_unit(self, lane: _Lane) -> None:
        if not lane.pending:
            return
        unit = choose(lane.pending)
        for one in unit:
            lane.pending.remove(one)
        self._show(lane)
        lane.breaker.begin()
        try:
            await self._do(lane, unit)
        finally:
            lane.breaker.abandoned()
            self._metrics.lane_open.labels(lane.name).set(lane.breaker.is_open)
        if lane.breaker.is_open:
            # What waits meanwhile would fail in the same way, each after a connection timeout of its own.
            for one in lane.pending:
                _give(one, _failed(one.item.ref, Reason.CONNECTION_FAILED, lane.breaker.message))
            lane.pending.clear()
            self._show(lane)

    async def _do(self, lane: _Lane, unit: list[Pending]) -> None:
        """Do one unit. When its run breaks, halve what is left until the object that breaks it is alone."""
        by_ref = {one.item.ref: one for one in unit}
        cancels: asyncio.Queue[str] = asyncio.Queue()
        lane.working.update(dict.fromkeys(by_ref, cancels))
        work = UnitOfWork(
            target=unit[0].target,
            items=[one.item for one in unit],
            check=unit[0].check,
            deadline=DEADLINE + DEADLINE_PER_OBJECT * len(unit),
        )
        try:
            outcome = await self._runner.run(
                work, on_result=lambda result: _give(by_ref[result.ref], result), cancels=cancels
            )
            self._learn(lane, outcome)
            failure = RunFailed(Reason.INTERNAL_ERROR, "the run gave no result for this object")
        except RunFailed as error:
            failure = error
        finally:
            for ref in by_ref:
                lane.working.pop(ref, None)
        left = [one for one in unit if not one.future.done()]
        if len(left) <= 1:
            for one in left:
                one.future.set_exception(failure)
            return
        logger.warning("a run broke with %d objects left, which are tried in two halves: %s", len(left), failure)
        middle = len(left) // 2
        await self._do(lane, left[:middle])
        await self._do(lane, left[middle:])

    def _learn(self, lane: _Lane, outcome: Outcome) -> None:
        server = outcome.server
        if server.get("reachable"):
            lane.breaker.reached(time.monotonic())
            self._metrics.server_success.labels(lane.name).set_to_current_time()
        elif server.get("reason") in UNREACHABLE:
            lane.breaker.missed(time.monotonic(), str(server.get("message")))

    def _show(self, lane: _Lane) -> None:
        self._metrics.lane_pending.labels(lane.name).set(len(lane.pending))


def _give(pending: Pending, result: ObjectResult) -> None:
    if not pending.future.done():
        pending.future.set_result(result)


def _failed(ref: str, reason: Reason, message: str) -> ObjectResult:
    return ObjectResult(ref, failed=True, reason=reason, message=message)
