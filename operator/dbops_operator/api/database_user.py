# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseUser: a login on a server, its password and the Secret that tells applications of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbops_operator.api.common import (
    DeletionConfirmation,
    DriftPolicy,
    DriftStatus,
    InstanceReferences,
    PlacedStatus,
    SecretKeyRef,
)
from dbops_operator.api.kind import AGE, Column, Kind
from dbops_operator.api.model import Block, Int32, RequiredSQLName, Time, immutable

Count = Annotated[Int32, Field(ge=0)]
Strategy = Literal["role-inheritance", "dual-password"]


class SecretTemplate(Block):
    """What the credentials Secret looks like."""

    type: str = "Opaque"
    """Type of the Secret."""
    labels: dict[str, str] | None = None
    """Labels of the Secret."""
    annotations: dict[str, str] | None = None
    """Annotations of the Secret."""
    data: dict[str, str] | None = None
    """Keys of the Secret with Go templates for their values, such as
    "postgresql://{{ .Username }}:{{ .Password | urlEncode }}@{{ .Host }}:{{ .Port }}/app"; they replace all
    default keys."""


class PasswordSecret(Block):
    """How the password is made and where it is put. Without this block: 32 characters, in <username>-credentials."""

    secret_name: str
    """Name of the credentials Secret."""
    secret_namespace: str | None = None
    """Namespace of the Secret, which must consent; empty means the DatabaseUser's."""
    generate: bool = True
    """Whether a password is generated; false takes existingPasswordSecret."""
    length: Annotated[Int32, Field(ge=8, le=128)] = 32
    """Number of characters."""
    include_special_chars: bool = True
    """Whether it has characters of !@#$%^&* beside letters and digits."""
    exclude_chars: str | None = None
    """Characters that it must not have."""
    format: Literal["kubernetes", "vault", "external-secrets"] = "kubernetes"
    """Where the credentials are kept; only kubernetes is supported."""
    secret_template: SecretTemplate | None = None
    """What the Secret looks like, if it is not username, password, host, port, database and uri."""


class MySQLRotation(Block):
    """Rotation on MySQL."""

    discard_old_password_after_days: Annotated[Int32, Field(ge=1)] = 7
    """Days that the old password still works with the strategy dual-password."""


class OldUserPolicy(Block):
    """What becomes of the login that was replaced."""

    action: Literal["retain", "disable", "delete"] = "delete"
    """What is done with it after the grace period."""
    grace_period_days: Count = 7
    """Days that it still works."""
    ownership_check: bool = True
    """Whether a login that owns something is kept."""


class ServiceRole(Block):
    """The stable group role that the logins of a rotation are members of."""

    name: str | None = None
    """Its name on the server; empty means svc_<username>."""
    auto_create: bool = True
    """Whether it is made."""


class PasswordRotation(Block):
    """When and how the password is changed."""

    enabled: bool | None = None
    """Whether it is changed at all."""
    schedule: str | None = None
    """When, as five fields of cron in the operator's time zone, such as "0 3 1 * *"."""
    max_age: str | None = None
    """How old a password may become, as a Go duration such as 720h; with a schedule, what comes first counts."""
    strategy: Strategy = "role-inheritance"
    """`role-inheritance` makes a new login beside the old one, `dual-password` (MySQL) gives the login a second
    password."""
    user_naming: str = "{{.Username}}_{{.Date}}"
    """Name of the new login; {{.Username}}, {{.Date}} and {{.Timestamp}} are replaced."""
    service_role: ServiceRole | None = None
    """The stable group role that all logins are members of."""
    old_user_policy: OldUserPolicy | None = None
    """What becomes of the login that was replaced; without this it is deleted after 7 days unless it owns something."""
    mysql: MySQLRotation | None = None
    """What only MySQL has."""


