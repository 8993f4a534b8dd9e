# SPDX-License-Identifier: GPL-3.0-or-later
"""What a schedule does at a moment that the test names: what is due, what waits, what status says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dbops_operator import backup_schedule
from dbops_operator.backup_schedule import SCHEDULED_AT, Child, Cron, Plan, plan
from dbops_operator.rotation_record import stamp

NIGHTLY = Cron("0 2 * * *", ZoneInfo("UTC"))
MINUTELY = Cron("* * * * *", ZoneInfo("UTC"))
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
MOMENTS = st.integers(1_600_000_000, 2_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
EXPRESSIONS = st.sampled_from(
    ["* * * * *", "*/5 * * * *", "30 2 * * *", "0 0 * * 0", "15 3 1 * *", "0 12 29 2 *", "30 1-3 * * *"]
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])


def child(due: str, phase: str = "Completed", *, name: str = "", **told: Any) -> Child:
    metadata = {
        "name": name or f"nightly-{due}",
        "creationTimestamp": due,
        "annotations": {SCHEDULED_AT: due},
    }
    return Child({"kind": "DatabaseBackup", "metadata": metadata, "status": {"phase": phase, **told}})


def decide(cron: Cron = NIGHTLY, *, since: str | None = None, now: datetime = NOW, **options: Any) -> Plan:
    given: dict[str, Any] = {"policy": "Forbid", "paused": False, "children": (), **options}
    return plan(cron, since=datetime.fromisoformat(since) if since else None, now=now, **given)


def seen(cron: Cron, *, now: datetime = NOW, created: str = "2026-11-01T00:00:00Z", **told: Any) -> datetime | None:
    body = {"kind": "DatabaseBackupSchedule", "metadata": {"creationTimestamp": created}, "status": told}
    return backup_schedule.since(cron, body, now=now)


@pytest.mark.feature("S01")
def test_a_backup_is_made_when_it_is_due_and_not_before() -> None:
    at = datetime(2026, 11, 30, 2, tzinfo=UTC)
    assert decide(since="2026-11-29T12:00:00Z", now=at - timedelta(seconds=1)) == Plan(next=at)
    assert decide(since="2026-11-29T12:00:00Z", now=at) == Plan(make=at, next=at + timedelta(days=1))


@pytest.mark.feature("S01")
def test_a_year_of_missed_minutes_is_one_backup() -> None:
    made = decide(MINUTELY, since="2025-11-30T12:00:00Z")
    assert made == Plan(make=NOW, next=NOW + timedelta(minutes=1))


@pytest.mark.feature("S01")
@given(EXPRESSIONS, ZONES, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=1500)))
def test_what_is_due_is_the_last_time_that_passed(expression: str, zone: str, since: datetime, away: timedelta) -> None:
    cron, now = Cron(expression, ZoneInfo(zone)), since + timedelta(seconds=int(away.total_seconds()))
    planned = decide(cron, since=since.isoformat(), now=now)
    first = cron.after(since)
    assert first
    if first > now:
        assert planned == Plan(next=first)
        return
    assert planned.make
    assert since < planned.make <= now
    following = cron.after(planned.make)
    assert following
    assert following > now
    assert planned.next == following
    # Once it is made there is nothing more to do, whether status says so or not.
    made = child(stamp(planned.make))
    assert decide(cron, since=since.isoformat(), now=now, children=[made]) == Plan(next=following)


@pytest.mark.feature("S01")
def test_clock_changes_neither_skip_nor_double_a_backup() -> None:
    berlin = Cron("30 2 * * *", ZoneInfo("Europe/Berlin"))
    due, moment = [], datetime(2026, 3, 27, 12, tzinfo=UTC)
    while len(due) < 4:
        moment = berlin.after(moment) or moment
        due.append(stamp(moment))
    # On the 29th there is no half past two; cron makes up for it right after the change, at three.
    assert due == ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]
    moment = datetime(2026, 10, 24, 12, tzinfo=UTC)
    due = []
    while len(due) < 2:
        moment = berlin.after(moment) or moment
        due.append(stamp(moment))
    # On the 25th there are two.
    assert due == ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]


@pytest.mark.feature("S01")
def test_a_new_schedule_begins_when_it_was_made() -> None:
    assert seen(NIGHTLY, created="2026-11-29T23:00:00Z") == datetime(2026, 11, 29, 23, tzinfo=UTC)


@pytest.mark.feature("S01")
def test_an_edited_schedule_does_not_make_up_for_the_past() -> None:
    told = {"phase": "Active", "nextBackupTime": "2026-11-30T02:00:00Z"}
    assert seen(NIGHTLY, **told) == datetime(2026, 11, 30, 1, 59, 59, tzinfo=UTC)
    assert seen(Cron("0 3 * * *", ZoneInfo("UTC")), **told) is None
    assert seen(NIGHTLY, **{**told, "nextBackupTime": "2026-12-01T02:00:00Z"}) is None


@pytest.mark.feature("S02")
def test_forbid_waits_and_then_makes_up_for_it_once() -> None:
    running = child("2026-11-29T02:00:00Z", "Running")
    waiting = decide(since="2026-11-29T12:00:00Z", children=[running])
    assert waiting == Plan(waits=True, next=datetime(2026, 11, 30, 2, tzinfo=UTC))
    over = child("2026-11-29T02:00:00Z", "Failed")
    assert decide(since="2026-11-29T12:00:00Z", children=[over]).make == waiting.next


@pytest.mark.feature("S02")
@pytest.mark.parametrize("phase", ["Pending", "Running", ""])
def test_one_that_waits_counts_as_running(phase: str) -> None:
    running = child("2026-11-29T02:00:00Z", phase)
    assert decide(since="2026-11-29T12:00:00Z", children=[running]).waits
    replaced = decide(since="2026-11-29T12:00:00Z", children=[running], policy="Replace")
    assert replaced.make
    assert list(replaced.replace) == [running]
    both = decide(since="2026-11-29T12:00:00Z", children=[running], policy="Allow")
    assert both.make
    assert not both.replace


@pytest.mark.feature("S02")
def test_a_paused_schedule_makes_nothing_and_goes_on_from_now() -> None:
    assert decide(since="2026-11-01T12:00:00Z", paused=True) == Plan()
    assert seen(NIGHTLY, phase="Paused") is None
    assert decide() == Plan(next=datetime(2026, 12, 1, 2, tzinfo=UTC))


@pytest.mark.feature("S02")
def test_what_is_no_schedule_is_refused_when_paused_too() -> None:
    for expression in ("0 2 * *", "61 * * * *", "daily"):
        with pytest.raises(ValueError, match=r"."):
            decide(Cron(expression, ZoneInfo("UTC")), paused=True)


@pytest.mark.feature("S01")
def test_an_annotation_that_somebody_wrote_does_no_harm() -> None:
    for text in ("never", "2999-01-01T00:00:00Z", ""):
        forged = child("2026-11-29T02:00:00Z")
        forged = Child({**forged.body, "metadata": {**forged.body["metadata"], "annotations": {SCHEDULED_AT: text}}})
        assert decide(since="2026-11-29T12:00:00Z", children=[forged]).make


@pytest.mark.feature("S01")
def test_names_are_short_enough_and_tell_schedules_apart() -> None:
    due = datetime(2026, 11, 30, 2, tzinfo=UTC)
    assert backup_schedule.child_name("nightly", due) == "nightly-20261130-020000"
    long = ["a" * 200 + last for last in "bc"]
    names = {backup_schedule.child_name(one, due) for one in long}
    assert len(names) == 2
    assert {len(name) for name in names} == {63}
    assert all(name.endswith("-20261130-020000") for name in names)
    assert len({backup_schedule.label(one) for one in long}) == 2
    assert {len(backup_schedule.label(one)) for one in long} == {63}


@pytest.mark.feature("S04")
def test_figures_are_those_of_the_backups_that_exist() -> None:
    children = [
        child(
            "2026-11-29T02:00:00Z",
            startedAt="2026-11-29T02:00:00Z",
            completedAt="2026-11-29T02:01:00Z",
            backup={"sizeBytes": 1000, "compressedSizeBytes": 100},
        ),
        child(
            "2026-11-28T02:00:00Z",
            startedAt="2026-11-28T02:00:00Z",
            completedAt="2026-11-28T02:00:20Z",
            backup={"sizeBytes": 300},
        ),
        child("2026-11-27T02:00:00Z", "Failed", startedAt="2026-11-27T02:00:00Z"),
        child("2026-11-30T02:00:00Z", "Running"),
    ]
    assert backup_schedule.statistics(children) == {
        "totalBackups": 4,
        "successfulBackups": 2,
        "failedBackups": 1,
        "averageDurationSeconds": 40,
        "averageSizeBytes": 200,
        "totalStorageBytes": 400,
    }
    assert backup_schedule.statistics([])["averageDurationSeconds"] == 0
    assert backup_schedule.last(children) == {"name": "nightly-2026-11-30T02:00:00Z", "status": "Running"}
    assert backup_schedule.last([]) is None


@pytest.mark.feature("S04")
def test_history_limits_shorten_the_list() -> None:
    children = [child(f"2026-11-{day:02}T02:00:00Z", "Failed" if day % 2 else "Completed") for day in range(1, 29)]
    children.append(child("2026-10-01T02:00:00Z", "Running"))
    listed = backup_schedule.recent(children, good=3, failed=2)
    assert [one["status"] for one in listed] == ["Completed", "Failed", "Completed", "Failed", "Completed", "Running"]
    assert listed[0]["name"] == "nightly-2026-11-28T02:00:00Z"
    assert [one["status"] for one in backup_schedule.recent(children, good=0, failed=0)] == ["Running"]
