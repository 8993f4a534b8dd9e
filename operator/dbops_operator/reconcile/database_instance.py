# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseInstance: look at the server, say whether it can be used, keep looking.

Nothing on the server is ever changed here. Dependants wait for the condition Ready and are woken by it.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, ErrorClass, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import deletion, resolve, results, status
from dbops_operator.api import variables
from dbops_operator.api.database_instance import DatabaseInstanceSpec
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import discovery, in_use, measure, removal
from dbops_operator.reconcile.common import Body, add_finalizer, converge, has_finalizer, level
from dbops_operator.reconcile.common import remove_finalizer as let_go
from dbops_operator.settings import parse_duration
from dbops_operator.status import Condition
from dbops_operator.work import Done, Human, Priority, Retry, ServerTarget, Verdict, Wait

DEFAULT_INTERVAL = 60.0
RECOVERY_INTERVAL = 15.0
"""A server that does not answer is looked at this often at least, so that its return is seen soon."""


async def reconcile(context: Context, key: Key) -> Verdict:
    """Bring the instance's status up to what the server says now."""
    return await level(context, key, _reconcile)


async def _reconcile(context: Context, body: Body) -> Verdict:
    if body["metadata"].get("deletionTimestamp"):
        return await _delete(context, body)
    interval: float | None = DEFAULT_INTERVAL
    begin = time.monotonic()
    try:
        spec = resolve.parse_instance(body)
        interval = _interval(spec)
        server = await resolve.server(context, body)
        body = await add_finalizer(context, body)
        await in_use.update(context, body)
        server = replace(server, target=_within(server.target, spec))
        body, result = await converge(context, body, server, _options(body, spec), announce="Connecting")
        if error := results.error_of(result):
            raise error
    except DbopsError as error:
        await in_use.update(context, body)
        if error.reason is not Reason.CANCELLED:
            measure.instance_looked_at(context, body, healthy=False, seconds=time.monotonic() - begin)
        return await _failed(context, body, error, interval)
    measure.instance_looked_at(context, body, healthy=True, seconds=time.monotonic() - begin)
    await _succeeded(context, body, result)
    return Done(after=interval)


def _options(body: Body, spec: DatabaseInstanceSpec) -> variables.Options:
    discover = bool(spec.discovery and spec.discovery.enabled)
    return variables.database_instance(body["metadata"]["name"], discover=discover)


def _interval(spec: DatabaseInstanceSpec) -> float | None:
    """Seconds to the next look, for the server's health or for discovery; None: on events only."""
    check = spec.health_check
    health = DEFAULT_INTERVAL if check is None else float(check.interval_seconds) if check.enabled else None
    if not (spec.discovery and spec.discovery.enabled):
        return health
    try:
        scan = parse_duration(spec.discovery.interval) or DEFAULT_INTERVAL
    except ValueError as error:
        field = "spec.discovery.interval"
        raise DbopsError(Reason.INVALID_SPEC, f"{field} is a duration such as 30m or 8h", field=field) from error
    return scan if health is None else min(health, scan)


def _within(target: ServerTarget, spec: DatabaseInstanceSpec) -> ServerTarget:
    """Limit the look at the server to the time that the health check allows."""
    if spec.health_check is None:
        return target
    seconds = spec.health_check.timeout_seconds
    limits = {
        "connect_timeout": min(seconds, target.connection.get("connect_timeout", seconds)),
        "statement_timeout": seconds,
    }
    return replace(target, connection={**target.connection, **limits})


async def _succeeded(context: Context, body: Body, result: ObjectResult) -> None:
    facts = result.observed
    message = "Instance is ready"
    if result.warnings:
        message += f"; {'; '.join(result.warnings)}"
    fields: dict[str, Any] = {
        "version": str(facts["version"]),
        "serverIdentity": str(facts["system_identifier"]) if facts.get("system_identifier") else None,
        "capabilities": _capabilities(facts.get("capabilities") or ()),
        **_consumers(context, Key.of(body)),
        "discoveredResources": discovery.resources(
            (body.get("status") or {}).get("discoveredResources"), facts.get("unmanaged"), moment=status.now()
        ),
    }
    known = (body.get("status") or {}).get("serverIdentity")
    if known and known != fields["serverIdentity"]:
        # The engine let it pass, so the owner has acknowledged it.
        fields["serverChangedAt"] = status.now()
    report = results.success(message, conditions=_connected(), fields=fields, synced=False)
    before = status.condition(body, "Connected")
    await _write(context, body, report)
    if fields.get("serverChangedAt"):
        # All that was there is as if it had never been applied.
        _wake_dependants(context, body)
    if not before or before["status"] != "True":
        await context.events.record(body, "Normal", "Connected", f"Connected to version {facts['version']}")
    if _available(fields) - _available(body.get("status") or {}):
        # A replica was promoted, a privilege granted: what was refused for lack of it has a chance now.
        _wake_dependants(context, body)


