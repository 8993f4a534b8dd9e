# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseBackup: one backup of one database, made once; its files go when the object does.

Waits for its Database and its turn, notes in status when it begins, and has the worker make it. What an operator that
was killed left half done has the same name at the next try, and is found or made anew by it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from dbops_operator import annotation, deletion, results, status
from dbops_operator.api import backup_variables
from dbops_operator.api.database_backup import DATABASE_BACKUP, DatabaseBackupSpec
from dbops_operator.api.model import parse
from dbops_operator.client import Conflict, NotFound
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import backup_source, jobs, measure, on_server, removal, stores
from dbops_operator.reconcile.backup_source import Source
from dbops_operator.reconcile.common import (
    Body,
    add_finalizer,
    has_finalizer,
    level,
    owner,
    remove_finalizer,
    report_failure,
)
from dbops_operator.rotation_record import stamp
from dbops_operator.work import Done, Job, Verdict

REMOVAL_SECONDS = 300.0
"""How long the removal of a backup's files may take."""


async def reconcile(context: Context, key: Key) -> Verdict:
    """Make the backup, keep it for as long as it is wanted, remove it."""
    return await level(context, key, _reconcile)


@dataclass(frozen=True)
class _Wanted:
    """What was asked for, and may be done."""

    spec: DatabaseBackupSpec
    ttl: float | None
    source: Source


async def _reconcile(context: Context, body: Body) -> Verdict:
    if body["metadata"].get("deletionTimestamp"):
        return await _delete(context, body)
    if jobs.is_over(body):
        return await _rest(context, body)
    try:
        wanted = await _wanted(context, body)
        body = await add_finalizer(context, body)
    except DbopsError as error:
        return await _not_begun(context, body, error)
    if jobs.moment(body, "startedAt") is None:
        message = "Waiting for its turn"
        body = await status.write(context, body, results.progress(body, phase="Pending", message=message))
    return await _make(context, body, wanted)


async def _wanted(context: Context, body: Body) -> _Wanted:
    """Read and check what the object asks for. Raises DbopsError."""
    spec = parse(DATABASE_BACKUP, body)
    ttl = backup_variables.ttl(spec.ttl)
    source = await backup_source.find(context, body, spec.database_ref)
    await _options(context, body, spec, source, started=context.now())
    return _Wanted(spec, ttl, source)


async def _options(
    context: Context, body: Body, spec: DatabaseBackupSpec, source: Source, *, started: datetime
) -> dict[str, Any]:
    """Everything that the worker is told, secrets included."""
    home = body["metadata"]["namespace"]
    options = dict(source.server.target.connection)
    options |= backup_variables.backup(
        spec, source.server.spec.engine, database=source.spec.name, name=body["metadata"]["name"], started=started
    )
    options["storage"] = await stores.storage(context, spec.storage, home=home)
    if encryption := await stores.writing(context, spec.encryption, home=home):
        options["encryption"] = encryption
    options["created_by"] = owner(context, body)
    return options


async def _make(context: Context, body: Body, wanted: _Wanted) -> Verdict:
    seconds = wanted.spec.active_deadline_seconds
    engine = wanted.source.server.spec.engine

    async def prepare() -> Job:
        # While it waited for its turn, passwords may have changed.
        now = await _wanted(context, body)
        told = (body.get("status") or {}).get("attempts") or 0
        started = jobs.moment(body, "startedAt") or context.now()
        left = jobs.seconds_left(context, started, seconds)
        options = await _options(context, body, now.spec, now.source, started=started)
        fields = {
            "startedAt": stamp(started),
            "attempts": told + 1,
            "source": _source(now.source, started=started),
        }
        await jobs.begin(context, body, "Backup in progress", fields)
        if not told:
            await context.events.record(body, "Normal", "Started", "The backup has begun", action="Backup")
        return Job(Key.of(body).ref, "backup", options, seconds=left)

    try:
        lane = wanted.source.server.target.lane
        result = await jobs.do(context, body, "backup", lane, prepare, tell=_progress)
    except DbopsError as error:
        body = dict(context.store.get(Key.of(body)) or body)
        if jobs.moment(body, "startedAt") is None:
            return await _not_begun(context, body, error)
        verdict = await jobs.failed(context, body, jobs.timely(error, seconds), operation="back up", fields={})
        measure.backup_ended(context, dict(context.store.get(Key.of(body)) or body), engine, worked=False)
        return verdict
    return await _succeeded(context, body, wanted, result)


async def _not_begun(context: Context, body: Body, error: DbopsError) -> Verdict:
    report = results.failure(error, operation="begin the backup")
    return await report_failure(context, body, error, report, event="Failed")


def _progress(told: Mapping[str, Any]) -> dict[str, Any]:
    names = {"phase": "phase", "bytes": "bytes", "tablesDone": "tables_done", "tablesTotal": "tables_total"}
    return {name: told[key] for name, key in names.items() if key in told}


def _source(source: Source, *, started: datetime, version: str = "") -> dict[str, Any]:
    told = (source.server.body.get("status") or {}).get("version")
    return {
        "instance": source.server.key.name,
        "database": source.spec.name,
        "engine": source.server.spec.engine,
        "version": version or told or "",
        "timestamp": stamp(started),
    }


