# SPDX-License-Identifier: GPL-3.0-or-later
"""`make dashboards`: the Grafana dashboards (operator/deploy/monitoring/dashboards), from a table of their panels.

A test fails when the committed files differ, and when a panel asks for a metric that a real scrape does not have.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).resolve().parents[1] / "operator" / "deploy" / "monitoring" / "dashboards"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One panel: its title, what it asks for, how a series is called, and its unit in Grafana's words."""

    title: str
    expression: str
    legend: str = ""
    unit: str = "short"
    type: Literal["timeseries", "stat", "table"] = "timeseries"


def _operations(kind: str) -> list[Panel]:
    by = "sum by (operation, status)"
    return [
        Panel(
            "Operations per second", f"{by} (rate(dbops_{kind}_operations_total{{namespace=~\"$namespace\"}}[5m]))",
            "{{operation}} {{status}}", "ops",
        ),
        Panel(
            "Failed in the last hour",
            f'sum(increase(dbops_{kind}_operations_total{{namespace=~"$namespace",status="failure"}}[1h]))',
            type="stat",
        ),
    ]  # fmt: skip


def _objects(*kinds: str) -> list[Panel]:
    of_kinds = 'resource_type=~"' + "|".join(kinds) + '"'
    return [
        Panel(
            "Objects by phase",
            f'sum by (resource_type, phase) (dbops_resource_count{{namespace=~"$namespace|",{of_kinds}}})',
            "{{resource_type}} {{phase}}",
        ),
        Panel("Differences from what is declared", f"dbops_drift_detected{{{of_kinds}}} == 1", type="table"),
    ]


_P95 = "histogram_quantile(0.95, sum by (le{}) (rate({}_bucket[5m])))"
DASHBOARDS: dict[str, tuple[str, list[Panel]]] = {
    "overview": (
        "Database provisioning / Overview",
        [
            Panel("Objects by phase", "sum by (phase) (dbops_resource_count)", "{{phase}}"),
            Panel(
                "Looks per second", "sum by (controller, result) (rate(controller_runtime_reconcile_total[5m]))",
                "{{controller}} {{result}}", "ops",
            ),
            Panel("Duration of a look, p95", _P95.format("", "controller_runtime_reconcile_time_seconds"), unit="s"),
            Panel("Keys that wait", "sum by (priority) (dbops_queue_depth)", "{{priority}}"),
            Panel("Time in the queue, p95", _P95.format("", "dbops_queue_latency_seconds"), unit="s"),
            Panel("Objects that wait for their server", "dbops_lane_pending", "{{server}}"),
            Panel("Servers that are not reachable", "dbops_lane_unreachable == 1", type="table"),
            Panel(
                "Time since a server's last success", "time() - dbops_server_last_success_timestamp_seconds",
                "{{server}}", "s",
            ),
            Panel("Phases of a run, p95", _P95.format(", phase", "dbops_run_seconds"), "{{phase}}", "s"),
            Panel("Runs per second", "sum by (result) (rate(dbops_runs_total[5m]))", "{{result}}", "ops"),
            Panel("Runs that wait for work", "dbops_standby_runs"),
            Panel("Time since a watch was heard of", "max by (kind) (dbops_watch_age_seconds)", "{{kind}}", "s"),
            Panel("Leader", "leader_election_master_status", "{{name}}"),
            Panel("Memory of the operator", "process_resident_memory_bytes", unit="bytes"),
            Panel("CPU of the operator", "rate(process_cpu_seconds_total[5m])"),
        ],
    ),
    "instances": (
        "Database provisioning / Instances",
        [
            Panel("Healthy", "dbops_instance_healthy", "{{namespace}}/{{instance}}", type="stat"),
            Panel("Instances", "dbops_instance_info", type="table"),
            Panel(
                "Connections per second", "sum by (instance, status) (rate(dbops_connection_attempts_total[5m]))",
                "{{instance}} {{status}}", "ops",
            ),
            Panel(
                "Time to connect, p95", _P95.format(", instance", "dbops_connection_latency_seconds"),
                "{{instance}}", "s",
            ),
            Panel(
                "Time since the last check", "time() - dbops_instance_last_health_check_timestamp_seconds",
                "{{instance}}", "s",
            ),
        ],
    ),
    "databases": (
        "Database provisioning / Databases",
        [
            *_objects("Database"),
            *_operations("database"),
            Panel(
                "Duration of an operation, p95",
                _P95.format(", operation", "dbops_database_operation_duration_seconds"), "{{operation}}", "s",
            ),
            Panel("Size", 'dbops_database_size_bytes{namespace=~"$namespace"}', "{{namespace}}/{{database}}", "bytes"),
            Panel("Databases", 'dbops_database_info{namespace=~"$namespace"}', type="table"),
        ],
    ),
    "users": (
        "Database provisioning / Users",
        [
            *_objects("DatabaseUser"),
            *_operations("user"),
            Panel("Users", 'dbops_user_info{namespace=~"$namespace"}', type="table"),
        ],
    ),
    "roles": (
        "Database provisioning / Roles",
        [
            *_objects("DatabaseRole", "ClusterDatabaseRole"),
            *_operations("role"),
            Panel("Roles", 'dbops_role_info{namespace=~"$namespace|"}', type="table"),
        ],
    ),
    "grants": (
        "Database provisioning / Grants",
        [
            *_objects("DatabaseGrant", "ClusterDatabaseGrant"),
            *_operations("grant"),
            Panel("Grants", 'dbops_grant_info{namespace=~"$namespace|"}', type="table"),
        ],
    ),
}  # fmt: skip


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    target: dict[str, Any] = {
        "refId": "A",
        "datasource": _SOURCE,
        "expr": panel.expression,
        "legendFormat": panel.legend or "__auto",
    }
    if panel.type == "table":
        target |= {"format": "table", "instant": True}
    return {
        "id": number + 1,
        "type": panel.type,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": [target],
    }


def _variables() -> list[dict[str, Any]]:
    query = "label_values(dbops_resource_count, namespace)"
    namespace: dict[str, Any] = {
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        {"name": "namespace", "type": "query", "datasource": _SOURCE, "query": query, "refresh": 2, **namespace},
    ]


def files() -> dict[Path, str]:
    """All files and what is in them."""
    found = {}
    for name, (title, panels) in DASHBOARDS.items():
        dashboard = {
            "uid": f"dbops-{name}",
            "title": title,
            "tags": ["dbops"],
            "schemaVersion": 39,
            "refresh": "1m",
            "time": {"from": "now-6h", "to": "now"},
            "templating": {"list": _variables()},
            "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
        }
        found[FOLDER / f"{name}.json"] = json.dumps(dashboard, indent=1) + "\n"
    return found


def main() -> int:
    """Write them."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
