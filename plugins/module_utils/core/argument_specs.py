# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of all modules, as Ansible argument specs: one table per kind of object and one for the connection.

Modules and action plugins build their specs from here, core.desired validates each object of a `converge` list
with them, and a test compares them with the documentation fragments. Names follow community.postgresql and
community.mysql where they have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Spec = dict[str, dict[str, Any]]

CONNECTION: Spec = {
    "engine": {"type": "str", "choices": ["postgres", "mysql", "mariadb"], "default": "postgres"},
    "login_host": {"type": "str", "default": "localhost", "aliases": ["host"]},
    "login_port": {"type": "int", "aliases": ["port"]},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "login_unix_socket": {"type": "str"},
    "ssl_mode": {
        "type": "str",
        "choices": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        "default": "prefer",
    },
    "ca_cert": {"type": "str", "aliases": ["ssl_rootcert"]},
    "ssl_cert": {"type": "str", "aliases": ["client_cert"]},
    "ssl_key": {"type": "str", "no_log": True, "aliases": ["client_key"]},
    "connect_timeout": {"type": "int", "default": 10},
    "statement_timeout": {"type": "int", "default": 60},
    "lock_timeout": {"type": "int", "default": 10},
    "application_name": {"type": "str", "default": "dbops"},
}
"""How to reach a server. Timeouts are in seconds. `ca_cert`, `ssl_cert` and `ssl_key` are paths, or PEM text."""

OWNERSHIP: Spec = {
    "dbops_owner": {"type": "raw"},
    "adopt": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "allow_destructive": {"type": "bool", "default": True},
}
"""Who declares an object (see core.ownership), consent to taking over, overriding somebody else's claim, and whether
what is there already may lose something."""

_DEFAULT_PRIVILEGE: Spec = {
    "schema": {"type": "str", "required": True},
    "object_type": {"type": "str", "choices": ["tables", "sequences", "functions", "types"], "required": True},
    "privileges": {"type": "list", "elements": "str", "required": True},
}

DATABASE: Spec = {
    "name": {"type": "str", "required": True, "aliases": ["db"]},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "owner": {"type": "str"},
    "encoding": {"type": "str", "aliases": ["charset"]},
    "collation": {"type": "str"},
    "lc_collate": {"type": "str"},
    "lc_ctype": {"type": "str"},
    "template": {"type": "str"},
    "tablespace": {"type": "str"},
    "connection_limit": {"type": "int", "aliases": ["conn_limit"]},
    "is_template": {"type": "bool"},
    "allow_connections": {"type": "bool"},
    "extensions": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "schema": {"type": "str"},
            "version": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "cascade": {"type": "bool", "default": False},
        },
    },
    "schemas": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "owner": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "cascade": {"type": "bool", "default": False},
        },
    },
    "default_privileges": {
        "type": "list",
        "elements": "dict",
        "options": {"role": {"type": "str", "required": True}, **_DEFAULT_PRIVILEGE, "granted_by": {"type": "str"}},
    },
    "ownership": {
        "type": "dict",
        "options": {
            "role": {"type": "str"},
            "user": {"type": "str"},
            "default_privileges": {"type": "bool", "default": True},
            "drop": {"type": "bool", "default": False},
        },
    },
    "init_sql": {
        "type": "dict",
        "options": {
            "statements": {"type": "list", "elements": "str"},
            "script": {"type": "str"},
            "on_failure": {"type": "str", "choices": ["block", "continue"], "default": "block"},
        },
    },
    "end_sessions": {"type": "bool", "default": False},
}

