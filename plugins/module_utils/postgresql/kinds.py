# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of objects on PostgreSQL as a table: their verbs (see core.kinds) by the names of the kinds.

Read through postgresql/server.py. To add a kind, write a planner beside user.py and give it a row here.
A database in `contents` of what is wanted is looked into by a session of its own; where there could be none, its
`content` is None and `content_problem` says why.
"""

from __future__ import annotations

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.kinds import Kind
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    access,
    database,
    default_privileges,
    grant,
    instance,
    role,
    role_attributes,
    user,
)

KINDS: dict[str, Kind] = {
    "database_instance": Kind(
        thing=None,
        wanted=instance.wanted,
        plan=instance.plan,
        observed=instance.observed,
        exists=lambda _desired, _state: True,
    ),
    "database_access": Kind(
        thing=None,
        wanted=access.wanted,
        plan=access.plan,
        observed=access.observed,
        exists=lambda _desired, _state: True,
    ),
    "database_user": Kind(
        thing="role",
        wanted=user.wanted,
        plan=user.plan,
        observed=lambda desired, state: role_attributes.observed(desired.name, state),
        exists=lambda desired, state: desired.name in state.role_names,
    ),
    "database_role": Kind(
        thing="role",
        wanted=role.wanted,
        plan=role.plan,
        observed=role.observed,
        exists=lambda desired, state: desired.name in state.role_names,
    ),
    "database_grant": Kind(
        thing="grant",
        wanted=grant.wanted,
        plan=grant.plan,
        observed=grant.observed,
        # It is a declaration and nothing on the server: there is nothing to adopt.
        exists=lambda _desired, _state: False,
        locks=lambda desired: ("role", default_privileges.grantee_name(desired.grantee)),
        former=grant.former,
    ),
    "database": Kind(
        thing="database",
        wanted=database.wanted,
        plan=database.plan,
        observed=database.observed,
        exists=lambda desired, state: desired.name in state.databases,
    ),
}
"""The rows; core.order says which come first."""
