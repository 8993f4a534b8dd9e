# SPDX-License-Identifier: GPL-3.0-or-later
"""Memberships that an admin without superuser takes for a moment, because a statement needs another role's rights.

Called by the planners (database.py, ...) with the roles that their steps need; pure. Since PostgreSQL 16 an admin
with CREATEROLE has the ADMIN option on a role that it made, but neither inherits it nor may SET ROLE to it, so it
can neither make that role an owner nor change what the role owns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Identifier, Keyword, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState


def acts_as(role: str, state: ServerState) -> bool:
    """Whether the admin has the rights of ROLE already and may give things to it."""
    admin = state.facts.admin
    return admin.superuser or role == admin.name or (role in admin.member_of and role in admin.inherits)


def can_act_as(role: str, state: ServerState) -> bool:
    """Whether the admin has the rights of ROLE, or can take them for a moment."""
    return acts_as(role, state) or _grantable(role, state)


def acting_as(roles: Iterable[str], steps: Sequence[Step], state: ServerState) -> list[Step]:
    """Give STEPS, all of one session, with what the admin lacks of ROLES taken before and put back afterwards.

    Raises PrivilegeMissing where it can not be taken.
    """
    lacking = [role for role in dict.fromkeys(roles) if not acts_as(role, state)]
    if not steps or not lacking:
        return list(steps)
    for role in lacking:
        _require_grantable(role, state)
    database = steps[0].database
    return [
        *(_take(role, state, database) for role in lacking),
        *steps,
        *(_put_back(role, state, database) for role in reversed(lacking)),
    ]


def _grantable(role: str, state: ServerState) -> bool:
    admin = state.facts.admin
    known = state.roles.get(role)
    if _has_options(state):
        grantable = role in (admin.administers or ())
    else:
        grantable = admin.create_role and not role.startswith("pg_")
    return grantable and not (known and known.superuser)


def _require_grantable(role: str, state: ServerState) -> None:
    admin = state.facts.admin
    if not _grantable(role, state):
        options = " WITH INHERIT TRUE, SET TRUE" if _has_options(state) else ""
        raise DbopsError(
            Reason.PRIVILEGE_MISSING,
            f"{admin.name} may not act as role {role}; a superuser can allow it: "
            f"GRANT {quoted(role)} TO {quoted(admin.name)}{options}",
        )


def _has_options(state: ServerState) -> bool:
    return versions.has(versions.MEMBERSHIP_OPTIONS, state.facts.version_number)


def _take(role: str, state: ServerState, database: str | None) -> Step:
    template = "GRANT {} TO {}"
    if _has_options(state):
        template = "GRANT {} TO {} WITH INHERIT TRUE, SET TRUE"
    statement = Statement(template, Identifier(role), Identifier(state.facts.admin.name))
    return Step(Action.GRANT, f"membership in {role} for a moment", statement, database=database, changes=False)


def _put_back(role: str, state: ServerState, database: str | None) -> Step:
    admin = state.facts.admin.name
    statement = Statement("REVOKE {} FROM {}", Identifier(role), Identifier(admin))
    memberships = state.roles[admin].member_of if admin in state.roles else ()
    for had in memberships:
        # A row of other grantors is untouched by ours; one of our own was overwritten.
        if had.role == role and had.grantor == admin:
            statement = Statement(
                "GRANT {} TO {} WITH INHERIT {}, SET {}",
                Identifier(role),
                Identifier(admin),
                Keyword(str(had.inherit).upper()),
                Keyword(str(had.set).upper()),
            )
    return Step(
        Action.REVOKE,
        f"membership in {role} for a moment",
        statement,
        database=database,
        changes=False,
        cleanup=True,
    )
