# SPDX-License-Identifier: GPL-3.0-or-later
"""Database: a database on a server, with its schemas, extensions and default privileges."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbops_operator.api.common import (
    ConfigMapKeyRef,
    DeletionConfirmation,
    DriftPolicy,
    DriftStatus,
    InstanceReferences,
    PlacedStatus,
    SecretKeyRef,
)
from dbops_operator.api.kind import AGE, Column, Kind
from dbops_operator.api.model import (
    Block,
    ExactlyOne,
    Int32,
    Int64,
    Privileges,
    RequiredSQLName,
    SQLName,
    Time,
    immutable,
)
from dbops_operator.api.privileges import ObjectType

Word = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_]+$")]
Presence = Literal["present", "absent"]


class InitSQL(Block):
    """Statements that run once, from exactly one source."""

    rules = (
        ExactlyOne(
            "inline",
            "config_map_ref",
            "secret_ref",
            message="exactly one of inline, configMapRef and secretRef must be given",
        ),
    )

    inline: Annotated[list[str] | None, Field(max_length=50)] = None
    """The statements, one per entry."""
    config_map_ref: ConfigMapKeyRef | None = None
    """ConfigMap with the statements, parted by lines of three hyphens."""
    secret_ref: SecretKeyRef | None = None
    """Secret with the statements, parted by lines of three hyphens."""
    failure_policy: Literal["Continue", "Block"] = "Block"
    """Whether a failing statement keeps the Database from being Ready."""


class PostgresExtension(Block):
    """An extension of the database."""

    name: str
    """Its name, such as pg_trgm."""
    schema_: str = "public"
    """Schema that its objects go into."""
    version: str | None = None
    """Its version; empty means the server's default."""
    state: Presence | None = None
    """`absent` removes it; leaving it out of the list never does."""
    cascade: bool | None = None
    """Whether a removal takes what depends on it along."""


class PostgresSchema(Block):
    """A schema of the database."""

    name: str
    """Its name."""
    owner: str | None = None
    """Name on the server of the role that owns it; empty means the admin account, or the owner role of `ownership`."""
    state: Presence | None = None
    """`absent` removes it; leaving it out of the list never does."""
    cascade: bool | None = None
    """Whether a removal takes along what is in it; without it only an empty schema is removed."""


class DatabaseDefaultPrivilege(Block):
    """Privileges that a role gets on what the database's owner creates later."""

    role: str
    """Name on the server of the role that gets them."""
    schema_: str
    """Schema that the objects will be created in."""
    object_type: ObjectType
    """Kind of the objects."""
    privileges: Privileges
    """Privileges in capitals, such as SELECT or ALL."""


class Ownership(Block):
    """A group role that owns the database, and a login that is a member of it."""

    auto_ownership: bool | None = None
    """Whether they are made."""
    role_name: SQLName | None = None
    """Name of the group role; empty means db_<name>_owner."""
    user_name: SQLName | None = None
    """Name of the login; empty means db_<name>_app."""
    set_default_privileges: bool = True
    """Whether each of the two may use what the other creates."""
    drop_on_delete: bool | None = None
    """Whether both are dropped after the database."""


class PostgresDatabase(Block):
    """Properties of a PostgreSQL database. Without this block the server's defaults hold."""

    encoding: str = "UTF8"
    """Character encoding; cannot be changed later."""
    lc_collate: str | None = None
    """Sort order; cannot be changed later."""
    lc_ctype: str | None = None
    """Character classes; cannot be changed later."""
    tablespace: str = "pg_default"
    """Tablespace of the database."""
    template: str = "template0"
    """Database that it is copied from."""
    connection_limit: Annotated[Int32, Field(ge=-1)] = -1
    """Most connections at a time; -1 means no limit."""
    is_template: bool | None = None
    """Whether others may copy it."""
    allow_connections: bool = True
    """Whether anybody may connect."""
    extensions: list[PostgresExtension] | None = None
    """Extensions that it has; others are left alone."""
    schemas: list[PostgresSchema] | None = None
    """Schemas that it has; others are left alone."""
    default_privileges: list[DatabaseDefaultPrivilege] | None = None
    """Privileges on what its owner creates later."""
    ownership: Ownership | None = None
    """A group role that owns it, and a login that is a member of it."""


class MySQLDatabase(Block):
    """Properties of a MySQL or MariaDB database. Without this block the server's defaults hold."""

    charset: Word = "utf8mb4"
    """Default character set."""
    collation: Word = "utf8mb4_unicode_ci"
    """Default collation."""
    sql_mode: str | None = None
    """Not supported: no server has it per database."""
    default_storage_engine: str = "InnoDB"
    """Not supported: no server has it per database."""


