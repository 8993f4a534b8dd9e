# SPDX-License-Identifier: GPL-3.0-or-later
"""From a typed spec to the collection's options: one function per kind, every field by name.

The reconcilers call it; what comes out is an entry of the `objects` list of module `converge`. Keys of maps that
users write are data and pass unchanged. A block that nobody wrote declares nothing, so its options are absent and
the engine does not compare them. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dbops_operator.api import mysql_variables
from dbops_operator.api.database import DatabaseSpec, PostgresDatabase
from dbops_operator.api.database_user import DatabaseUserSpec, PostgresUser

Options = dict[str, Any]


def database_instance(name: str, *, discover: bool = False) -> Options:
    """Look at the server; NAME is only for results."""
    return {"kind": "database_instance", "name": name, "discover": discover}


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


@dataclass(frozen=True)
class Login:
    """Which of a user's logins is meant, and what its rotation adds to the spec."""

    name: str
    password: str = field(repr=False)
    service_role: str = ""
    """Group role that it is a member of; what the spec's roles give, it has through that one."""
    own_roles: bool = True
    """Whether it is a member of the spec's roles itself."""
    acts: bool = False
    """Whether its sessions begin as the service role, which then owns what they make."""
    retain: bool = False
    """Whether its old password works beside this one."""
    discard: bool = False
    """Whether an old password that does ends."""


def database_user(spec: DatabaseUserSpec, engine: str, login: Login) -> Options:
    """A login that is to exist and to have its password, which is tried afterwards."""
    in_roles = memberships(spec, engine) if login.own_roles else None
    if login.service_role:
        in_roles = [*(in_roles or ()), login.service_role]
    options: Options = {
        "kind": "database_user",
        "name": login.name,
        "password": login.password,
        "verify_login": True,
        "in_roles": in_roles,
        "retain_current_password": login.retain or None,
        "discard_old_password": login.discard or None,
    }
    if engine != "postgres":
        return given(options | mysql_variables.user(spec.mysql, engine))
    if spec.postgres:
        options |= _postgres_user(spec.postgres)
    if login.acts and not options.get("default_role"):
        options["default_role"] = login.service_role
    return given(options)


def service_role(spec: DatabaseUserSpec, engine: str, name: str) -> Options:
    """The group role of a user's logins: it has what they are to have, and owns what they make."""
    options: Options = {"kind": "database_role", "name": name, "in_roles": memberships(spec, engine)}
    if engine != "postgres":
        return given(options | {"native": True})
    options["login"] = False
    if block := spec.postgres:
        # Who acts as a role has its attributes, not those of the login.
        options |= {
            "inherit": block.inherit,
            "superuser": bool(block.superuser),
            "create_db": bool(block.create_db),
            "create_role": bool(block.create_role),
            "bypass_rls": bool(block.bypass_rls),
        }
    return given(options)


def disabled_login(name: str, engine: str, *, service_role: str) -> Options:
    """A login that stays and lets nobody in any more; its sessions are ended."""
    locked: Options = {"login": False} if engine == "postgres" else {"account_locked": True}
    return {"kind": "database_user", "name": name, "in_roles": [service_role] if service_role else [], **locked}


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


def absent_database_user(name: str, *, heir: str | None = None) -> Options:
    """A login that is to go; its sessions are ended. HEIR gets what it owns, where the engine has owners."""
    return given({"kind": "database_user", "name": name, "state": "absent", "reassign_owned_to": heir})


def absent_service_role(name: str) -> Options:
    """A group role that is to go with the last of its logins."""
    return {"kind": "database_role", "name": name, "state": "absent"}


def given(options: Options) -> Options:
    """Give the options that are declared."""
    return {name: value for name, value in options.items() if value is not None}
