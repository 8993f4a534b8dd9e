# SPDX-License-Identifier: GPL-3.0-or-later
"""What of our own kinds vanished while no watch told it.

Kopf lists anew when the API server no longer knows what happened since a watch broke off, as after each start of it;
what is not in that list any more is told to nobody. So whenever Kopf has listed (watch.py), the names of what is
there are listed once more here and compared with the store; and all of them now and then, as the net below. Started
by application.py; changes go to the controller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress

from dbops_operator.client import ApiError, Client
from dbops_operator.keys import Key
from dbops_operator.store import Changes, Store
from dbops_operator.watch import Pauses

logger = logging.getLogger(__name__)

LOOK_SECONDS = 600.0

Place = tuple[str, str]
"""A kind, and a namespace ("" for all)."""


class Vanished:
    """Compares the store with the API, metadata only."""

    def __init__(
        self, client: Client, store: Store, places: Collection[Place], changed: Callable[[Changes], None]
    ) -> None:
        """Look at PLACES, each of which is watched; tell CHANGED what vanished."""
        self._client = client
        self._store = store
        self._places = frozenset(places)
        self._changed = changed
        self._due: set[Place] = set()
        self._news = asyncio.Event()

    def listed(self, kind: str, namespace: str) -> None:
        """Kopf's list was answered, so what happens from now on is told by its watch: look for what was not."""
        self._due.add((kind, namespace))
        self._news.set()

    async def run(self) -> None:
        """Look whenever there is reason to, for ever."""
        clock = asyncio.get_running_loop().time
        at = clock() + LOOK_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(at):
                    await self._news.wait()
            if clock() >= at:
                self._due |= self._places
                at = clock() + LOOK_SECONDS
            self._news.clear()
            await self._look()

    async def _look(self) -> None:
        pauses = iter(Pauses())
        while self._due:
            kind, namespace = place = self._due.pop()
            try:
                bodies, version = await self._client.list_with_version(kind, namespace, metadata_only=True)
            except ApiError as error:
                self._due.add(place)
                logger.warning("what vanished of %ss is not known yet: %s", kind, error)
                await asyncio.sleep(next(pauses))
                continue
            there = {Key.of(one) for one in bodies}
            self._changed(self._store.retain(kind, there, version=version, namespace=namespace))
