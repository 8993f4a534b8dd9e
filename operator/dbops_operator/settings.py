# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator was told at its start (cli/operator.py), as plain values that do not change while it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

INSTANCE_LABEL = "dbops.dbprovision.io/operator-instance-id"
DEFAULT_INSTANCE = "default"
LEASE, LEASE_DOMAIN = "b0f91929", ".dbprovision.io"
"""Parts of a Lease's name, which the published operator has as well: of both only one works at a time."""
DEFAULT_NAMESPACE = "db-provision-operator-system"


def cores() -> int:
    """How many processors this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def local_zone() -> tzinfo:
    """The time zone of this process: the variable TZ, else the system's. Raises ValueError for an unknown one."""
    if name := os.environ.get("TZ", "").removeprefix(":"):
        return ZoneInfo(name)
    system = Path("/etc/localtime")
    if not system.exists():
        return UTC
    with system.open("rb") as file:
        return ZoneInfo.from_file(file, key=None)


class CrossNamespace(StrEnum):
    """Whether references across namespaces need the owner's consent."""

    CONSENT = "consent"
    OPEN = "open"


@dataclass(frozen=True)
class DropBrake:
    """More than `drops` drops of databases on one server within `seconds` stop and ask; 0 drops: no brake."""

    drops: int = 20
    seconds: int = 600

    @classmethod
    def parse(cls, text: str) -> DropBrake:
        """Read `20/10m` or `0`. Raises ValueError."""
        drops, slash, period = text.partition("/")
        if not slash:
            if drops == "0":
                return cls(drops=0)
            raise ValueError("give DROPS/PERIOD such as 20/10m, or 0 to switch the brake off")
        seconds = parse_duration(period)
        if int(drops) < 0 or seconds < 1:
            raise ValueError("drops must not be negative and the period must be at least one second")
        return cls(drops=int(drops), seconds=int(seconds))


@dataclass(frozen=True)
class Settings:
    """All settings of one operator process."""

    cluster_id: str
    namespaces: tuple[str, ...] = ()
    """Namespaces that it looks after; none: all of the cluster."""
    instance_id: str = DEFAULT_INSTANCE
    cross_namespace: CrossNamespace = CrossNamespace.CONSENT
    operator_namespace: str = DEFAULT_NAMESPACE
    drop_brake: DropBrake = field(default_factory=DropBrake)
    default_drift_interval: float = 8 * 3600.0
    allow_loopback: bool = True
    """Whether instances may be on loopback addresses; in a cluster the default is no."""
    allow_link_local: bool = False
    allow_api_server: bool = False
    api_server: str = ""
    """URL of the API server in use."""
    standby_runs: int = field(default_factory=lambda: 2 * cores())
    max_concurrent_runs: int = field(default_factory=cores)
    max_concurrent_backups: int = 2
    """Backups, their verification and removal that are at work at a time, and as many restores."""
    max_concurrent_backups_per_server: int = 1
    run_directory: Path = Path("/dev/shm")  # noqa: S108 - in memory, and the folder made in it is private
    grace_period: float = 25.0
    metrics_secure: bool = True
    """Whether /metrics is HTTPS, for accounts that the API server lets read it."""
    metrics_certificates: Path | None = None
    """Folder with the certificate and the key for it; none: they are made."""
    metrics_certificate: str = "tls.crt"
    metrics_key: str = "tls.key"
    time_zone: tzinfo = field(default_factory=local_zone)
    """The zone that schedules without one are in."""

    leader_elect: bool = False

    @property
    def lease(self) -> str:
        """The name of the Lease by which one of several operators of this id leads."""
        return "-".join([LEASE, *([self.instance_id] if self.instance_id != DEFAULT_INSTANCE else [])]) + LEASE_DOMAIN

    def claims(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these LABELS is this operator's to handle."""
        return ((labels or {}).get(INSTANCE_LABEL) or DEFAULT_INSTANCE) == self.instance_id

    def looks_after(self, namespace: str) -> bool:
        """Whether NAMESPACE ("" for cluster-scoped objects) is watched."""
        return not self.namespaces or namespace in self.namespaces


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_duration(text: str) -> float:
    """Read a duration as Go prints it (`8h`, `1h30m`, `90s`, `0`), or in days and weeks, into seconds.

    Raises ValueError.
    """
    total, number = 0.0, ""
    rest = text.strip()
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError("a duration such as 90s, 10m or 8h is needed")
    while rest:
        if rest[0].isdigit() or rest[0] == ".":
            number, rest = number + rest[0], rest[1:]
            continue
        unit = next((unit for unit in _UNITS if rest.startswith(unit)), None)
        if unit is None or not number:
            break
        total, number, rest = total + float(number) * _UNITS[unit], "", rest[len(unit) :]
    if rest or number:
        raise ValueError(f"{text!r} is not a duration such as 90s, 10m or 8h")
    return total
