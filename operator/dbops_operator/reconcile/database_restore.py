# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseRestore: one backup brought back once, into a new database or over an existing one.

What is wrong with it ends it for good before anything was touched: a restore must not begin weeks later because
somebody put something else right. It waits for a backup that is not finished, until its deadline. That the worker is
about to put the restored database in its place is noted in status first, so that no second one ever takes it away.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, ErrorClass, Reason
from dbops_operator import results, status
from dbops_operator.api import backup_variables
from dbops_operator.api.database_restore import DATABASE_RESTORE, DatabaseRestoreSpec
from dbops_operator.api.model import parse
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import jobs, measure, on_server, restore_ends
from dbops_operator.reconcile.common import Body, add_finalizer, has_finalizer, level, remove_finalizer, report_failure
from dbops_operator.reconcile.restore_ends import Origin, Target
from dbops_operator.rotation_record import stamp
from dbops_operator.work import Done, Job, Verdict

FINISH = "finish"
"""What the worker calls the moment in which what was restored takes its place."""


async def reconcile(context: Context, key: Key) -> Verdict:
    """Bring the backup back."""
    return await level(context, key, _reconcile)


async def _reconcile(context: Context, body: Body) -> Verdict:
    if body["metadata"].get("deletionTimestamp"):
        if has_finalizer(body):
            # What it restored stays; a job that was at work has been ended by the deletion.
            await remove_finalizer(context, body)
        return Done()
    if jobs.is_over(body):
        await status.write(context, body, jobs.same(body, fields={}))
        return Done()
    if (_progress_of(body)).get("currentPhase") == FINISH:
        return await _interrupted(context, body)
    try:
        spec = parse(DATABASE_RESTORE, body)
        origin, target = await _ends(context, body, spec)
        body = await add_finalizer(context, body)
    except DbopsError as error:
        return await _not_begun(context, body, error)
    if jobs.moment(body, "startedAt") is None:
        body = await status.write(
            context, body, results.progress(body, phase="Pending", message="Waiting for its turn")
        )
    return await _restore(context, body, spec, origin, target)


def _progress_of(body: Body) -> Mapping[str, Any]:
    return (body.get("status") or {}).get("progress") or {}


async def _ends(context: Context, body: Body, spec: DatabaseRestoreSpec) -> tuple[Origin, Target]:
    """Find what is restored and where to, and check what can be checked from here. Raises DbopsError."""
    if (spec.backup_ref is None) == (spec.from_path is None):
        raise DbopsError(Reason.INVALID_SPEC, "exactly one of spec.backupRef and spec.fromPath must be given")
    target = await restore_ends.target(context, body, spec)
    replaces = target.in_place or backup_variables.drops_existing(spec, target.server.spec.engine)
    given = spec.confirmation.acknowledge_data_loss if spec.confirmation else None
    if replaces and given != backup_variables.ACKNOWLEDGED:
        raise DbopsError(
            Reason.ACKNOWLEDGEMENT_NEEDED,
            "what is in the target would be lost: spec.confirmation.acknowledgeDataLoss must be "
            f"{backup_variables.ACKNOWLEDGED}",
            field="spec.confirmation.acknowledgeDataLoss",
        )
    return await restore_ends.origin(context, body, spec), target


async def _restore(context: Context, body: Body, spec: DatabaseRestoreSpec, origin: Origin, target: Target) -> Verdict:
    seconds, engine = spec.active_deadline_seconds, target.server.spec.engine
    what = {
        "sourceBackup": origin.name,
        "targetInstance": target.server.key.name,
        "targetDatabase": target.database or origin.database,
    }

    async def prepare() -> Job:
        # While it waited for its turn, passwords may have changed, and protection may have been switched on.
        source, place = await _ends(context, body, spec)
        told = (body.get("status") or {}).get("attempts") or 0
        started = jobs.moment(body, "startedAt") or context.now()
        left = jobs.seconds_left(context, started, seconds)
        options = _options(spec, source, place)
        fields = {
            "startedAt": stamp(started),
            "attempts": told + 1,
            "restore": what,
            "progress": {"percentage": 0, "currentPhase": "Starting"},
        }
        await jobs.begin(context, body, "Restore in progress", fields)
        if not told:
            note = f"The restore into database {what['targetDatabase']} has begun"
            await context.events.record(body, "Normal", "Started", note, action="Restore")
        return Job(Key.of(body).ref, "restore", options, seconds=left)

    async def finishing() -> None:
        fields = {"progress": {**_progress_of(body), "currentPhase": FINISH}}
        if await jobs.write(context, body, lambda latest: jobs.same(latest, fields=fields)) is None:
            raise DbopsError(Reason.CANCELLED, "the object is gone")

    try:
        lane = target.server.target.lane
        result = await jobs.do(context, body, "restore", lane, prepare, tell=_progress, finishing=finishing)
    except DbopsError as error:
        body = dict(context.store.get(Key.of(body)) or body)
        if jobs.moment(body, "startedAt") is None:
            return await _not_begun(context, body, error)
        verdict = await jobs.failed(context, body, jobs.timely(error, seconds), operation="restore", fields={})
        measure.restore_ended(context, dict(context.store.get(Key.of(body)) or body), engine, worked=False)
        return verdict
    return await _succeeded(context, body, result, engine)


