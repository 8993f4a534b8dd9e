# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseBackup: one backup of one database. Its spec is also the template of DatabaseBackupSchedule."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbops_operator.api.common import ObjectRef, Status
from dbops_operator.api.kind import AGE, Column, Kind
from dbops_operator.api.model import Block, Int32, Int64, Time
from dbops_operator.api.storage import Compression, Encryption, Storage


class PostgresBackup(Block):
    """How pg_dump is called."""

    method: Literal["pg_dump", "pg_basebackup"] = "pg_dump"
    """Tool; only pg_dump is supported."""
    format: Literal["plain", "custom", "directory", "tar"] = "custom"
    """Format of the dump."""
    jobs: Annotated[Int32, Field(ge=1)] = 1
    """Tables that are dumped at a time, with the format directory."""
    data_only: bool | None = None
    """Whether only rows are dumped."""
    schema_only: bool | None = None
    """Whether only definitions are dumped."""
    blobs: bool = True
    """Whether large objects are dumped."""
    no_owner: bool | None = None
    """Whether ownership is left out."""
    no_privileges: bool | None = None
    """Whether privileges are left out."""
    no_sync: bool | None = None
    """Whether the files need not be flushed."""
    schemas: list[str] | None = None
    """Schemas that are dumped; without this all."""
    exclude_schemas: list[str] | None = None
    """Schemas that are left out."""
    tables: list[str] | None = None
    """Tables that are dumped; without this all."""
    exclude_tables: list[str] | None = None
    """Tables that are left out."""
    lock_wait_timeout: str = "60s"
    """Longest time to wait for locks on the tables."""


class MySQLBackup(Block):
    """How mysqldump or mariadb-dump is called."""

    method: Literal["mysqldump", "xtrabackup", "mysqlpump"] = "mysqldump"
    """Tool; only mysqldump (mariadb-dump on MariaDB) is supported."""
    single_transaction: bool = True
    """Whether the dump is one consistent moment."""
    quick: bool = True
    """Whether rows are fetched one at a time."""
    lock_tables: bool | None = None
    """Whether tables are locked."""
    routines: bool = True
    """Whether procedures and functions are dumped."""
    triggers: bool = True
    """Whether triggers are dumped."""
    events: bool = True
    """Whether events are dumped."""
    extended_insert: bool = True
    """Whether one statement inserts many rows."""
    set_gtid_purged: Literal["OFF", "ON", "AUTO"] = "AUTO"
    """Whether the dump sets the server's GTIDs."""
    databases: list[str] | None = None
    """Databases that are dumped; without this the one of databaseRef."""
    tables: list[str] | None = None
    """Tables that are dumped; without this all."""
    exclude_tables: list[str] | None = None
    """Tables that are left out."""


class DatabaseBackupSpec(Block):
    """One backup of one database."""

    database_ref: ObjectRef
    """The Database."""
    storage: Storage
    """Where the backup is stored."""
    compression: Compression | None = None
    """How it is compressed; without this it is not."""
    encryption: Encryption | None = None
    """How it is encrypted; without this it is not."""
    ttl: str | None = None
    """How long it is kept after it was completed, such as 168h or 7d."""
    active_deadline_seconds: Annotated[Int64, Field(ge=1)] = 3600
    """Seconds that it may take."""
    postgres: PostgresBackup | None = None
    """How pg_dump is called; ignored on other engines."""
    mysql: MySQLBackup | None = None
    """How mysqldump or mariadb-dump is called; ignored on other engines."""


class BackupSource(Block):
    """What was backed up."""

    instance: str | None = None
    """metadata.name of the instance."""
    database: str | None = None
    """Name of the database on the server."""
    engine: str | None = None
    """Engine of the server."""
    version: str | None = None
    """Version of the server."""
    timestamp: Time | None = None
    """The moment that the backup shows."""


class BackupInfo(Block):
    """The stored backup."""

    path: str | None = None
    """Where it is in the storage."""
    format: str | None = None
    """Format of the dump."""
    size_bytes: Int64 | None = None
    """Size of the dump before compression."""
    compressed_size_bytes: Int64 | None = None
    """Size as it is stored."""
    checksum: str | None = None
    """SHA-256 of what is stored."""


class BackupProgress(Block):
    """How far a backup is that runs; written every ten seconds at most."""

    phase: str | None = None
    """What it does."""
    bytes: Int64 | None = None
    """Bytes of the dump so far."""
    tables_done: Int32 | None = None
    """Tables that were dumped."""
    tables_total: Int32 | None = None
    """Tables that there are."""


class DatabaseBackupStatus(Status):
    """What became of the backup."""

    phase: Literal["Pending", "Running", "Completed", "Failed", "Deleting"] | None = None
    """In one word: how far it is."""
    started_at: Time | None = None
    """When it began."""
    completed_at: Time | None = None
    """When it ended."""
    expires_at: Time | None = None
    """When it will be removed."""
    source: BackupSource | None = None
    """What was backed up."""
    backup: BackupInfo | None = None
    """The stored backup."""
    progress: BackupProgress | None = None
    """How far it is, while it runs."""
    attempts: Int32 | None = None
    """How often it was tried."""
    warnings: list[str] | None = None
    """What is not in the backup, and why."""


DATABASE_BACKUP = Kind(
    name="DatabaseBackup",
    plural="databasebackups",
    short_name="dbbak",
    scope="Namespaced",
    finalizer_name="backup-protection",
    spec=DatabaseBackupSpec,
    status=DatabaseBackupStatus,
    about="One backup of one database.",
    columns=(
        Column("Database", ".spec.databaseRef.name"),
        Column("Phase", ".status.phase"),
        Column("Size", ".status.backup.compressedSizeBytes", "integer"),
        Column("Started", ".status.startedAt", "date"),
        Column("Completed", ".status.completedAt", "date"),
        AGE,
    ),
)
