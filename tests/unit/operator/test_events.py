# SPDX-License-Identifier: GPL-3.0-or-later
"""Events: what they say, and that a flapping object does not flood the API."""

from __future__ import annotations

from typing import Any, cast

from dbops_operator.client import Client, Retryable
from dbops_operator.events import BURST, REFILL_SECONDS, Events

BODY: dict[str, Any] = {
    "apiVersion": "dbops.dbprovision.io/v1alpha1",
    "kind": "DatabaseUser",
    "metadata": {"name": "app", "namespace": "team", "uid": "u-1", "resourceVersion": "5"},
}


class Recorder:
    """Takes events instead of the API."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.broken = False

    async def create_event(self, body: dict[str, Any]) -> None:
        if self.broken:
            raise Retryable("no answer")
        self.events.append(body)


async def test_an_event_names_its_object() -> None:
    api = Recorder()
    await Events(cast("Client", api)).record(BODY, "Normal", "Created", "x" * 2000)
    (made,) = api.events
    assert made["regarding"]["uid"] == "u-1"
    assert made["metadata"]["namespace"] == "team"
    assert len(made["note"].encode()) <= 1024
    assert made["type"] == "Normal"


async def test_one_object_has_a_limit_of_its_own() -> None:
    api, now = Recorder(), 0.0
    events = Events(cast("Client", api), clock=lambda: now)
    other = {**BODY, "metadata": {**BODY["metadata"], "uid": "u-2"}}
    for _ in range(2 * BURST):
        await events.record(BODY, "Warning", "ReconcileFailed", "again")
    await events.record(other, "Warning", "ReconcileFailed", "first")
    assert len(api.events) == BURST + 1
    now = REFILL_SECONDS
    await events.record(BODY, "Warning", "ReconcileFailed", "later")
    assert len(api.events) == BURST + 2


async def test_a_lost_event_is_no_error() -> None:
    api = Recorder()
    api.broken = True
    await Events(cast("Client", api)).record(BODY, "Normal", "Created", "x")
