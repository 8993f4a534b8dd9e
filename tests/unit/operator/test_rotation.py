# SPDX-License-Identifier: GPL-3.0-or-later
"""When passwords are replaced and under which names: the decision alone, at times that the test names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import rotation, schedule
from dbops_operator.api.database_user import DATABASE_USER, DatabaseUserSpec
from dbops_operator.api.model import parse
from dbops_operator.rotation import Wishes
from dbops_operator.rotation_record import Fate, How, Record, Retired, from_status, from_text, to_text

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
MOMENTS = st.integers(1_600_000_000, 2_200_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def spec(**rotates: Any) -> DatabaseUserSpec:
    block = {"enabled": True, **rotates}
    wanted = {"username": "app", "instanceRef": {"name": "main"}, "passwordRotation": block}
    return parse(DATABASE_USER, {"kind": "DatabaseUser", "metadata": {}, "spec": wanted})


def wishes(engine: str = "postgres", **rotates: Any) -> Wishes:
    return rotation.wishes(spec(**rotates), engine, now=NOW, zone=UTC)


def decide(record: Record | None, wanted: Wishes, *, now: datetime, request: str = "", new: bool = False) -> Any:
    return rotation.decide(record, wanted, request=request, new=new, now=now, zone=UTC)


def settled(wanted: Wishes, now: datetime = NOW) -> Record:
    """What is remembered of a user that has just been made."""
    record = decide(None, wanted, now=now, new=True).record
    assert isinstance(record, Record)
    return record


def rotated(record: Record, wanted: Wishes, now: datetime, request: str = "") -> Record:
    decision = decide(record, wanted, now=now, request=request)
    assert decision.begun
    return rotation.landed(decision.begun, wanted, now=now)


@pytest.mark.feature("R01")
def test_switching_it_on_rotates_nothing() -> None:
    for new in (True, False):
        decision = decide(None, wishes(schedule="* * * * *"), now=NOW, new=new)
        assert decision.begun is None
        assert decision.record.login == "app"
        assert decision.record.rotated_at == NOW
    assert decide(None, wishes(enabled=False), now=NOW).record is None


@pytest.mark.feature("R01")
@given(age=st.integers(1, 10**6), passed=st.integers(0, 10**8))
def test_a_maximum_age_is_due_when_it_is_reached_and_then_once(age: int, passed: int) -> None:
    wanted = wishes(maxAge=f"{age}s")
    record = settled(wanted)
    now = NOW + timedelta(seconds=passed)
    assert bool(decide(record, wanted, now=now).begun) == (passed >= age)
    if passed >= age:
        after = rotated(record, wanted, now)
        assert decide(after, wanted, now=now).begun is None


@pytest.mark.feature("R01")
@given(start=MOMENTS, away=st.integers(0, 60 * 24 * 40))
def test_a_schedule_fires_once_however_long_nobody_looked(start: datetime, away: int) -> None:
    wanted = wishes(schedule="30 3 * * *")
    record = settled(wanted, start)
    now = start + timedelta(minutes=away)
    due = rotation.due_at(record, wanted, zone=UTC)
    assert due
    assert start < due <= start + timedelta(days=1)
    if due > now:
        assert decide(record, wanted, now=now).begun is None
        return
    after = rotated(record, wanted, now)
    following = rotation.due_at(after, wanted, zone=UTC)
    assert following
    assert now < following <= now + timedelta(days=1)


@pytest.mark.feature("R01")
def test_what_comes_first_counts() -> None:
    wanted = wishes(schedule="0 0 1 * *", maxAge="48h")
    assert rotation.due_at(settled(wanted), wanted, zone=UTC) == NOW + timedelta(hours=48)


@pytest.mark.feature("R01")
def test_another_schedule_does_not_make_up_for_the_past() -> None:
    record = settled(wishes(schedule="0 0 1 1 *"))
    later = NOW + timedelta(days=30)
    decision = decide(record, wishes(schedule="0 * * * *"), now=later)
    assert decision.begun is None
    assert rotation.due_at(decision.record, wishes(schedule="0 * * * *"), zone=UTC) == later + timedelta(hours=1)


@pytest.mark.feature("R01")
def test_schedules_go_by_the_zone_they_are_in() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert schedule.next_time("0 3 * * *", after=NOW, zone=berlin) == datetime(2026, 3, 11, 2, 0, tzinfo=UTC)
    # The hour that is skipped: right after it. The hour that comes twice: once.
    spring = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
    assert schedule.next_time("30 2 29 3 *", after=spring, zone=berlin) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    autumn = datetime(2026, 10, 24, 12, 0, tzinfo=UTC)
    first = schedule.next_time("30 2 * * *", after=autumn, zone=berlin)
    assert first
    second = schedule.next_time("30 2 * * *", after=first, zone=berlin)
    assert second
    assert second - first > timedelta(hours=20)


@pytest.mark.feature("R01")
@pytest.mark.parametrize("text", ["@daily", "* * * *", "* * * * * *", "61 * * * *", "often", "0 0 31 2 *x"])
def test_what_is_no_schedule_leaves_the_user_as_it_is(text: str) -> None:
    wanted = wishes(schedule=text, maxAge="1h")
    assert "schedule" in wanted.problem
    assert rotation.due_at(settled(wanted), wanted, zone=UTC) == NOW + timedelta(hours=1)


@pytest.mark.feature("R01")
@pytest.mark.parametrize("text", ["a month", "-1h", "0s"])
def test_what_is_no_age_is_told(text: str) -> None:
    wanted = wishes(maxAge=text)
    assert "maxAge" in wanted.problem
    assert rotation.due_at(settled(wanted), wanted, zone=UTC) is None


@pytest.mark.feature("R05")
def test_each_word_of_the_annotation_rotates_once() -> None:
    wanted = wishes()
    record = settled(wanted)
    record = rotated(record, wanted, NOW, request="now")
    assert decide(record, wanted, now=NOW, request="now").begun is None
    assert decide(record, wanted, now=NOW, request="").begun is None
    assert decide(record, wanted, now=NOW, request="again").begun


@pytest.mark.feature("R05")
def test_a_time_in_the_annotation_is_waited_for() -> None:
    wanted = wishes()
    record = settled(wanted)
    at = "2026-03-10T14:00:00+01:00"
    before = NOW + timedelta(minutes=59)
    assert decide(record, wanted, now=before, request=at).begun is None
    assert rotation.look_again(record, wanted, request=at, now=before, zone=UTC) == 60
    assert decide(record, wanted, now=NOW + timedelta(hours=1), request=at).begun


@pytest.mark.feature("R05")
def test_the_annotation_on_a_new_user_asks_for_nothing() -> None:
    record = decide(None, wishes(), now=NOW, request="now", new=True).record
    assert decide(record, wishes(), now=NOW, request="now").begun is None


@pytest.mark.feature("R03")
@given(
    username=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=63),
    naming=st.sampled_from(["{{.Username}}_{{.Date}}", "x{{.Timestamp}}", "fixed", "{{.Username}}" * 3, "ü" * 70]),
    engine=st.sampled_from(["postgres", "mysql", "mariadb"]),
)
def test_names_fit_the_engine_and_never_come_twice(username: str, naming: str, engine: str) -> None:
    wanted = rotation.wishes(
        spec(userNaming=naming).model_copy(update={"username": username}), engine, now=NOW, zone=UTC
    )
    record, seen = settled(wanted), {username}
    for _ in range(4):
        record = rotated(record, wanted, NOW, request=str(len(seen)))
        assert record.login not in seen
        seen.add(record.login)
        size = len(record.login.encode()) if engine == "postgres" else len(record.login)
        assert 0 < size <= (32 if engine == "mysql" else 63)


@pytest.mark.feature("R03")
def test_names_are_plain_replacement_and_keep_their_end() -> None:
    record = settled(wishes())
    assert rotation.twin_name(wishes(), taken_by=record, now=NOW, zone=UTC) == "app_20260310"
    odd = wishes(userNaming="{{ .Username }}-{{.Timestamp}}")
    assert rotation.twin_name(odd, taken_by=record, now=NOW, zone=UTC) == f"{{{{ .Username }}}}-{int(NOW.timestamp())}"
    long = rotation.wishes(spec().model_copy(update={"username": "u" * 32}), "mysql", now=NOW, zone=UTC)
    assert rotation.twin_name(long, taken_by=record, now=NOW, zone=UTC) == "u" * 23 + "_20260310"


@pytest.mark.feature("R03")
def test_the_service_role_stays_the_same() -> None:
    record = settled(wishes(serviceRole={"name": "group"}))
    assert record.service_role == "group"
    with pytest.raises(DbopsError) as raised:
        decide(record, wishes(), now=NOW)
    assert raised.value.reason is Reason.IMMUTABLE_FIELD
    # Switched off, the role stays what the logins are members of.
    assert decide(record, wishes(enabled=False), now=NOW).record.service_role == "group"


@pytest.mark.feature("R02")
def test_a_second_old_password_waits_for_the_first_ones_end() -> None:
    wanted = wishes("mysql", strategy="dual-password", maxAge="1h", mysql={"discardOldPasswordAfterDays": 2})
    record = rotated(settled(wanted), wanted, NOW + timedelta(hours=1))
    end = NOW + timedelta(hours=49)
    assert record.retained_until == end
    assert record.login == "app"
    assert decide(record, wanted, now=end - timedelta(seconds=1)).begun is None
    assert not rotation.discards(record, now=end - timedelta(seconds=1))
    assert rotation.discards(record, now=end)
    # Somebody who says now means it.
    assert decide(record, wanted, now=NOW + timedelta(hours=2), request="now").begun.under_way is How.DUAL


@pytest.mark.feature("R02")
@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_only_mysql_has_two_passwords(engine: str) -> None:
    with pytest.raises(DbopsError) as raised:
        wishes(engine, strategy="dual-password")
    assert raised.value.reason is Reason.UNSUPPORTED


@pytest.mark.feature("R03")
def test_old_logins_end_with_their_grace_period() -> None:
    wanted = wishes(oldUserPolicy={"gracePeriodDays": 3})
    record = rotated(settled(wanted), wanted, NOW, request="now")
    (old,) = record.retired
    assert (old.user, old.fate) == ("app", Fate.PENDING)
    assert rotation.to_retire(record, now=NOW + timedelta(days=3, seconds=-1)) == []
    assert rotation.to_retire(record, now=NOW + timedelta(days=3)) == [old]
    kept = wishes(oldUserPolicy={"action": "retain"})
    record = rotated(settled(kept), kept, NOW, request="now")
    assert rotation.to_retire(record, now=NOW + timedelta(days=3000)) == []


@pytest.mark.feature("R05")
@given(
    rotated_at=MOMENTS,
    since=st.none() | MOMENTS,
    retained=st.none() | MOMENTS,
    under_way=st.none() | st.sampled_from(How),
    words=st.text(max_size=20),
    fate=st.sampled_from(Fate),
    flag=st.booleans(),
)
def test_what_is_remembered_comes_back(
    rotated_at: datetime,
    since: datetime | None,
    retained: datetime | None,
    under_way: How | None,
    words: str,
    fate: Fate,
    flag: bool,
) -> None:
    old = Retired("old", rotated_at, since, fate, {"blockedReason": words} if flag else {})
    record = Record(
        login="app", rotated_at=rotated_at, schedule=words, since=since, under_way=under_way, next_login=words,
        requested=words, retained_until=retained, service_role=words, makes_role=flag, first_acts=flag, retired=(old,),
    )  # fmt: skip
    assert from_text(to_text(record)) == record


def test_what_status_tells_when_the_state_is_lost() -> None:
    told = {
        "activeUser": "app_2",
        "lastRotatedAt": "2026-03-10T12:00:00Z",
        "serviceRole": "svc_app",
        "pendingDeletion": [{"user": "app", "deprecatedAt": "2026-03-10T12:00:00Z", "status": "pending"}],
    }
    record = from_status(told)
    assert record
    assert record.logins == ["app", "app_2"]
    assert record.service_role == "svc_app"
    assert from_status({}) is None
