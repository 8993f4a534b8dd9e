# SPDX-License-Identifier: GPL-3.0-or-later
"""The circuit breaker of one server's lane: after a failed connection nothing is tried for a while, then one object.

Pure: the lane (lanes.py) tells it what happened and when, and asks whether to try.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
RECENT = 60.0
"""A server whose last success is older than this, in seconds, is tried in the small pool for doubtful servers."""


@dataclass
class Breaker:
    """State of one server: closed (tried), open (not tried until `until`), half-open (one try under way)."""

    message: str = ""
    until: float = 0.0
    failures: int = 0
    last_success: float | None = None
    _probing: bool = field(default=False, repr=False)
    _jitter: Callable[[], float] = field(default=random.random, repr=False)

    def refuses(self, now: float) -> bool:
        """Whether an object must not be tried NOW."""
        return self.failures > 0 and (now < self.until or self._probing)

    @property
    def is_open(self) -> bool:
        """Whether the last try failed."""
        return self.failures > 0

    def begin(self) -> None:
        """A unit of work begins; while the breaker is open it is the only one."""
        self._probing = self.failures > 0

    def reached(self, now: float) -> None:
        """The server answered."""
        self.failures, self._probing, self.message, self.last_success = 0, False, "", now

    def missed(self, now: float, message: str) -> None:
        """The server could not be reached, for the reason in MESSAGE."""
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**self.failures)
        self.failures, self._probing, self.message = self.failures + 1, False, message
        self.until = now + pause * (0.75 + 0.5 * self._jitter())

    def abandoned(self) -> None:
        """The unit of work ended without a word about the server."""
        self._probing = False

    def doubtful(self, now: float) -> bool:
        """Whether the server did not answer lately."""
        return self.is_open or self.last_success is None or now - self.last_success > RECENT