class ClickHouseDatabase(Block):
    """Properties of a ClickHouse database; accepted and answered with Unsupported."""

    engine: str = "Atomic"
    """Database engine."""


class DatabaseSpec(InstanceReferences):
    """A database on a server."""

    name: Annotated[RequiredSQLName, immutable("name")]
    """Name of the database on the server."""
    owner: SQLName | None = None
    """Name on the server of the role that owns it; empty means the admin account."""
    deletion_policy: Literal["Retain", "Delete", "Snapshot"] = "Delete"
    """Whether the database is dropped (Delete), kept, or dropped after a final backup when this object is deleted."""
    deletion_protection: bool = True
    """Whether deleting this object is blocked."""
    drift_policy: DriftPolicy | None = None
    """What happens when the server differs; without it the instance's policy holds."""
    init_sql: InitSQL | None = None
    """Statements that run once when the database is there, with the rights of its owner."""
    postgres: PostgresDatabase | None = None
    """Properties on PostgreSQL; ignored on other engines."""
    mysql: MySQLDatabase | None = None
    """Properties on MySQL and MariaDB; ignored on other engines."""
    clickhouse: ClickHouseDatabase | None = None
    """Properties on ClickHouse; ignored on other engines."""


class DatabaseInfo(Block):
    """The database as the server has it."""

    name: str | None = None
    """Its name."""
    owner: str | None = None
    """Role that owns it (PostgreSQL)."""
    size_bytes: Int64 | None = None
    """Its size."""
    created_at: Time | None = None
    """When it was created here."""


class InstalledExtension(Block):
    """An extension that the database has."""

    name: str
    """Its name."""
    version: str
    """Its version."""


class OwnershipStatus(Block):
    """The group role and the login of `ownership`."""

    phase: Literal["Pending", "Ready", "Failed"] | None = None
    """Whether both are as declared."""
    role_name: str | None = None
    """Name of the group role."""
    user_name: str | None = None
    """Name of the login."""
    message: str | None = None
    """What is going on, for people."""


class PostgresDatabaseStatus(Block):
    """The database as PostgreSQL has it."""

    encoding: str | None = None
    """Character encoding."""
    collation: str | None = None
    """Sort order."""
    installed_extensions: list[InstalledExtension] | None = None
    """Extensions."""
    schemas: list[str] | None = None
    """Schemas."""
    ownership: OwnershipStatus | None = None
    """The group role and the login of `ownership`."""


class MySQLDatabaseStatus(Block):
    """The database as MySQL or MariaDB has it."""

    charset: str | None = None
    """Default character set."""
    collation: str | None = None
    """Default collation."""


class InitSQLStatus(Block):
    """The last run of initSQL."""

    applied: bool
    """Whether all statements ran."""
    applied_at: Time | None = None
    """When they did."""
    hash: str | None = None
    """SHA-256 of the statements that ran."""
    statements_executed: Int32
    """How many statements succeeded."""
    error: str | None = None
    """Why one did not."""


class DatabaseStatus(PlacedStatus):
    """What was found out about the database."""

    phase: Literal["Pending", "Creating", "Ready", "Failed", "Deleting", "PendingDeletion"] | None = None
    """In one word: whether the database can be used."""
    database: DatabaseInfo | None = None
    """The database as the server has it."""
    postgres: PostgresDatabaseStatus | None = None
    """What only PostgreSQL has."""
    mysql: MySQLDatabaseStatus | None = None
    """What only MySQL and MariaDB have."""
    init_sql: InitSQLStatus | None = None
    """The last run of initSQL."""
    drift: DriftStatus | None = None
    """The last comparison of the server with the declaration."""
    deletion_confirmation: DeletionConfirmation | None = None
    """What a forced deletion waits for."""


DATABASE = Kind(
    name="Database",
    plural="databases",
    short_name="db",
    scope="Namespaced",
    finalizer_name="database-protection",
    spec=DatabaseSpec,
    status=DatabaseStatus,
    about="A database on a server, with its schemas, extensions and default privileges.",
    columns=(
        Column("Instance", ".spec.instanceRef.name"),
        Column("Database", ".spec.name"),
        Column("Phase", ".status.phase"),
        Column("Size", ".status.database.sizeBytes", "integer"),
        AGE,
    ),
)
