# SPDX-License-Identifier: GPL-3.0-or-later
"""Database: one database on a server, with its extensions, schemas and default privileges.

Waits for its instance, applies the declaration once per generation, then compares and reports; drops the database
when the object goes and its policy says so.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import access, annotation, deletion, moved, resolve, results, status
from dbops_operator.api import mysql_variables, variables
from dbops_operator.api.database import DATABASE, DatabaseSpec
from dbops_operator.api.model import parse
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import init_sql, leaving, measure, on_server, removal
from dbops_operator.reconcile.common import (
    Body,
    add_finalizer,
    converge,
    has_finalizer,
    level,
    owner,
    remove_finalizer,
    settled,
)
from dbops_operator.resolve import Server
from dbops_operator.status import RECONCILE_SUCCESS, Condition
from dbops_operator.work import Done, Human, Verdict


async def reconcile(context: Context, key: Key) -> Verdict:
    """Bring the database to what the object declares."""
    return await level(context, key, _reconcile)


async def _reconcile(context: Context, body: Body) -> Verdict:
    if body["metadata"].get("deletionTimestamp"):
        return await _delete(context, body)
    spec = None
    ready_before = settled(body)
    operation = "update database" if ready_before else "create database"
    try:
        spec = parse(DATABASE, body)
        reached = await on_server.reach(context, body, spec)
        ready_before = moved.is_applied(body, reached.server)
        if reached.limits:
            access.check_database(spec, reached.limits)
        policy = on_server.drift_policy(spec.drift_policy, reached.server)
        after = on_server.drift_interval(policy, context)
        source, unread = await init_sql.read_or_go_on(context, body, spec.init_sql)
        runs = source is not None and source.runs(body)
        check = ready_before and not runs and not on_server.corrects(policy)
        if check and policy and policy.mode == "ignore":
            await on_server.report_untouched(context, body, on_server.Ready("Database is ready"))
            return Done(after=after)
        body = await add_finalizer(context, body)
        options = variables.database(spec, reached.server.spec.engine)
        if runs and ready_before and not on_server.corrects(policy):
            # Only that: what differs on the server is for the drift policy to say.
            options = {"kind": "database", "name": spec.name}
        options |= {
            "dbops_owner": owner(context, body),
            "adopt": on_server.adopts(body, reached.server, name=spec.name, listed_in=annotation.ADOPT_DATABASES),
            "allow_destructive": on_server.may_take(body, policy, applied=ready_before),
        }
        if source:
            options["init_sql"] = source.options
        body, result = await converge(
            context, body, reached.server, options, check=check, announce="" if check else "Creating database"
        )
        look = on_server.Look(check, bool(options["allow_destructive"]))
        if (
            ready_before
            and not runs
            and await on_server.report_look(
                context, body, reached.server, result, on_server.Ready("Database is ready"), look
            )
        ):
            _measure(context, body, reached.server, result)
            return await _leave_former(context, body, spec) or Done(after=after)
        if error := results.error_of(result):
            if told := init_sql.told(body, result):
                return await on_server.failed(
                    context, body, spec, error, operation=operation, fields={"initSQL": told}, synced=init_sql.FAILED
                )
            raise on_server.with_hint(error, reached.server, name=spec.name, listed_in=annotation.ADOPT_DATABASES)
    except DbopsError as error:
        if error.field == "spec.initSQL":
            return await _no_source(context, body, spec, error, operation=operation)
        return await on_server.failed(context, body, spec, error, operation=operation)
    _measure(context, body, reached.server, result)
    if not ready_before or result.observed.get("created"):
        on_server.wake_waiting(context, reached.server.key, "database", spec.name)
    if reached.server.spec.engine != "postgres":
        result.warnings += mysql_variables.database_remarks(spec.mysql)
    told = init_sql.missing(unread) if unread else init_sql.told(body, result)
    await _succeeded(context, body, spec, reached.server, result, told)
    return await _leave_former(context, body, spec) or Done(after=after)


def _measure(context: Context, body: Body, server: Server, result: ObjectResult) -> None:
    if result.observed.get("size_bytes") is not None:
        measure.database_size(context, body, server, result.observed["size_bytes"])


async def _no_source(
    context: Context, body: Body, spec: DatabaseSpec | None, error: DbopsError, *, operation: str
) -> Verdict:
    fields = {"initSQL": init_sql.missing(error)}
    return await on_server.failed(
        context, body, spec, error, operation=operation, fields=fields, synced=init_sql.FAILED, phase="Failed"
    )


async def _succeeded(
    context: Context,
    body: Body,
    spec: DatabaseSpec,
    server: Server,
    result: ObjectResult,
    told: dict[str, Any] | None,
) -> None:
    facts, before = result.observed, body.get("status") or {}
    created = bool(facts.get("created"))
    info: dict[str, Any] = {
        "name": facts.get("name", spec.name),
        "owner": facts.get("owner"),
        "sizeBytes": facts.get("size_bytes"),
        "createdAt": status.now() if created else (before.get("database") or {}).get("createdAt"),
    }
    message = "Database is ready"
    if result.warnings:
        message += f"; {'; '.join(result.warnings)}"
    report = results.success(
        message,
        fields={
            "database": {name: value for name, value in info.items() if value is not None},
            **(_postgres(spec, facts) if "lc_collate" in facts else _mysql(facts)),
            "initSQL": told,
            "drift": on_server.no_drift(),
            "deletionConfirmation": None,
            **moved.fields(body, server, drops=spec.deletion_policy == "Delete" and not spec.deletion_protection),
        },
        changed=result.changed,
        synced=not (told and told["error"]),
        conditions=_not_run(told["error"]) if told and told["error"] else (),
    )
    if created:
        await context.events.record(body, "Normal", "Created", f"Created database {spec.name}")
    await on_server.tell_corrected(context, body, server, result)
    await status.write(context, body, report)


def _not_run(error: str) -> list[Condition]:
    return [
        Condition("Synced", "False", init_sql.FAILED, error),
        Condition("DependenciesReady", "True", RECONCILE_SUCCESS, "The instance is ready"),
    ]


def _ownership(spec: DatabaseSpec) -> dict[str, Any]:
    block = spec.postgres.ownership if spec.postgres else None
    if not block or not block.auto_ownership:
        return {}
    names = {"roleName": variables.owner_role(spec), "userName": variables.owner_user(spec)}
    return {"ownership": {**names, "phase": "Ready"}}


def _mysql(facts: dict[str, Any]) -> dict[str, Any]:
    return {"mysql": {"charset": facts.get("encoding") or "", "collation": facts.get("collation") or ""}}


def _postgres(spec: DatabaseSpec, facts: dict[str, Any]) -> dict[str, Any]:
    block = {
        "encoding": facts.get("encoding") or "",
        "collation": facts.get("lc_collate") or "",
        "installedExtensions": [
            {"name": one["name"], "version": one["version"]}
            for one in (facts.get("extensions") or ())[: on_server.MAX_LISTED]
        ],
        "schemas": [one["name"] for one in (facts.get("schemas") or ())[: on_server.MAX_LISTED]],
    }
    return {"postgres": block | _ownership(spec)}


async def _delete(context: Context, body: Body) -> Verdict:
    if not has_finalizer(body):
        return Done()
    raw = body["spec"]
    # Of field and annotation the one that keeps.
    policy = "Retain" if annotation.retains(body) else raw.get("deletionPolicy", "Delete")
    key = Key.of(body)
    dependants = removal.dependants_of_database(context, key)
    for child in dependants:
        context.depends(child)
    decision = deletion.decide(
        removal.facts(
            body,
            protected=bool(raw.get("deletionProtection", True)),
            dependants=[deletion.dependant_name(child, parent=key) for child in dependants],
            retain=policy == "Retain",
        )
    )
    if decision.step not in (deletion.Step.DROP, deletion.Step.RELEASE):
        return await removal.hold(context, body, decision, dependants)
    await removal.tell_cascade_complete(context, body)
    if decision.step is deletion.Step.RELEASE:
        note = f"Database {raw['name']} stays on the server, as its deletion policy says"
        await context.events.record(body, "Normal", "Deleted", note, action="Delete")
        await remove_finalizer(context, body)
        return Done()
    if policy == "Snapshot":
        return await _refuse_snapshot(context, body)
    return await _drop(context, body)


async def _refuse_snapshot(context: Context, body: Body) -> Verdict:
    decision = deletion.Decision(
        deletion.Step.BLOCK,
        Reason.UNSUPPORTED.value,
        "deletionPolicy Snapshot is not served by this version of the operator: make a backup, then set "
        "deletionPolicy to Delete or Retain",
    )
    await removal.report_held(context, body, decision, phase="Failed", event="DeletionBlocked", note=decision.message)
    return Human(Reason.UNSUPPORTED)


def _absent(body: Body, spec: DatabaseSpec, context: Context) -> leaving.Going:
    """Options that drop the database, by the engine."""
    record = {"dbops_owner": owner(context, body)}
    return leaving.Going(lambda engine: variables.absent_database(spec, engine) | record)


async def _leave_former(context: Context, body: Body, spec: DatabaseSpec) -> Verdict | None:
    what = f"database {spec.name}"
    return await leaving.leave_former(context, Key.of(body), [_absent(body, spec, context)], what=what)


async def _drop(context: Context, body: Body) -> Verdict:
    what = f"database {body['spec'].get('name')}"
    try:
        spec = parse(DATABASE, body)
    except DbopsError as error:
        return await on_server.report_undropped(context, body, error, what=what)
    body, _, failure = await leaving.drop(context, body, spec, _absent(body, spec, context), what=what)
    if failure and not on_server.lets_go(body, failure):
        return await on_server.report_undropped(context, body, failure, what=what)
    await on_server.tell_end(context, body, failure, what=what)
    await remove_finalizer(context, body)
    on_server.wake_namesakes(context, body, "name")
    on_server.wake_leaving(context, resolve.instance_key(spec, body["metadata"]["namespace"]))
    return Done()
