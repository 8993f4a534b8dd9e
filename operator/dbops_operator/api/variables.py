# SPDX-License-Identifier: GPL-3.0-or-later
"""From a typed spec to the collection's options: one function per kind, every field by name.

The reconcilers call it; what comes out is an entry of the `objects` list of module `converge`. Keys of maps that
users write are data and pass unchanged. A block that nobody wrote declares nothing, so its options are absent and
the engine does not compare them. Pure.
"""

from __future__ import annotations

from typing import Any

from dbops_operator.api import mysql_variables
from dbops_operator.api.database import DatabaseSpec, PostgresDatabase
from dbops_operator.api.database_user import DatabaseUserSpec, PostgresUser

Options = dict[str, Any]


def database_instance(name: str) -> Options:
    """Look at the server; NAME is only for results."""
    return {"kind": "database_instance", "name": name}


def database(spec: DatabaseSpec, engine: str) -> Options:
    """A database that is to exist on a server of ENGINE; what is for another one says nothing."""
    options: Options = {"kind": "database", "name": spec.name}
    if engine != "postgres":
        return options | mysql_variables.database(spec.mysql)
    options |= {"owner": spec.owner or None, "ownership": _ownership(spec)}
    if spec.postgres:
        options |= _postgres_database(spec.postgres)
    return given(options)


def _postgres_database(block: PostgresDatabase) -> Options:
    options: Options = {
        "encoding": block.encoding or None,
        "lc_collate": block.lc_collate or None,
        "lc_ctype": block.lc_ctype or None,
        "template": block.template or None,
        "tablespace": block.tablespace or None,
        "connection_limit": block.connection_limit,
        # Absent means false once the block is there, so that taking it away has an effect.
        "is_template": bool(block.is_template),
        "allow_connections": block.allow_connections,
    }
    if block.extensions is not None:
        options["extensions"] = [
            given(
                {
                    "name": one.name,
                    "schema": one.schema_ or None,
                    "version": one.version or None,
                    "state": one.state,
                    "cascade": one.cascade,
                }
            )
            for one in block.extensions
        ]
    if block.schemas is not None:
        options["schemas"] = [
            given({"name": one.name, "owner": one.owner or None, "state": one.state, "cascade": one.cascade})
            for one in block.schemas
        ]
    if block.default_privileges is not None:
        options["default_privileges"] = [
            {
                "role": one.role,
                "schema": one.schema_,
                "object_type": one.object_type,
                "privileges": list(one.privileges),
            }
            for one in block.default_privileges
        ]
    return options


def _ownership(spec: DatabaseSpec) -> Options | None:
    block = spec.postgres.ownership if spec.postgres else None
    if not block or not block.auto_ownership:
        return None
    return {
        "role": owner_role(spec),
        "user": owner_user(spec),
        "default_privileges": block.set_default_privileges,
        "drop": bool(block.drop_on_delete),
    }


def owner_role(spec: DatabaseSpec) -> str:
    """Name of the group role of `ownership`."""
    block = spec.postgres.ownership if spec.postgres else None
    return (block and block.role_name) or _beside(spec.name, "owner")


def owner_user(spec: DatabaseSpec) -> str:
    """Name of the login of `ownership`."""
    block = spec.postgres.ownership if spec.postgres else None
    return (block and block.user_name) or _beside(spec.name, "app")


def _beside(name: str, suffix: str) -> str:
    # Within PostgreSQL's 63 characters, and the two never the same.
    return f"db_{name[: 63 - len('db__' + suffix)]}_{suffix}"


def absent_database(spec: DatabaseSpec, engine: str) -> Options:
    """A database that is to go; sessions in it are ended."""
    options = {"kind": "database", "name": spec.name, "state": "absent", "end_sessions": True}
    return given({**options, "ownership": _ownership(spec) if engine == "postgres" else None})


def database_user(spec: DatabaseUserSpec, engine: str, *, password: str) -> Options:
    """A login that is to exist and to have PASSWORD, which is tried afterwards."""
    options: Options = {
        "kind": "database_user",
        "name": spec.username,
        "password": password,
        "verify_login": True,
        "in_roles": memberships(spec, engine),
    }
    if engine != "postgres":
        return given(options | mysql_variables.user(spec.mysql, engine))
    if spec.postgres:
        options |= _postgres_user(spec.postgres)
    return given(options)


def _postgres_user(block: PostgresUser) -> Options:
    return {
        "login": block.login,
        "inherit": block.inherit,
        "connection_limit": block.connection_limit,
        # Once the block is there, an attribute that it does not name is off: so the published API has it.
        "superuser": bool(block.superuser),
        "create_db": bool(block.create_db),
        "create_role": bool(block.create_role),
        "replication": bool(block.replication),
        "bypass_rls": bool(block.bypass_rls),
        "valid_until": block.valid_until or "infinity",
        "config_parameters": dict(block.config_parameters) if block.config_parameters is not None else None,
        "default_role": block.default_role or None,
    }


def memberships(spec: DatabaseUserSpec, engine: str) -> list[str] | None:
    """Names of the roles that a login is to be a member of; None when the spec says nothing about it."""
    in_roles = spec.postgres.in_roles if spec.postgres and engine == "postgres" else None
    if spec.roles is None and in_roles is None:
        return None
    return list(dict.fromkeys((*(spec.roles or ()), *(in_roles or ()))))


def absent_database_user(spec: DatabaseUserSpec) -> Options:
    """A login that is to go; its sessions are ended."""
    return {"kind": "database_user", "name": spec.username, "state": "absent"}


def given(options: Options) -> Options:
    """Give the options that are declared."""
    return {name: value for name, value in options.items() if value is not None}
