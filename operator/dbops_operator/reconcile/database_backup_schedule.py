# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseBackupSchedule: has a DatabaseBackup made when one is due, and removes those that no rule keeps.

Its backups are found by their label. They are not owned by it, so they outlive it. backup_schedule.py and
retention.py decide; the state is in status.nextBackupTime and in the backups themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import deletion, results, retention, status
from dbops_operator.api.database_backup_schedule import DATABASE_BACKUP_SCHEDULE, DatabaseBackupScheduleSpec
from dbops_operator.api.model import parse
from dbops_operator.backup_schedule import (
    SCHEDULED_AT,
    SCHEDULED_LABEL,
    Child,
    Cron,
    Plan,
    child_name,
    label,
    last,
    newest_first,
    plan,
    recent,
    since,
    statistics,
)
from dbops_operator.client import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import measure, removal
from dbops_operator.reconcile.common import Body, add_finalizer, has_finalizer, level, remove_finalizer, report_failure
from dbops_operator.resources import GROUP, SCHEDULE_LABEL, VERSION
from dbops_operator.rotation_record import stamp
from dbops_operator.settings import INSTANCE_LABEL, parse_duration
from dbops_operator.status import Condition, Report
from dbops_operator.work import Done, Verdict

LONGEST_WAIT = 600.0
"""Seconds until a schedule is looked at again at the latest: the system's clock may be set meanwhile."""


async def reconcile(context: Context, key: Key) -> Verdict:
    """Make and remove backups as the schedule says."""
    return await level(context, key, _reconcile)


async def _reconcile(context: Context, body: Body) -> Verdict:
    if body["metadata"].get("deletionTimestamp"):
        return await _delete(context, body)
    now = context.now()
    try:
        spec = parse(DATABASE_BACKUP_SCHEDULE, body)
        zone = _zone(spec.timezone)
        rules = _rules(spec)
        cron = Cron(spec.schedule, zone)
        children = await _children(context, body)
        try:
            planned = plan(
                cron,
                policy=spec.concurrency_policy,
                paused=bool(spec.paused),
                since=since(cron, body, now=now),
                children=children,
                now=now,
            )
        except ValueError as error:
            raise DbopsError(Reason.INVALID_SPEC, f"spec.schedule: {error}", field="spec.schedule") from error
        body = await add_finalizer(context, body)
        children = await _carry_out(context, body, planned, children)
    except DbopsError as error:
        measure.next_backup(context, body, None)
        report = results.failure(error, operation="schedule backups", phase="Active", fields={"nextBackupTime": None})
        return await report_failure(context, body, error, report)
    children = await _retain(context, body, children, rules, zone=zone, now=now)
    measure.next_backup(context, body, planned.next)
    await _report(context, body, spec, planned, children)
    pause = LONGEST_WAIT
    if planned.next and not planned.waits:
        pause = min(pause, max(0.0, (planned.next - context.now()).total_seconds()))
    return Done(after=pause)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        text = f"spec.timezone: {name!r} is no time zone such as UTC or Europe/Berlin"
        raise DbopsError(Reason.INVALID_SPEC, text, field="spec.timezone") from error


def _rules(spec: DatabaseBackupScheduleSpec) -> retention.Rules:
    block = spec.retention
    if block is None:
        return retention.Rules()
    try:
        age = timedelta(seconds=parse_duration(block.min_age)) if block.min_age else timedelta(0)
    except (ValueError, OverflowError) as error:
        field = "spec.retention.minAge"
        raise DbopsError(Reason.INVALID_SPEC, f"{field} is a duration such as 24h or 7d", field=field) from error
    return retention.Rules(
        last=block.keep_last,
        hourly=block.keep_hourly,
        daily=block.keep_daily,
        weekly=block.keep_weekly,
        monthly=block.keep_monthly,
        yearly=block.keep_yearly,
        min_age=age,
        failed=spec.failed_backups_history_limit,
    )


async def _children(context: Context, body: Body) -> list[Child]:
    """The backups that the schedule made, as they were seen last. Theirs are events that wake it."""
    metadata = body["metadata"]
    found = []
    for one in context.store.naming("schedule", f"{metadata['namespace']}/{label(metadata['name'])}"):
        context.depends(Key.of(one))
        found.append(Child(await _disowned(context, one, metadata["uid"])))
    return found


async def _disowned(context: Context, backup: Any, owner: str) -> Any:
    """Take the owner reference off that the published operator put on: the backup would go with its schedule."""
    references = backup["metadata"].get("ownerReferences") or ()
    kept = [one for one in references if one.get("uid") != owner]
    if len(kept) == len(references):
        return backup
    return await context.api.patch_owners(backup, kept)


