# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseGrant: privileges and memberships of one user or role."""

from __future__ import annotations

from typing import Literal

from dbops_operator.api.common import DriftPolicy, DriftStatus, ObjectRef, PlacedStatus
from dbops_operator.api.kind import AGE, Column, Kind
from dbops_operator.api.model import AtLeastOne, Block, Int32, NotBoth
from dbops_operator.api.privileges import ClickHouseGrants, MySQLGrants, PostgresGrants

GrantPhase = Literal["Pending", "Creating", "Ready", "Failed", "Deleting"]


class DatabaseGrantSpec(Block):
    """Privileges and memberships of one user or role, on the server that it lives on."""

    rules = (
        AtLeastOne("user_ref", "role_ref", message="one of userRef and roleRef must be given"),
        NotBoth("user_ref", "role_ref", message="userRef and roleRef exclude one another"),
    )

    user_ref: ObjectRef | None = None
    """The DatabaseUser that gets them."""
    role_ref: ObjectRef | None = None
    """The DatabaseRole that gets them."""
    database_ref: ObjectRef | None = None
    """The Database that this is about: it cannot be deleted before the grant. Does not limit what is granted."""
    postgres: PostgresGrants | None = None
    """What is granted on PostgreSQL; ignored on other engines."""
    mysql: MySQLGrants | None = None
    """What is granted on MySQL and MariaDB; ignored on other engines."""
    clickhouse: ClickHouseGrants | None = None
    """What is granted on ClickHouse; ignored on other engines."""
    deletion_protection: bool = True
    """Whether deleting this object is blocked; deleting it revokes what it gave."""
    drift_policy: DriftPolicy | None = None
    """What happens when the server differs; without it the instance's policy holds."""


class AppliedGrants(Block):
    """What is granted."""

    grantee: str | None = None
    """Service role that has it in the place of the logins of a user, where those rotate."""
    roles: list[str] | None = None
    """Roles that the grantee is a member of."""
    direct_grants: Int32 | None = None
    """Number of entries of privileges."""
    default_privileges: Int32 | None = None
    """Number of entries of default privileges."""


class DatabaseGrantStatus(PlacedStatus):
    """What was found out about the grant."""

    phase: GrantPhase | None = None
    """In one word: whether everything is granted."""
    applied_grants: AppliedGrants | None = None
    """What is granted."""
    drift: DriftStatus | None = None
    """The last comparison of the server with the declaration."""


DATABASE_GRANT = Kind(
    name="DatabaseGrant",
    plural="databasegrants",
    short_name="dbg",
    scope="Namespaced",
    finalizer_name="grant-protection",
    spec=DatabaseGrantSpec,
    status=DatabaseGrantStatus,
    about="Privileges and memberships of one user or role.",
    columns=(
        Column("User", ".spec.userRef.name"),
        Column("Database", ".spec.databaseRef.name"),
        Column("Phase", ".status.phase"),
        AGE,
    ),
)
