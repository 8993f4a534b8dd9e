# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup schedule does now: which backup is due, what waits or gives way, and what its status says. Pure.

reconcile/database_backup_schedule.py gives the schedule and its backups as they were seen, and carries the plan out.
A backup is named after the time that it was due at, so that a crash between two writes, or a second operator, finds
the backup instead of making another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from dbops_operator.resources import GROUP
from dbops_operator.schedule import next_time
from dbops_operator.status import condition

Body = Mapping[str, Any]

SCHEDULED_LABEL = f"{GROUP}/scheduled-backup"
SCHEDULED_AT = f"{GROUP}/scheduled-at"
"""Annotation of a backup: the time that it was due at."""
LONGEST_NAME = 63
"""Of a label's value, and of a backup's name: Jobs and Pods are named after it."""
_DIGITS = "%Y%m%d-%H%M%S"


@dataclass(frozen=True)
class Child:
    """A backup of the schedule."""

    body: Body = field(repr=False)

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self.body["metadata"]["name"])

    @property
    def phase(self) -> str:
        """How far it is; one that nobody looked at yet is Pending."""
        return str((self.body.get("status") or {}).get("phase") or "Pending")

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.phase in ("Pending", "Running") and not self.body["metadata"].get("deletionTimestamp")

    @property
    def over(self) -> bool:
        """Whether it ended, and is not being removed."""
        return self.phase in ("Completed", "Failed") and not self.body["metadata"].get("deletionTimestamp")

    @property
    def good(self) -> bool:
        """Whether it was completed."""
        return self.phase == "Completed"

    @property
    def verified(self) -> bool:
        """Whether a restore of it was compared with its manifest."""
        return (condition(self.body, "Verified") or {}).get("status") == "True"

    @property
    def created(self) -> datetime:
        """When the object was made."""
        return _moment(self.body["metadata"]["creationTimestamp"])

    @property
    def due_at(self) -> datetime | None:
        """The time that it was made for; None: not by a schedule of this operator, or somebody changed it."""
        return _moment_or_none((self.body["metadata"].get("annotations") or {}).get(SCHEDULED_AT))

    def time(self, name: str) -> datetime | None:
        """A time of its status."""
        return _moment_or_none((self.body.get("status") or {}).get(name))

    @property
    def began(self) -> datetime:
        """What it shows is of this moment, as near as is known."""
        return self.time("startedAt") or self.created

    @property
    def stored_bytes(self) -> int | None:
        """How much it takes in the storage."""
        stored = (self.body.get("status") or {}).get("backup") or {}
        size = stored.get("compressedSizeBytes", stored.get("sizeBytes"))
        return None if size is None else int(size)


@dataclass(frozen=True)
class Cron:
    """When backups are due."""

    expression: str
    zone: tzinfo

    def after(self, moment: datetime) -> datetime | None:
        """The first time after MOMENT. Raises ValueError for what is no schedule."""
        return next_time(self.expression, after=moment, zone=self.zone)

    def last(self, since: datetime, now: datetime) -> datetime | None:
        """The last time after SINCE that is not later than NOW; None: there was none.

        Steps double until there is one, so that a year of missed minutes is not walked through.
        """
        step = timedelta(hours=1)
        while now - step > since:
            if (found := self.after(now - step)) and found <= now:
                return self._last_of(found, now)
            step *= 2
        found = self.after(since)
        return self._last_of(found, now) if found and found <= now else None

    def _last_of(self, found: datetime, now: datetime) -> datetime:
        while (following := self.after(found)) and following <= now:
            found = following
        return found


@dataclass(frozen=True)
class Plan:
    """What a look at a schedule comes to."""

    make: datetime | None = None
    """A backup that is due: make it."""
    replace: Sequence[Child] = ()
    """Backups that are cancelled for it."""
    waits: bool = False
    """One is due, and waits until the last one is over."""
    next: datetime | None = None
    """When the next one is due; in the past while one waits. None: never, or paused."""


