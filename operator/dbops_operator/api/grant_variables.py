# SPDX-License-Identifier: GPL-3.0-or-later
"""From the typed specs of roles and grants to the collection's options, beside variables.py; pure."""

from __future__ import annotations

from dbops_operator.api import mysql_variables
from dbops_operator.api.cluster_database_grant import ClusterDatabaseGrantSpec
from dbops_operator.api.cluster_database_role import ClusterDatabaseRoleSpec
from dbops_operator.api.database_grant import DatabaseGrantSpec
from dbops_operator.api.database_role import DatabaseRoleSpec, PostgresRole
from dbops_operator.api.privileges import PostgresGrant
from dbops_operator.api.variables import Options, given

GrantSpec = DatabaseGrantSpec | ClusterDatabaseGrantSpec


def database_role(spec: DatabaseRoleSpec | ClusterDatabaseRoleSpec, engine: str) -> Options:
    """A group role that is to exist on a server of ENGINE; what is for another one says nothing."""
    options: Options = {"kind": "database_role", "name": spec.role_name}
    if engine != "postgres":
        return options | mysql_variables.role(spec.mysql)
    if spec.postgres:
        options |= _postgres_role(spec.postgres)
    return given(options)


def _postgres_role(block: PostgresRole) -> Options:
    return {
        "inherit": block.inherit,
        # Once the block is there, an attribute that it does not name is off: so the published API has it.
        "login": bool(block.login),
        "superuser": bool(block.superuser),
        "create_db": bool(block.create_db),
        "create_role": bool(block.create_role),
        "replication": bool(block.replication),
        "bypass_rls": bool(block.bypass_rls),
        "in_roles": list(block.in_roles) if block.in_roles is not None else None,
        "grants": [_postgres_grant(one) for one in block.grants] if block.grants is not None else None,
    }


def absent_database_role(spec: DatabaseRoleSpec | ClusterDatabaseRoleSpec) -> Options:
    """A group role that is to go."""
    return {"kind": "database_role", "name": spec.role_name, "state": "absent"}


def database_grant(spec: GrantSpec, engine: str) -> Options:
    """What a user or role on a server of ENGINE is to have."""
    options: Options = {"kind": "database_grant"}
    if engine != "postgres":
        return options | mysql_variables.grants(spec.mysql)
    block = spec.postgres
    if block:
        options |= {
            "roles": list(block.roles or ()),
            "grants": [_postgres_grant(one) for one in block.grants or ()],
            "default_privileges": [
                {
                    "database": one.database,
                    "schema": one.schema_,
                    "object_type": one.object_type,
                    "privileges": list(one.privileges),
                    "granted_by": one.granted_by,
                }
                for one in block.default_privileges or ()
            ],
        }
    return options


def _postgres_grant(block: PostgresGrant) -> Options:
    return given(
        {
            "database": block.database,
            "schema": block.schema_ or None,
            "tables": block.tables,
            "sequences": block.sequences,
            "functions": block.functions,
            "privileges": list(block.privileges),
            "grant_option": bool(block.with_grant_option),
        }
    )


ABSENT: Options = {"kind": "database_grant", "state": "absent"}
"""What a user or role has by a declaration, it is to lose."""
