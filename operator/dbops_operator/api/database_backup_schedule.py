# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseBackupSchedule: backups at set times, and which of them are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbops_operator.api.common import Status
from dbops_operator.api.database_backup import DatabaseBackupSpec
from dbops_operator.api.kind import AGE, Column, Kind
from dbops_operator.api.model import Block, Int32, Int64, Time

Limit = Annotated[Int32, Field(ge=0)]


class TemplateMetadata(Block):
    """Metadata of the backups."""

    labels: dict[str, str] | None = None
    """Labels of the backups."""
    annotations: dict[str, str] | None = None
    """Annotations of the backups."""


class BackupTemplate(Block):
    """What the backups look like."""

    metadata: TemplateMetadata | None = None
    """Labels and annotations of the backups."""
    spec: DatabaseBackupSpec
    """Spec of the backups."""


class Retention(Block):
    """Which backups are kept: those that any of the rules keeps."""

    keep_last: Limit | None = None
    """The newest ones, that many."""
    keep_hourly: Limit | None = None
    """The newest of each hour, of that many hours."""
    keep_daily: Limit | None = None
    """The newest of each day, of that many days."""
    keep_weekly: Limit | None = None
    """The newest of each week, of that many weeks."""
    keep_monthly: Limit | None = None
    """The newest of each month, of that many months."""
    keep_yearly: Limit | None = None
    """The newest of each year, of that many years."""
    min_age: str | None = None
    """Nothing younger than this is removed, as a Go duration."""


class DatabaseBackupScheduleSpec(Block):
    """Backups at set times."""

    schedule: Annotated[str, Field(min_length=1)]
    """When, as five fields of cron, such as "0 2 * * *"."""
    timezone: str = "UTC"
    """Time zone of the schedule, such as Europe/Berlin."""
    paused: bool | None = None
    """Whether no new backups are made."""
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = "Forbid"
    """What happens when the last backup still runs: a second one, none, or a new one instead of it."""
    template: BackupTemplate
    """What the backups look like."""
    retention: Retention | None = None
    """Which backups are kept; without this all."""
    successful_backups_history_limit: Limit = 5
    """Completed backups in status.recentBackups."""
    failed_backups_history_limit: Limit = 3
    """Failed backups in status.recentBackups."""
    deletion_protection: bool = True
    """Whether deleting this object is blocked; the backups outlive it."""


class LastBackup(Block):
    """The newest backup of the schedule."""

    name: str | None = None
    """metadata.name of the DatabaseBackup."""
    status: str | None = None
    """Its phase."""
    started_at: Time | None = None
    """When it began."""
    completed_at: Time | None = None
    """When it ended."""


class RecentBackup(Block):
    """A backup of the schedule."""

    name: str | None = None
    """metadata.name of the DatabaseBackup."""
    status: str | None = None
    """Its phase."""


class BackupStatistics(Block):
    """Figures of the backups that exist."""

    total_backups: Int64 | None = None
    """Number of backups."""
    successful_backups: Int64 | None = None
    """Number of completed ones."""
    failed_backups: Int64 | None = None
    """Number of failed ones."""
    average_duration_seconds: Int64 | None = None
    """Average time that one took."""
    average_size_bytes: Int64 | None = None
    """Average size of one."""
    total_storage_bytes: Int64 | None = None
    """Size of all."""


class DatabaseBackupScheduleStatus(Status):
    """What the schedule has done and will do."""

    phase: Literal["Active", "Paused", "Failed"] | None = None
    """In one word: whether backups are made."""
    next_backup_time: Time | None = None
    """When the next backup is due."""
    last_backup: LastBackup | None = None
    """The newest backup."""
    recent_backups: list[RecentBackup] | None = None
    """The newest backups."""
    statistics: BackupStatistics | None = None
    """Figures of the backups that exist."""


DATABASE_BACKUP_SCHEDULE = Kind(
    name="DatabaseBackupSchedule",
    plural="databasebackupschedules",
    short_name="dbbaksched",
    scope="Namespaced",
    finalizer_name="schedule-protection",
    spec=DatabaseBackupScheduleSpec,
    status=DatabaseBackupScheduleStatus,
    about="Backups of one database at set times, and which of them are kept.",
    columns=(
        Column("Schedule", ".spec.schedule"),
        Column("Paused", ".spec.paused", "boolean"),
        Column("Phase", ".status.phase"),
        Column("Last Backup", ".status.lastBackup.name"),
        # No date: kubectl shows those as an age, and has none for the future.
        Column("Next Backup", ".status.nextBackupTime"),
        AGE,
    ),
)