def plan(
    cron: Cron,
    *,
    policy: str,
    paused: bool,
    since: datetime | None,
    children: Iterable[Child],
    now: datetime,
) -> Plan:
    """Decide what is due NOW. SINCE: up to there everything was done; None: from now on.

    However many times were missed, one backup makes up for them. Raises ValueError for what is no schedule.
    """
    cron.after(now)
    if paused:
        return Plan()
    known = list(children)
    done = max([since or now, *(at for one in known if (at := one.due_at) and at <= now)])
    due = cron.last(done, now)
    if due is None:
        return Plan(next=cron.after(now))
    active = [one for one in known if one.active]
    if active and policy == "Forbid":
        return Plan(waits=True, next=due)
    return Plan(make=due, replace=active if policy == "Replace" else (), next=cron.after(now))


def since(cron: Cron, body: Body, *, now: datetime) -> datetime | None:
    """Up to which time a schedule has done what was due, from what its status says.

    A schedule that nobody looked at yet is looked at since it was made. A time of the past that the expression does
    not name (any more) was not missed: somebody edited the schedule.
    """
    told = body.get("status") or {}
    if not told.get("phase"):
        return _moment(body["metadata"]["creationTimestamp"])
    recorded = _moment_or_none(told.get("nextBackupTime"))
    if recorded is None or recorded > now:
        return None
    just_before = recorded - timedelta(seconds=1)
    return just_before if cron.after(just_before) == recorded else None


def child_name(schedule: str, due: datetime) -> str:
    """The name of the backup that is DUE: `<schedule>-<YYYYMMDD-HHMMSS>` in UTC, of at most LONGEST_NAME bytes."""
    suffix = due.astimezone(UTC).strftime(f"-{_DIGITS}")
    return shortened(schedule, LONGEST_NAME - len(suffix)) + suffix


def shortened(name: str, length: int) -> str:
    """NAME, or its beginning and a hash of all of it where it is longer than LENGTH."""
    if len(name) <= length:
        return name
    return name[: length - 9].rstrip("-.") + "-" + hashlib.sha256(name.encode()).hexdigest()[:8]


def label(schedule: str) -> str:
    """The schedule's name as the value of its backups' label."""
    return shortened(schedule, LONGEST_NAME)


def statistics(children: Sequence[Child]) -> dict[str, int]:
    """`status.statistics`: figures of the backups that exist."""
    good = [one for one in children if one.good]
    durations = [
        (ended - began).total_seconds()
        for one in good
        if (began := one.time("startedAt")) and (ended := one.time("completedAt"))
    ]
    sizes = [size for one in good if (size := one.stored_bytes) is not None]
    return {
        "totalBackups": len(children),
        "successfulBackups": len(good),
        "failedBackups": sum(one.phase == "Failed" for one in children),
        "averageDurationSeconds": round(sum(durations) / len(durations)) if durations else 0,
        "averageSizeBytes": round(sum(sizes) / len(sizes)) if sizes else 0,
        "totalStorageBytes": sum(sizes),
    }


def recent(children: Sequence[Child], *, good: int, failed: int) -> list[dict[str, str]]:
    """`status.recentBackups`, the newest first: all that run, and the last ones that were completed and failed."""
    left = {"Completed": good, "Failed": failed}
    listed = []
    for one in newest_first(children):
        if one.phase in left:
            left[one.phase] -= 1
        if left.get(one.phase, 0) >= 0:
            listed.append({"name": one.name, "status": one.phase})
    return listed


def last(children: Sequence[Child]) -> dict[str, str] | None:
    """`status.lastBackup`."""
    if not children:
        return None
    one = newest_first(children)[0]
    told = one.body.get("status") or {}
    times = {name: str(told[name]) for name in ("startedAt", "completedAt") if told.get(name)}
    return {"name": one.name, "status": one.phase, **times}


def newest_first(children: Iterable[Child]) -> list[Child]:
    """The backups by the time that they were made for."""
    return sorted(children, key=lambda one: (one.due_at or one.created, one.name), reverse=True)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _moment_or_none(text: Any) -> datetime | None:
    # An annotation may hold anything.
    try:
        return _moment(text) if text else None
    except (TypeError, ValueError):
        return None