DATABASE_USER: Spec = {
    "name": {"type": "str", "required": True, "aliases": ["user"]},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "password": {"type": "str", "no_log": True},
    "update_password": {"type": "str", "choices": ["always", "on_create"], "default": "always", "no_log": False},
    "verify_login": {"type": "bool", "default": False},
    "login": {"type": "bool", "default": True},
    "superuser": {"type": "bool"},
    "create_db": {"type": "bool"},
    "create_role": {"type": "bool"},
    "inherit": {"type": "bool"},
    "replication": {"type": "bool"},
    "bypass_rls": {"type": "bool"},
    "connection_limit": {"type": "int", "aliases": ["conn_limit"]},
    "valid_until": {"type": "str", "aliases": ["expires"]},
    "config_parameters": {"type": "dict"},
    "default_role": {"type": "str"},
    "in_roles": {"type": "list", "elements": "str"},
    "allowed_hosts": {"type": "list", "elements": "str"},
    "plugin": {
        "type": "str",
        "choices": ["caching_sha2_password", "sha256_password", "mysql_native_password", "ed25519"],
    },
    "require_ssl": {"type": "bool"},
    "require_x509": {"type": "bool"},
    "max_queries_per_hour": {"type": "int"},
    "max_updates_per_hour": {"type": "int"},
    "max_connections_per_hour": {"type": "int"},
    "max_user_connections": {"type": "int"},
    "account_locked": {"type": "bool"},
    "failed_login_attempts": {"type": "int"},
    "password_lock_time": {"type": "int", "no_log": False},
    "password_lifetime": {"type": "int", "no_log": False},
    "retain_current_password": {"type": "bool", "default": False, "no_log": False},
    "discard_old_password": {"type": "bool", "default": False, "no_log": False},
    "reassign_owned_to": {"type": "str"},
    "end_sessions": {"type": "bool", "default": True},
}

GRANTS: Spec = {
    "privileges": {"type": "list", "elements": "str", "required": True},
    "level": {"type": "str", "choices": ["global", "database", "table", "column", "procedure", "function"]},
    "database": {"type": "str"},
    "schema": {"type": "str"},
    "table": {"type": "str"},
    "tables": {"type": "list", "elements": "str"},
    "columns": {"type": "list", "elements": "str"},
    "sequences": {"type": "list", "elements": "str"},
    "functions": {"type": "list", "elements": "str"},
    "procedure": {"type": "str"},
    "function": {"type": "str"},
    "grant_option": {"type": "bool", "default": False},
}
"""One entry of `grants`: privileges, and what they are on."""

DATABASE_ROLE: Spec = {
    "name": {"type": "str", "required": True, "aliases": ["role"]},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "login": {"type": "bool"},
    "superuser": {"type": "bool"},
    "create_db": {"type": "bool"},
    "create_role": {"type": "bool"},
    "inherit": {"type": "bool"},
    "replication": {"type": "bool"},
    "bypass_rls": {"type": "bool"},
    "native": {"type": "bool", "default": True},
    "in_roles": {"type": "list", "elements": "str"},
    "grants": {"type": "list", "elements": "dict", "options": GRANTS},
    "reassign_owned_to": {"type": "str"},
}

DATABASE_GRANT: Spec = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "user": {"type": "str"},
    "role": {"type": "str"},
    "roles": {"type": "list", "elements": "str"},
    "grants": {"type": "list", "elements": "dict", "options": GRANTS},
    "default_privileges": {
        "type": "list",
        "elements": "dict",
        "options": {
            "database": {"type": "str", "required": True},
            **_DEFAULT_PRIVILEGE,
            "granted_by": {"type": "str", "required": True},
        },
    },
}

DATABASE_INSTANCE: Spec = {
    "name": {"type": "str", "default": "instance"},
    "discover": {"type": "bool", "default": False},
}
"""Observes only: version, identity, and what the admin account can and cannot do."""

DATABASE_ACCESS: Spec = {
    "name": {"type": "str"},
    "database": {"type": "str", "required": True, "aliases": ["db"]},
    "schema": {"type": "str"},
    "table": {"type": "str", "required": True},
    "privileges": {"type": "list", "elements": "str", "default": ["SELECT", "INSERT", "UPDATE", "DELETE"]},
}
"""Observes only: who may do what with a table, and through what."""

KINDS: dict[str, Spec] = {
    "database_instance": DATABASE_INSTANCE,
    "database_access": DATABASE_ACCESS,
    "database": DATABASE | OWNERSHIP,
    "database_user": DATABASE_USER | OWNERSHIP,
    "database_role": DATABASE_ROLE | OWNERSHIP,
    "database_grant": DATABASE_GRANT | OWNERSHIP,
}
"""What an entry of a `converge` list may hold, by its `kind`, beside `kind` and `ref`."""

