# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of privileges as roles and grants declare them, per engine.

Used by the files of the roles and grants only.
"""

from __future__ import annotations

from typing import Literal

from dbops_operator.api.model import Block, Privileges

ObjectType = Literal["tables", "sequences", "functions", "types"]


class PostgresGrant(Block):
    """Privileges in one PostgreSQL database."""

    database: str
    """Name of the database on the server."""
    schema_: str | None = None
    """Schema that the objects are in; alone it means the schema (in a role) or all its tables (in a grant)."""
    tables: list[str] | None = None
    """Tables by name; "*" means all that exist."""
    sequences: list[str] | None = None
    """Sequences by name; "*" means all that exist."""
    functions: list[str] | None = None
    """Functions by name (every overload) or signature such as "f(integer)"; "*" means all that exist."""
    privileges: Privileges
    """Privileges in capitals, such as SELECT, INSERT, USAGE, CONNECT or ALL."""
    with_grant_option: bool | None = None
    """Whether the grantee may pass them on."""


class PostgresDefaultPrivilege(Block):
    """Privileges that objects get when they are created later."""

    database: str
    """Name of the database on the server."""
    schema_: str
    """Schema that the objects will be created in."""
    granted_by: str
    """Name on the server of the role that will create the objects."""
    object_type: ObjectType
    """Kind of the objects."""
    privileges: Privileges
    """Privileges in capitals, such as SELECT or ALL."""


class PostgresGrants(Block):
    """What is granted on a PostgreSQL server."""

    roles: list[str] | None = None
    """Names on the server of roles that the grantee becomes a member of."""
    grants: list[PostgresGrant] | None = None
    """Privileges on what exists."""
    default_privileges: list[PostgresDefaultPrivilege] | None = None
    """Privileges on what is created later."""


class MySQLGrant(Block):
    """Privileges at one level of a MySQL or MariaDB server."""

    level: Literal["global", "database", "table", "column", "procedure", "function"]
    """What the privileges are for."""
    database: str | None = None
    """Name of the database, literally; needed at every level but global."""
    table: str | None = None
    """Name of the table, at the levels table and column."""
    columns: list[str] | None = None
    """Names of the columns, at the level column."""
    procedure: str | None = None
    """Name of the procedure, at that level."""
    function: str | None = None
    """Name of the function, at that level."""
    privileges: Privileges
    """Privileges in capitals, such as SELECT, CREATE ROUTINE or ALL PRIVILEGES."""
    with_grant_option: bool | None = None
    """Whether the grantee may pass them on."""


class MySQLGrants(Block):
    """What is granted on a MySQL or MariaDB server."""

    roles: list[str] | None = None
    """Names on the server of roles that the grantee gets."""
    grants: list[MySQLGrant] | None = None
    """Privileges."""


class ClickHouseGrant(Block):
    """Privileges at one level of a ClickHouse server."""

    level: Literal["global", "database", "table"]
    """What the privileges are for."""
    database: str | None = None
    """Name of the database."""
    table: str | None = None
    """Name of the table."""
    privileges: Privileges
    """Privileges in capitals."""
    with_grant_option: bool | None = None
    """Whether the grantee may pass them on."""


class ClickHouseGrants(Block):
    """What is granted on a ClickHouse server; accepted and answered with Unsupported."""

    roles: list[str] | None = None
    """Names on the server of roles that the grantee gets."""
    grants: list[ClickHouseGrant] | None = None
    """Privileges."""