class ServiceBinding(Block):
    """A Secret of type servicebinding.io/<engine> with the well-known keys of the Service Binding specification."""

    secret_name: str | None = None
    """Name of the Secret; empty means <username>-binding."""
    database: str | None = None
    """Database in it; empty means the instance's admin database."""


class PostgresUser(Block):
    """Attributes of the login on PostgreSQL. Without this block it has LOGIN and INHERIT and they are not compared."""

    superuser: bool | None = None
    """SUPERUSER."""
    create_db: bool | None = None
    """CREATEDB: may create databases."""
    create_role: bool | None = None
    """CREATEROLE: may create roles."""
    inherit: bool = True
    """INHERIT: has the privileges of the roles that it is a member of."""
    login: bool = True
    """LOGIN: may connect."""
    replication: bool | None = None
    """REPLICATION."""
    bypass_rls: bool | None = None
    """BYPASSRLS: row security does not apply."""
    connection_limit: Annotated[Int32, Field(ge=-1)] = -1
    """Most connections at a time; -1 means no limit, 0 none at all."""
    valid_until: str | None = None
    """When the password stops working, in RFC 3339, such as 2030-01-31T00:00:00Z."""
    in_roles: list[str] | None = None
    """Names on the server of the roles that it is a member of, exactly."""
    config_parameters: dict[str, str] | None = None
    """Settings of its sessions, such as search_path or statement_timeout."""
    default_role: str | None = None
    """Role that its sessions act as."""


class MySQLUser(Block):
    """Attributes of the account on MySQL and MariaDB. Without this block: any host, the server's default plugin."""

    allowed_hosts: list[str] = Field(default=["%"])
    """Hosts that it may connect from, one account each; % stands for any text."""
    auth_plugin: Literal["mysql_native_password", "caching_sha2_password", "sha256_password"] = "caching_sha2_password"
    """How it proves its password; on MariaDB caching_sha2_password and sha256_password mean the server's default."""
    require_ssl: bool | None = None
    """Whether it must connect with TLS."""
    require_x509: bool | None = None
    """Whether it must show a valid client certificate."""
    max_queries_per_hour: Count = 0
    """Most statements per hour; 0 means no limit."""
    max_updates_per_hour: Count = 0
    """Most changing statements per hour; 0 means no limit."""
    max_connections_per_hour: Count = 0
    """Most connections per hour; 0 means no limit."""
    max_user_connections: Count = 0
    """Most connections at a time; 0 means the server's limit."""
    account_locked: bool | None = None
    """Whether it may not connect."""
    failed_login_attempts: Count = 0
    """Wrong passwords after which it is locked; 0 means never."""
    password_lock_time: Count = 0
    """Days that it stays locked then."""


class ClickHouseUser(Block):
    """Attributes of the account on ClickHouse; accepted and answered with Unsupported."""

    allowed_hosts: list[str] | None = None
    """Hosts that it may connect from."""
    default_database: str | None = None
    """Database of its sessions."""


class DatabaseUserSpec(InstanceReferences):
    """A login on a server."""

    username: Annotated[RequiredSQLName, immutable("username")]
    """Name of the login on the server."""
    password_secret: PasswordSecret | None = None
    """How the password is made and where it is put; without it: 32 characters, in <username>-credentials."""
    existing_password_secret: SecretKeyRef | None = None
    """Secret with a password to use instead of a generated one."""
    roles: list[str] | None = None
    """Names on the server of the roles that it is a member of, on every engine."""
    password_rotation: PasswordRotation | None = None
    """When and how the password is changed."""
    service_binding: ServiceBinding | None = None
    """A second Secret, for the Service Binding specification; without this block there is none."""
    drift_policy: DriftPolicy | None = None
    """What happens when the server differs; without it the instance's policy holds."""
    postgres: PostgresUser | None = None
    """Attributes on PostgreSQL; ignored on other engines."""
    mysql: MySQLUser | None = None
    """Attributes on MySQL and MariaDB; ignored on other engines."""
    clickhouse: ClickHouseUser | None = None
    """Attributes on ClickHouse; ignored on other engines."""


