# SPDX-License-Identifier: GPL-3.0-or-later
"""The published metrics of all kinds, set from what a reconcile found.

Called by the reconcilers; the names are those of metrics.py. Series of an object that is gone are dropped there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import Gauge

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator.context import Context
from dbops_operator.metrics import CLUSTER, Metrics
from dbops_operator.resolve import Server

Body = Mapping[str, Any]


def instance_looked_at(context: Context, body: Body, *, healthy: bool, seconds: float) -> None:
    """Note a health check that took SECONDS."""
    metrics, labels = context.metrics, _of_instance(body)
    metrics.instance_healthy.labels(**labels).set(float(healthy))
    metrics.instance_checked.labels(**labels).set(time.time())
    metrics.connection_attempts.labels(**labels, status=_status(healthy)).inc()
    if healthy:
        metrics.connection_latency.labels(**labels).observe(seconds)


def converged(context: Context, body: Body, server: Server, result: ObjectResult, *, seconds: float) -> None:
    """Note a create, update or delete that took SECONDS, and an adoption."""
    metrics = context.metrics
    if result.observed.get("adopted"):
        metrics.adoptions.labels(body["kind"], "success", body["metadata"].get("namespace", "")).inc()
    if not (result.changed or result.failed):
        return
    labels = {"operation": _operation(body, result), "engine": server.spec.engine}
    labels["namespace"] = body["metadata"].get("namespace", "")
    counter = {
        "Database": metrics.database_operations,
        "DatabaseUser": metrics.user_operations,
        "DatabaseRole": metrics.role_operations,
        "ClusterDatabaseRole": metrics.role_operations,
    }.get(body["kind"], metrics.grant_operations)
    counter.labels(**labels, status=_status(not result.failed)).inc()
    if body["kind"] == "Database":
        metrics.database_operation_duration.labels(**labels).observe(seconds)


def _operation(body: Body, result: ObjectResult) -> str:
    if body["metadata"].get("deletionTimestamp"):
        return "delete"
    never_ready = not (body.get("status") or {}).get("reconcileID")
    return "create" if result.observed.get("created") or never_ready else "update"


def looked_for_drift(context: Context, body: Body, *, detected: bool) -> None:
    """Note a comparison with the server."""
    kind, metadata = body["kind"], body["metadata"]
    context.metrics.drift_detected.labels(kind, metadata["name"], metadata.get("namespace", "")).set(float(detected))
    if detected:
        context.metrics.drift_detections.labels(kind, "success", metadata.get("namespace", "")).inc()


def drift_corrected(context: Context, body: Body) -> None:
    """Note that what differed is as declared again."""
    context.metrics.drift_corrections.labels(body["kind"], "success", body["metadata"].get("namespace", "")).inc()


def database_size(context: Context, body: Body, server: Server, size: int) -> None:
    """Note the size of a database, which moves too often for status."""
    metadata = body["metadata"]
    context.metrics.database_size.labels(
        metadata["name"], server.key.name, server.spec.engine, metadata["namespace"]
    ).set(size)


def backup_ended(context: Context, body: Body, engine: str, *, worked: bool = True) -> None:
    """Note a backup that ended for good; one that is tried again has not."""
    told, namespace = body.get("status") or {}, body["metadata"]["namespace"]
    if not told.get("completedAt"):
        return
    metrics = context.metrics
    metrics.backup_operations.labels(engine, _status(worked), namespace).inc()
    if not worked:
        return
    ended = datetime.fromisoformat(told["completedAt"])
    labels = {"database": body["spec"]["databaseRef"]["name"], "engine": engine, "namespace": namespace}
    metrics.backup_duration.labels(engine, namespace).observe(_seconds(told))
    metrics.backup_size.labels(**labels).set(told["backup"]["compressedSizeBytes"])
    metrics.backup_success.labels(**labels).set(ended.timestamp())


def restore_ended(context: Context, body: Body, engine: str, *, worked: bool = True) -> None:
    """Note a restore that ended for good."""
    told, namespace = body.get("status") or {}, body["metadata"]["namespace"]
    if not told.get("completedAt"):
        return
    context.metrics.restore_operations.labels(engine, _status(worked), namespace).inc()
    if worked:
        context.metrics.restore_duration.labels(engine, namespace).observe(_seconds(told))


def _seconds(told: Mapping[str, Any]) -> float:
    ended, began = (datetime.fromisoformat(told[name]) for name in ("completedAt", "startedAt"))
    return (ended - began).total_seconds()


def scheduled(context: Context, body: Body, *, worked: bool) -> None:
    """Note that a schedule had a backup made, or could not."""
    context.metrics.scheduled_backups.labels(_status(worked), body["metadata"]["namespace"]).inc()


def next_backup(context: Context, body: Body, at: datetime | None) -> None:
    """Note when a schedule's next backup is due."""
    metadata, database = body["metadata"], body["spec"]["template"]["spec"]["databaseRef"]["name"]
    context.metrics.next_backup(metadata["namespace"], metadata["name"], database, at.timestamp() if at else None)


