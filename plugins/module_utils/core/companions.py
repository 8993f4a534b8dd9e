# SPDX-License-Identifier: GPL-3.0-or-later
"""A database with `ownership` is three things on the server: a group role that owns it, a login, and the database.

Called by core.converge, which works on all three as if each had been declared, and reports them as the one object
that was; pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    DefaultPrivilege,
    Desired,
    DesiredDatabase,
    DesiredRole,
    DesiredUser,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult

# What either may do with what the other makes.
_PRIVILEGES = {
    "tables": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "sequences": ("USAGE", "SELECT"),
    "functions": ("EXECUTE",),
}


def expand(desired: Desired) -> list[Desired]:
    """Give all that a declaration stands for; the refs of what comes with it are none that a user can write."""
    if not isinstance(desired, DesiredDatabase) or desired.ownership is None:
        return [desired]
    ownership = desired.ownership
    if not desired.present and not ownership.drop:
        return [desired]
    state: dict[str, Any] = {
        "present": desired.present,
        "owner_record": desired.owner_record,
        "adopt": desired.adopt,
        "force": desired.force,
        "allow_destructive": desired.allow_destructive,
    }
    role = DesiredRole(kind="database_role", ref=_ref(desired, "role"), name=ownership.role, login=False, **state)
    user = DesiredUser(
        kind="database_user", ref=_ref(desired, "user"), name=ownership.user, in_roles=(ownership.role,), **state
    )
    if not desired.present:
        # What the login made belongs to the database, which is gone by then.
        return [desired, role, user]
    schemas = tuple(
        replace(one, owner=ownership.role) if one.present and one.owner is None else one for one in desired.schemas
    )
    privileges = desired.default_privileges
    if ownership.default_privileges:
        names = ["public", *(one.name for one in schemas if one.present)]
        pairs = ((ownership.role, ownership.user), (ownership.user, ownership.role))
        privileges = (
            *(privileges or ()),
            *(
                DefaultPrivilege(grantee, schema, object_type, words, granted_by=creator)
                for creator, grantee in pairs
                for schema in dict.fromkeys(names)
                for object_type, words in _PRIVILEGES.items()
            ),
        )
    return [role, user, replace(desired, owner=ownership.role, schemas=schemas, default_privileges=privileges)]


def _ref(desired: Desired, part: str) -> str:
    return f"{desired.ref}\0{part}"


def belongs_to(ref: str) -> str:
    """Give the ref of the declared object that REF is, or came with."""
    return ref.partition("\0")[0]


def merged(results: list[ObjectResult]) -> ObjectResult:
    """Give the results of all that one declaration stands for, in the order of work, as its one result."""
    (main,) = [one for one in results if one.ref == belongs_to(one.ref)]
    failed = next((one for one in results if one.failed), main)
    return replace(
        main,
        changed=any(one.changed for one in results),
        steps=[step for one in results for step in one.steps],
        differences=[difference for one in results for difference in one.differences],
        warnings=[warning for one in results for warning in one.warnings],
        failed=failed.failed,
        reason=failed.reason,
        message=failed.message,
        field=failed.field if failed is main else "ownership",
    )
