# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles that users and roles have: a part of the plans of user.py, role.py and grant.py; pure.

A role that is granted gives nothing until it is active, so what is declared is made a default as well. A user of
MariaDB has one default role: for several there is a role of our own that has them all, called `USER~roles`.
https://dev.mysql.com/doc/refman/9.0/en/roles.html https://mariadb.com/kb/en/set-default-role/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import effects
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.emulation import is_emulated
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    AccountName,
    Facts,
    ServerState,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import account, shown, step

_UMBRELLA = "~roles"
Effect = Callable[[ServerState], None]


def umbrella(user: str) -> str:
    """Give the name of the role that has all roles of USER, where only one can be active from the login on."""
    return user + _UMBRELLA


def observed(accounts: Iterable[Account]) -> list[str]:
    """Give the names of the roles that any of these accounts has, without our umbrella."""
    return sorted({grant.role.user for one in accounts for grant in _direct(one)})


def check(member: str, names: Iterable[str], facts: Facts) -> None:
    """Refuse roles that nobody gets."""
    for name in names:
        check_name(name, field="in_roles", characters=facts.dialect.role_characters)
        if name in (member, facts.admin.name.user) or name in facts.dialect.system_accounts:
            text = f"in_roles names {name!r}, which no user becomes a member of"
            raise DbopsError(Reason.ACCESS_DENIED, text, field="in_roles")


def plan_in_roles(
    member: str,
    declared: Sequence[str] | None,
    accounts: Sequence[Account],
    memory: Mapping[str, Any],
    state: ServerState,
    made: Plan,
    *,
    activate: bool = True,
    takes: bool = True,
) -> None:
    """Add to MADE what gives MEMBER exactly the roles that it declares, and those that others declare for it.

    Where nothing is declared, only what the declaration gave before (MEMORY) is taken back. TAKES: whether what is
    too much goes, or is only told.
    """
    others = {name for one in state.others(member, ("role", member)) for name in one.roles}
    # Those that are none of the server's are given as privileges (emulation.py).
    own = {name for name in declared or () if not is_emulated(name, state)}
    keep = others | own
    given = frozenset(memory.get("in_roles", ()))
    work = Memberships(member, accounts, state, made, option="in_roles", field="inRoles", takes=takes)
    for one in accounts:
        present = {grant.role.user for grant in _direct(one)}
        unwanted = {name for name in present - keep if declared is not None or name in given}
        work.change(one, give=own - present, take=unwanted)
    # What a role has is active with it.
    if activate:
        work.activate(own | work.there(others))


