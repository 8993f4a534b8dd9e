# SPDX-License-Identifier: GPL-3.0-or-later
"""When and how a user's password is replaced: a pure decision from the spec, what is remembered, and the time.

user_secrets.py asks `decide` before it chooses a password, and database_user.py carries out what is due: a new login
or password is made and tried, the consumer's Secret changes, `landed` notes it, and once the grace period is over
the old login goes. Each step is written ahead into the state Secret, so a crash between any two finds its way.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import schedule
from dbops_operator.api.database_user import DatabaseUserSpec, OldUserPolicy, PasswordRotation
from dbops_operator.rotation_record import Fate, How, Record, Retired, moment
from dbops_operator.settings import parse_duration

_FIELD = "spec.passwordRotation"
# PostgreSQL has 63 bytes, MySQL 32 characters; of MariaDB's 80 the published API uses 63.
_LONGEST = {"postgres": 63, "mysql": 32, "mariadb": 63}
_LAST_DELETED = 5
"""Logins that are gone and still listed."""
BLOCKED_AGAIN = timedelta(hours=1)
"""What keeps a login from being dropped tells nobody when it goes."""


@dataclass(frozen=True)
class Wishes:
    """What a spec says about rotation, with every default filled in."""

    username: str
    engine: str
    enabled: bool
    twins: bool
    """Whether logins are replaced (strategy role-inheritance)."""
    schedule: str
    max_age: timedelta | None
    naming: str
    service_role: str
    makes_role: bool
    """Whether the service role is made, or must be there."""
    policy: OldUserPolicy
    discard_after: timedelta
    problem: str = ""
    """What is wrong with the times; rotation by annotation still works."""


def wishes(spec: DatabaseUserSpec, engine: str, *, now: datetime, zone: tzinfo) -> Wishes:
    """Read a spec. Raises DbopsError for what a server of ENGINE cannot do."""
    block = spec.password_rotation or PasswordRotation()
    enabled = bool(block.enabled)
    if enabled and spec.existing_password_secret:
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"{_FIELD} and spec.existingPasswordSecret contradict each other: that password is not the operator's",
            field=_FIELD,
        )
    if enabled and block.strategy == "dual-password" and engine != "mysql":
        text = f"{_FIELD}.strategy dual-password takes MySQL; role-inheritance works on every engine"
        raise DbopsError(Reason.UNSUPPORTED, text, field=f"{_FIELD}.strategy")
    role = block.service_role
    expression, age, problem = _times(block, now=now, zone=zone)
    return Wishes(
        username=spec.username,
        engine=engine,
        enabled=enabled,
        twins=enabled and block.strategy == "role-inheritance",
        schedule=expression,
        max_age=age,
        naming=block.user_naming,
        service_role=service_role_name(spec),
        makes_role=role is None or role.auto_create,
        policy=block.old_user_policy or OldUserPolicy(),
        discard_after=timedelta(days=block.mysql.discard_old_password_after_days if block.mysql else 7),
        problem=problem if enabled else "",
    )


def _times(block: PasswordRotation, *, now: datetime, zone: tzinfo) -> tuple[str, timedelta | None, str]:
    """Give what of the schedule and the maximum age can be read, and what is wrong with the rest."""
    expression, age, problems = block.schedule or "", None, []
    if expression:
        try:
            schedule.next_time(expression, after=now, zone=zone)
        except ValueError as error:
            expression = ""
            problems.append(f"{_FIELD}.schedule is no schedule: {error}")
    if block.max_age:
        try:
            age = timedelta(seconds=parse_duration(block.max_age))
        except (ValueError, OverflowError):
            problems.append(f"{_FIELD}.maxAge is a duration such as 90s, 10m or 720h")
        if age is not None and age < timedelta(seconds=1):
            age = None
            problems.append(f"{_FIELD}.maxAge is shorter than a second")
    return expression, age, "; ".join(problems)


def service_role_name(spec: DatabaseUserSpec) -> str:
    """Name of the group role that all logins of a user are members of."""
    block = spec.password_rotation.service_role if spec.password_rotation else None
    return (block and block.name) or f"svc_{spec.username}"


@dataclass(frozen=True)
class Decision:
    """What is to be remembered now, and whether a rotation is to begin."""

    record: Record | None
    begun: Record | None = None
    """What is to be remembered instead once a new password was written ahead; None: no rotation is due."""


def decide(record: Record | None, wanted: Wishes, *, request: str, new: bool, now: datetime, zone: tzinfo) -> Decision:
    """Answer what happens now.

    REQUEST is the annotation `rotate-at`; NEW: the user has no password yet. Raises DbopsError.
    """
    asked = _asked(request, now=now)
    if record is None:
        if not wanted.enabled and not request:
            return Decision(None)
        # A password that is just made is as good as rotated.
        record = Record(
            login=wanted.username,
            rotated_at=now,
            requested=request if new and asked else "",
            first_acts=new and wanted.twins,
        )
    if record.schedule != wanted.schedule:
        record = replace(record, schedule=wanted.schedule, since=now)
    if wanted.twins:
        if record.service_role not in ("", wanted.service_role):
            raise DbopsError(
                Reason.IMMUTABLE_FIELD,
                f"the service role of this user is {record.service_role}, which its logins are members of already",
                field=f"{_FIELD}.serviceRole.name",
            )
        record = replace(record, service_role=wanted.service_role, makes_role=wanted.makes_role)
    if record.under_way:
        return Decision(record)
    by_request = asked and request != record.requested
    due = due_at(record, wanted, zone=zone)
    if not by_request and (due is None or due > now):
        return Decision(record)
    how = How.TWIN if wanted.twins else How.DUAL if wanted.enabled else How.PLAIN
    begun = replace(record, under_way=how, requested=request if by_request else record.requested)
    if how is How.TWIN:
        begun = replace(begun, next_login=twin_name(wanted, taken_by=record, now=now, zone=zone))
    return Decision(record, begun)


def _asked(request: str, *, now: datetime) -> bool:
    """Whether the annotation asks for a rotation now: a time that is over, or any other word."""
    try:
        return bool(request) and moment(request) <= now
    except ValueError:
        return True


def due_at(record: Record, wanted: Wishes, *, zone: tzinfo) -> datetime | None:
    """When the next rotation is due, which may be over; None: at no time.

    However many times were missed, the first of them is due, and after it the next one to come.
    """
    if not wanted.enabled:
        return None
    times = []
    if wanted.schedule:
        after = max(record.rotated_at, record.since or record.rotated_at)
        times.append(schedule.next_time(wanted.schedule, after=after, zone=zone))
    if wanted.max_age:
        times.append(record.rotated_at + wanted.max_age)
    due = min((one for one in times if one), default=None)
    if due and record.retained_until and not wanted.twins:
        # There is room for one old password only, and that one was promised until then.
        return max(due, record.retained_until)
    return due


def twin_name(wanted: Wishes, *, taken_by: Record, now: datetime, zone: tzinfo, refused: Collection[str] = ()) -> str:
    """Name of the next login: as `userNaming` says, cut to what the engine takes, and not one that is in use."""
    taken = {taken_by.login, taken_by.next_login, wanted.username, wanted.service_role, *refused}
    taken |= {one.user for one in taken_by.retired}
    number = 1
    while True:
        name = _named(wanted, number, now.astimezone(zone))
        if name not in taken:
            return name
        number += 1


def _named(wanted: Wishes, number: int, local: datetime) -> str:
    ending = f"_{number}" if number > 1 else ""
    username = wanted.username
    while True:
        text = wanted.naming.replace("{{.Username}}", username)
        text = text.replace("{{.Date}}", local.strftime("%Y%m%d"))
        text = text.replace("{{.Timestamp}}", str(int(local.timestamp()))) + ending
        longest = _LONGEST[wanted.engine]
        size = len(text.encode()) if wanted.engine == "postgres" else len(text)
        if size <= longest:
            return text
        if "{{.Username}}" not in wanted.naming or not username:
            return _cut(text.removesuffix(ending), longest - len(ending), wanted.engine) + ending
        # The end tells the logins apart.
        username = username[:-1]


def _cut(text: str, longest: int, engine: str) -> str:
    if engine == "postgres":
        return text.encode()[:longest].decode(errors="ignore")
    return text[:longest]


def other_name(record: Record, wanted: Wishes, *, now: datetime, zone: tzinfo) -> Record:
    """The record with another name for the login under way: the one that it has is somebody else's."""
    name = twin_name(wanted, taken_by=record, now=now, zone=zone)
    return replace(record, next_login=name)


