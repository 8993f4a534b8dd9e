# SPDX-License-Identifier: GPL-3.0-or-later
"""ClusterDatabaseRole: a group role on the server of a ClusterDatabaseInstance."""

from __future__ import annotations

from typing import Annotated, Literal

from dbops_operator.api.common import ClusterInstanceRef, DriftPolicy, DriftStatus, PlacedStatus
from dbops_operator.api.database_role import MySQLRole, PostgresRole, RoleInfo
from dbops_operator.api.kind import AGE, Column, Kind
from dbops_operator.api.model import Block, RequiredSQLName, immutable


class ClusterDatabaseRoleSpec(Block):
    """A group role on the server of a ClusterDatabaseInstance."""

    cluster_instance_ref: ClusterInstanceRef
    """The ClusterDatabaseInstance."""
    role_name: Annotated[RequiredSQLName, immutable("roleName")]
    """Name of the role on the server."""
    managed_resource_comment: str | None = None
    """Comment on the role."""
    drift_policy: DriftPolicy | None = None
    """What happens when the server differs; without it the instance's policy holds."""
    postgres: PostgresRole | None = None
    """Attributes on PostgreSQL; ignored on other engines."""
    mysql: MySQLRole | None = None
    """Attributes on MySQL and MariaDB; ignored on other engines."""


class ClusterDatabaseRoleStatus(PlacedStatus):
    """What was found out about the role."""

    phase: Literal["Pending", "Creating", "Ready", "Failed", "Deleting"] | None = None
    """In one word: whether the role can be used."""
    role: RoleInfo | None = None
    """The role as the server has it."""
    drift: DriftStatus | None = None
    """The last comparison of the server with the declaration."""


CLUSTER_DATABASE_ROLE = Kind(
    name="ClusterDatabaseRole",
    plural="clusterdatabaseroles",
    short_name="cdbr",
    scope="Cluster",
    finalizer_name="cluster-role-protection",
    spec=ClusterDatabaseRoleSpec,
    status=ClusterDatabaseRoleStatus,
    about="A group role on the server of a ClusterDatabaseInstance.",
    columns=(
        Column("Instance", ".spec.clusterInstanceRef.name"),
        Column("Role", ".spec.roleName"),
        Column("Phase", ".status.phase"),
        AGE,
    ),
)
