# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseRestore: one backup brought back, into a new database or over an existing one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbops_operator.api.common import ClusterInstanceRef, ObjectRef, SecretKeyRef, Status
from dbops_operator.api.kind import AGE, Column, Kind
from dbops_operator.api.model import Block, Int32, Int64, NotBoth, Time
from dbops_operator.api.storage import Compression, Encryption, Storage


class FromPath(Block):
    """A backup that no DatabaseBackup stands for."""

    storage: Storage
    """Where it is stored."""
    backup_path: str
    """Its path, relative to the storage's prefix."""
    compression: Compression | None = None
    """How it was compressed."""
    encryption: Encryption | None = None
    """How it was encrypted."""


class Decryption(Block):
    """What decrypts a backup that was encrypted for recipients of age."""

    secret_ref: SecretKeyRef
    """Secret with an identity (AGE-SECRET-KEY-...)."""


class RestoreTarget(Block):
    """Where the backup is restored to."""

    rules = (
        NotBoth(
            "instance_ref",
            "cluster_instance_ref",
            message="instanceRef and clusterInstanceRef exclude one another",
        ),
    )

    instance_ref: ObjectRef | None = None
    """The DatabaseInstance, with databaseName."""
    cluster_instance_ref: ClusterInstanceRef | None = None
    """The ClusterDatabaseInstance, with databaseName."""
    database_name: str | None = None
    """Name of the database on the server; empty means that of the source."""
    database_ref: ObjectRef | None = None
    """The Database, with inPlace."""
    in_place: bool | None = None
    """Whether the Database's content is replaced; needs confirmation."""


class Confirmation(Block):
    """Consent to losing what is in the target."""

    acknowledge_data_loss: str | None = None
    """Must be exactly I-UNDERSTAND-DATA-LOSS."""


class PostgresRestore(Block):
    """How pg_restore is called."""

    jobs: Annotated[Int32, Field(ge=1)] = 1
    """Tables that are restored at a time."""
    create_database: bool = True
    """Whether a missing database is created."""
    drop_existing: bool | None = None
    """Whether an existing database is replaced; needs confirmation."""
    data_only: bool | None = None
    """Whether only rows are restored."""
    schema_only: bool | None = None
    """Whether only definitions are restored."""
    no_owner: bool = True
    """Whether ownership in the backup is ignored."""
    no_privileges: bool | None = None
    """Whether privileges in the backup are ignored."""
    disable_triggers: bool | None = None
    """Whether triggers are off meanwhile."""
    analyze: bool = True
    """Whether statistics are gathered afterwards."""
    schemas: list[str] | None = None
    """Schemas that are restored; without this all."""
    tables: list[str] | None = None
    """Tables that are restored; without this all."""
    role_mapping: dict[str, str] | None = None
    """Names of roles in the backup and the names that take their place."""


class MySQLRestore(Block):
    """How a dump of MySQL or MariaDB is loaded."""

    create_database: bool = True
    """Whether a missing database is created."""
    drop_existing: bool | None = None
    """Whether an existing database is replaced; needs confirmation."""
    routines: bool = True
    """Whether procedures and functions are restored."""
    triggers: bool = True
    """Whether triggers are restored."""
    events: bool = True
    """Whether events are restored."""
    disable_foreign_key_checks: bool = True
    """Whether foreign keys are not checked meanwhile."""
    disable_binlog: bool = True
    """Whether replicas do not get it."""


class DatabaseRestoreSpec(Block):
    """One backup brought back."""

    backup_ref: ObjectRef | None = None
    """The DatabaseBackup; exactly one of backupRef and fromPath must be given."""
    from_path: FromPath | None = None
    """A stored backup; exactly one of backupRef and fromPath must be given."""
    decryption: Decryption | None = None
    """What decrypts the DatabaseBackup, where its own Secret does not: the operator that made it has the public key."""
    target: RestoreTarget
    """Where it is restored to."""
    confirmation: Confirmation | None = None
    """Consent to losing what is in the target."""
    active_deadline_seconds: Annotated[Int64, Field(ge=1)] = 7200
    """Seconds that it may take."""
    postgres: PostgresRestore | None = None
    """How pg_restore is called; ignored on other engines."""
    mysql: MySQLRestore | None = None
    """How a dump of MySQL or MariaDB is loaded; ignored on other engines."""


class RestoreInfo(Block):
    """What is restored where."""

    source_backup: str | None = None
    """The DatabaseBackup or path."""
    target_instance: str | None = None
    """metadata.name of the instance."""
    target_database: str | None = None
    """Name of the database on the server."""


class RestoreProgress(Block):
    """How far it is."""

    percentage: Int32 | None = None
    """0 to 100."""
    current_phase: str | None = None
    """What is being done."""
    tables_restored: Int32 | None = None
    """Tables that are there."""
    tables_total: Int32 | None = None
    """Tables in the backup."""


class DatabaseRestoreStatus(Status):
    """What became of the restore."""

    phase: Literal["Pending", "Running", "Completed", "Failed"] | None = None
    """In one word: how far it is."""
    started_at: Time | None = None
    """When it began."""
    completed_at: Time | None = None
    """When it ended."""
    restore: RestoreInfo | None = None
    """What is restored where."""
    progress: RestoreProgress | None = None
    """How far it is."""
    attempts: Int32 | None = None
    """How often it was tried."""
    warnings: list[str] | None = None
    """What should be looked at afterwards."""


DATABASE_RESTORE = Kind(
    name="DatabaseRestore",
    plural="databaserestores",
    short_name="dbrestore",
    scope="Namespaced",
    finalizer_name="restore-protection",
    spec=DatabaseRestoreSpec,
    status=DatabaseRestoreStatus,
    about="One backup brought back, into a new database or over an existing one.",
    columns=(
        Column("Backup", ".spec.backupRef.name"),
        Column("Target", ".status.restore.targetDatabase"),
        Column("Phase", ".status.phase"),
        Column("Progress", ".status.progress.percentage", "integer"),
        AGE,
    ),
)
