# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups of a schedule are kept: a pure decision over all of them at once.

reconcile/database_backup_schedule.py gives what exists and deletes what comes out. Rules are united: what one of
them keeps stays. Periods without a backup do not count, so a pause of the schedule makes nothing old. Whatever the
rules say, the newest good backup and the newest verified one stay.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

Period = Callable[[datetime], Hashable]


@dataclass(frozen=True)
class Backup:
    """One backup that is over."""

    name: str
    moment: datetime
    """What it shows; aware."""
    good: bool
    """Whether it was completed."""
    verified: bool = False
    """Whether a restore of it was compared with its manifest."""
    in_use: bool = False
    """Whether somebody reads it now."""


@dataclass(frozen=True)
class Rules:
    """How many backups each rule keeps; None: there is no such rule."""

    last: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None
    yearly: int | None = None
    min_age: timedelta = timedelta(0)
    """Nothing younger is removed."""
    failed: int = 3
    """How many failed ones stay that are older than a good one."""

    @property
    def any(self) -> bool:
        """Whether anything is ever removed."""
        counts = (self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly)
        return any(count is not None for count in counts)

    @property
    def periods(self) -> Sequence[tuple[Period, int]]:
        """Of how many periods the newest is kept, and which period a moment in the schedule's zone belongs to."""
        return (
            (_hour, self.hourly or 0),
            (_day, self.daily or 0),
            (_week, self.weekly or 0),
            (_month, self.monthly or 0),
            (_year, self.yearly or 0),
        )


def removable(backups: Iterable[Backup], rules: Rules, *, now: datetime, zone: tzinfo) -> list[str]:
    """Names of the backups that go, the oldest first. Days and weeks begin in ZONE.

    Failed ones count for no rule: the last of them stay, and those that no good one came after.
    """
    if not rules.any:
        return []
    newest_first = sorted(backups, key=lambda one: (one.moment, one.name), reverse=True)
    good = [one for one in newest_first if one.good]
    failed = [one for one in newest_first if not one.good]
    kept = _kept(good, rules, zone) | {
        one.name
        for number, one in enumerate(failed)
        if number < rules.failed or not good or one.moment > good[0].moment
    }
    return [
        one.name
        for one in reversed(newest_first)
        if one.name not in kept and not one.in_use and now - one.moment >= rules.min_age
    ]


def _kept(newest_first: Sequence[Backup], rules: Rules, zone: tzinfo) -> set[str]:
    kept = {one.name for one in newest_first[: max(1, rules.last or 0)]}
    kept.update([one.name for one in newest_first if one.verified][:1])
    moments = [one.moment.astimezone(zone) for one in newest_first]
    for period, count in rules.periods:
        seen: set[Hashable] = set()
        for one, moment in zip(newest_first, moments, strict=True):
            if len(seen) == count:
                break
            which = period(moment)
            if which not in seen:
                seen.add(which)
                kept.add(one.name)
    return kept


def _hour(moment: datetime) -> Hashable:
    # The offset tells the two hours apart that have one name when clocks go back.
    return moment.date(), moment.hour, moment.utcoffset()


def _day(moment: datetime) -> Hashable:
    return moment.date()


def _week(moment: datetime) -> Hashable:
    return moment.isocalendar()[:2]


def _month(moment: datetime) -> Hashable:
    return moment.year, moment.month


def _year(moment: datetime) -> Hashable:
    return moment.year
