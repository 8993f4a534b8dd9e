# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseRole: a group role on a server. Most of it serves ClusterDatabaseRole too."""

from __future__ import annotations

from typing import Annotated, Literal

from dbops_operator.api.common import (
    DeletionConfirmation,
    DriftPolicy,
    DriftStatus,
    InstanceReferences,
    PlacedStatus,
)
from dbops_operator.api.kind import AGE, Column, Kind
from dbops_operator.api.model import Block, RequiredSQLName, Time, immutable
from dbops_operator.api.privileges import MySQLGrant, PostgresGrant


class PostgresRole(Block):
    """Attributes of the role on PostgreSQL. Without this block it has NOLOGIN and INHERIT and they are not compared."""

    superuser: bool | None = None
    """SUPERUSER."""
    create_db: bool | None = None
    """CREATEDB: may create databases."""
    create_role: bool | None = None
    """CREATEROLE: may create roles."""
    inherit: bool = True
    """INHERIT: has the privileges of the roles that it is a member of."""
    login: bool | None = None
    """LOGIN: may connect."""
    replication: bool | None = None
    """REPLICATION."""
    bypass_rls: bool | None = None
    """BYPASSRLS: row security does not apply."""
    in_roles: list[str] | None = None
    """Names on the server of the roles that it is a member of, exactly."""
    grants: list[PostgresGrant] | None = None
    """Privileges that it has."""


class MySQLRole(Block):
    """The role on MySQL and MariaDB. Without this block it is a locked account whose privileges are handed on."""

    use_native_roles: bool = True
    """Whether it is a role of the server; false makes a locked account whose privileges are handed on."""
    grants: list[MySQLGrant] | None = None
    """Privileges that it has."""


class ClickHouseRole(Block):
    """The role on ClickHouse; accepted and answered with Unsupported."""

    settings: dict[str, str] | None = None
    """Settings of its sessions."""


class DatabaseRoleSpec(InstanceReferences):
    """A group role on a server."""

    role_name: Annotated[RequiredSQLName, immutable("roleName")]
    """Name of the role on the server."""
    drift_policy: DriftPolicy | None = None
    """What happens when the server differs; without it the instance's policy holds."""
    postgres: PostgresRole | None = None
    """Attributes on PostgreSQL; ignored on other engines."""
    mysql: MySQLRole | None = None
    """Attributes on MySQL and MariaDB; ignored on other engines."""
    clickhouse: ClickHouseRole | None = None
    """Attributes on ClickHouse; ignored on other engines."""


class RoleInfo(Block):
    """The role as the server has it."""

    name: str | None = None
    """Its name."""
    created_at: Time | None = None
    """When it was created here."""


class DatabaseRoleStatus(PlacedStatus):
    """What was found out about the role."""

    phase: Literal["Pending", "Creating", "Ready", "Failed", "Deleting", "PendingDeletion"] | None = None
    """In one word: whether the role can be used."""
    role: RoleInfo | None = None
    """The role as the server has it."""
    drift: DriftStatus | None = None
    """The last comparison of the server with the declaration."""
    deletion_confirmation: DeletionConfirmation | None = None
    """What a forced deletion waits for."""


DATABASE_ROLE = Kind(
    name="DatabaseRole",
    plural="databaseroles",
    short_name="dbr",
    scope="Namespaced",
    finalizer_name="role-protection",
    spec=DatabaseRoleSpec,
    status=DatabaseRoleStatus,
    about="A group role on a server.",
    columns=(
        Column("Instance", ".spec.instanceRef.name"),
        Column("Role", ".spec.roleName"),
        Column("Phase", ".status.phase"),
        AGE,
    ),
)
