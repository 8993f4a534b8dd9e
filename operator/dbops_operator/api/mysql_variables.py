# SPDX-License-Identifier: GPL-3.0-or-later
"""From the `mysql` blocks of typed specs to the collection's options, for MySQL and MariaDB; pure.

variables.py and grant_variables.py call it for servers of these engines.
"""

from __future__ import annotations

from dbops_operator.api.database import MySQLDatabase
from dbops_operator.api.database_role import MySQLRole
from dbops_operator.api.database_user import MySQLUser
from dbops_operator.api.privileges import MySQLGrant, MySQLGrants

Options = dict[str, object]


def database(block: MySQLDatabase | None) -> Options:
    """Properties of a database; nothing where nobody wrote the block."""
    return {"encoding": block.charset, "collation": block.collation} if block else {}


def database_remarks(block: MySQLDatabase | None) -> list[str]:
    """What the API has and no server does."""
    if block is None:
        return []
    asked = {"sqlMode": bool(block.sql_mode), "defaultStorageEngine": block.default_storage_engine != "InnoDB"}
    return [f"mysql.{name} is Unsupported: no server has it per database" for name, is_set in asked.items() if is_set]


def user(block: MySQLUser | None, engine: str) -> Options:
    """Attributes of an account."""
    if block is None:
        return {}
    options: Options = {
        "allowed_hosts": list(block.allowed_hosts) or ["%"],
        "require_ssl": bool(block.require_ssl),
        "require_x509": bool(block.require_x509),
        "max_queries_per_hour": block.max_queries_per_hour,
        "max_updates_per_hour": block.max_updates_per_hour,
        "max_connections_per_hour": block.max_connections_per_hour,
        "max_user_connections": block.max_user_connections,
        "account_locked": bool(block.account_locked),
    }
    # MariaDB has neither of MySQL's plugins, so they mean its default; it cannot count wrong passwords per account.
    if engine == "mysql" or block.auth_plugin == "mysql_native_password":
        options["plugin"] = block.auth_plugin
    if engine == "mysql" or block.failed_login_attempts or block.password_lock_time:
        options["failed_login_attempts"] = block.failed_login_attempts
        options["password_lock_time"] = block.password_lock_time
    return options


def role(block: MySQLRole | None) -> Options:
    """A group role; without the block it is an account that stands for one."""
    if block is None:
        return {"native": False}
    options: Options = {"native": block.use_native_roles}
    if block.grants is not None:
        options["grants"] = [_grant(one) for one in block.grants]
    return options


def grants(block: MySQLGrants | None) -> Options:
    """What a user or role is to have."""
    if block is None:
        return {}
    return {"roles": list(block.roles or ()), "grants": [_grant(one) for one in block.grants or ()]}


def _grant(block: MySQLGrant) -> Options:
    options: Options = {
        "level": block.level,
        "database": block.database or None,
        "table": block.table or None,
        "columns": block.columns,
        "procedure": block.procedure or None,
        "function": block.function or None,
        "privileges": list(block.privileges),
        "grant_option": bool(block.with_grant_option),
    }
    return {name: value for name, value in options.items() if value is not None}
