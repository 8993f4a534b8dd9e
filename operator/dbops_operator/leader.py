# SPDX-License-Identifier: GPL-3.0-or-later
"""Leader election by a Lease of coordination.k8s.io: of several operators of one id, one works and the others wait.

Used by application.py. What is to be done next is a pure decision (`decide`); the Elector asks the API server and
does it. The kubernetes package's own election was looked at and not taken: it counts no transitions, gives nothing
back at the end, and waits for answers without a limit.

A Lease cannot stop a leader that was paused and goes on when another one leads. So each leader has an epoch, a number
larger than that of all before it, which its runs tell the servers (core/epoch.py of the collection).
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dbops_operator.client import ApiError, Client, Conflict, NotFound, Retryable
from dbops_operator.keys import Key
from dbops_operator.resources import GROUP, RESOURCES

logger = logging.getLogger(__name__)

LEASE_SECONDS = 10
RENEW_SECONDS = 7.0
"""A leader that could not renew for this long stops; others wait for LEASE_SECONDS."""
RETRY_SECONDS = 2.0
EPOCH = f"{GROUP}/epoch"
"""Annotation of the Lease: the number under which its holder took over."""

Body = dict[str, Any]


class LeaseLost(Exception):  # noqa: N818 - what happened
    """Another operator leads, or may lead by now: this one must end at once."""


class Step(enum.Enum):
    """What a candidate does next."""

    CREATE = "create"
    TAKE = "take"
    WAIT = "wait"


@dataclass(frozen=True)
class Seen:
    """A Lease as it was seen: what says who holds it, and since when nothing about that has changed."""

    record: tuple[Any, ...]
    since: float

    @classmethod
    def next(cls, lease: Mapping[str, Any], before: Seen | None, now: float) -> Seen:
        """Look at LEASE after what was seen BEFORE."""
        spec = lease.get("spec") or {}
        record = tuple(spec.get(name) for name in ("holderIdentity", "renewTime", "acquireTime", "leaseTransitions"))
        return before if before and before.record == record else cls(record, now)


def decide(lease: Mapping[str, Any] | None, seen: Seen | None, now: float) -> Step:
    """Say what a candidate does about a LEASE that it has SEEN like this.

    By the candidate's own clock alone: how long it saw no renewal, whatever time the holder wrote.
    """
    if lease is None:
        return Step.CREATE
    spec = lease.get("spec") or {}
    seconds = float(spec.get("leaseDurationSeconds") or LEASE_SECONDS)
    if not spec.get("holderIdentity") or (seen is not None and now >= seen.since + seconds):
        return Step.TAKE
    return Step.WAIT


def next_epoch(lease: Mapping[str, Any] | None, milliseconds: int) -> int:
    """Give the number of who takes LEASE now: larger than the last one, and also than that of a Lease that was lost."""
    annotations = (lease or {}).get("metadata", {}).get("annotations") or {}
    last = str(annotations.get(EPOCH, ""))
    return max(milliseconds, int(last) + 1 if last.isdecimal() else 0)


def clock() -> float:
    """Seconds that go on while the process is paused, and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Elector:
    """One candidate. `acquire` first; `lost` ends when it leads no more; `release` at the end."""

    def __init__(self, client: Client, *, namespace: str, name: str, clock: Callable[[], float] = clock) -> None:
        """Use a CLIENT that nobody else uses: a renewal must not wait behind other requests."""
        self.identity = f"{socket.gethostname()[:200]}_{secrets.token_hex(8)}"
        self._client = client
        self._key = Key("Lease", namespace, name)
        self._clock = clock
        self._lease: Body | None = None
        self._renewed: float | None = None
        self._renewing: asyncio.Task[None] | None = None

    async def acquire(self) -> int:
        """Wait until this candidate leads; give its epoch."""
        logger.info("waiting for the Lease %s as %s", self._key.name, self.identity)
        seen: Seen | None = None
        while True:
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    lease = await self._read()
                    seen = Seen.next(lease, seen, self._clock()) if lease else None
                    if decide(lease, seen, self._clock()) is not Step.WAIT:
                        epoch = next_epoch(lease, time.time_ns() // 1_000_000)
                        await self._take(lease, epoch)
                        logger.info("leading under the Lease %s, epoch %d", self._key.name, epoch)
                        self._renewing = asyncio.create_task(self._keep_renewing())
                        return epoch
            except Conflict:
                logger.debug("somebody else was quicker")
            except (ApiError, TimeoutError) as error:
                logger.warning("the Lease cannot be had, and is tried again: %s", str(error) or "no answer in time")
            await asyncio.sleep(RETRY_SECONDS * random.uniform(0.8, 1.0))  # noqa: S311 (nothing secret)

    async def lost(self) -> None:
        """Wait for the end of leading. Raises LeaseLost."""
        if not self._renewing:
            raise AssertionError("the caller has acquired it")
        # Who waits may be cancelled; the renewals go on until `release`.
        await asyncio.shield(self._renewing)

    @property
    def leads(self) -> bool:
        """Whether it was acquired, and not lost yet."""
        return self._renewed is not None

    def require(self) -> None:
        """Refuse a write when this one does not lead, or may not any more."""
        if self._renewed is None or self._clock() >= self._renewed + RENEW_SECONDS:
            raise Retryable("nothing is written: this operator does not hold the Lease")

    async def release(self) -> None:
        """Stop, and let the next one lead at once."""
        held = self._renewed is not None
        if self._renewing:
            self._renewing.cancel()
            held = held and not self._renewing.done()
            await asyncio.gather(self._renewing, return_exceptions=True)
        if held and self._lease:
            try:
                async with asyncio.timeout(RETRY_SECONDS):
                    await self._write({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()})
            except (ApiError, TimeoutError) as error:
                logger.warning("the Lease was not given back, and runs out: %s", error)

    async def _keep_renewing(self) -> None:
        try:
            await self._keep()
        finally:
            # However it ends: nothing is written any more.
            self._renewed = None

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                self.require()
                async with asyncio.timeout(max(0.1, (self._renewed or 0.0) + RENEW_SECONDS - self._clock())):
                    await self._renew()
            except Conflict as error:
                await self._require_holder(error)
            except NotFound as error:
                raise LeaseLost("the Lease is gone") from error
            except (ApiError, TimeoutError) as error:
                if self._clock() >= (self._renewed or 0.0) + RENEW_SECONDS:
                    raise LeaseLost(f"the Lease could not be renewed for {RENEW_SECONDS:.0f} s") from error
                logger.warning("the Lease was not renewed, and is tried again: %s", error)

    async def _renew(self) -> None:
        begin = self._clock()
        await self._write({"renewTime": _now()})
        self._renewed = begin

    async def _require_holder(self, error: ApiError) -> None:
        """Somebody changed the Lease: go on only if it still is ours."""
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(RETRY_SECONDS):
                lease = await self._read()
                if lease is None or lease.get("spec", {}).get("holderIdentity") != self.identity:
                    raise LeaseLost("another operator took the Lease") from error
                self._lease = lease

    async def _read(self) -> Body | None:
        try:
            return await self._client.get(self._key)
        except NotFound:
            return None

    async def _take(self, lease: Body | None, epoch: int) -> None:
        begin, now = self._clock(), _now()
        spec = (lease or {}).get("spec") or {}
        self._lease = lease or {
            "apiVersion": RESOURCES["Lease"].api_version,
            "kind": "Lease",
            "metadata": {"name": self._key.name, "namespace": self._key.namespace},
        }
        self._lease["metadata"].setdefault("annotations", {})[EPOCH] = str(epoch)
        taken = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + (1 if lease else 0),
        }
        await self._write(taken)
        self._renewed = begin

    async def _write(self, changes: Mapping[str, Any]) -> None:
        """Write the Lease with CHANGES of its spec; it must still be as we know it."""
        lease = self._lease or {}
        body = {**lease, "kind": "Lease", "spec": {**(lease.get("spec") or {}), **changes}}
        exists = bool(lease["metadata"].get("resourceVersion"))
        self._lease = await (self._client.replace(body) if exists else self._client.create(body))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
