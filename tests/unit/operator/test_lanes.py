# SPDX-License-Identifier: GPL-3.0-or-later
"""Lanes: what gathers becomes a unit, what breaks is found, and a server that is away holds up nobody else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import argument_specs
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult, StepResult
from dbops_operator import breaker
from dbops_operator.keys import Key
from dbops_operator.lanes import (
    DOUBTFUL_UNITS,
    LARGEST_RUN,
    LARGEST_UNIT,
    STATEMENT_SECONDS,
    Pending,
    ServerLanes,
    choose,
)
from dbops_operator.logs import Subject, fields, subject
from dbops_operator.metrics import Metrics
from dbops_operator.settings import Settings
from dbops_operator.work import Item, Outcome, Priority, RunFailed, RunNotStarted, ServerTarget, UnitOfWork

UP = Outcome({"reachable": True})
AWAY = Outcome({"reachable": False, "reason": "ConnectionFailed", "message": "no route"})
TARGET = ServerTarget("postgres://a:5432", {"login_host": "a"})


def user(name: str, namespace: str = "team") -> Key:
    return Key("DatabaseUser", namespace, name)


class Runs:
    """A runner whose runs the test lets go on; `do` says what a run does with its unit."""

    def __init__(self) -> None:
        self.units: list[list[str]] = []
        self.runs: list[list[list[str]]] = []
        self.gate: asyncio.Event | None = None
        self.over = asyncio.Event()
        self.answers: Callable[[UnitOfWork], list[ObjectResult]] | None = None
        self.do: Callable[[UnitOfWork], Outcome] = lambda _: UP
        self.at_work = 0
        self.most_at_work = 0
        self.cancelled: list[str] = []

    async def available(self) -> None:
        """There is always a run."""

    async def run(
        self,
        unit: UnitOfWork,
        *,
        on_run: Callable[[str], None],
        on_result: Callable[[ObjectResult], None],
        cancels: asyncio.Queue[str],
        more: Callable[[Outcome], Awaitable[UnitOfWork | None]],
    ) -> None:
        self.at_work += 1
        self.runs.append([])
        on_run(f"r{len(self.runs)}")
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            following: UnitOfWork | None = unit
            while following:
                following = await more(await self._one(following, on_result, cancels, self.runs[-1]))
        finally:
            self.at_work -= 1
            self.over.set()

    async def _one(
        self,
        unit: UnitOfWork,
        on_result: Callable[[ObjectResult], None],
        cancels: asyncio.Queue[str],
        run: list[list[str]],
    ) -> Outcome:
        refs = [item.ref for item in unit.items]
        self.units.append(refs)
        run.append(refs)
        await turn()
        if self.gate:
            await self.gate.wait()
        while not cancels.empty():
            self.cancelled.append(cancels.get_nowait())
        outcome = self.do(unit)
        for result in self.answers(unit) if self.answers else ():
            on_result(result)
        for item in () if self.answers else unit.items:
            failed = not outcome.server["reachable"]
            on_result(ObjectResult(item.ref, failed=failed, reason=Reason.CONNECTION_FAILED if failed else None))
        return outcome


class Bench:
    """Lanes with a clock of the test's own."""

    def __init__(self, cores: int = 4, stay: float = 0.0) -> None:
        self.now = 1000.0
        self.runs = Runs()
        self.woken: list[Key] = []
        self.lanes = ServerLanes(
            self.runs,
            Settings(cluster_id="c", max_concurrent_runs=cores),
            Metrics(),
            wake=lambda key, _: self.woken.append(key),
            editor=lambda key: f"editor-of-{key.name}",
            clock=lambda: self.now,
            stay=stay,
        )

    def converge(
        self, key: Key, target: ServerTarget = TARGET, cancel: asyncio.Event | None = None
    ) -> asyncio.Task[ObjectResult]:
        work = self.lanes.converge(target, {"kind": "database_user"}, key=key, priority=Priority.CHANGE, cancel=cancel)
        return asyncio.create_task(work)


