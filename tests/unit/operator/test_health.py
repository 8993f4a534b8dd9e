# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes and metrics: they answer with what the loop and the watches really do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from dbops_operator import health
from dbops_operator.metrics import Metrics
from localstack.processes import free_port


class Operator:
    """An operator as its probes see it; `url` is where they are."""

    def __init__(self) -> None:
        self.beat = time.monotonic()
        self.heard: Mapping[health.Watched, float] = {("Secret", ""): time.monotonic()}
        self.health = health.Health(beat=lambda: self.beat, watches=lambda: self.heard)
        self.url = f"127.0.0.1:{free_port()}"
        self.measures = f"127.0.0.1:{free_port()}"

    async def get(self, path: str) -> tuple[int, str]:
        place = self.measures if path == "/metrics" else self.url
        async with ClientSession() as session, session.get(f"http://{place}{path}") as answer:
            return answer.status, await answer.text()


@pytest_asyncio.fixture
async def operator() -> AsyncIterator[Operator]:
    one = Operator()
    runners = await health.serve(one.health, Metrics(), probes=one.url, measures=one.measures, guard=None)
    yield one
    for runner in runners:
        await runner.cleanup()


async def test_an_operator_is_alive_before_it_is_ready(operator: Operator) -> None:
    assert await operator.get("/healthz") == (200, "ok")
    assert (await operator.get("/readyz"))[0] == 503
    operator.health.ready = True
    assert await operator.get("/readyz") == (200, "ok")


async def test_a_loop_that_hangs_is_not_healthy(operator: Operator) -> None:
    operator.health.ready = True
    operator.beat -= health.OLDEST_BEAT + 1
    assert await operator.get("/healthz") == (500, "the control loop hangs")
    assert (await operator.get("/readyz"))[0] == 500


async def test_a_dead_watch_is_not_healthy_and_is_named(operator: Operator) -> None:
    operator.heard = {
        ("Secret", ""): time.monotonic(),
        ("ConfigMap", "team"): time.monotonic() - health.OLDEST_WATCH - 1,
    }
    assert await operator.get("/healthz") == (500, "the watch of ConfigMap in team is dead")


async def test_metrics_tell_the_age_of_the_watches(operator: Operator) -> None:
    status, text = await operator.get("/metrics")
    assert status == 200
    assert 'dbops_watch_age_seconds{kind="Secret",namespace=""}' in text


async def test_nothing_listens_where_it_is_switched_off() -> None:
    one = Operator()
    assert await health.serve(one.health, Metrics(), probes="0", measures="", guard=None) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (":8081", ("0.0.0.0", 8081)),  # noqa: S104
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]:8081", ("::1", 8081)),
        ("0", None),
        ("", None),
    ],
)
def test_an_address_is_read_as_go_writes_it(text: str, place: tuple[str, int] | None) -> None:
    assert health.address(text) == place


@pytest.mark.parametrize("text", ["8081", ":x", "here"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (what it says is for the reader)
        health.address(text)
