# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles that a user is a member of, exactly as declared: a part of user.py's plan; pure.

Since PostgreSQL 16 there is a row of its own for each grantor, with options of its own, and each is revoked in the
name of its grantor, even by a superuser.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Identifier, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Membership, ServerState


def plan_memberships(
    member: str,
    wanted: Iterable[str],
    unwanted: Iterable[str],
    present: tuple[Membership, ...],
    state: ServerState,
    plan: Plan,
) -> None:
    """Add to PLAN what makes MEMBER a member of the WANTED roles, plainly, and of none of the UNWANTED."""
    for role in wanted:
        rows = [row for row in present if row.role == role]
        if not any(row.set for row in rows):
            _grant(member, role, state, plan)
        for row in rows:
            if row.admin:
                _revoke(member, row, state, plan, admin_option=True)
    for role in unwanted:
        for row in present:
            if row.role == role:
                _revoke(member, row, state, plan)


def _grant(member: str, role: str, state: ServerState, plan: Plan) -> None:
    if role not in state.role_names:
        text = f"the role {role!r}, which {member} is to be a member of, does not exist"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="in_roles")
    require_admin_option(role, state, field="in_roles")
    template = "GRANT {} TO {}"
    if versions.has(versions.MEMBERSHIP_OPTIONS, state.facts.version_number):
        template = "GRANT {} TO {} WITH SET TRUE"
    step = Step(Action.GRANT, f"role {role} to {member}", Statement(template, Identifier(role), Identifier(member)))
    plan.add(step, Difference("inRoles.missing", role, ""))


def _revoke(member: str, row: Membership, state: ServerState, plan: Plan, *, admin_option: bool = False) -> None:
    facts = state.facts
    template = "REVOKE ADMIN OPTION FOR {} FROM {}" if admin_option else "REVOKE {} FROM {}"
    arguments = [Identifier(row.role), Identifier(member)]
    if versions.has(versions.MEMBERSHIP_OPTIONS, facts.version_number) and row.grantor:
        if not (facts.admin.superuser or row.grantor == facts.admin.name or row.grantor in facts.admin.inherits):
            text = (
                f"{member} is a member of {row.role} by grant of {row.grantor}, and only {row.grantor} or a superuser "
                f"takes that back: REVOKE {quoted(row.role)} FROM {quoted(member)} GRANTED BY {quoted(row.grantor)}"
            )
            raise DbopsError(Reason.PRIVILEGE_MISSING, text, field="in_roles")
        template += " GRANTED BY {}"
        arguments.append(Identifier(row.grantor))
    else:
        require_admin_option(row.role, state, field="in_roles")
    what = f"admin option on role {row.role}" if admin_option else f"role {row.role}"
    step = Step(Action.REVOKE, f"{what} from {member}", Statement(template, *arguments), destructive=not admin_option)
    field = f"inRoles.{row.role}.admin" if admin_option else "inRoles.extra"
    plan.add(step, Difference(field, "", "true" if admin_option else row.role, destructive=not admin_option))


def require_admin_option(role: str, state: ServerState, *, field: str) -> None:
    """Refuse with PrivilegeMissing where our account may not give ROLE to others or change it."""
    facts = state.facts
    admin = facts.admin
    if admin.superuser:
        return
    known = state.roles.get(role)
    if versions.has(versions.MEMBERSHIP_OPTIONS, facts.version_number):
        allowed = role in (admin.administers or ())
    else:
        allowed = admin.create_role or role in (admin.administers or ())
    if not allowed or (known and known.superuser):
        text = (
            f"{admin.name} may not administer the role {role}; a superuser can allow it: "
            f"GRANT {quoted(role)} TO {quoted(admin.name)} WITH ADMIN OPTION"
        )
        if known and known.superuser:
            text = f"{role} is a superuser; only a superuser may change it or give it to others"
        raise DbopsError(Reason.PRIVILEGE_MISSING, text, field=field)