_POSTGRESQL = "PostgreSQL"
_MYSQL = "MySQL and MariaDB"
_POSTGRESQL_ROLE = ("login", "superuser", "create_db", "create_role", "inherit", "replication", "bypass_rls")
_MYSQL_ACCOUNT = (
    *("allowed_hosts", "plugin", "require_ssl", "require_x509", "max_queries_per_hour", "max_updates_per_hour"),
    *("max_connections_per_hour", "max_user_connections", "account_locked", "failed_login_attempts"),
    *("password_lock_time", "password_lifetime", "retain_current_password", "discard_old_password"),
)
ONLY: dict[str, dict[str, tuple[str, ...]]] = {
    _POSTGRESQL: {
        "database": (
            *("owner", "lc_collate", "lc_ctype", "template", "tablespace", "connection_limit", "is_template"),
            *("allow_connections", "extensions", "schemas", "default_privileges", "ownership"),
        ),
        "database_user": (
            *_POSTGRESQL_ROLE,
            *("connection_limit", "valid_until", "config_parameters", "default_role", "reassign_owned_to"),
        ),
        "database_role": (*_POSTGRESQL_ROLE, "reassign_owned_to"),
        "database_grant": ("default_privileges",),
        "database_access": ("schema",),
        "grants": ("schema", "tables", "sequences", "functions"),
    },
    _MYSQL: {
        "database": ("collation",),
        "database_user": _MYSQL_ACCOUNT,
        "database_role": ("native",),
        "grants": ("level", "table", "procedure", "function"),
    },
}
"""Options that only these engines have, by kind, and those of an entry of `grants`."""

ENGINES = {"postgres": _POSTGRESQL, "mysql": _MYSQL, "mariadb": _MYSQL}

SERVER: Spec = {
    "acknowledge": {"type": "list", "elements": "str", "default": []},
    "drop_brake": {
        "type": "dict",
        "options": {"drops": {"type": "int", "default": 20}, "seconds": {"type": "int", "default": 600}},
    },
}
"""Of a whole run on one server: acknowledged stops, and how many databases may be dropped in which time."""

EPOCH: Spec = {
    "dbops_epoch": {
        "type": "dict",
        "options": {"name": {"type": "str", "required": True}, "number": {"type": "int", "required": True}},
    },
}
"""Of several that work for the same purpose, the one that took over last (see core.epoch)."""

EXPORT: Spec = {
    "databases": {"type": "list", "elements": "str", "default": ["*"]},
    "accounts": {"type": "list", "elements": "str", "default": ["*"]},
    "format": {"type": "str", "choices": ["variables", "manifests"], "default": "variables"},
    "instance": {"type": "str"},
    "namespace": {"type": "str"},
}
"""What of a server is written down, and in which form."""

HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
"""What Ansible itself shows instead of a secret option."""

DRIVERS = {"postgres": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
"""The Python package that an engine needs."""


def spec_of(kind: str) -> Spec:
    """Give the options of the module for one KIND."""
    own = dict(KINDS[kind])
    if kind == "database_instance":
        # There is one for a connection.
        del own["name"]
    # Only databases are dropped under the brake.
    server = SERVER if kind == "database" else {}
    return CONNECTION | own | server


def spec_of_list() -> Spec:
    """Give the options of the module `converge`."""
    # Without `options`: each entry is validated by the spec of its own kind, so that one that is wrong fails alone.
    # As a whole it is secret, because an entry may hold a password and Ansible would log it.
    objects: Spec = {"objects": {"type": "list", "elements": "dict", "default": [], "no_log": True}}
    more: Spec = {"fail_on_object": {"type": "bool", "default": True}, "socket": {"type": "str"}}
    more["server_identity"] = {"type": "str"}
    return CONNECTION | SERVER | EPOCH | objects | more


def spec_of_export() -> Spec:
    """Give the options of the module `database_export`."""
    return CONNECTION | EXPORT


def without_secrets(spec: Spec, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give PARAMETERS with the values of secret options replaced, for Ansible's `invocation`."""
    secret = {name for option, one in spec.items() if one.get("no_log") for name in (option, *one.get("aliases", ()))}
    return {name: HIDDEN if name in secret and value else value for name, value in parameters.items()}
