# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles that a role is a member of: a part of the plans of user.py, role.py and grant.py; pure.

Since PostgreSQL 16 there is a row of its own for each grantor, with options of its own, and each is revoked in the
name of its grantor, even by a superuser.
https://www.postgresql.org/docs/current/role-membership.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredRole, DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Keyword,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import effects_roles, versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Membership, Role, ServerState


def plan_in_roles(
    desired: DesiredUser | DesiredRole, role: Role | None, memory: Mapping[str, Any], state: ServerState, plan: Plan
) -> None:
    """Add to PLAN what makes a role a member of exactly what it declares, and of what others declare for it.

    Where nothing is declared, only what the declaration gave before (MEMORY) is taken back.
    """
    present = role.member_of if role else ()
    declared = desired.in_roles
    others = {name for one in state.others(desired.name, ("role", desired.name)) for name in one.roles}
    keep = others | set(declared or ())
    given = frozenset(memory.get("in_roles", ()))
    unwanted = [row for row in present if row.role not in keep and (declared is not None or row.role in given)]
    inherit = role.inherit if role and desired.inherit is None else desired.inherit is not False
    work = Memberships(desired.name, present, state, plan, inherit=inherit, option="in_roles", field="inRoles")
    for name in declared or ():
        work.give(name)
        work.make_plain(name)
    for row in unwanted:
        work.take(row)


@dataclass(frozen=True)
class Memberships:
    """Of one MEMBER: the rows that are PRESENT, and the PLAN that gets steps and differences."""

    member: str
    present: tuple[Membership, ...]
    state: ServerState
    plan: Plan
    inherit: bool
    """Whether the member has by itself what its roles may do."""
    option: str
    """Where the memberships are declared, for errors."""
    field: str
    """What differences are called."""

    def give(self, role: str) -> None:
        """Make the member one of ROLE, with its rights at hand as the member's INHERIT says. Raises DbopsError."""
        rows = [row for row in self.present if row.role == role]
        if any(row.set for row in rows) and (not self.inherit or any(row.inherit for row in rows)):
            return
        if role not in self.state.role_names:
            text = f"the role {role!r}, which {self.member} is to be a member of, does not exist"
            raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field=self.option)
        reached = effects_roles.reaches(self.state, role, self.member, inherited=False)
        if reached or (self.member, role) in self.state.circles:
            text = f"{role} is a member of {self.member} already, directly or not; memberships cannot go in a circle"
            raise DbopsError(Reason.INVALID_SPEC, text, field=self.option)
        require_admin_option(role, self.state, field=self.option)
        statement = Statement("GRANT {} TO {}", Identifier(role), Identifier(self.member))
        if self._has_options():
            option = Keyword(str(self.inherit).upper())
            template = "GRANT {} TO {} WITH INHERIT {}, SET TRUE"
            statement = Statement(template, Identifier(role), Identifier(self.member), option)
        effect = partial(effects_roles.join, member=self.member, role=role, inherit=self.inherit)
        step = Step(Action.GRANT, f"role {role} to {self.member}", statement, effect=effect)
        self.plan.add(step, Difference(f"{self.field}.missing", role, ""))

    def make_plain(self, role: str) -> None:
        """Take from rows of ROLE what a plain membership has not: ADMIN, and INHERIT where the member has none."""
        for row in self.present:
            if row.role != role:
                continue
            if row.admin:
                self._revoke(row, option="admin")
            if row.inherit and not self.inherit and self._has_options():
                self._revoke(row, option="inherit")

    def take(self, row: Membership) -> None:
        """End one membership; where that is for others to do, say so once the rest is done."""
        try:
            self._revoke(row)
        except DbopsError as error:
            self.plan.differences.append(Difference(f"{self.field}.extra", "", row.role, destructive=True))
            self.plan.waits = self.plan.waits or error

    def _has_options(self) -> bool:
        return versions.has(versions.MEMBERSHIP_OPTIONS, self.state.facts.version_number)

    def _revoke(self, row: Membership, *, option: str | None = None) -> None:
        template = _REVOKE[option]
        arguments: list[Part] = [Identifier(row.role), Identifier(self.member)]
        if self._has_options() and row.grantor:
            self._require_grantor(row)
            template += " GRANTED BY {}"
            arguments.append(Identifier(row.grantor))
        else:
            require_admin_option(row.role, self.state, field=self.option)
        what = f"{option} option on role {row.role}" if option else f"role {row.role}"
        statement = Statement(template, *arguments)
        effect = partial(effects_roles.leave, member=self.member, row=row, option=option)
        step = Step(Action.REVOKE, f"{what} from {self.member}", statement, destructive=True, effect=effect)
        field = f"{self.field}.{row.role}.{option}" if option else f"{self.field}.extra"
        self.plan.add(step, Difference(field, "", "true" if option else row.role, destructive=True))

    def _require_grantor(self, row: Membership) -> None:
        admin = self.state.facts.admin
        if admin.superuser or row.grantor == admin.name or row.grantor in admin.inherits:
            return
        text = (
            f"{self.member} is a member of {row.role} by grant of {row.grantor}, and only {row.grantor} or a superuser "
            f"takes that back: REVOKE {quoted(row.role)} FROM {quoted(self.member)} GRANTED BY {quoted(row.grantor)}"
        )
        raise DbopsError(Reason.PRIVILEGE_MISSING, text, field=self.option)


_REVOKE = {
    None: "REVOKE {} FROM {}",
    "admin": "REVOKE ADMIN OPTION FOR {} FROM {}",
    "inherit": "REVOKE INHERIT OPTION FOR {} FROM {}",
}


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