async def _succeeded(context: Context, body: Body, wanted: _Wanted, result: Mapping[str, Any]) -> Verdict:
    made = result["backup"]
    prefix = stores.prefix(wanted.spec.storage)
    stored = {
        "path": prefix + str(made["path"]),
        "format": made["format"],
        "sizeBytes": made["size_bytes"],
        "compressedSizeBytes": made["stored_bytes"],
        "checksum": str(made["checksum"]).removeprefix("sha256:"),
    }
    started = datetime.fromisoformat(str(made["started"]))
    warnings = [str(one) for one in result.get("warnings") or ()][: on_server.MAX_LISTED]
    fields = {
        "backup": stored,
        "source": _source(wanted.source, started=started, version=str(made.get("server_version") or "")),
        "expiresAt": _expires(context.now(), wanted.ttl),
        "warnings": warnings or None,
    }
    message = "; ".join(["Backup is complete", *_remarks(wanted.spec), *warnings])
    await jobs.write(context, body, lambda _: jobs.completed(context, "BackupCompleted", message, fields))
    measure.backup_ended(context, dict(context.store.get(Key.of(body)) or body), wanted.source.server.spec.engine)
    note = f"{made['size_bytes']} bytes were backed up, {made['stored_bytes']} are stored"
    await context.events.record(body, "Normal", "Completed", note, action="Backup")
    return Done(after=wanted.ttl)


def _remarks(spec: DatabaseBackupSpec) -> list[str]:
    if spec.encryption and not backup_variables.is_encrypted(spec.encryption) and spec.encryption.enabled is None:
        return ["spec.encryption.enabled is not true, so it is not encrypted"]
    return []


def _expires(ended: datetime, ttl: float | None) -> str | None:
    return None if ttl is None else stamp(ended + timedelta(seconds=ttl))


async def _rest(context: Context, body: Body) -> Verdict:
    """Remove a backup whose time is over. Of its spec only `ttl` counts any more."""
    try:
        ttl = backup_variables.ttl(body["spec"].get("ttl"))
    except DbopsError as error:
        return await report_failure(context, body, error, jobs.same(body, fields={}), event="Failed")
    ended = jobs.moment(body, "completedAt") or context.now()
    body = await status.write(context, body, jobs.same(body, fields={"expiresAt": _expires(ended, ttl)}))
    if ttl is None:
        return Done()
    left = (ended - context.now()).total_seconds() + ttl
    if left > 0:
        return Done(after=left)
    await context.events.record(body, "Normal", "Expired", "Its ttl is over, so it is removed", action="Delete")
    with contextlib.suppress(NotFound, Conflict):
        await context.api.delete(Key.of(body), uid=body["metadata"]["uid"])
    return Done()


async def _delete(context: Context, body: Body) -> Verdict:
    if not has_finalizer(body):
        return Done()
    key = Key.of(body)
    forced = annotation.flag(body, annotation.FORCE_DELETE)
    readers = [] if forced else removal.read_backups(context).get(key, [])
    for one in readers:
        context.depends(one)
    decision = deletion.decide(
        removal.facts(
            body,
            protected=False,
            dependants=[deletion.dependant_name(one, parent=key) for one in readers],
            retain=annotation.retains(body),
            has_outside=bool((body.get("status") or {}).get("startedAt")),
        )
    )
    if decision.step is deletion.Step.BLOCK:
        return await removal.hold(context, body, decision, readers)
    if decision.step is deletion.Step.DROP:
        what = "the stored backup"
        try:
            await _remove(context, body)
        except DbopsError as error:
            if not on_server.lets_go(body, error):
                return await on_server.report_undropped(context, body, error, what=what)
            note = f"Forced deletion: {what} may still be there: {error.message}"
            await context.events.record(body, "Warning", "DeleteFailed", note, action="Delete")
    latest = context.store.get(key)
    await remove_finalizer(context, dict(latest or body))
    return Done()


async def _remove(context: Context, body: Body) -> None:
    """Have the backup's files removed, or what is there of one that was not finished. Raises DbopsError."""
    spec = parse(DATABASE_BACKUP, body)
    told = body["status"]
    home = body["metadata"]["namespace"]

    async def prepare() -> Job:
        storage = await stores.storage(context, spec.storage, home=home)
        prefix = stores.prefix(spec.storage)
        engine = str((told.get("source") or {}).get("engine", "postgres"))
        options: dict[str, Any] = {"engine": engine, "storage": storage}
        if path := (told.get("backup") or {}).get("path"):
            options["backup"] = str(path).removeprefix(prefix)
        else:
            started = datetime.fromisoformat(told["startedAt"])
            options |= backup_variables.backup(
                spec,
                engine,
                database=str((told.get("source") or {}).get("database", "")),
                name=body["metadata"]["name"],
                started=started,
            )
            if encryption := await stores.writing(context, spec.encryption, home=home):
                options["encryption"] = encryption
        return Job(Key.of(body).ref, "remove", options, seconds=REMOVAL_SECONDS)

    await jobs.do(context, body, "remove", "", prepare, tell=_progress)
