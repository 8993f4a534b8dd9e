# SPDX-License-Identifier: GPL-3.0-or-later
"""How many runs may be at work at a time: a semaphore that knows whether somebody waits for a place.

A lane (lanes.py) holds a place as long as its run is at work, and while that waits for more to do.
"""

from __future__ import annotations

import asyncio


class Places:
    """A NUMBER of places, taken by `async with`."""

    def __init__(self, number: int) -> None:
        """All of them are free."""
        self.waiting = 0
        """How many wait for a place."""
        self._free = asyncio.Semaphore(number)
        self._staying: set[asyncio.Event] = set()

    async def __aenter__(self) -> None:
        """Take a place, as soon as one is free; who only stays in one is told."""
        self.waiting += 1
        if self._free.locked():
            for one in self._staying:
                one.set()
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self._free.release()

    async def stay(self, news: asyncio.Event, *, seconds: float) -> bool:
        """Keep the place with nothing to do until NEWS is set, by whom it concerns or who wants the place.

        Gives False when there was none for SECONDS.
        """
        self._staying.add(news)
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return False
        finally:
            self._staying.discard(news)
        return True
