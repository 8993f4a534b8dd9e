# SPDX-License-Identifier: GPL-3.0-or-later
"""One lane per database server: what waits for it, what goes into the next run, and when it is not tried at all.

Reconcilers call `converge` with one object each. What gathers while a lane is busy becomes the next unit of work,
at most 100 objects; an object that is alone is never delayed. As many units are in work at a time as there are
cores, for servers that answered lately; others share a small pool, so that dead servers never fill all places.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import audit
from dbops_operator.breaker import Breaker
from dbops_operator.keys import Key
from dbops_operator.logs import Subject, subject
from dbops_operator.metrics import Metrics
from dbops_operator.settings import Settings
from dbops_operator.work import Item, Outcome, Priority, RunFailed, Runner, RunNotStarted, ServerTarget, UnitOfWork

logger = logging.getLogger(__name__)

LARGEST_UNIT = 100
DOUBTFUL_UNITS = 2
"""How many units for servers that did not answer lately are in work at a time."""
NEXT_PROBE = 15.0
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
    subject: Subject | None = None
    """What the caller's log lines say; told the run's name."""
    given_up: bool = False
    """Nobody waits for it any more, or only for an end between two of its steps."""
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
    refused: set[Key] = field(default_factory=set)
    """Objects that failed since the server is not reachable; looked at again when it is."""
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None


class ServerLanes:
    """All lanes of one operator process; the Lanes of work.py."""

    def __init__(
        self,
        runner: Runner,
        settings: Settings,
        metrics: Metrics,
        *,
        wake: Callable[[Key, Priority], None],
        editor: Callable[[Key], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Have units of work done by RUNNER; WAKE has an object looked at whose server is reachable again.

        EDITOR gives the last editor of an object, for the audit trail.
        """
        self._runner = runner
        self._metrics = metrics
        self._wake = wake
        self._editor = editor
        self._clock = clock
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
        if lane.breaker.refuses(self._clock()):
            lane.refused.add(key)
            return _failed(item.ref, Reason.CONNECTION_FAILED, f"{lane.breaker.message} (not tried again yet)")
        future: asyncio.Future[ObjectResult] = asyncio.get_running_loop().create_future()
        pending = Pending(key, target, item, check, priority, future, subject.get())
        lane.pending.append(pending)
        self._show(lane)
        if lane.task is None:
            # In a context of its own: it works for all objects of the lane, not for the one that came first.
            lane.task = asyncio.create_task(self._work_off(lane), context=contextvars.Context())
        try:
            if cancel is None:
                return await future
            return await self._cancellable(lane, pending, cancel)
        finally:
            if not pending.future.done() or pending.future.cancelled():
                _give_up(lane, pending)
            if pending in lane.pending:
                lane.pending.remove(pending)
                self._show(lane)

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
            _give_up(lane, pending)
        return await pending.future

    async def _work_off(self, lane: _Lane) -> None:
        """Do unit after unit until nothing waits for the server."""
        try:
            while lane.pending:
                doubtful = lane.breaker.doubtful(self._clock())
                async with self._doubtful if doubtful else self._sound:
                    await self._next_unit(lane)
        finally:
            lane.task = None

    async def _next_unit(self, lane: _Lane) -> None:
        # Chosen last: while all runs are used, more gathers, and one run does it all.
        await self._runner.available()
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
            lane.refused.update(one.key for one in (*unit, *lane.pending))
            lane.pending.clear()
            self._show(lane)
            self._probe_in(lane, max(0.0, lane.breaker.until - self._clock()))

    def _probe_in(self, lane: _Lane, seconds: float) -> None:
        if lane.timer:
            lane.timer.cancel()
        lane.timer = asyncio.get_running_loop().call_later(seconds, self._probe, lane, context=contextvars.Context())

    def _probe(self, lane: _Lane) -> None:
        """Have one object looked at whose server was not reachable: whether it is again shall not wait for a retry."""
        if lane.breaker.is_open and lane.refused:
            # An instance has the lightest work: it only asks.
            key = min(lane.refused, key=lambda key: (not key.kind.endswith("Instance"), key))
            lane.refused.remove(key)
            self._wake(key, Priority.RETRY)
            # It may have been deleted, or wait for something else by now; then it is the next one's turn.
            self._probe_in(lane, NEXT_PROBE)

    async def _do(self, lane: _Lane, unit: list[Pending]) -> None:
        """Do one unit. When its run breaks, halve what is left until the object that breaks it is alone."""
        for one in unit:
            if one.given_up:
                _give(one, _failed(one.item.ref, Reason.CANCELLED, "replaced by a newer change"))
        unit = [one for one in unit if not one.future.done()]
        if not unit:
            return
        failure = await self._run(lane, unit)
        left = [one for one in unit if not one.future.done()]
        if len(left) <= 1 or isinstance(failure, RunNotStarted):
            for one in left:
                one.future.set_exception(failure)
            return
        logger.warning("a run broke with %d objects left, which are tried in two halves: %s", len(left), failure)
        middle = len(left) // 2
        await self._do(lane, left[:middle])
        await self._do(lane, left[middle:])

    async def _run(self, lane: _Lane, unit: list[Pending]) -> RunFailed:
        """Have a run do one unit. Gives what there is to say of objects that have no result afterwards."""
        by_ref = {one.item.ref: one for one in unit}
        cancels: asyncio.Queue[str] = asyncio.Queue()

        run = ""

        def begin(name: str) -> None:
            nonlocal run
            run = name
            for one in unit:
                if one.subject:
                    one.subject.run = name

        def take(result: ObjectResult) -> None:
            if result.ref in by_ref:
                if not unit[0].check:
                    audit.record(result, server=lane.name, run=run, editor=self._editor(by_ref[result.ref].key))
                _give(by_ref[result.ref], result)
            else:
                logger.error("InternalError: a run gave a result for %s, which it was not asked for", result.ref)

        lane.working.update(dict.fromkeys(by_ref, cancels))
        work = UnitOfWork(
            target=unit[0].target,
            items=[one.item for one in unit],
            check=unit[0].check,
            deadline=DEADLINE + DEADLINE_PER_OBJECT * len(unit),
        )
        try:
            outcome = await self._runner.run(work, on_run=begin, on_result=take, cancels=cancels)
        except RunFailed as error:
            return error
        except Exception:  # whatever it is, nobody may wait for ever
            logger.exception("a bug in a run, please report it")
            return RunFailed(Reason.INTERNAL_ERROR, "the run broke by a bug of the operator; its log tells more")
        finally:
            for ref in by_ref:
                lane.working.pop(ref, None)
        self._learn(lane, outcome, unit)
        return RunFailed(Reason.INTERNAL_ERROR, "the run gave no result for this object")

    def _learn(self, lane: _Lane, outcome: Outcome, unit: list[Pending]) -> None:
        server = outcome.server
        if server.get("reachable"):
            lane.breaker.reached(self._clock())
            self._metrics.server_success.labels(lane.name).set_to_current_time()
            refused, lane.refused = lane.refused - {one.key for one in unit}, set()
            for key in refused:
                self._wake(key, Priority.DEPENDENCY)
        elif server.get("reason") in UNREACHABLE:
            lane.breaker.missed(self._clock(), str(server.get("message")))

    def _show(self, lane: _Lane) -> None:
        self._metrics.lane_pending.labels(lane.name).set(len(lane.pending))


def _give_up(lane: _Lane, pending: Pending) -> None:
    """Take an object that is in work out of it between two steps."""
    pending.given_up = True
    queue = lane.working.get(pending.item.ref)
    if queue and pending not in lane.pending:
        queue.put_nowait(pending.item.ref)


def _give(pending: Pending, result: ObjectResult) -> None:
    if not pending.future.done():
        pending.future.set_result(result)


def _failed(ref: str, reason: Reason, message: str) -> ObjectResult:
    return ObjectResult(ref, failed=True, reason=reason, message=message)
