# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups are kept: rules by example, what must hold for any backups and rules, and how fast it is decided."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbops_operator.retention import Backup, Rules, removable

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
COUNTS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
pytestmark = pytest.mark.feature("S03")


def backup(moment: str | datetime, *, good: bool = True, verified: bool = False, in_use: bool = False) -> Backup:
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return Backup(at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"), at, good, verified, in_use)


def kept(backups: Sequence[Backup], rules: Rules, *, now: datetime = NOW, zone: ZoneInfo | None = None) -> list[str]:
    gone = removable(backups, rules, now=now, zone=zone or ZoneInfo("UTC"))
    return sorted({one.name for one in backups} - set(gone))


def days(count: int, hour: int = 2) -> list[Backup]:
    first = datetime(2026, 11, 30, hour, tzinfo=UTC)
    return [backup(first - timedelta(days=number)) for number in range(count)]


def test_without_rules_everything_stays() -> None:
    assert removable(days(400), Rules(), now=NOW, zone=UTC) == []
    assert removable(days(400), Rules(min_age=timedelta(days=1)), now=NOW, zone=UTC) == []


def test_the_oldest_goes_first() -> None:
    gone = removable(days(5), Rules(last=2), now=NOW, zone=UTC)
    assert gone == ["2026-11-26T02:00:00", "2026-11-27T02:00:00", "2026-11-28T02:00:00"]


def test_a_count_of_zero_keeps_the_newest_good_and_the_newest_verified_one() -> None:
    backups = [
        backup("2026-11-30T02:00:00", good=False),
        backup("2026-11-29T02:00:00"),
        backup("2026-11-28T02:00:00"),
        backup("2026-11-27T02:00:00", verified=True),
        backup("2026-11-26T02:00:00", verified=True),
    ]
    assert kept(backups, Rules(last=0)) == ["2026-11-27T02:00:00", "2026-11-29T02:00:00", "2026-11-30T02:00:00"]


def test_rules_are_united() -> None:
    backups = days(400)
    names = kept(backups, Rules(last=3, daily=7, weekly=4, monthly=6, yearly=2))
    assert names == [
        "2025-12-31T02:00:00",  # the last of its year
        "2026-06-30T02:00:00",
        "2026-07-31T02:00:00",
        "2026-08-31T02:00:00",
        "2026-09-30T02:00:00",
        "2026-10-31T02:00:00",
        "2026-11-15T02:00:00",  # a Sunday: the last of its week
        "2026-11-22T02:00:00",
        "2026-11-24T02:00:00",
        "2026-11-25T02:00:00",
        "2026-11-26T02:00:00",
        "2026-11-27T02:00:00",
        "2026-11-28T02:00:00",
        "2026-11-29T02:00:00",
        "2026-11-30T02:00:00",
    ]


def test_a_pause_makes_nothing_old() -> None:
    backups = [backup(f"2024-01-{day:02}T02:00:00") for day in range(1, 11)]
    assert len(kept(backups, Rules(daily=7))) == 7


def test_days_begin_where_the_schedule_is() -> None:
    # In Berlin, half past midnight and half past eleven in the evening of one day.
    backups = [backup("2026-07-01T22:30:00"), backup("2026-07-02T21:30:00")]
    assert kept(backups, Rules(daily=2), zone=BERLIN) == ["2026-07-02T21:30:00"]
    assert len(kept(backups, Rules(daily=2))) == 2


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    backups = [backup(f"2026-10-25T0{hour}:30:00") for hour in (0, 1, 2)]
    assert len({one.moment.astimezone(BERLIN).hour for one in backups}) == 2
    assert len(kept(backups, Rules(hourly=3), zone=BERLIN)) == 3


def test_nothing_young_goes() -> None:
    names = kept(days(10), Rules(last=1, min_age=timedelta(days=3)))
    assert names == [
        "2026-11-28T02:00:00",
        "2026-11-29T02:00:00",
        "2026-11-30T02:00:00",
    ]


def test_failed_ones_count_for_no_rule_and_the_last_of_them_stay() -> None:
    good = [backup(f"2026-11-{day:02}T02:00:00") for day in (1, 2)]
    before = [backup(f"2026-10-{day:02}T02:00:00", good=False) for day in range(1, 11)]
    assert kept([*good, *before], Rules(last=2, failed=3)) == [
        "2026-10-08T02:00:00",
        "2026-10-09T02:00:00",
        "2026-10-10T02:00:00",
        "2026-11-01T02:00:00",
        "2026-11-02T02:00:00",
    ]
    assert len(kept(before, Rules(last=2, failed=3))) == 10, "without a good one nobody has seen the end of it"
    after = [backup(f"2026-11-{day:02}T02:00:00", good=False) for day in range(3, 13)]
    assert len(kept([*good, *after], Rules(last=2, failed=3))) == 12


def test_what_is_read_now_stays() -> None:
    backups = [backup("2026-11-01T02:00:00", in_use=True), *days(3)]
    assert len(kept(backups, Rules(last=1))) == 2


MOMENTS = st.integers(1_600_000_000, 1_796_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
BACKUPS = st.lists(
    st.builds(backup, MOMENTS, good=st.booleans(), verified=st.booleans(), in_use=st.booleans()),
    unique_by=lambda one: one.name,
    max_size=40,
)
RULES = st.builds(
    Rules,
    **dict.fromkeys(COUNTS, st.none() | st.integers(0, 5)),
    min_age=st.timedeltas(timedelta(0), timedelta(days=2000)),
    failed=st.integers(0, 5),
)


@given(BACKUPS, RULES)
def test_the_newest_good_and_the_newest_verified_one_never_go(backups: list[Backup], rules: Rules) -> None:
    names = kept(backups, rules)
    good = sorted((one for one in backups if one.good), key=lambda one: one.moment)
    assert {one.name for one in good[-1:]} <= set(names)
    assert {one.name for one in [one for one in good if one.verified][-1:]} <= set(names)
    assert {one.name for one in backups if one.in_use or NOW - one.moment < rules.min_age} <= set(names)


@given(BACKUPS, RULES)
def test_what_was_removed_changes_nothing_for_the_rest(backups: list[Backup], rules: Rules) -> None:
    names = set(kept(backups, rules))
    left = [one for one in backups if one.name in names]
    assert kept(left, rules) == sorted(names)
    assert kept(backups[::-1], rules) == sorted(names)


@given(BACKUPS, RULES, st.sampled_from(COUNTS), st.integers(1, 3))
def test_a_wish_for_more_never_keeps_less(backups: list[Backup], rules: Rules, rule: str, more: int) -> None:
    before = getattr(rules, rule)
    if before is not None:
        larger = dataclasses.replace(rules, **{rule: before + more})
        assert set(kept(backups, rules)) <= set(kept(backups, larger))


@given(BACKUPS, st.sampled_from(COUNTS), st.integers(1, 5))
def test_one_rule_alone_keeps_no_more_than_it_says(backups: list[Backup], rule: str, count: int) -> None:
    plain = [dataclasses.replace(one, good=True, verified=False, in_use=False) for one in backups]
    names = kept(plain, Rules(**{rule: count}))
    assert len(names) <= count
    assert sorted(one.name for one in plain)[-1:] == names[-1:]


def test_20000_backups_are_decided_within_a_second() -> None:
    first = datetime(2026, 11, 30, tzinfo=UTC)
    backups = [backup(first - timedelta(hours=number)) for number in range(20_000)]
    rules = Rules(last=10, hourly=48, daily=30, weekly=12, monthly=24, yearly=10, min_age=timedelta(days=1))
    begin = time.process_time()
    gone = removable(backups, rules, now=NOW, zone=BERLIN)
    seconds = time.process_time() - begin
    assert 19_800 < len(gone) < 20_000
    assert seconds < 1.0
    print(f"20,000 backups decided in {seconds * 1000:.0f} ms")
