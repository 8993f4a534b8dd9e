# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared objects: options as a user writes them become typed values that the planners compare with a server.

Called by core.converge with the entries of a `converge` list and by nothing else; whatever is wrong with an entry
is found here, before any statement is sent, as DbopsError with InvalidSpec. None means "not declared": the
engine then neither sets nor compares the field.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Owner


@dataclass(frozen=True)
class Extension:
    """An extension of a PostgreSQL database. No `version`: the server's default, never upgraded by itself."""

    name: str
    schema: str | None = None
    version: str | None = None
    present: bool = True
    cascade: bool = False


@dataclass(frozen=True)
class Schema:
    """A schema of a PostgreSQL database; removed only when asked, and only when empty unless `cascade`."""

    name: str
    owner: str | None = None
    present: bool = True
    cascade: bool = False


@dataclass(frozen=True)
class DefaultPrivilege:
    """Privileges that ROLE gets on future objects of a type made by GRANTED_BY (None: the database's owner)."""

    role: str
    schema: str
    object_type: str
    privileges: tuple[str, ...]
    granted_by: str | None = None


@dataclass(frozen=True)
class Ownership:
    """A group role that owns a PostgreSQL database, and a login that is a member of it (core.companions)."""

    role: str
    user: str
    default_privileges: bool = True
    """Whether each may use what the other makes."""
    drop: bool = False
    """Whether both go with the database."""


@dataclass(frozen=True)
class InitSQL:
    """What is run once in a database: single `statements`, or a `script` that is split. It may hold secrets."""

    statements: tuple[str, ...] = field(default=(), repr=False)
    script: str | None = field(default=None, repr=False)
    blocks: bool = True
    """Whether a failing statement fails the database."""
    sent: tuple[str, ...] = field(default=(), repr=False)
    """What is sent, in order; of a database that is to go nothing is."""


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Privileges and what they are on; the fields are the options of argument_specs.GRANTS.

    `privileges` are words in capitals. On PostgreSQL `database` is always there, on MySQL and MariaDB `level` is.
    """

    privileges: tuple[str, ...]
    level: str | None = None
    database: str | None = None
    schema: str | None = None
    table: str | None = None
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    procedure: str | None = None
    function: str | None = None
    grant_option: bool = False


@dataclass(frozen=True)
class DatabaseDefaultPrivilege:
    """Privileges on future objects of a type that GRANTED_BY makes in a schema of a PostgreSQL database."""

    database: str
    schema: str
    object_type: str
    privileges: tuple[str, ...]
    granted_by: str


@dataclass(frozen=True, kw_only=True)
class Desired:
    """What every declared object has. `ref` names it in results, for example `database/app`."""

    kind: str
    ref: str
    name: str
    present: bool = True
    owner_record: Owner | None = None
    adopt: bool = False
    force: bool = False
    allow_destructive: bool = True


@dataclass(frozen=True, kw_only=True)
class DesiredInstance(Desired):
    """The server itself: observed, never changed."""

    discover: bool = False
    """Whether what nobody declares is listed."""


@dataclass(frozen=True, kw_only=True)
class DesiredAccess(Desired):
    """A question: who may do what with a table, and through what? Observed, never changed."""

    database: str
    table: str
    schema: str | None = None
    privileges: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DesiredDatabase(Desired):
    """A database; the fields are the options of argument_specs.DATABASE."""

    owner: str | None = None
    encoding: str | None = None
    collation: str | None = None
    lc_collate: str | None = None
    lc_ctype: str | None = None
    template: str | None = None
    tablespace: str | None = None
    connection_limit: int | None = None
    is_template: bool | None = None
    allow_connections: bool | None = None
    extensions: tuple[Extension, ...] = ()
    schemas: tuple[Schema, ...] = ()
    default_privileges: tuple[DefaultPrivilege, ...] | None = None
    ownership: Ownership | None = None
    init_sql: InitSQL | None = None
    end_sessions: bool = False


@dataclass(frozen=True, kw_only=True)
class DesiredUser(Desired):
    """A login; the fields are the options of argument_specs.DATABASE_USER."""

    password: str | None = field(default=None, repr=False)
    update_password: str = "always"  # noqa: S105 (not a password)
    verify_login: bool = False
    login: bool = True
    superuser: bool | None = None
    create_db: bool | None = None
    create_role: bool | None = None
    inherit: bool | None = None
    replication: bool | None = None
    bypass_rls: bool | None = None
    connection_limit: int | None = None
    valid_until: str | None = None
    config_parameters: dict[str, str | None] | None = None
    """A value of None takes the setting away."""
    default_role: str | None = None
    in_roles: tuple[str, ...] | None = None
    allowed_hosts: tuple[str, ...] | None = None
    plugin: str | None = None
    require_ssl: bool | None = None
    require_x509: bool | None = None
    max_queries_per_hour: int | None = None
    max_updates_per_hour: int | None = None
    max_connections_per_hour: int | None = None
    max_user_connections: int | None = None
    account_locked: bool | None = None
    failed_login_attempts: int | None = None
    password_lock_time: int | None = None
    password_lifetime: int | None = None
    retain_current_password: bool = False
    discard_old_password: bool = False
    reassign_owned_to: str | None = None
    end_sessions: bool = True


@dataclass(frozen=True, kw_only=True)
class DesiredRole(Desired):
    """A group role; the fields are the options of argument_specs.DATABASE_ROLE. No `grants`: not declared."""

    login: bool | None = None
    superuser: bool | None = None
    create_db: bool | None = None
    create_role: bool | None = None
    inherit: bool | None = None
    replication: bool | None = None
    bypass_rls: bool | None = None
    native: bool = True
    in_roles: tuple[str, ...] | None = None
    grants: tuple[Grant, ...] | None = None
    reassign_owned_to: str | None = None


@dataclass(frozen=True, kw_only=True)
class DesiredGrant(Desired):
    """What a user or a role may do; the fields are the options of argument_specs.DATABASE_GRANT.

    `name` is what the ledger calls the declaration: several may give to the same `grantee`.
    """

    grantee: str
    grantee_kind: str
    """`user` or `role`."""
    roles: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()
    default_privileges: tuple[DatabaseDefaultPrivilege, ...] = ()

    def taken_from(self, grantee: str, grantee_kind: str) -> Self:
        """Give it as one that is taken back from GRANTEE, whatever it gave."""
        nothing: dict[str, Any] = {"roles": (), "grants": (), "default_privileges": ()}
        return replace(self, present=False, grantee=grantee, grantee_kind=grantee_kind, **nothing)