async def _carry_out(context: Context, body: Body, planned: Plan, children: list[Child]) -> list[Child]:
    """Cancel what gives way, and make what is due. Gives the backups that there are then."""
    for one in planned.replace:
        await _remove(context, one)
    if planned.make is None:
        return children
    backup = _backup(body, planned.make)
    key = Key.of(backup)
    context.depends(key)
    try:
        made = await context.api.create(backup)
    except AlreadyExists:
        # Made for the same time, before a crash or by another operator.
        return children
    except (Invalid, Forbidden) as error:
        measure.scheduled(context, body, worked=False)
        reason = Reason.INVALID_SPEC if isinstance(error, Invalid) else Reason.ACCESS_DENIED
        raise DbopsError(reason, f"the API server refused backup {key.name}: {error}") from error
    measure.scheduled(context, body, worked=True)
    await context.events.record(body, "Normal", "BackupTriggered", f"Backup {key.name} is due", action="Backup")
    gone = {one.name for one in planned.replace}
    return [*(one for one in children if one.name not in gone), Child(made)]


def _backup(body: Body, due: datetime) -> dict[str, Any]:
    """The DatabaseBackup that is DUE, as the template says."""
    metadata, template = body["metadata"], body["spec"]["template"]
    given = template.get("metadata") or {}
    own = {SCHEDULE_LABEL: label(metadata["name"]), SCHEDULED_LABEL: "true"}
    if instance := (metadata.get("labels") or {}).get(INSTANCE_LABEL):
        own[INSTANCE_LABEL] = instance
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "DatabaseBackup",
        "metadata": {
            "name": child_name(metadata["name"], due),
            "namespace": metadata["namespace"],
            "labels": {**(given.get("labels") or {}), **own},
            "annotations": {**(given.get("annotations") or {}), SCHEDULED_AT: stamp(due)},
        },
        "spec": template["spec"],
    }


async def _remove(context: Context, one: Child) -> None:
    metadata = one.body["metadata"]
    with suppress(NotFound, Conflict):
        await context.api.delete(Key.of(one.body), uid=metadata["uid"])


async def _retain(
    context: Context,
    body: Body,
    children: Sequence[Child],
    rules: retention.Rules,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> list[Child]:
    """Remove the backups that no rule keeps; gives those that stay."""
    read = removal.read_backups(context)
    ended = [
        retention.Backup(
            name=one.name,
            moment=one.began,
            good=one.good,
            verified=one.verified,
            in_use=Key.of(one.body) in read,
        )
        for one in children
        if one.over
    ]
    gone = retention.removable(ended, rules, now=now, zone=zone)
    if not gone:
        return list(children)
    by_name = {one.name: one for one in children}
    for name in gone:
        await _remove(context, by_name[name])
    note = f"Removed what retention does not keep: {deletion.listing(gone)}"
    await context.events.record(body, "Normal", "RetentionApplied", note, action="Delete")
    left = set(by_name).difference(gone)
    return [one for one in children if one.name in left]


async def _report(
    context: Context, body: Body, spec: DatabaseBackupScheduleSpec, planned: Plan, children: Sequence[Child]
) -> None:
    reason, message = _reason(spec, planned, children)
    report = Report(
        phase="Paused" if spec.paused else "Active",
        message=message,
        conditions=[Condition("Ready", "True", reason, message)],
        fields={
            "nextBackupTime": stamp(planned.next) if planned.next else None,
            "lastBackup": last(children),
            "recentBackups": recent(
                children, good=spec.successful_backups_history_limit, failed=spec.failed_backups_history_limit
            ),
            "statistics": statistics(children),
        },
    )
    before = (body.get("status") or {}).get("phase")
    if spec.paused and before != "Paused":
        await context.events.record(body, "Normal", "Paused", message)
    elif not spec.paused and before == "Paused":
        await context.events.record(body, "Normal", "Resumed", message)
    await status.write(context, body, report)


def _reason(spec: DatabaseBackupScheduleSpec, planned: Plan, children: Iterable[Child]) -> tuple[str, str]:
    if spec.paused:
        return "Paused", "No backups are made while it is paused"
    if planned.waits:
        names = [one.name for one in newest_first(children) if one.active]
        return "WaitingForCompletion", f"A backup is due, and waits for the end of {deletion.listing(names)}"
    if planned.next is None:
        return "Active", "The schedule names no time that is still to come"
    return "Active", f"The next backup is due at {stamp(planned.next)}"


async def _delete(context: Context, body: Body) -> Verdict:
    if not has_finalizer(body):
        return Done()
    decision = deletion.decide(
        removal.facts(
            body, protected=bool(body["spec"].get("deletionProtection", True)), dependants=(), has_outside=False
        )
    )
    if decision.step is not deletion.Step.RELEASE:
        return await removal.hold(context, body, decision, ())
    children = await _children(context, body)
    note = f"Its backups stay: {len(children)}"
    await context.events.record(body, "Normal", "Deleted", note, action="Delete")
    await remove_finalizer(context, body)
    return Done()
