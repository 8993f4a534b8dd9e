# SPDX-License-Identifier: GPL-3.0-or-later
"""Leader election without an API server: who may take a Lease when, and what a leader does that cannot renew."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from dbops_operator import leader
from dbops_operator.client import ApiError, Client, Conflict, NotFound, Retryable
from dbops_operator.keys import Key
from dbops_operator.leader import EPOCH, Elector, LeaseLost, Seen, Step, decide, next_epoch

pytestmark = pytest.mark.feature("K04")


def lease(holder: str, renewed: str = "t1", seconds: int = 10, **annotations: str) -> dict[str, Any]:
    spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": seconds, "leaseTransitions": 3}
    return {"metadata": {"resourceVersion": "1", "annotations": annotations}, "spec": spec}


def test_a_lease_is_taken_when_nobody_has_it_or_its_holder_is_silent() -> None:
    assert decide(None, None, 0.0) is Step.CREATE
    held = lease("a")
    seen = Seen.next(held, None, 100.0)
    assert decide(held, seen, 109.9) is Step.WAIT
    assert decide(held, seen, 110.0) is Step.TAKE
    renewed = lease("a", "t2")
    seen = Seen.next(renewed, seen, 108.0)
    assert decide(renewed, seen, 117.0) is Step.WAIT
    assert Seen.next(renewed, seen, 117.0).since == 108.0
    released = lease("", "t3", 1)
    assert decide(released, Seen.next(released, seen, 117.0), 117.0) is Step.TAKE


def test_epochs_only_grow() -> None:
    assert next_epoch(None, 5000) == 5000
    assert next_epoch(lease("a", **{EPOCH: "7000"}), 5000) == 7001, "the clock was set back"
    assert next_epoch(lease("a", **{EPOCH: "4000"}), 5000) == 5000
    assert next_epoch(lease("a", **{EPOCH: "nonsense"}), 5000) == 5000


class Api:
    """The API server with one Lease."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.error: ApiError | None = None
        self.writes = 0

    async def get(self, key: Key) -> dict[str, Any]:
        if self.error:
            raise self.error
        if self.lease is None:
            raise NotFound(key.name)
        return self.lease

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self.replace(body)

    async def replace(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if self.error:
            raise self.error
        known = (self.lease or {"metadata": {}})["metadata"].get("resourceVersion")
        if body["metadata"].get("resourceVersion") != known:
            raise Conflict("changed")
        self.writes += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.writes)}}
        return self.lease


class Clock:
    """Seconds that pass when somebody sleeps."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made, sleep = Clock(), asyncio.sleep

    async def pass_by(seconds: float) -> None:
        made.now += seconds
        await sleep(0)

    monkeypatch.setattr(leader.asyncio, "sleep", pass_by)
    return made


def elector(api: Api, clock: Clock) -> Elector:
    return Elector(cast("Client", api), namespace="own", name="it", clock=clock)


async def test_a_second_one_leads_after_the_lease_of_a_silent_one_has_run_out(clock: Clock) -> None:
    api = Api()
    first, second = elector(api, clock), elector(api, clock)
    epoch = await first.acquire()
    first.require()
    with pytest.raises(Retryable):
        second.require()
    assert first._renewing
    first._renewing.cancel()
    begin = clock.now
    assert await second.acquire() > epoch
    assert leader.LEASE_SECONDS <= clock.now - begin <= leader.LEASE_SECONDS + 2 * leader.RETRY_SECONDS
    assert api.lease
    assert api.lease["spec"]["leaseTransitions"] == 1
    await second.release()
    await first.release()
    assert api.lease["spec"]["holderIdentity"] == ""


async def test_a_lease_that_was_given_back_is_taken_at_once(clock: Clock) -> None:
    api = Api()
    first, second = elector(api, clock), elector(api, clock)
    await first.acquire()
    await first.release()
    begin = clock.now
    await second.acquire()
    assert clock.now - begin <= leader.RETRY_SECONDS
    await second.release()


@pytest.mark.parametrize(
    ("error", "said"),
    [(Retryable("no answer"), "could not be renewed for 7 s"), (NotFound("gone"), "the Lease is gone")],
)
async def test_a_leader_that_cannot_renew_stops_before_another_may_begin(
    clock: Clock, error: ApiError, said: str
) -> None:
    api = Api()
    one = elector(api, clock)
    await one.acquire()
    api.error, begin = error, clock.now
    with pytest.raises(LeaseLost, match=said):
        await one.lost()
    assert clock.now - begin < leader.LEASE_SECONDS
    with pytest.raises(Retryable):
        one.require()
    assert not one.leads


async def test_a_leader_whose_lease_another_took_stops(clock: Clock) -> None:
    api = Api()
    one = elector(api, clock)
    await one.acquire()
    api.lease = {**lease("another"), "metadata": {"resourceVersion": "99"}}
    with pytest.raises(LeaseLost, match="another operator took the Lease"):
        await one.lost()
    await one.release()
    assert api.lease["spec"]["holderIdentity"] == "another"


async def test_a_leader_whose_lease_somebody_annotated_goes_on(clock: Clock) -> None:
    api = Api()
    one = elector(api, clock)
    await one.acquire()
    assert api.lease
    api.lease = {**api.lease, "metadata": {**api.lease["metadata"], "resourceVersion": "99"}}
    before, api.writes = api.writes, 99
    while api.writes == 99:  # noqa: ASYNC110 (time passes by sleeping here)
        await asyncio.sleep(0)
    one.require()
    assert api.writes > before
    await one.release()


async def test_one_that_was_paused_writes_nothing(clock: Clock) -> None:
    one = elector(Api(), clock)
    await one.acquire()
    clock.now += leader.RENEW_SECONDS
    with pytest.raises(Retryable, match="does not hold the Lease"):
        one.require()
    with pytest.raises(LeaseLost):
        await one.lost()
