# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseInstance: a database server that exists, and how the operator reaches and uses it.

The same spec and status serve ClusterDatabaseInstance.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbops_operator.api.access_policy import AccessPolicy
from dbops_operator.api.common import DeletionConfirmation, DriftPolicy, ReconciledStatus
from dbops_operator.api.kind import AGE, Column, Kind
from dbops_operator.api.model import Block, Int32, Port, Time, immutable

Engine = Literal["postgres", "mysql", "mariadb", "cockroachdb", "clickhouse"]


class CredentialsKeys(Block):
    """Which keys of the Secret hold what."""

    username: str = "username"
    """Key of the name of the admin account."""
    password: str = "password"  # noqa: S105 - the name of a key
    """Key of its password."""


class CredentialsSecretRef(Block):
    """The Secret with the admin account."""

    name: str
    """Name of the Secret."""
    namespace: str | None = None
    """Namespace of the Secret; empty means that of the DatabaseInstance. In another namespace the Secret must consent
    by the annotation dbops.dbprovision.io/allow-from. A ClusterDatabaseInstance without it uses the operator's own
    namespace."""
    keys: CredentialsKeys | None = None
    """Names of the keys, if they are not username and password."""


class Connection(Block):
    """Where the server is and who logs in."""

    host: Annotated[str, Field(min_length=1)]
    """Host name or address."""
    port: Port
    """TCP port."""
    database: str
    """Database that the admin account connects to, such as postgres or mysql."""
    secret_ref: CredentialsSecretRef | None = None
    """Secret with the admin account's name and password."""
    existing_secret: CredentialsSecretRef | None = None
    """The same as secretRef, which wins when both are given."""


class TLSKeys(Block):
    """Which keys of the Secret hold what."""

    ca: str = "ca.crt"
    """Key of the certificate authority's certificate."""
    cert: str | None = None
    """Key of the client certificate; empty means tls.crt."""
    key: str | None = None
    """Key of the client certificate's private key; empty means tls.key."""


class TLSSecretRef(Block):
    """The Secret with certificates, in the namespace of the DatabaseInstance or of the admin account's Secret."""

    name: str
    """Name of the Secret."""
    keys: TLSKeys | None = None
    """Names of the keys, if they are not ca.crt, tls.crt and tls.key."""


class TLS(Block):
    """How connections are encrypted; holds for every connection and tool."""

    enabled: bool | None = None
    """Whether TLS is used; true never means plain text, whatever `mode` says."""
    mode: Literal["disable", "require", "verify-ca", "verify-full"] = "disable"
    """How the server's certificate is checked. `disable` beside `enabled: true` is read as `require`."""
    secret_ref: TLSSecretRef | None = None
    """Secret with the authority's certificate and, for mutual TLS, the client certificate."""


class HealthCheck(Block):
    """How it is watched that the server answers."""

    enabled: bool = True
    """Whether the server is asked periodically."""
    interval_seconds: Annotated[Int32, Field(ge=5)] = 30
    """Seconds between two checks."""
    timeout_seconds: Annotated[Int32, Field(ge=1)] = 5
    """Seconds that one check may take."""


class Discovery(Block):
    """Whether databases, users and roles that no object manages are listed in status."""

    enabled: bool = False
    """Whether they are looked for."""
    interval: str = "30m"
    """How often at least, as a Go duration; each health check looks as well."""


class MySQLTracking(Block):
    """Kept for manifests of the published API; the bookkeeping is in the database `dbops` on every engine."""

    use_user_attributes: bool = True
    """Not used."""
    metadata_database: str | None = None
    """Not used."""
    metadata_table_name: str = "_dbops_metadata"
    """Not used."""


class ResourceTracking(Block):
    """Kept for manifests of the published API; the bookkeeping is in the database `dbops` on every engine."""

    enabled: bool = True
    """Not used."""
    comment_format: str = "managed-by:{{.Operator}},cr:{{.Namespace}}/{{.Name}}"
    """Not used."""
    mysql: MySQLTracking | None = None
    """Not used."""


class PostgresConnection(Block):
    """Connections to PostgreSQL. Without this block connections are not encrypted unless `tls` says so."""

    ssl_mode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """libpq's sslmode; of this and `tls` the stricter holds."""
    connect_timeout: Annotated[Int32, Field(ge=1)] = 10
    """Seconds that a connection may take to open."""
    statement_timeout: str | None = None
    """Longest time for one statement, as PostgreSQL writes it: 30s, 5min, or milliseconds."""
    application_name: str = "db-provision-operator"
    """Name of the sessions in pg_stat_activity."""


class MySQLConnection(Block):
    """Connections to MySQL and MariaDB."""

    charset: str = "utf8mb4"
    """Character set of the sessions."""
    collation: str = "utf8mb4_unicode_ci"
    """Collation of the sessions."""
    parse_time: bool = True
    """Not used; kept for manifests of the published API."""
    timeout: str = "10s"
    """Longest time to open a connection, as a Go duration."""
    read_timeout: str = "30s"
    """Longest time to wait for an answer, as a Go duration."""
    write_timeout: str = "30s"
    """Longest time to send a statement, as a Go duration."""
    tls: Literal["disabled", "preferred", "required", "skip-verify"] = "preferred"
    """Whether TLS is used; of this and `spec.tls` the stricter holds."""