def information(context: Context, body: Body | None) -> None:
    """Set the info series of an object from its last sight."""
    if body is None or body["kind"] not in _INFORMATION:
        return
    gauge, labels = _INFORMATION[body["kind"]](context.metrics, body)
    own, *others = labels.items()
    phase = {} if "paused" in labels else {"phase": (body.get("status") or {}).get("phase", "Pending")}
    namespace = body["metadata"].get("namespace") or (CLUSTER if own[0] == "instance" else "")
    context.metrics.info(gauge, **dict([own]), namespace=namespace, **dict(others), **phase)


def _instance(metrics: Metrics, body: Body) -> tuple[Gauge, dict[str, str]]:
    connection = body["spec"]["connection"]
    return metrics.instance_info, {
        "instance": body["metadata"]["name"],
        "engine": body["spec"]["engine"],
        "version": (body.get("status") or {}).get("version", ""),
        "host": connection["host"],
        "port": str(connection["port"]),
    }


def _database(metrics: Metrics, body: Body) -> tuple[Gauge, dict[str, str]]:
    own = {"database": body["metadata"]["name"], "instance_ref": _instance_ref(body)}
    return metrics.database_info, {**own, "db_name": body["spec"]["name"]}


def _user(metrics: Metrics, body: Body) -> tuple[Gauge, dict[str, str]]:
    own = {"user": body["metadata"]["name"], "instance_ref": _instance_ref(body)}
    return metrics.user_info, {**own, "username": body["spec"]["username"]}


def _role(metrics: Metrics, body: Body) -> tuple[Gauge, dict[str, str]]:
    own = {"role": body["metadata"]["name"], "instance_ref": _instance_ref(body)}
    return metrics.role_info, {**own, "role_name": body["spec"]["roleName"]}


def _grant(metrics: Metrics, body: Body) -> tuple[Gauge, dict[str, str]]:
    spec = body["spec"]
    reference = spec.get("userRef") or spec.get("roleRef") or {}
    # The target of a cluster's grant is in another namespace, so that one is named too.
    place = () if body["metadata"].get("namespace") else (reference.get("namespace"),)
    granted = [one for engine in ("postgres", "mysql") for one in (spec.get(engine) or {}).get("grants") or ()]
    return metrics.grant_info, {
        "grant": body["metadata"]["name"],
        "user_ref": "/".join(filter(None, (*place, reference.get("name")))),
        "database_ref": (spec.get("databaseRef") or {}).get("name", ""),
        "privileges": ",".join(sorted({word for one in granted for word in one.get("privileges") or ()})),
    }


def _backup(metrics: Metrics, body: Body) -> tuple[Gauge, dict[str, str]]:
    spec = body["spec"]
    own = {"backup": body["metadata"]["name"], "database_ref": spec["databaseRef"]["name"]}
    return metrics.backup_info, {**own, "storage_type": spec["storage"]["type"]}


def _schedule(metrics: Metrics, body: Body) -> tuple[Gauge, dict[str, str]]:
    spec = body["spec"]
    return metrics.schedule_info, {
        "schedule": body["metadata"]["name"],
        "database_ref": spec["template"]["spec"]["databaseRef"]["name"],
        "cron": spec["schedule"],
        "paused": str(bool(spec.get("paused"))).lower(),
    }


def _restore(metrics: Metrics, body: Body) -> tuple[Gauge, dict[str, str]]:
    spec, told = body["spec"], (body.get("status") or {}).get("restore") or {}
    return metrics.restore_info, {
        "restore": body["metadata"]["name"],
        "backup_ref": (spec.get("backupRef") or {}).get("name", ""),
        "target_instance": told.get("targetInstance", ""),
    }


_INFORMATION: Mapping[str, Callable[[Metrics, Body], tuple[Gauge, dict[str, str]]]] = {
    "DatabaseInstance": _instance,
    "ClusterDatabaseInstance": _instance,
    "Database": _database,
    "DatabaseUser": _user,
    "DatabaseRole": _role,
    "ClusterDatabaseRole": _role,
    "DatabaseGrant": _grant,
    "ClusterDatabaseGrant": _grant,
    "DatabaseBackup": _backup,
    "DatabaseBackupSchedule": _schedule,
    "DatabaseRestore": _restore,
}


def _instance_ref(body: Body) -> str:
    reference = body["spec"].get("instanceRef") or body["spec"].get("clusterInstanceRef") or {}
    return str(reference.get("name", ""))


def _of_instance(body: Body) -> dict[str, str]:
    metadata = body["metadata"]
    return {
        "instance": metadata["name"],
        "engine": body["spec"]["engine"],
        "namespace": metadata.get("namespace") or CLUSTER,
    }


def _status(worked: bool) -> str:
    return "success" if worked else "failure"
