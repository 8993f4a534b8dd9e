# SPDX-License-Identifier: GPL-3.0-or-later
"""The control loop: what wakes which object, what an edit does to work in progress, and when failures come again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
import pytest_asyncio

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator.client import Client, Retryable
from dbops_operator.context import Context
from dbops_operator.controller import Controller
from dbops_operator.events import Events
from dbops_operator.keys import Key
from dbops_operator.metrics import Metrics
from dbops_operator.settings import INSTANCE_LABEL, Settings
from dbops_operator.store import Store
from dbops_operator.template_process import TemplateProcess
from dbops_operator.work import Done, Lanes, LongLanes, Priority, Verdict, Wait

APP = Key("DatabaseUser", "team", "app")
MAIN = Key("DatabaseInstance", "team", "main")


def body(key: Key, version: int = 1, *, generation: int = 1, **metadata: Any) -> dict[str, Any]:
    return {
        "kind": key.kind,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "uid": "u",
            "generation": generation,
            "resourceVersion": str(version),
            **metadata,
        },
    }


def became_ready(key: Key, version: int) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True", "observedGeneration": 1}]
    return {**body(key, version), "status": {"conditions": conditions}}


class Bench:
    """A controller with a clock of the test's own, whose reconcilers do what `do` says."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls: list[tuple[Key, Priority]] = []
        self.do: Callable[[Context, Key], Awaitable[Verdict]] | None = None
        self.controller = Controller(
            store=Store(),
            settings=Settings(cluster_id="c"),
            metrics=Metrics(),
            reconcilers={"DatabaseUser": self.reconcile, "DatabaseInstance": self.reconcile},
            clock=lambda: self.now,
        )
        self.controller.client = cast("Client", None)
        self.controller.lanes = cast("Lanes", None)
        self.controller.long_lanes = cast("LongLanes", None)
        self.controller.events = cast("Events", None)
        self.controller.templates = cast("TemplateProcess", None)

    async def reconcile(self, context: Context, key: Key) -> Verdict:
        self.calls.append((key, context.priority))
        return await self.do(context, key) if self.do else Done()

    async def see(self, one: dict[str, Any], event: str = "MODIFIED") -> None:
        self.controller.seen(event, one)
        await self.turn()

    async def turn(self) -> None:
        """Let the loop do what is due."""
        self.controller._news.set()
        for _ in range(20):
            await asyncio.sleep(0)

    def taken(self) -> list[tuple[Key, Priority]]:
        """The calls since the last time."""
        calls, self.calls = self.calls, []
        return calls


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Bench]:
    """A running controller."""
    one, stop = Bench(), asyncio.Event()
    loop = asyncio.create_task(one.controller.run(stop))
    yield one
    stop.set()
    await loop
    await one.controller.drain(0)


async def test_each_change_of_an_object_is_looked_at_once(bench: Bench) -> None:
    await bench.see(body(APP, 1), "ADDED")
    assert bench.taken() == [(APP, Priority.CHANGE)]
    await bench.see(body(APP, 2, finalizers=["x"]))
    await bench.see(became_ready(APP, 3))
    assert bench.taken() == []
    await bench.see(body(APP, 4, generation=2))
    assert bench.taken() == [(APP, Priority.CHANGE)]
    await bench.see(body(APP, 5, generation=2, deletionTimestamp="now"))
    assert bench.taken() == [(APP, Priority.DELETE)]


async def test_objects_of_another_operator_are_left_alone(bench: Bench) -> None:
    await bench.see(body(APP, labels={INSTANCE_LABEL: "blue"}))
    assert bench.taken() == []


async def test_an_edit_cancels_work_in_progress_and_is_looked_at_after_it(bench: Bench) -> None:
    async def until_cancelled(context: Context, _: Key) -> Verdict:
        await context.cancel.wait()
        return Wait(Reason.CANCELLED)

    bench.do = until_cancelled
    await bench.see(body(APP, 1))
    assert len(bench.taken()) == 1
    await bench.see(body(APP, 2, labels={"a": "b"}))
    assert bench.taken() == []
    await bench.see(body(APP, 3, labels={"a": "b"}, generation=2))
    assert bench.taken() == [(APP, Priority.CHANGE)]
    await bench.see(body(APP, 4, labels={"a": "b"}, generation=2, deletionTimestamp="now"))
    assert bench.taken() == [(APP, Priority.DELETE)]
    bench.do = None
    await bench.see(body(APP), "DELETED")