def _options(spec: DatabaseRestoreSpec, origin: Origin, target: Target) -> dict[str, Any]:
    """Everything that the worker is told, secrets included."""
    options = dict(target.server.target.connection) | backup_variables.restore(spec, target.server.spec.engine)
    acknowledged = spec.confirmation.acknowledge_data_loss if spec.confirmation else None
    place = {
        "database": target.database or None,
        "in_place": target.in_place,
        "acknowledge_data_loss": acknowledged,
    }
    options |= origin.options
    options["target"] = {name: value for name, value in place.items() if value is not None}
    if target.owner:
        options["dbops_owner"] = dict(target.owner)
    return options


def _progress(told: Mapping[str, Any]) -> dict[str, Any]:
    done, total = told.get("tables_done"), told.get("tables_total")
    shown: dict[str, Any] = {"currentPhase": str(told.get("phase", ""))}
    if done is not None:
        shown["tablesRestored"] = done
    if total:
        # All of it is loaded before the whole is compared and put in its place.
        shown |= {"tablesTotal": total, "percentage": min(99, 100 * (done or 0) // total)}
    return shown


async def _succeeded(context: Context, body: Body, result: Mapping[str, Any], engine: str) -> Verdict:
    done = result["restore"]
    tables = int(done.get("tables") or 0)
    warnings = [str(one) for one in result.get("warnings") or ()][: on_server.MAX_LISTED]
    message = f"Database {done['database']} is restored"
    if previous := done.get("previous"):
        message += f"; what it replaced is kept as {previous}"
    progress = {"percentage": 100, "currentPhase": "Completed", "tablesRestored": tables, "tablesTotal": tables}
    fields = {"progress": progress, "warnings": warnings or None}
    await jobs.write(context, body, lambda _: jobs.completed(context, "RestoreCompleted", message, fields))
    measure.restore_ended(context, dict(context.store.get(Key.of(body)) or body), engine)
    await context.events.record(body, "Normal", "Completed", message, action="Restore")
    return Done()


async def _not_begun(context: Context, body: Body, error: DbopsError) -> Verdict:
    """Report what is in the way: for good where somebody must change something, else until the deadline."""
    if error.reason is Reason.CANCELLED:
        return Done()
    seconds = int(body["spec"].get("activeDeadlineSeconds", 7200))
    created = datetime.fromisoformat(body["metadata"]["creationTimestamp"])
    left = (created + timedelta(seconds=seconds) - context.now()).total_seconds()
    if error.reason.error_class is not ErrorClass.HUMAN and left > 0:
        report = results.failure(error, operation="begin the restore", phase="Pending")
        verdict = await report_failure(context, body, error, report, event="Failed")
        # Of what it waits for nothing may come any more.
        return Done(after=min(left, 60.0)) if error.reason.error_class is ErrorClass.WAIT else verdict
    if error.reason.error_class is not ErrorClass.HUMAN:
        error = DbopsError(Reason.TIMEOUT, f"{error.message}, {seconds} s after it was asked for", field=jobs.DEADLINE)
    return await jobs.give_up(context, body, error, operation="restore", event="ValidationFailed")


async def _interrupted(context: Context, body: Body) -> Verdict:
    told = (body.get("status") or {}).get("restore") or {}
    error = DbopsError(
        Reason.NOT_VERIFIABLE,
        f"the operator was ended in the moment in which what was restored became database "
        f"{told.get('targetDatabase')}: look whether it is there (one that it replaced is kept under a name with "
        "_before_ in it), and make another DatabaseRestore if it is not",
    )
    return await jobs.give_up(context, body, error, operation="restore", event="Failed")
