# SPDX-License-Identifier: GPL-3.0-or-later
"""Kopf's watches of our own kinds: the health sees when one of them is not answered any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import kopf
import pytest
import pytest_asyncio
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from wire import Wire

from dbops_operator import health, watch
from dbops_operator.resources import OWN
from localstack.controlplane import ControlPlane
from localstack.processes import wait_until

OLDEST = 4.0


@pytest_asyncio.fixture
async def wire(crds: ControlPlane) -> AsyncIterator[Wire]:
    """A wire to the session's API server."""
    async with Wire(crds.server) as one:
        yield one


async def wait_for(look: Callable[[], bool], what: str) -> None:
    """Return when LOOK says so."""
    await asyncio.to_thread(wait_until, look, what=what)


@pytest.mark.feature("K03")
async def test_a_watch_that_is_not_answered_is_dead_until_it_is(
    crds: ControlPlane, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    def brief(make: Callable[[], kopf.OperatorSettings] = watch._settings) -> kopf.OperatorSettings:
        settings = make()
        settings.watching.server_timeout, settings.watching.client_timeout = 1, 3
        settings.networking.request_timeout = settings.watching.connect_timeout = 3
        return settings

    monkeypatch.setattr(watch, "_settings", brief)
    monkeypatch.setattr(health, "OLDEST_WATCH", OLDEST)
    configuration = Configuration()
    await config.load_kube_config(config_file=str(crds.kubeconfig), client_configuration=configuration)
    configuration.host = f"https://127.0.0.1:{wire.port}"
    heard: dict[health.Watched, float] = {}
    state = health.Health(beat=time.monotonic, watches=lambda: heard)
    ready = asyncio.Event()
    watching = asyncio.create_task(
        watch.watch(
            configuration,
            (),
            lambda _event, _body: None,
            ready=ready,
            heard=lambda kind, namespace: heard.update({(kind, namespace): time.monotonic()}),
            listed=lambda _kind, _namespace: None,
            spawned=lambda: None,
        )
    )
    try:
        await wait_for(lambda: len(heard) == len(OWN), "every watch is heard of")
        assert set(heard) == {(resource.kind, place) for resource, place in watch.watched(())}
        first = dict(heard)
        await wait_for(lambda: all(heard[one] > first[one] for one in first), "every watch is opened anew")
        assert state.problems() == []
        wire.open.clear()
        await wait_for(lambda: len(state.problems()) == len(OWN), "every watch is dead")
        assert "the watch of DatabaseUser is dead" in state.problems()
        wire.open.set()
        await wait_for(lambda: state.problems() == [], "every watch lives again")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
