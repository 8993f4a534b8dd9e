# SPDX-License-Identifier: GPL-3.0-or-later
"""ClusterDatabaseGrant: privileges of a user or role of any namespace on the server of a ClusterDatabaseInstance."""

from __future__ import annotations

from dbops_operator.api.common import ClusterInstanceRef, DriftPolicy, DriftStatus, PlacedStatus
from dbops_operator.api.database_grant import AppliedGrants, GrantPhase
from dbops_operator.api.kind import AGE, Column, Kind
from dbops_operator.api.model import Block, Int32, Time
from dbops_operator.api.privileges import MySQLGrants, PostgresGrants


class ClusterUserRef(Block):
    """A DatabaseUser of some namespace."""

    name: str
    """metadata.name of the DatabaseUser."""
    namespace: str
    """Its namespace."""


class ClusterRoleRef(Block):
    """A ClusterDatabaseRole, or a DatabaseRole of some namespace."""

    name: str
    """metadata.name of the role."""
    namespace: str | None = None
    """Namespace of the DatabaseRole; empty means a ClusterDatabaseRole."""


class ClusterDatabaseGrantSpec(Block):
    """Privileges and memberships of one user or role."""

    cluster_instance_ref: ClusterInstanceRef
    """The ClusterDatabaseInstance that the user or role lives on."""
    user_ref: ClusterUserRef | None = None
    """The DatabaseUser that gets them; exactly one of userRef and roleRef must be given."""
    role_ref: ClusterRoleRef | None = None
    """The role that gets them; exactly one of userRef and roleRef must be given."""
    postgres: PostgresGrants | None = None
    """What is granted on PostgreSQL; ignored on other engines."""
    mysql: MySQLGrants | None = None
    """What is granted on MySQL and MariaDB; ignored on other engines."""
    deletion_protection: bool = True
    """Whether deleting this object is blocked; deleting it revokes what it gave."""
    drift_policy: DriftPolicy | None = None
    """What happens when the server differs; without it the instance's policy holds."""


class GrantDetail(Block):
    """One entry of the grant as it was applied."""

    database: str | None = None
    """Database that it is in."""
    schema_: str | None = None
    """Schema that it is in."""
    privileges: list[str] | None = None
    """Privileges."""
    status: str | None = None
    """Whether it was applied."""
    message: str | None = None
    """Why not."""
    applied_at: Time | None = None
    """When it was applied."""


class ClusterAppliedGrants(AppliedGrants):
    """What is granted."""

    applied: Int32 | None = None
    """Number of entries and roles that are granted."""
    failed: Int32 | None = None
    """Number of entries and roles that are not."""
    details: list[GrantDetail] | None = None
    """Each entry, at most the first few."""


class TargetInfo(Block):
    """Who gets it."""

    type: str | None = None
    """`user` or `role`."""
    name: str | None = None
    """metadata.name of the user or role."""
    namespace: str | None = None
    """Its namespace."""
    resolved_username: str | None = None
    """Its name on the server."""


class ClusterDatabaseGrantStatus(PlacedStatus):
    """What was found out about the grant."""

    phase: GrantPhase | None = None
    """In one word: whether everything is granted."""
    target_info: TargetInfo | None = None
    """Who gets it."""
    applied_grants: ClusterAppliedGrants | None = None
    """What is granted."""
    drift: DriftStatus | None = None
    """The last comparison of the server with the declaration."""


CLUSTER_DATABASE_GRANT = Kind(
    name="ClusterDatabaseGrant",
    plural="clusterdatabasegrants",
    short_name="cdbg",
    scope="Cluster",
    finalizer_name="cluster-grant-protection",
    spec=ClusterDatabaseGrantSpec,
    status=ClusterDatabaseGrantStatus,
    about="Privileges and memberships of a user or role of any namespace, on the server of a ClusterDatabaseInstance.",
    columns=(
        Column("Target", ".status.targetInfo.name"),
        Column("Type", ".status.targetInfo.type"),
        Column("Applied", ".status.appliedGrants.applied", "integer"),
        Column("Phase", ".status.phase"),
        AGE,
    ),
)
