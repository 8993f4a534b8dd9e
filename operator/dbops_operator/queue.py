# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys wait to be looked at, in which order, and when: level-based, one key in work at most once.

The watches and reconcilers add keys, the controller takes them. An event for a key in work marks it, and it is
taken again afterwards. Time is given from outside, so that tests need no clock. Pure, but for nothing: no I/O.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from dbops_operator.keys import Key
from dbops_operator.work import Done, Human, Priority, Retry, Verdict, Wait

FIRST_RETRY = 1.0
LONGEST_RETRY = 300.0
WAIT_LOOK = 600.0
"""What waits for something else is woken by its event; this slow look is the net below."""
FIRST_HUMAN = 600.0
LONGEST_HUMAN = 3600.0


@dataclass
class _Entry:
    priority: Priority
    since: float


@dataclass
class Queue:
    """The keys of one operator process."""

    jitter: Callable[[], float] = field(default=random.random, repr=False)
    _due: dict[Key, _Entry] = field(default_factory=dict)
    _order: list[tuple[int, int, Key]] = field(default_factory=list)
    _later: dict[Key, tuple[float, Priority]] = field(default_factory=dict)
    _times: list[tuple[float, int, Key]] = field(default_factory=list)
    _working: set[Key] = field(default_factory=set)
    _again: dict[Key, Priority] = field(default_factory=dict)
    _failures: dict[Key, int] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count, repr=False)

    def add(self, key: Key, priority: Priority, *, now: float) -> None:
        """Have KEY looked at; a key that is in work is taken again afterwards."""
        if key in self._working:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        self._later.pop(key, None)
        entry = self._due.get(key)
        if entry and entry.priority <= priority:
            return
        self._due[key] = _Entry(priority, entry.since if entry else now)
        heapq.heappush(self._order, (priority, next(self._numbers), key))

    def fresh(self, key: Key) -> None:
        """Somebody changed the object: earlier failures count no more."""
        self._failures.pop(key, None)

    def after(self, key: Key, seconds: float, *, now: float, priority: Priority) -> None:
        """Have KEY looked at in SECONDS, unless it is due earlier."""
        if key in self._due:
            return
        at = now + seconds
        if key not in self._later or at < self._later[key][0]:
            self._later[key] = (at, priority)
            heapq.heappush(self._times, (at, next(self._numbers), key))

    def take(self, *, now: float) -> tuple[Key, Priority, float] | None:
        """Take the most urgent key into work, with its priority and how long it was due; None if there is none."""
        self._ripen(now)
        while self._order:
            priority, _, key = heapq.heappop(self._order)
            entry = self._due.get(key)
            # A key that was added again with another priority has an older place in the heap.
            if entry is None or entry.priority != priority:
                continue
            del self._due[key]
            self._working.add(key)
            return key, entry.priority, max(0.0, now - entry.since)
        return None

    def done(self, key: Key, verdict: Verdict, *, now: float) -> None:
        """Take a KEY out of work, and look at it again as the VERDICT says."""
        self._working.discard(key)
        again = self._again.pop(key, None)
        if isinstance(verdict, Done | Wait):
            self._failures.pop(key, None)
        if again is not None:
            self.add(key, again, now=now)
            return
        match verdict:
            case Done(after=None):
                pass
            case Done(after=seconds):
                assert seconds is not None
                self.after(key, seconds, now=now, priority=Priority.PERIODIC)
            case Wait():
                self.after(key, self._spread(WAIT_LOOK), now=now, priority=Priority.PERIODIC)
            case Retry():
                pause = max(self._backoff(key, FIRST_RETRY, LONGEST_RETRY), verdict.after or 0.0)
                self.after(key, pause, now=now, priority=Priority.RETRY)
            case Human():
                self.after(key, self._backoff(key, FIRST_HUMAN, LONGEST_HUMAN), now=now, priority=Priority.RETRY)

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._due.pop(key, None)
        self._later.pop(key, None)
        self._again.pop(key, None)
        self._failures.pop(key, None)

    def next_time(self) -> float | None:
        """When the next key becomes due by time; None if none does."""
        while self._times and self._later.get(self._times[0][2], (None,))[0] != self._times[0][0]:
            heapq.heappop(self._times)
        return self._times[0][0] if self._times else None

    def depth(self) -> dict[Priority, int]:
        """How many keys are due, by priority."""
        counts = dict.fromkeys(Priority, 0)
        for entry in self._due.values():
            counts[entry.priority] += 1
        return counts

    def in_work(self) -> int:
        """How many keys are in work."""
        return len(self._working)

    def _ripen(self, now: float) -> None:
        while (at := self.next_time()) is not None and at <= now:
            _, _, key = heapq.heappop(self._times)
            _, priority = self._later.pop(key)
            self.add(key, priority, now=now)

    def _backoff(self, key: Key, first: float, longest: float) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return self._spread(min(longest, first * 2.0 ** min(failures, 20)))

    def _spread(self, seconds: float) -> float:
        return seconds * (0.75 + 0.5 * self.jitter())