class ClickHouseConnection(Block):
    """Connections to ClickHouse; accepted and answered with Unsupported."""

    http_port: Port | None = None
    """Port of the HTTP interface."""
    secure: bool | None = None
    """Whether TLS is used."""


class DatabaseInstanceSpec(Block):
    """A database server that exists."""

    engine: Annotated[Engine, immutable("engine")]
    """Family of the server: postgres, mysql or mariadb (cockroachdb and clickhouse are answered with Unsupported)."""
    connection: Connection
    """Where the server is and who logs in."""
    tls: TLS | None = None
    """How connections are encrypted."""
    health_check: HealthCheck | None = None
    """How it is watched that the server answers; without it every 60 seconds."""
    deletion_protection: bool = True
    """Whether deleting this object is blocked. Deleting it never touches the server itself."""
    drift_policy: DriftPolicy | None = None
    """For objects of this server that have none of their own."""
    discovery: Discovery | None = None
    """Whether databases, users and roles that no object manages are listed in status."""
    resource_tracking: ResourceTracking | None = None
    """Not used; kept for manifests of the published API."""
    postgres: PostgresConnection | None = None
    """Connections to PostgreSQL; ignored on other engines."""
    mysql: MySQLConnection | None = None
    """Connections to MySQL and MariaDB; ignored on other engines."""
    clickhouse: ClickHouseConnection | None = None
    """Connections to ClickHouse; ignored on other engines."""
    access_policy: AccessPolicy | None = None
    """Which namespaces may use this server and what they may ask for. Without it a DatabaseInstance serves its own
    namespace and a ClusterDatabaseInstance every namespace."""


class DiscoveredResource(Block):
    """Something on the server that no object manages."""

    name: str
    """Its name on the server."""
    discovered: Time | None = None
    """When it was seen first."""
    adopted: bool | None = None
    """Whether an object manages it by now."""


class DiscoveredResources(Block):
    """What is on the server and managed by no object."""

    last_scan: Time | None = None
    """When the list last changed."""
    databases: list[DiscoveredResource] | None = None
    """Databases."""
    users: list[DiscoveredResource] | None = None
    """Logins."""
    roles: list[DiscoveredResource] | None = None
    """Group roles."""
    databases_count: Int32 | None = None
    """Number of databases, also those that the list has no room for."""
    users_count: Int32 | None = None
    """Number of logins."""
    roles_count: Int32 | None = None
    """Number of group roles."""


class Consumer(Block):
    """What one namespace has on the server."""

    namespace: str
    """The namespace; empty for objects of the cluster."""
    databases: Int32 | None = None
    """Number of its Databases."""
    users: Int32 | None = None
    """Number of its DatabaseUsers."""
    roles: Int32 | None = None
    """Number of its DatabaseRoles or ClusterDatabaseRoles."""


class Capability(Block):
    """One thing that the admin account can or cannot do on this server."""

    name: str
    """What, as one word."""
    available: bool
    """Whether it can."""
    message: str | None = None
    """What this means, and how to allow it."""


class DatabaseInstanceStatus(ReconciledStatus):
    """What was found out about the server."""

    phase: Literal["Pending", "Ready", "Failed", "Deleting", "PendingDeletion"] | None = None
    """In one word: whether the server can be used."""
    version: str | None = None
    """Version that the server reports."""
    last_checked_at: Time | None = None
    """When what is reported here last changed."""
    server_identity: str | None = None
    """The server's own identifier (system_identifier or server_uuid); a sudden change stops all work."""
    server_changed_at: Time | None = None
    """When a change of the server was acknowledged; what had been applied to it before is applied again."""
    capabilities: Annotated[list[Capability] | None, Field(max_length=64)] = None
    """What the admin account can do here, found out before it is needed."""
    consumers: Annotated[list[Consumer] | None, Field(max_length=50)] = None
    """Which namespaces use the server, at most the first few by name."""
    consumers_count: Int32 | None = None
    """How many do, also those that `consumers` has no room for."""
    discovered_resources: DiscoveredResources | None = None
    """What is on the server and managed by no object."""
    deletion_confirmation: DeletionConfirmation | None = None
    """What a forced deletion waits for."""


INSTANCE_COLUMNS = (
    Column("Engine", ".spec.engine"),
    Column("Host", ".spec.connection.host"),
    Column("Port", ".spec.connection.port", "integer"),
    Column("Phase", ".status.phase"),
    Column("Version", ".status.version"),
    AGE,
)

DATABASE_INSTANCE = Kind(
    name="DatabaseInstance",
    plural="databaseinstances",
    short_name="dbi",
    scope="Namespaced",
    finalizer_name="instance-protection",
    spec=DatabaseInstanceSpec,
    status=DatabaseInstanceStatus,
    about="A database server that exists, for objects of its namespace and of those that its access policy admits.",
    columns=INSTANCE_COLUMNS,
)
