# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of events.k8s.io/v1 about our objects, on transitions only.

Reconcilers call `Events.record` when something has just become true; a token bucket per object keeps a flapping
object from flooding the API. A failed write of an event is logged and forgotten: events are news, never state.
"""

from __future__ import annotations

import logging
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from dbops_operator.client import ApiError, Client, NamespaceTerminating
from dbops_operator.resources import GROUP
from dbops_operator.status import shorten

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]
BURST = 25
REFILL_SECONDS = 300.0
_KNOWN_OBJECTS = 10_000


@dataclass
class _Bucket:
    tokens: float
    filled: float


class Events:
    """The recorder of one operator process."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Write through CLIENT; CLOCK gives seconds."""
        self._client = client
        self._clock = clock
        self._instance = socket.gethostname()[:128]
        self._buckets: dict[str, _Bucket] = {}

    async def record(
        self, body: Body, type_: Literal["Normal", "Warning"], reason: str, note: str, *, action: str = "Reconcile"
    ) -> None:
        """Tell that REASON just became true of the object that BODY shows. NOTE is for people, without secrets."""
        if not self._admit(str(body["metadata"].get("uid", ""))):
            return
        try:
            await self._client.create_event(
                event(body, type_, reason, note, action=action, instance=self._instance, moment=datetime.now(UTC))
            )
        except NamespaceTerminating:
            # Nobody will read it.
            return
        except ApiError as error:
            logger.warning("event %s about %s was not written: %s", reason, body["metadata"]["name"], error)

    def _admit(self, uid: str) -> bool:
        now = self._clock()
        if len(self._buckets) > _KNOWN_OBJECTS:
            self._buckets.clear()
        bucket = self._buckets.setdefault(uid, _Bucket(BURST, now))
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled) / REFILL_SECONDS)
        bucket.filled = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


def event(
    body: Body,
    type_: Literal["Normal", "Warning"],
    reason: str,
    note: str,
    *,
    action: str,
    instance: str,
    moment: datetime,
) -> dict[str, Any]:
    """Give the Event object; of cluster-scoped objects it lies in namespace `default`."""
    metadata = body["metadata"]
    namespace = metadata.get("namespace")
    regarding = {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "name": metadata["name"],
        "namespace": namespace,
        "uid": metadata.get("uid"),
        "resourceVersion": metadata.get("resourceVersion"),
    }
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:230]}.{secrets.token_hex(8)}",
            "namespace": namespace or "default",
        },
        "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": instance,
        "action": action,
        "reason": reason,
        "type": type_,
        "regarding": {name: value for name, value in regarding.items() if value},
        "note": shorten(note),
    }