def landed(record: Record, wanted: Wishes, *, now: datetime) -> Record:
    """What is to be remembered once the consumer's Secret has what the rotation under way made."""
    assert record.under_way
    made = replace(record, under_way=None, next_login="", rotated_at=now)
    if record.under_way is How.DUAL:
        return replace(made, retained_until=now + wanted.discard_after)
    if record.under_way is How.TWIN:
        kept = wanted.policy.action == "retain"
        old = Retired(
            user=record.login,
            deprecated_at=now,
            delete_after=None if kept else now + timedelta(days=wanted.policy.grace_period_days),
            fate=Fate.RETAINED if kept else Fate.PENDING,
        )
        gone = [one for one in record.retired if one.fate is Fate.DELETED]
        forgotten = gone[: max(0, len(gone) - _LAST_DELETED)]
        retired = (*(one for one in record.retired if one not in forgotten), old)
        return replace(made, login=record.next_login, retired=retired)
    return made


def to_retire(record: Record, *, now: datetime) -> list[Retired]:
    """Logins whose grace period is over."""
    return [
        one
        for one in record.retired
        if one.fate in (Fate.PENDING, Fate.BLOCKED) and one.delete_after and one.delete_after <= now
    ]


def discards(record: Record | None, *, now: datetime) -> bool:
    """Whether the old password that still works is to end now."""
    return bool(record and record.retained_until and record.retained_until <= now and not record.under_way)


def look_again(record: Record, wanted: Wishes, *, request: str, now: datetime, zone: tzinfo) -> float | None:
    """Seconds until something is due by time, at least one; None: nothing is."""
    times = [due_at(record, wanted, zone=zone), record.retained_until]
    times += [one.delete_after for one in record.retired if one.fate is Fate.PENDING]
    times += [now + BLOCKED_AGAIN for one in record.retired if one.fate is Fate.BLOCKED]
    if request != record.requested and not _asked(request, now=now) and request:
        times.append(moment(request))
    first = min((one for one in times if one), default=None)
    return None if first is None else max(1.0, (first - now).total_seconds())


def policy(spec: DatabaseUserSpec) -> OldUserPolicy:
    """What is to become of logins that were replaced."""
    return (spec.password_rotation and spec.password_rotation.old_user_policy) or OldUserPolicy()