async def test_what_waits_is_woken_by_what_it_waits_for(bench: Bench) -> None:
    async def wait(context: Context, key: Key) -> Verdict:
        if key == APP:
            context.depends(MAIN)
        return Wait(Reason.DEPENDENCY_NOT_READY)

    bench.do = wait
    await bench.see(body(APP, 1))
    bench.taken()
    await bench.see(body(MAIN, 2))
    assert (APP, Priority.DEPENDENCY) in bench.taken()
    await bench.see(became_ready(MAIN, 3))
    assert bench.taken() == [(APP, Priority.DEPENDENCY)]


async def test_a_dependency_that_is_not_named_any_more_wakes_nobody(bench: Bench) -> None:
    async def wait(context: Context, key: Key) -> Verdict:
        if key == APP and len(bench.calls) == 1:
            context.depends(MAIN)
        return Done()

    bench.do = wait
    await bench.see(body(APP, 1))
    await bench.see(body(APP, 2, generation=2))
    bench.taken()
    await bench.see(body(MAIN, 3))
    assert bench.taken() == [(MAIN, Priority.CHANGE)]


SECRET = Key("Secret", "team", "app-credentials")


@pytest.mark.parametrize(("latest", "looks"), [(5, 1), (6, 2)])
async def test_the_echo_of_a_write_that_is_faster_than_its_answer_is_no_news(
    bench: Bench, latest: int, looks: int
) -> None:
    other = Key("DatabaseUser", "team", "other")
    written = asyncio.Event()

    async def write(context: Context, key: Key) -> Verdict:
        context.depends(SECRET)
        if key == APP and not written.is_set():
            with bench.controller.writing(SECRET):
                # What others edit at that moment is news, whenever it is seen.
                for version in range(5, latest + 1):
                    bench.controller.changed([(SECRET, bench.controller._store.put(body(SECRET, version)))])
                await bench.turn()
                bench.controller.written(body(SECRET, 5) | {"apiVersion": "v1"})
            written.set()
        return Wait(Reason.DEPENDENCY_NOT_READY)

    bench.do = write
    await bench.see(body(other))
    bench.taken()
    await bench.see(body(APP))
    await written.wait()
    await bench.turn()
    calls = [key for key, _ in bench.taken()]
    assert calls.count(APP) == looks
    assert calls.count(other) == 1


@pytest.mark.parametrize("known", [None, "another"])
async def test_the_answer_to_a_write_brings_back_nothing_that_is_gone(bench: Bench, known: str | None) -> None:
    if known:
        await bench.see(body(APP, 7, uid=known))
        bench.taken()
    # Its deletion was seen before the answer to a write from before that.
    bench.controller.written(body(APP, 5))
    await bench.turn()
    assert bench.taken() == []
    found = bench.controller._store.get(APP)
    assert (found["metadata"]["uid"] if found else None) == known


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Retryable("slow down", status=429, retry_after=42), 42),
        (Retryable("no answer"), 1.25),
        (DbopsError(Reason.CONNECTION_FAILED, "no route"), 1.25),
        (DbopsError(Reason.INVALID_SPEC, "no such field"), 750),
        (KeyError("a bug"), 1.25),
    ],
)
async def test_a_failure_is_tried_again_after_a_pause_and_ends_nothing(
    bench: Bench, error: Exception, seconds: float
) -> None:
    async def fail(_: Context, __: Key) -> Verdict:
        raise error

    bench.do = fail
    await bench.see(body(APP, 1))
    assert len(bench.taken()) == 1
    bench.now += seconds * 0.59
    await bench.turn()
    assert bench.taken() == []
    bench.now += seconds * 0.42
    await bench.turn()
    assert bench.taken() == [(APP, Priority.RETRY)]