async def turn() -> None:
    """Let everything run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def gathered_behind_one(bench: Bench, count: int, *others: ServerTarget) -> None:
    """Have COUNT objects gather behind one that is at work, and one on each of the OTHERS wait for a place."""
    # Servers that never answered have places of their own.
    for target in (TARGET, *others):
        await bench.converge(user("known"), target)
    bench.runs.units.clear()
    bench.runs.runs.clear()
    bench.runs.gate = asyncio.Event()
    first = bench.converge(user("first"))
    await turn()
    rest = [bench.converge(user(f"u{number}")) for number in range(count)]
    rest += [bench.converge(user(f"other-{number}"), target) for number, target in enumerate(others)]
    await turn()
    assert bench.runs.units == [[user("first").ref]]
    bench.runs.gate.set()
    await asyncio.gather(first, *rest)


def sizes(bench: Bench) -> list[list[int]]:
    return [[len(unit) for unit in run] for run in bench.runs.runs]


async def test_what_gathers_while_a_lane_is_busy_is_done_by_the_same_run() -> None:
    bench = Bench()
    await gathered_behind_one(bench, LARGEST_UNIT + 5)
    assert sizes(bench) == [[1, LARGEST_UNIT, 5]]


async def test_a_run_that_nobody_waits_for_ends_all_the_same() -> None:
    bench = Bench()
    await gathered_behind_one(bench, LARGEST_RUN)
    assert sizes(bench) == [[1, *[LARGEST_UNIT] * 9, LARGEST_UNIT - 1], [1]]


async def test_a_run_ends_after_one_unit_when_another_server_waits_for_its_turn() -> None:
    bench = Bench(cores=1)
    await gathered_behind_one(bench, LARGEST_UNIT + 5, ServerTarget(lane="postgres://other:5432", connection={}))
    assert sizes(bench) == [[1, LARGEST_UNIT - 1], [1], [6]]


async def test_what_comes_soon_after_is_done_by_the_same_run() -> None:
    bench = Bench(stay=60.0)
    await bench.converge(user("a"))
    await turn()
    await bench.converge(user("b"))
    assert bench.runs.runs == [[[user("a").ref], [user("b").ref]]]


async def test_a_run_does_not_stay_in_a_place_that_somebody_waits_for() -> None:
    bench = Bench(cores=1, stay=60.0)
    other = ServerTarget(lane="postgres://other:5432", connection={})
    for target in (TARGET, other) * 3:
        await asyncio.wait_for(bench.converge(user("a"), target), 5)


async def test_a_run_stays_for_a_moment_only() -> None:
    bench = Bench(stay=0.01)
    await bench.converge(user("a"))
    await asyncio.wait_for(bench.runs.over.wait(), 5)
    await bench.converge(user("b"))
    assert sizes(bench) == [[1], [1]]


async def test_an_object_that_was_cancelled_in_a_run_is_not_in_it_again_so_that_it_is_clear_what_was_meant() -> None:
    bench = Bench()
    bench.runs.gate = asyncio.Event()
    cancel = asyncio.Event()
    first = bench.converge(user("a"), cancel=cancel)
    await turn()
    again, other = bench.converge(user("a")), bench.converge(user("b"))
    cancel.set()
    await turn()
    bench.runs.gate.set()
    await asyncio.gather(first, again, other)
    assert bench.runs.runs == [[[user("a").ref], [user("b").ref]], [[user("a").ref]]]


async def test_an_object_that_is_edited_after_its_turn_does_not_wait_for_the_end_of_the_run() -> None:
    bench = Bench()
    bench.runs.gate = asyncio.Event()
    first = bench.converge(user("a"))
    await turn()
    again = bench.converge(user("a"))
    await turn()
    bench.runs.gate.set()
    await asyncio.gather(first, again)
    assert bench.runs.runs == [[[user("a").ref], [user("a").ref]]]


async def test_a_run_that_breaks_later_fails_only_what_it_had_then() -> None:
    bench = Bench()
    bench.runs.gate = asyncio.Event()
    first = bench.converge(user("a"))
    await turn()
    second = bench.converge(user("b"))
    await turn()

    def do(unit: UnitOfWork) -> Outcome:
        if unit.items[0].ref == user("b").ref:
            raise RunFailed(Reason.INTERNAL_ERROR, "died")
        return UP

    bench.runs.do = do
    bench.runs.gate.set()
    assert not (await first).failed
    with pytest.raises(RunFailed, match="died"):
        await second


async def test_a_run_that_finds_the_server_away_takes_nothing_more() -> None:
    bench = Bench()
    await bench.converge(user("a"))
    bench.runs.gate = asyncio.Event()
    second = bench.converge(user("b"))
    await turn()
    third = bench.converge(user("c"))
    await turn()
    bench.runs.do = lambda _: AWAY
    bench.runs.gate.set()
    assert (await second).failed
    assert (await third).reason is Reason.CONNECTION_FAILED
    assert bench.runs.runs == [[[user("a").ref]], [[user("b").ref]]]


async def test_a_poisonous_object_is_found_by_halving() -> None:
    bench = Bench()

    def do(unit: UnitOfWork) -> Outcome:
        if any(item.ref == user("u5").ref for item in unit.items):
            raise RunFailed(Reason.INTERNAL_ERROR, "died")
        return UP

    bench.runs.do = do
    work = [bench.converge(user(f"u{number}")) for number in range(8)]
    answers = await asyncio.gather(*work, return_exceptions=True)
    assert isinstance(answers[5], RunFailed)
    assert all(isinstance(answer, ObjectResult) for answer in answers[:5] + answers[6:])


async def test_runs_that_cannot_start_are_not_tried_in_halves() -> None:
    bench = Bench()

    def do(_: UnitOfWork) -> Outcome:
        raise RunNotStarted(Reason.INTERNAL_ERROR, "ansible-playbook is not there")

    bench.runs.do = do
    answers = await asyncio.gather(*(bench.converge(user(f"u{number}")) for number in range(8)), return_exceptions=True)
    assert all(isinstance(answer, RunNotStarted) for answer in answers)
    assert len(bench.runs.units) == 1


async def test_a_bug_in_a_run_fails_its_objects_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    def do(_: UnitOfWork) -> Outcome:
        raise KeyError("version")

    bench.runs.do = do
    with pytest.raises(RunFailed) as caught:
        await asyncio.wait_for(bench.converge(user("app")), 5)
    assert caught.value.reason is Reason.INTERNAL_ERROR
    assert "KeyError" in caplog.text
    bench.runs.do = lambda _: UP
    assert not (await asyncio.wait_for(bench.converge(user("app")), 5)).failed


async def test_a_result_that_nobody_asked_for_is_logged_and_the_object_fails(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    bench.runs.answers = lambda _: [ObjectResult("DatabaseUser/team/other")]
    with pytest.raises(RunFailed, match="no result"):
        await asyncio.wait_for(bench.converge(user("app")), 5)
    assert "DatabaseUser/team/other" in caplog.text


async def test_an_unreachable_server_is_not_asked_again_before_its_pause_is_over() -> None:
    bench = Bench()
    bench.runs.do = lambda _: AWAY
    assert (await bench.converge(user("a"))).reason is Reason.CONNECTION_FAILED
    refused = await bench.converge(user("b"))
    assert refused.reason is Reason.CONNECTION_FAILED
    assert "no route" in refused.message
    assert len(bench.runs.units) == 1
    bench.now += 60
    bench.runs.do = lambda _: UP
    assert not (await bench.converge(user("b"))).failed


async def test_what_was_refused_is_looked_at_when_the_server_answers() -> None:
    bench = Bench()
    bench.runs.do = lambda _: AWAY
    for name in ("a", "b", "c"):
        await bench.converge(user(name))
    bench.now += 60
    bench.runs.do = lambda _: UP
    await bench.converge(user("a"))
    assert sorted(bench.woken) == [user("b"), user("c")]


async def test_when_the_pause_is_over_an_instance_is_woken_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.0)
    bench = Bench()
    bench.runs.gate = asyncio.Event()
    bench.runs.do = lambda _: AWAY
    work = [bench.converge(user("a")), bench.converge(Key("DatabaseInstance", "team", "main"))]
    await turn()
    bench.runs.gate.set()
    await asyncio.gather(*work)
    while not bench.woken:
        await turn()
    assert bench.woken == [Key("DatabaseInstance", "team", "main")]


async def test_what_waits_while_the_server_goes_away_fails_at_once() -> None:
    bench = Bench()
    bench.runs.gate = asyncio.Event()
    bench.runs.do = lambda _: AWAY
    first = bench.converge(user("a"))
    await turn()
    second = bench.converge(user("b"))
    await turn()
    bench.runs.gate.set()
    assert (await first).failed
    assert (await second).reason is Reason.CONNECTION_FAILED
    assert len(bench.runs.units) == 1


async def test_dead_servers_do_not_fill_all_places() -> None:
    bench = Bench()
    healthy = ServerTarget("postgres://healthy:5432", {"login_host": "healthy"})
    await bench.converge(user("a"), healthy)
    bench.runs.gate = asyncio.Event()
    dead = [
        bench.converge(user(f"d{number}"), ServerTarget(f"postgres://d{number}:5432", {"login_host": str(number)}))
        for number in range(DOUBTFUL_UNITS + 3)
    ]
    await turn()
    assert bench.runs.at_work == DOUBTFUL_UNITS
    good = bench.converge(user("b"), healthy)
    await turn()
    assert bench.runs.at_work == DOUBTFUL_UNITS + 1
    bench.runs.gate.set()
    await asyncio.gather(good, *dead)


async def test_at_most_as_many_runs_as_allowed_are_at_work() -> None:
    bench = Bench(cores=2)
    targets = [ServerTarget(f"postgres://s{number}:5432", {"login_host": str(number)}) for number in range(5)]
    for target in targets:
        await bench.converge(user("first"), target)
    bench.runs.gate = asyncio.Event()
    bench.runs.most_at_work = 0
    work = [bench.converge(user("second"), target) for target in targets]
    await turn()
    bench.runs.gate.set()
    await asyncio.gather(*work)
    assert bench.runs.most_at_work == 2


@pytest.mark.parametrize(("statement", "patience"), [({}, 180), ({"statement_timeout": 600}, 1260)])
async def test_patience_grows_with_the_time_that_statements_may_take(
    statement: dict[str, int], patience: float
) -> None:
    bench, given = Bench(), list[float]()

    def do(unit: UnitOfWork) -> Outcome:
        given.append(unit.patience)
        return UP

    bench.runs.do = do
    await bench.converge(user("app"), ServerTarget(TARGET.lane, {**TARGET.connection, **statement}))
    assert given == [patience]


def test_the_time_of_a_statement_is_the_collections() -> None:
    assert argument_specs.CONNECTION["statement_timeout"]["default"] == STATEMENT_SECONDS


async def test_a_cancelled_object_that_waits_is_taken_off_the_list() -> None:
    bench = Bench()
    bench.runs.gate = asyncio.Event()
    first = bench.converge(user("a"))
    await turn()
    cancel = asyncio.Event()
    second = bench.converge(user("b"), cancel=cancel)
    await turn()
    cancel.set()
    assert (await second).reason is Reason.CANCELLED
    bench.runs.gate.set()
    await first
    assert bench.runs.units == [[user("a").ref]]


async def test_a_cancelled_object_in_work_is_named_to_the_run() -> None:
    bench = Bench()
    bench.runs.gate = asyncio.Event()
    cancel = asyncio.Event()
    work = bench.converge(user("a"), cancel=cancel)
    await turn()
    cancel.set()
    await turn()
    bench.runs.gate.set()
    await work
    assert bench.runs.cancelled == [user("a").ref]


async def test_a_reconcile_that_ends_gives_its_object_up() -> None:
    bench = Bench()
    bench.runs.gate = asyncio.Event()
    work = bench.converge(user("a"))
    await turn()
    work.cancel()
    await turn()
    bench.runs.gate.set()
    await turn()
    assert bench.runs.cancelled == [user("a").ref]


async def test_an_object_cancelled_between_two_halves_is_not_sent_again() -> None:
    bench = Bench()
    cancel = asyncio.Event()

    def do(unit: UnitOfWork) -> Outcome:
        cancel.set()
        if len(unit.items) > 1:
            raise RunFailed(Reason.INTERNAL_ERROR, "died")
        return UP

    bench.runs.do = do
    first, second = bench.converge(user("a")), bench.converge(user("b"), cancel=cancel)
    assert not (await first).failed
    assert (await second).reason is Reason.CANCELLED
    assert [user("b").ref] not in bench.runs.units


def pending(key: Key, *, priority: Priority = Priority.CHANGE, check: bool = False) -> Pending:
    return Pending(key, TARGET, Item(key.ref, {}), check, priority, asyncio.Future(loop=asyncio.new_event_loop()))


def test_the_urgent_go_first_and_namespaces_take_turns() -> None:
    many = [pending(user(f"m{number}", "many")) for number in range(4)]
    few = [pending(user("f", "few")), pending(user("gone", "few"), priority=Priority.DELETE)]
    chosen = choose([*many, *few], 4)
    assert [one.key.name for one in chosen] == ["gone", "m0", "f", "m1"]


def test_a_unit_has_one_mode_and_each_object_once() -> None:
    twice = [pending(user("a")), pending(user("a")), pending(user("b"), check=True)]
    assert choose(twice) == [twice[0]]


async def test_each_statement_is_in_the_audit_trail(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    steps = [StepResult("create", "user app", "CREATE ROLE app PASSWORD '********'", database="postgres")]
    bench.runs.answers = lambda unit: [ObjectResult(item.ref, changed=True, steps=steps) for item in unit.items]
    with caplog.at_level(logging.INFO, "dbops_operator.audit"):
        await bench.converge(user("app"))
    (line,) = [one for one in caplog.records if one.name == "dbops_operator.audit"]
    assert line.getMessage() == steps[0].statement
    assert fields(line) == {
        "object": user("app").ref,
        "run": "r1",
        "server": TARGET.lane,
        "database": "postgres",
        "editor": "editor-of-app",
    }


async def test_what_was_only_compared_is_not_in_the_audit_trail(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    steps = [StepResult("create", "user app", "CREATE ROLE app")]
    bench.runs.answers = lambda unit: [ObjectResult(item.ref, changed=True, steps=steps) for item in unit.items]
    with caplog.at_level(logging.INFO, "dbops_operator.audit"):
        await bench.lanes.converge(TARGET, {}, key=user("app"), priority=Priority.PERIODIC, check=True)
    assert not caplog.records


async def test_the_log_of_an_object_names_its_run() -> None:
    bench = Bench()
    about = Subject(object=user("app").ref)
    subject.set(about)
    await bench.lanes.converge(TARGET, {}, key=user("app"), priority=Priority.CHANGE)
    assert about.run == "r1"