class UserInfo(Block):
    """The login as the server has it."""

    username: str | None = None
    """Its name."""
    created_at: Time | None = None
    """When it was created here."""


class SecretInfo(Block):
    """The credentials Secret."""

    name: str | None = None
    """Its name."""
    namespace: str | None = None
    """Its namespace."""
    last_rotated_at: Time | None = None
    """When the password in it last changed."""


class Binding(Block):
    """What the Service Binding specification asks of a provisioned service."""

    name: str
    """Name of a Secret with the well-known keys, in the same namespace."""


class OwnedObject(Block):
    """Something on the server that belongs to the login."""

    type: str
    """What it is, such as table or function."""
    schema_: str | None = None
    """Schema that it is in."""
    name: str
    """Its name."""


class OwnershipBlock(Block):
    """Why the login is not dropped."""

    blocked: bool
    """Whether something that belongs to it is in the way."""
    last_checked_at: Time | None = None
    """When the finding last changed."""
    owned_objects: list[OwnedObject] | None = None
    """What belongs to it, at most the first few."""
    owned_objects_count: Int32 | None = None
    """How many things belong to it, also those that ownedObjects has no room for."""
    resolution: str | None = None
    """A statement that gives them to somebody else."""
    message: str | None = None
    """What to do, for people."""


class RetiredLogin(Block):
    """A login that a rotation replaced."""

    user: str
    """Its name on the server."""
    deprecated_at: Time | None = None
    """When it was replaced."""
    delete_after: Time | None = None
    """When its grace period ends."""
    status: Literal["pending", "blocked", "deleted"] | None = None
    """What became of it."""
    blocked_reason: str | None = None
    """Why it is kept."""
    owned_objects: list[OwnedObject] | None = None
    """What belongs to it, at most the first few."""
    resolution: str | None = None
    """A statement that gives them to somebody else."""
    reconcile_id: str | None = None
    """The reconcile that replaced it."""


class RotationStatus(Block):
    """The rotation of the password."""

    enabled: bool | None = None
    """Whether it is on."""
    strategy: Strategy | None = None
    """How it is done."""
    active_user: str | None = None
    """The login whose password is in the Secret."""
    service_role: str | None = None
    """The stable group role."""
    last_rotated_at: Time | None = None
    """When it was last done."""
    next_rotation_at: Time | None = None
    """When it is done next."""
    pending_deletion: list[RetiredLogin] | None = None
    """Logins that were replaced."""


class DatabaseUserStatus(PlacedStatus):
    """What was found out about the login."""

    phase: Literal["Pending", "Creating", "Ready", "Failed", "Deleting", "PendingDeletion"] | None = None
    """In one word: whether the login can be used."""
    user: UserInfo | None = None
    """The login as the server has it."""
    secret: SecretInfo | None = None
    """The credentials Secret."""
    binding: Binding | None = None
    """The Secret for the Service Binding specification."""
    rotation: RotationStatus | None = None
    """The rotation of the password."""
    ownership_block: OwnershipBlock | None = None
    """Why the login is not dropped."""
    drift: DriftStatus | None = None
    """The last comparison of the server with the declaration."""
    deletion_confirmation: DeletionConfirmation | None = None
    """What a forced deletion waits for."""


DATABASE_USER = Kind(
    name="DatabaseUser",
    plural="databaseusers",
    short_name="dbu",
    scope="Namespaced",
    finalizer_name="user-protection",
    spec=DatabaseUserSpec,
    status=DatabaseUserStatus,
    about="A login on a server, its password and the Secret that tells applications of it.",
    columns=(
        Column("Instance", ".spec.instanceRef.name"),
        Column("Username", ".spec.username"),
        Column("Phase", ".status.phase"),
        Column("Secret", ".status.secret.name"),
        AGE,
    ),
    labels={"servicebinding.io/provisioned-service": "true"},
)
