# SPDX-License-Identifier: GPL-3.0-or-later
"""The published metrics of instances, databases and users, set from what a reconcile found.

Called by the reconcilers; the names are those of metrics.py. Series of an object that is gone are dropped there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator.context import Context
from dbops_operator.resolve import Server

Body = Mapping[str, Any]
_CLUSTER = "_cluster"


def instance_looked_at(context: Context, body: Body, *, healthy: bool, seconds: float) -> None:
    """Note a health check that took SECONDS."""
    metrics, labels = context.metrics, _of_instance(body)
    metrics.instance_healthy.labels(**labels).set(float(healthy))
    metrics.instance_checked.labels(**labels).set(time.time())
    metrics.connection_attempts.labels(**labels, status=_status(healthy)).inc()
    if healthy:
        metrics.connection_latency.labels(**labels).observe(seconds)


def converged(context: Context, body: Body, server: Server, result: ObjectResult, *, seconds: float) -> None:
    """Note a create, update or delete of a database or login that took SECONDS."""
    if not (result.changed or result.failed):
        return
    labels = {"operation": _operation(body, result), "engine": server.spec.engine}
    labels["namespace"] = body["metadata"].get("namespace") or _CLUSTER
    if body["kind"] == "DatabaseUser":
        context.metrics.user_operations.labels(**labels, status=_status(not result.failed)).inc()
    elif body["kind"] == "Database":
        context.metrics.database_operations.labels(**labels, status=_status(not result.failed)).inc()
        context.metrics.database_operation_duration.labels(**labels).observe(seconds)


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
        context.metrics.drift_detections.labels(kind, "success", metadata["namespace"]).inc()


def database_size(context: Context, body: Body, server: Server, size: int) -> None:
    """Note the size of a database, which moves too often for status."""
    metadata = body["metadata"]
    context.metrics.database_size.labels(
        metadata["name"], server.key.name, server.spec.engine, metadata["namespace"]
    ).set(size)


def information(context: Context, body: Body | None) -> None:
    """Set the info series of an object from its last sight."""
    if body is None:
        return
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    namespace, phase = metadata.get("namespace") or _CLUSTER, status.get("phase", "Pending")
    if body["kind"] == "DatabaseInstance":
        context.metrics.info(
            context.metrics.instance_info,
            instance=metadata["name"],
            namespace=namespace,
            engine=spec["engine"],
            version=status.get("version", ""),
            host=spec["connection"]["host"],
            port=str(spec["connection"]["port"]),
            phase=phase,
        )
    elif body["kind"] in ("Database", "DatabaseUser"):
        user = body["kind"] == "DatabaseUser"
        reference = spec.get("instanceRef") or spec.get("clusterInstanceRef") or {}
        own = {"user": metadata["name"]} if user else {"database": metadata["name"]}
        name = {"username": spec["username"]} if user else {"db_name": spec["name"]}
        gauge = context.metrics.user_info if user else context.metrics.database_info
        context.metrics.info(
            gauge, **own, namespace=namespace, instance_ref=reference.get("name", ""), **name, phase=phase
        )


def _of_instance(body: Body) -> dict[str, str]:
    metadata = body["metadata"]
    return {
        "instance": metadata["name"],
        "engine": body["spec"]["engine"],
        "namespace": metadata.get("namespace") or _CLUSTER,
    }


def _status(worked: bool) -> str:
    return "success" if worked else "failure"