@dataclass(frozen=True)
class Memberships:
    """Of one MEMBER with its ACCOUNTS; MADE is the plan that gets steps and differences."""

    member: str
    accounts: Sequence[Account]
    state: ServerState
    made: Plan
    option: str
    """Where the memberships are declared, for errors."""
    field: str
    """What differences are called."""
    takes: bool
    """Whether steps that take something away will be sent."""

    def change(self, one: Account, *, give: Iterable[str], take: Iterable[str]) -> None:
        """Give and take roles of one account. Raises DbopsError."""
        for name in sorted(give):
            role = self.require_role(name)
            self._require_no_circle(role, one.name)
            self._require_admin(role)
            statement = Statement("GRANT {} TO {}", account(role), account(one.name))
            difference = Difference(f"{self.field}.missing", name, "")
            effect = partial(effects.give_role, role=role, to=one.name)
            self._add(Action.GRANT, f"role {name} to {one.name}", statement, difference, effect)
        for grant in _direct(one):
            if grant.role.user in take:
                self._require_admin(grant.role)
                statement = Statement("REVOKE {} FROM {}", account(grant.role), account(one.name))
                difference = Difference(f"{self.field}.extra", "", grant.role.user, destructive=True)
                effect = partial(effects.take_role, role=grant.role, of=one.name)
                self._add(Action.REVOKE, f"role {grant.role.user} from {one.name}", statement, difference, effect)

    def plan_set(
        self,
        declared: frozenset[str],
        before: frozenset[str],
        others: set[str],
        problems: list[DbopsError],
        *,
        activate: bool,
    ) -> frozenset[str]:
        """Give what is DECLARED, and take what was given BEFORE and OTHERS do not declare.

        What cannot be done goes to PROBLEMS. Gives what the ledger is to remember.
        """
        emulated = {name for name in declared if is_emulated(name, self.state)}
        able: set[str] = set()
        for name in sorted(declared - emulated):
            try:
                self.require_role(name)
                for one in self.accounts:
                    self.change(one, give={name} - {grant.role.user for grant in _direct(one)}, take=())
                able.add(name)
            except DbopsError as error:
                problems.append(error)
        kept: set[str] = able | emulated
        for name in sorted(before - declared - others):
            try:
                for one in self.accounts:
                    self.change(one, give=(), take={name})
            except DbopsError as error:
                problems.append(error)
                kept.add(name)
        if activate:
            self.activate(able | self.there(others))
        return frozenset(kept)

    def there(self, names: Iterable[str]) -> set[str]:
        """Give those of these roles that all accounts have already."""
        have = [{grant.role.user for grant in _direct(one)} for one in self.accounts]
        return {name for name in names if all(name in those for those in have)}

    def activate(self, names: Iterable[str]) -> None:
        """Make these roles, and on MariaDB no others, active from the login of the member on."""
        wanted = sorted(names)
        if self.state.facts.dialect.several_default_roles:
            for one in self.accounts:
                self._default_several(one, wanted)
        else:
            self._default_one(wanted)

    def require_role(self, name: str) -> AccountName:
        """Give the account that is the role of this name. Raises DbopsError with DependencyNotReady."""
        dialect = self.state.facts.dialect
        accounts = self.state.accounts.get(name, {})
        if dialect.role_host in accounts and (dialect.roles_are_accounts or accounts[dialect.role_host].is_role):
            return AccountName(name, dialect.role_host)
        if dialect.roles_are_accounts and len(accounts) == 1:
            return AccountName(name, *accounts)
        text = f"the role {name!r}, which {self.member} is to get, does not exist"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field=self.option)

    def _require_no_circle(self, role: AccountName, member: AccountName) -> None:
        """Refuse with InvalidSpec where ROLE has its new MEMBER as a role already, directly or not."""
        if member not in _reached(role, self.state):
            return
        text = f"{role.user} is a member of {member} already, directly or not; memberships cannot go in a circle"
        raise DbopsError(Reason.INVALID_SPEC, text, field=self.option)

    def _require_admin(self, role: AccountName) -> None:
        """Refuse with PrivilegeMissing where our account may not give or take ROLE."""
        facts = self.state.facts
        admin = facts.admin
        # Who makes a role of MariaDB has it WITH ADMIN OPTION.
        made = not facts.dialect.roles_are_accounts and role in self.state.made_roles
        if role in admin.administers or made:
            return
        if facts.dialect.roles_are_accounts and (admin.may("ROLE_ADMIN") or admin.may("SUPER")):
            return
        text = (
            f"{admin.name} may not give or take the role {role.user}; who may can allow it: "
            f"GRANT {shown(role)} TO {shown(admin.name)} WITH ADMIN OPTION"
        )
        raise DbopsError(Reason.PRIVILEGE_MISSING, text, field=self.option)

    def _add(self, action: Action, target: str, statement: Statement, difference: Difference, effect: Effect) -> None:
        self.made.steps.append(step(action, target, statement, destructive=difference.destructive, effect=effect))
        self._differs(difference)

    def _differs(self, difference: Difference) -> None:
        if difference not in self.made.differences:
            self.made.differences.append(difference)

    def _default_several(self, one: Account, wanted: Sequence[str]) -> None:
        present = {grant.role for grant in one.roles if grant.default}
        have = {grant.role.user: grant.role for grant in one.roles}
        missing = {have.get(name) or self.require_role(name) for name in wanted} - present
        if not missing:
            return
        going = self._taken() if self.takes else set()
        roles = sorted(missing | {role for role in present if role.user not in going})
        statement = Statement("SET DEFAULT ROLE {} TO {}", Joined([account(role) for role in roles]), account(one.name))
        after, before = (", ".join(sorted(role.user for role in some)) for some in (roles, present))
        self._add(
            Action.ALTER,
            f"default roles of {one.name}",
            statement,
            Difference("defaultRole", after, before),
            partial(effects.set_defaults, name=one.name, roles=frozenset(roles)),
        )

    def _default_one(self, wanted: Sequence[str]) -> None:
        covering = self.state.accounts.get(umbrella(self.member), {}).get("")
        if len(wanted) > 1 or covering:
            self._cover(covering, wanted)
        target = umbrella(self.member) if len(wanted) > 1 or (covering and wanted) else "".join(wanted)
        for one in self.accounts:
            stale = one.default_role in (umbrella(self.member), *self._taken())
            if one.default_role == target or (not target and not stale):
                continue
            role = Identifier(target) if target else Keyword("NONE")
            statement = Statement("SET DEFAULT ROLE {} FOR {}", role, account(one.name))
            # Roles that are granted all the same, but no longer active, are as good as taken away.
            takes = bool(_active(one, covering) - set(wanted))
            shown_default = self._shown_default(one, covering)
            difference = Difference("defaultRole", ", ".join(wanted), shown_default, destructive=takes)
            effect = partial(effects.alter_account, name=one.name, attributes={"default_role": target})
            self._add(Action.ALTER, f"default role of {one.name}", statement, difference, effect)

    def _cover(self, covering: Account | None, wanted: Sequence[str]) -> None:
        """Let our umbrella have exactly the WANTED roles, and every account of the member have it."""
        name = AccountName(umbrella(self.member), "")
        if covering is None:
            create = Statement("CREATE ROLE {}", Identifier(name.user))
            effect: Effect = partial(effects.make_account, account=Account(name, is_role=True))
            self.made.steps.append(step(Action.CREATE, f"role {name}", create, changes=False, effect=effect))
        present = {grant.role.user for grant in covering.roles} if covering else set()
        for role in sorted(set(wanted) - present):
            self._require_admin(AccountName(role, ""))
            statement = Statement("GRANT {} TO {}", Identifier(role), Identifier(name.user))
            effect = partial(effects.give_role, role=AccountName(role, ""), to=name)
            self.made.steps.append(step(Action.GRANT, f"role {role} to {name}", statement, effect=effect))
        for role in sorted(present - set(wanted)):
            statement = Statement("REVOKE {} FROM {}", Identifier(role), Identifier(name.user))
            effect = partial(effects.take_role, role=AccountName(role, ""), of=name)
            target = f"role {role} from {name}"
            self.made.steps.append(step(Action.REVOKE, target, statement, destructive=True, effect=effect))
            if role not in self._taken():
                self._differs(Difference("defaultRole", "", role, destructive=True))
        for one in self.accounts:
            if wanted and all(grant.role != name for grant in one.roles):
                statement = Statement("GRANT {} TO {}", Identifier(name.user), account(one.name))
                effect = partial(effects.give_role, role=name, to=one.name)
                self.made.steps.append(step(Action.GRANT, f"role {name} to {one.name}", statement, effect=effect))

    def _taken(self) -> set[str]:
        field = f"{self.field}.extra"
        return {difference.actual for difference in self.made.differences if difference.field == field}

    def _shown_default(self, one: Account, covering: Account | None) -> str:
        if covering and one.default_role == covering.name.user:
            return ", ".join(sorted(grant.role.user for grant in covering.roles))
        return one.default_role


def _reached(role: AccountName, state: ServerState) -> set[AccountName]:
    """Give the roles that ROLE has, and those that they have in turn."""
    found: set[AccountName] = set()
    waiting = [role]
    while waiting:
        name = waiting.pop()
        known = state.accounts.get(name.user, {}).get(name.host)
        those = known.roles if known else state.roles_beyond.get(name, ())
        new = {grant.role for grant in those} - found
        found |= new
        waiting += new
    return found


def _active(one: Account, covering: Account | None) -> set[str]:
    """Give the roles that an account of MariaDB has active from the login on."""
    if all(grant.role.user != one.default_role for grant in one.roles):
        return set()
    if covering and one.default_role == covering.name.user:
        return {grant.role.user for grant in covering.roles}
    return {one.default_role}


def _direct(one: Account) -> list[Any]:
    return [grant for grant in one.roles if grant.role.user != umbrella(one.name.user)]