_COUNTED = {
    "Database": "databases",
    "DatabaseUser": "users",
    "DatabaseRole": "roles",
    "ClusterDatabaseRole": "roles",
}
_LISTED = 50


def _consumers(context: Context, key: Key) -> dict[str, Any]:
    """Status fields that say who has what on the server: objects that something was made for."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for kind, field in _COUNTED.items():
        for one in context.store.list(kind):
            if removal.refers(one, key) and has_finalizer(dict(one)):
                counts[one["metadata"].get("namespace", "")][field] += 1
    rows = [{"namespace": namespace, **counts[namespace]} for namespace in sorted(counts)]
    return {"consumers": rows[:_LISTED] or None, "consumersCount": len(rows)}


def _connected() -> list[Condition]:
    return [
        Condition("Connected", "True", "ConnectionSuccess", "Connected successfully"),
        Condition("Healthy", "True", "HealthCheckPassed", "The server answers"),
    ]


def _available(fields: Mapping[str, Any]) -> set[str]:
    return {row["name"] for row in fields.get("capabilities") or () if row["available"]}


def _wake_dependants(context: Context, body: Body) -> None:
    for child in removal.dependants_in_store(context, Key.of(body)):
        context.wake(child, Priority.DEPENDENCY)


def _capabilities(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"name": row["name"], "available": row["available"]}
        | ({"message": status.shorten(row["message"])} if row.get("message") and not row["available"] else {})
        for row in rows
    ]


async def _failed(context: Context, body: Body, error: DbopsError, interval: float | None) -> Verdict:
    if error.reason is Reason.CANCELLED:
        return Wait(Reason.CANCELLED)
    conditions = [Condition(type_, "False", error.reason.value, error.message) for type_ in ("Connected", "Healthy")]
    if error.reason is Reason.ACKNOWLEDGEMENT_NEEDED:
        # It answers well; it is another one than before.
        conditions = _connected()
    report = results.failure(error, conditions=conditions)
    before = status.condition(body, "Ready")
    news = not (before and before["status"] == "False" and before["reason"] == error.reason.value)
    await _write(context, body, report)
    if news:
        # Dependants say why they wait; another reason is no change of Ready that would wake them.
        _wake_dependants(context, body)
    if news and error.reason is not Reason.DEPENDENCY_NOT_READY:
        reason = "ServerChanged" if error.reason is Reason.ACKNOWLEDGEMENT_NEEDED else "ConnectionFailed"
        await context.events.record(body, "Warning", reason, error.message)
    return _next_look(error.reason, interval)


def _next_look(reason: Reason, interval: float | None) -> Verdict:
    if reason in (Reason.INVALID_SPEC, Reason.UNSUPPORTED, Reason.ACCESS_DENIED):
        return Human(reason)
    if interval is None:
        return Wait(reason) if reason.error_class is ErrorClass.WAIT else Retry(reason)
    if reason.error_class is ErrorClass.RETRY:
        return Done(after=min(interval, RECOVERY_INTERVAL))
    return Done(after=interval)


async def _write(context: Context, body: Body, report: status.Report) -> None:
    """Write the status; the time of the check moves only with what was found."""
    new = status.build(body.get("status") or {}, report, generation=body["metadata"]["generation"], moment=status.now())
    if not status.says_the_same(body.get("status") or {}, new):
        report = replace(report, fields={**report.fields, "lastCheckedAt": status.now()})
        await status.write(context, body, report)


async def _delete(context: Context, body: Body) -> Verdict:
    if not has_finalizer(body):
        await in_use.update(context, body)
        return Done()
    key = Key.of(body)
    dependants = await removal.dependants_of_instance(context, key)
    for child in dependants:
        context.depends(child)
    decision = deletion.decide(
        removal.facts(
            body,
            protected=bool(body["spec"].get("deletionProtection", True)),
            dependants=[deletion.dependant_name(child, parent=key) for child in dependants],
            has_outside=False,
        )
    )
    await in_use.update(context, body)
    if decision.step is not deletion.Step.RELEASE:
        return await removal.hold(context, body, decision, dependants)
    await removal.tell_cascade_complete(context, body)
    await let_go(context, body)
    await in_use.release(context, body)
    return Done()
