# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches of what our objects refer to (Secrets, ConfigMaps, Namespaces): metadata only, contents are never here.

Each list is compared with what was known, so that objects that vanished while nobody watched are noticed. Used by
the operator's start; changes go to the controller.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from dbops_operator.client import ApiError, Client, Gone, read_event
from dbops_operator.keys import Key
from dbops_operator.store import Changes, Store

logger = logging.getLogger(__name__)

WATCH_SECONDS = 240
_LONGEST_PAUSE = 30.0


class MetadataWatch:
    """One kind in one namespace, or in all ("")."""

    def __init__(
        self, client: Client, store: Store, kind: str, namespace: str, changed: Callable[[Changes], None]
    ) -> None:
        """Tell CHANGED what differs; `heard` is when the API server was last heard of (monotonic seconds)."""
        self.kind = kind
        self.namespace = namespace
        self.heard = time.monotonic()
        self._client = client
        self._store = store
        self._changed = changed

    async def list(self) -> str:
        """Take the present state; give the resourceVersion to go on from."""
        bodies, version = await self._client.list_with_version(self.kind, self.namespace, metadata_only=True)
        self.heard = time.monotonic()
        self._changed(self._store.replace(self.kind, bodies, version=version, namespace=self.namespace))
        return version

    async def run(self, version: str) -> None:
        """Watch from VERSION on, for ever."""
        pause = 0.5
        while True:
            try:
                version = await self._watch(version or await self.list())
                pause = 0.5
            except Gone:
                version = ""
            except ApiError as error:
                wait = max(pause, getattr(error, "retry_after", None) or 0.0)
                logger.warning("watch of %ss: %s; again in %.0f s", self.kind, error, wait)
                await asyncio.sleep(wait * random.uniform(0.75, 1.25))  # noqa: S311 (no cryptography)
                pause = min(_LONGEST_PAUSE, pause * 2)

    async def _watch(self, version: str) -> str:
        async with self._client.watch_metadata(self.kind, self.namespace, version, seconds=WATCH_SECONDS) as response:
            while (event := await read_event(response)) is not None:
                self.heard = time.monotonic()
                body = {**event["object"], "kind": self.kind}
                version = body["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                key = Key.of(body)
                change = self._store.remove(key) if event["type"] == "DELETED" else self._store.put(body)
                self._changed([(key, change)])
        return version
