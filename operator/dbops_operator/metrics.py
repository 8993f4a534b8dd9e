# SPDX-License-Identifier: GPL-3.0-or-later
"""All metrics of the operator, under the names that dashboards of the published operator use.

Reconcilers and the shell call what they measure; health.py serves the registry. Series of an object end with it.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LONG_DURATIONS = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
_DURATIONS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# (kind, namespace, name) of the object whose series they are.
_OF_OBJECT = {
    "DatabaseInstance": ("instance", "instance_info"),
    "ClusterDatabaseInstance": ("instance", "instance_info"),
    "Database": ("database", "database_info"),
    "DatabaseUser": ("user", "user_info"),
    "DatabaseRole": ("role", "role_info"),
    "ClusterDatabaseRole": ("role", "role_info"),
    "DatabaseGrant": ("grant", "grant_info"),
    "ClusterDatabaseGrant": ("grant", "grant_info"),
    "DatabaseBackup": ("backup", "backup_info"),
    "DatabaseBackupSchedule": ("schedule", "schedule_info"),
    "DatabaseRestore": ("restore", "restore_info"),
}
# What the namespace of an object without one is called: that of roles and grants is empty.
CLUSTER = "_cluster"
Counted = tuple[str, str, str]
"""Kind, phase and namespace of an object."""


class ObjectCounter(Collector):
    """Counts all objects at the moment of the scrape, instead of keeping a number in step with every change."""

    def __init__(self, objects: Callable[[], Iterable[Counted]]) -> None:
        """OBJECTS gives those that are known."""
        self._objects = objects

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Give the one metric."""
        family = GaugeMetricFamily(
            "dbops_resource_count", "Objects by kind and phase", labels=("resource_type", "phase", "namespace")
        )
        for labels, count in collections.Counter(self._objects()).items():
            family.add_metric(labels, count)
        yield family

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Say what it will be, without counting."""
        yield GaugeMetricFamily("dbops_resource_count", "Objects by kind and phase")


class Metrics:
    """One registry with everything in it; two operators in one process do not share it."""

    def __init__(self) -> None:
        """Register all metrics."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._define_published()
        self._define_backups()
        self._define_own()
        # Which database a schedule is of, by namespace and name: its series has no other name.
        self._scheduled: dict[tuple[str, str], str] = {}

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def _define_published(self) -> None:
        operation = ("operation", "engine", "status", "namespace")
        instance = ("instance", "engine", "namespace")
        self.connection_attempts = self._counter(
            "dbops_connection_attempts_total", "Connections to instances", "instance", "engine", "status", "namespace"
        )
        self.connection_latency = self._histogram(
            "dbops_connection_latency_seconds", "Time to connect to an instance", _LATENCIES, *instance
        )
        self.instance_healthy = self._gauge("dbops_instance_healthy", "1 if the last check passed", *instance)
        self.instance_checked = self._gauge(
            "dbops_instance_last_health_check_timestamp_seconds", "When an instance was checked last", *instance
        )
        self.database_operations = self._counter("dbops_database_operations_total", "Operations", *operation)
        self.user_operations = self._counter("dbops_user_operations_total", "Operations", *operation)
        self.role_operations = self._counter("dbops_role_operations_total", "Operations", *operation)
        self.grant_operations = self._counter("dbops_grant_operations_total", "Operations", *operation)
        self.database_operation_duration = self._histogram(
            "dbops_database_operation_duration_seconds",
            "Duration of operations",
            _DURATIONS,
            "operation",
            "engine",
            "namespace",
        )
        self.database_size = self._gauge(
            "dbops_database_size_bytes", "Size of a database", "database", "instance", "engine", "namespace"
        )
        self.instance_info = self._gauge(
            "dbops_instance_info",
            "Always 1",
            *("instance", "namespace", "engine", "version", "host", "port", "phase"),
        )
        self.database_info = self._gauge(
            "dbops_database_info", "Always 1", "database", "namespace", "instance_ref", "db_name", "phase"
        )
        self.user_info = self._gauge(
            "dbops_user_info", "Always 1", "user", "namespace", "instance_ref", "username", "phase"
        )
        self.role_info = self._gauge(
            "dbops_role_info", "Always 1", "role", "namespace", "instance_ref", "role_name", "phase"
        )
        self.grant_info = self._gauge(
            "dbops_grant_info", "Always 1", *("grant", "namespace", "user_ref", "database_ref", "privileges", "phase")
        )
        self.drift_detected = self._gauge(
            "dbops_drift_detected", "1 while the server differs", "resource_type", "name", "namespace"
        )
        self.drift_detections = self._counter(
            "dbops_drift_detections_total", "Looks that found a difference", "resource_type", "status", "namespace"
        )
        self.drift_corrections = self._counter(
            "dbops_drift_corrections_total", "Corrections of drift", "resource_type", "status", "namespace"
        )
        self.adoptions = self._counter(
            "dbops_adoptions_total", "Adoptions of what existed before", "resource_type", "status", "namespace"
        )
        self.reconciles = self._counter(
            "controller_runtime_reconcile_total", "Looks at an object, by how they ended", "controller", "result"
        )
        self.reconcile_time = self._histogram(
            "controller_runtime_reconcile_time_seconds", "Duration of a look at an object", _DURATIONS, "controller"
        )

    def _define_backups(self) -> None:
        operation, database = ("engine", "status", "namespace"), ("database", "engine", "namespace")
        self.backup_operations = self._counter("dbops_backup_operations_total", "Backups that ended", *operation)
        self.backup_duration = self._histogram(
            "dbops_backup_duration_seconds", "Duration of backups", _LONG_DURATIONS, "engine", "namespace"
        )
        self.backup_size = self._gauge("dbops_backup_size_bytes", "Stored size of the last backup", *database)
        self.backup_success = self._gauge(
            "dbops_backup_last_success_timestamp_seconds", "When the last good backup ended", *database
        )
        self.restore_operations = self._counter("dbops_restore_operations_total", "Restores that ended", *operation)
        self.restore_duration = self._histogram(
            "dbops_restore_duration_seconds", "Duration of restores", _LONG_DURATIONS, "engine", "namespace"
        )
        self.scheduled_backups = self._counter(
            "dbops_scheduled_backups_total", "Backups that a schedule had made", "status", "namespace"
        )
        self.schedule_next = self._gauge(
            "dbops_schedule_next_backup_timestamp_seconds", "When the next backup is due", "database", "namespace"
        )
        self.backup_info = self._gauge(
            "dbops_backup_info", "Always 1", "backup", "namespace", "database_ref", "storage_type", "phase"
        )
        self.schedule_info = self._gauge(
            "dbops_schedule_info", "Always 1", "schedule", "namespace", "database_ref", "cron", "paused"
        )
        self.restore_info = self._gauge(
            "dbops_restore_info", "Always 1", "restore", "namespace", "backup_ref", "target_instance", "phase"
        )

    def _define_own(self) -> None:
        self.leading = self._gauge("leader_election_master_status", "1 while this one holds the Lease", "name")
        self.queue_depth = self._gauge("dbops_queue_depth", "Keys that wait to be looked at", "priority")
        self.queue_working = self._gauge("dbops_queue_working", "Keys that are being looked at")
        self.queue_latency = self._histogram(
            "dbops_queue_latency_seconds", "Time from becoming due to being looked at", _DURATIONS
        )
        self.lane_pending = self._gauge("dbops_lane_pending", "Objects that wait for their server", "server")
        self.lane_open = self._gauge(
            "dbops_lane_unreachable", "1 while a server is not tried because it was not reachable", "server"
        )
        self.server_success = self._gauge(
            "dbops_server_last_success_timestamp_seconds", "When a server did its last unit of work", "server"
        )
        self.run_seconds = self._histogram(
            "dbops_run_seconds", "Duration of the phases of a run: prepare, work, end", _DURATIONS, "phase"
        )
        self.runs = self._counter("dbops_runs_total", "Runs by how they ended", "result")
        self.run_objects = self._histogram("dbops_run_objects", "Objects in a unit of work", (1, 2, 5, 10, 20, 50, 100))
        self.long_work = self._gauge("dbops_long_work", "Backups, verifications and restores at work", "action")
        self.standby_runs = self._gauge("dbops_standby_runs", "Runs that wait for work")
        self.watch_age = self._gauge(
            "dbops_watch_age_seconds", "Time since a watch was heard of last", "kind", "namespace"
        )

    def info(self, gauge: Gauge, **labels: str) -> None:
        """Set an info GAUGE to 1 with these LABELS, in place of the object's former series."""
        first, namespace = next(iter(labels)), labels["namespace"]
        remove_series(gauge, {first: labels[first], "namespace": namespace})
        gauge.labels(**labels).set(1)

    def next_backup(self, namespace: str, schedule: str, database: str, at: float | None) -> None:
        """Tell when a schedule's next backup of a database is due (seconds since 1970); None: there is none."""
        former = self._scheduled.pop((namespace, schedule), None)
        if former not in (None, database) or at is None:
            remove_series(self.schedule_next, {"database": former or database, "namespace": namespace})
        if at is not None:
            self._scheduled[namespace, schedule] = database
            self.schedule_next.labels(database, namespace).set(at)

    def forget(self, kind: str, namespace: str, name: str) -> None:
        """Drop all series of an object that is gone."""
        remove_series(self.drift_detected, {"resource_type": kind, "namespace": namespace, "name": name})
        if kind not in _OF_OBJECT:
            return
        label, info = _OF_OBJECT[kind]
        labels = {label: name, "namespace": namespace or (CLUSTER if label == "instance" else "")}
        remove_series(getattr(self, info), labels)
        if label == "instance":
            for metric in (self.connection_attempts, self.connection_latency, self.instance_healthy):
                remove_series(metric, labels)
            remove_series(self.instance_checked, labels)
        if label == "database":
            for metric in (self.database_size, self.backup_size, self.backup_success):
                remove_series(metric, labels)
        if label == "schedule":
            self.next_backup(namespace, name, "", None)


def remove_series(metric: Counter | Gauge | Histogram, labels: Mapping[str, str]) -> None:
    """Drop all series of METRIC that have these LABELS."""
    metric.remove_by_labels(dict(labels))
