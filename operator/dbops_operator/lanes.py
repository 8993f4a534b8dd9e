# SPDX-License-Identifier: GPL-3.0-or-later
"""One lane per database server: what waits for it, what goes into the next run, and when it is not tried at all.

Reconcilers call `converge` with one object each. What gathers while a lane is busy becomes the next unit of work,
at most 100 objects; an object that is alone is never delayed. A run that has done its unit goes on with what gathered
meanwhile, or comes in the next second, since a run is costly to prepare and to end: up to 1,000 objects, or 100 while
another server waits for its turn. As many runs are at work at a time as there are cores, for servers that answered
lately; others share a small pool, so that dead servers never fill all places.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import audit
from dbops_operator.breaker import Breaker
from dbops_operator.keys import Key
from dbops_operator.logs import Subject, subject
from dbops_operator.metrics import Metrics
from dbops_operator.places import Places
from dbops_operator.settings import Settings
from dbops_operator.work import Item, Outcome, Priority, RunFailed, Runner, RunNotStarted, ServerTarget, UnitOfWork

logger = logging.getLogger(__name__)

LARGEST_UNIT = 100
LARGEST_RUN = 1000
"""How many objects a run does that nobody else waits for."""
SECONDS_TO_STAY = 1.0
"""How long a run waits for more once it has done everything, unless somebody waits for its place."""
DOUBTFUL_UNITS = 2
"""How many units for servers that did not answer lately are in work at a time."""
NEXT_PROBE = 15.0
PATIENCE = 60.0
"""Seconds that a run may take for one object, beside two statements that take as long as they may."""
STATEMENT_SECONDS = 60.0
"""How long that is where the instance does not say (core/argument_specs.py of the collection)."""
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
    places: Places
    """Where it has its place, or waits for one."""
    breaker: Breaker = field(default_factory=Breaker)
    pending: list[Pending] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something is pending, and when somebody waits for its place."""
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
        stay: float = SECONDS_TO_STAY,
    ) -> None:
        """Have units of work done by RUNNER; WAKE has an object looked at whose server is reachable again.

        A run that has nothing to do waits for more for STAY seconds. EDITOR gives the last editor of an object, for
        the audit trail.
        """
        self._runner = runner
        self._metrics = metrics
        self._wake = wake
        self._editor = editor
        self._clock = clock
        self._stay = stay
        self.epoch: Mapping[str, Any] | None = None
        """Goes with each unit of work; see work.UnitOfWork."""
        self._lanes: dict[str, _Lane] = {}
        self._sound = Places(settings.max_concurrent_runs)
        self._doubtful = Places(DOUBTFUL_UNITS)

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
        lane = self._lanes.setdefault(target.lane, _Lane(target.lane, self._sound))
        item = Item(str(obj.get("ref") or key.ref), obj)
        if lane.breaker.refuses(self._clock()):
            lane.refused.add(key)
            return _failed(item.ref, Reason.CONNECTION_FAILED, f"{lane.breaker.message} (not tried again yet)")
        future: asyncio.Future[ObjectResult] = asyncio.get_running_loop().create_future()
        pending = Pending(key, target, item, check, priority, future, subject.get())
        lane.pending.append(pending)
        lane.news.set()
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
                lane.places = self._doubtful if lane.breaker.doubtful(self._clock()) else self._sound
                async with lane.places:
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
            lane.refused.update(one.key for one in lane.pending)
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
        unit = _without_given_up(unit)
        if not unit:
            return
        left, failure = await self._run(lane, unit)
        if len(left) <= 1 or isinstance(failure, RunNotStarted):
            for one in left:
                one.future.set_exception(failure)
            return
        logger.warning("a run broke with %d objects left, which are tried in two halves: %s", len(left), failure)
        middle = len(left) // 2
        await self._do(lane, left[:middle])
        await self._do(lane, left[middle:])

    async def _run(self, lane: _Lane, unit: list[Pending]) -> tuple[list[Pending], RunFailed]:
        """Have a run do one unit, and then what gathered meanwhile: the next run costs far more than one more look.

        Gives the objects that have no result afterwards, and what there is to say of them.
        """
        by_ref: dict[str, Pending] = {}
        cancels: asyncio.Queue[str] = asyncio.Queue()
        run, count = "", 0

        def add(those: list[Pending]) -> UnitOfWork:
            nonlocal count
            count += len(those)
            added = {one.item.ref: one for one in those}
            by_ref.update(added)
            lane.working.update(dict.fromkeys(added, cancels))
            self._metrics.run_objects.observe(len(those))
            name(run)
            return _unit_of_work(those, self.epoch)

        def name(given: str) -> None:
            nonlocal run
            run = given
            for one in by_ref.values():
                if one.subject:
                    one.subject.run = given

        def take(result: ObjectResult) -> None:
            if result.ref in by_ref:
                one = by_ref[result.ref]
                if not one.check:
                    look = one.subject.reconcile if one.subject else ""
                    audit.record(result, server=lane.name, run=run, reconcile=look, editor=self._editor(one.key))
                _give(one, result)
            else:
                logger.error("InternalError: a run gave a result for %s, which it was not asked for", result.ref)

        async def more(outcome: Outcome) -> UnitOfWork | None:
            self._learn(lane, outcome, by_ref.values())
            if lane.breaker.is_open:
                return None
            gathered = self._gathered(lane, had=by_ref, count=count)
            if not gathered and await self._something_comes(lane):
                gathered = self._gathered(lane, had=by_ref, count=count)
            return add(gathered) if gathered else None

        failure = RunFailed(Reason.INTERNAL_ERROR, "the run gave no result for this object")
        try:
            await self._runner.run(add(unit), on_run=name, on_result=take, cancels=cancels, more=more)
        except RunFailed as error:
            failure = error
        except Exception:  # whatever it is, nobody may wait for ever
            logger.exception("a bug in a run, please report it")
            failure = RunFailed(Reason.INTERNAL_ERROR, "the run broke by a bug of the operator; its log tells more")
        finally:
            for ref in by_ref:
                lane.working.pop(ref, None)
        return [one for one in by_ref.values() if not one.future.done()], failure

    def _gathered(self, lane: _Lane, *, had: Mapping[str, Pending], count: int) -> list[Pending]:
        """Take what waits for the server into a run that has done its work, unless that was enough: COUNT objects.

        Not what was cancelled in the run before: that message could be meant for either.
        """
        waiting = [one for one in lane.pending if _is_over(had.get(one.item.ref))]
        enough = LARGEST_UNIT if lane.places.waiting else LARGEST_RUN
        if not waiting or count >= enough:
            return []
        chosen = choose(waiting, min(LARGEST_UNIT, enough - count))
        for one in chosen:
            lane.pending.remove(one)
        self._show(lane)
        return _without_given_up(chosen)

    async def _something_comes(self, lane: _Lane) -> bool:
        """Wait a moment for more to do; not when there is something for another run, or somebody wants the place."""
        if lane.pending or lane.places.waiting or not self._stay:
            return False
        lane.news.clear()
        return await lane.places.stay(lane.news, seconds=self._stay)

    def _learn(self, lane: _Lane, outcome: Outcome, unit: Iterable[Pending]) -> None:
        """Take what a unit's end tells about the server."""
        server = outcome.server
        if server.get("reachable"):
            lane.breaker.reached(self._clock())
            self._metrics.server_success.labels(lane.name).set_to_current_time()
            refused, lane.refused = lane.refused - {one.key for one in unit}, set()
            for key in refused:
                self._wake(key, Priority.DEPENDENCY)
        elif server.get("reason") in UNREACHABLE:
            lane.refused.update(one.key for one in unit)
            lane.breaker.missed(self._clock(), str(server.get("message")))
        # Now, not when the run ends: it may go on for as long as there is work.
        self._metrics.lane_open.labels(lane.name).set(lane.breaker.is_open)

    def _show(self, lane: _Lane) -> None:
        self._metrics.lane_pending.labels(lane.name).set(len(lane.pending))


def _unit_of_work(those: Sequence[Pending], epoch: Mapping[str, Any] | None) -> UnitOfWork:
    return UnitOfWork(
        target=those[0].target,
        items=[one.item for one in those],
        check=those[0].check,
        patience=PATIENCE + 2 * (those[0].target.connection.get("statement_timeout") or STATEMENT_SECONDS),
        epoch=epoch,
    )


def _without_given_up(those: Iterable[Pending]) -> list[Pending]:
    """Tell those that nobody waits for any more; give the others that have no result."""
    for one in those:
        if one.given_up:
            _give(one, _failed(one.item.ref, Reason.CANCELLED, "replaced by a newer change"))
    return [one for one in those if not one.future.done()]


def _is_over(former: Pending | None) -> bool:
    """Whether a run that had this object before, if it had, can have it again."""
    return former is None or (former.future.done() and not former.given_up)


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
