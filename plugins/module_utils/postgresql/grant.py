# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a grant: what a user or role is declared to get, and observed server in, steps out; pure.

Called through the table of kinds.py. Three sets decide: what is declared, what this declaration gave before (the
ledger's MEMORY), and what other declarations give to the same role. Privileges are compared in grant_privileges.py,
memberships in memberships.py, default privileges in default_privileges.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredGrant
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    declared,
    default_privileges,
    effects_acls,
    grant_items,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acting_as import can_act_as
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.default_privileges import grantee_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_compare import (
    claims,
    compare,
    entries_held,
    held,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import DefaultKey, Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_privileges import (
    Giving,
    Work,
    add_steps,
    together,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_statements import Name, Sentence
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.memberships import Memberships
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import check_name, quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Declaration,
    ServerState,
    Wanted,
)

_NOTHING: frozenset[str] = frozenset()


def wanted(desired: DesiredGrant) -> Wanted:
    """Give what must be read: who gets it, what they get, and the roles that are named."""
    grantee = grantee_name(desired.grantee)
    schemas = (Target(one.database, "schema", one.schema) for one in desired.default_privileges)
    return Wanted(
        roles=frozenset({desired.grantee, *desired.roles, *(one.granted_by for one in desired.default_privileges)}),
        memberships=frozenset((desired.grantee, role) for role in desired.roles if desired.present),
        acls=dict.fromkeys((*grant_items.targets(desired.grants), *schemas), frozenset((grantee,))),
        default_acls=frozenset(one.database for one in desired.default_privileges),
    )


def plan(desired: DesiredGrant, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Compare and give the steps. Raises DbopsError for what is wrong whatever is on the server."""
    _check(desired, state)
    version = state.facts.version_number
    keys = default_privileges.of_grant(desired, version)
    items = _needed(grant_items.read(desired.grants, version, inline=False), desired, state)
    declares = Declaration(desired.ref, frozenset(desired.roles), items, keys)
    grantee = grantee_name(desired.grantee)
    if grantee != PUBLIC and grantee not in state.role_names:
        if not desired.present:
            return Plan()
        text = f"the {desired.grantee_kind} {grantee!r} does not exist"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field=desired.grantee_kind)
    before = declared.from_ledger(desired.ref, memory)
    others = state.others(grantee, ("grant", desired.name))
    if desired.present:
        planning = _Planning(desired, grantee, declares, before, others, state)
    elif desired.owner_record:
        planning = _Planning(desired, grantee, Declaration(desired.ref), before, others, state)
    else:
        # Nothing is recorded of it: it takes back just what it lists.
        planning = _Planning(desired, grantee, Declaration(desired.ref), declares, [], state)
        if not desired.force:
            planning.refuse_others(others)
    return planning.plan()


def former(desired: DesiredGrant, _state: ServerState, memory: Mapping[str, Any]) -> DesiredGrant | None:
    """Give what takes back what the declaration gave to somebody else before; see core.kinds."""
    grantee = memory.get("grantee", grantee_name(desired.grantee))
    return None if grantee == grantee_name(desired.grantee) else desired.taken_from(grantee, desired.grantee_kind)


def _needed(items: grant_items.Items, desired: DesiredGrant, state: ServerState) -> grant_items.Items:
    """Give ITEMS without USAGE that nobody declared, on schemas where the grantee has all it is to have already.

    It may use such a schema through PUBLIC or through its roles. Where anything is given in a schema, USAGE is as well:
    then it does not depend on others, and check mode, which cannot know of them all, foresees it.
    """
    grantee = grantee_name(desired.grantee)
    found = dict(items)
    for target in grant_items.implied(desired.grants):
        there = state.acls.get(target.database)
        schema = there.schema(target.schema) if there else None
        if there is None or schema is None or not effects_acls.may(state, grantee, schema, "USAGE"):
            continue
        others = {word: option for word, option in items[target].items() if word != "USAGE"}
        rest = {one: rights for one, rights in items.items() if _place(one) == _place(target)} | {target: others}
        compared = compare(there, grantee, wanted=rest, given={})
        if "USAGE" not in held(there, schema, grantee, "") and not compared.lacking and not compared.missing:
            found[target] = others
    return {target: rights for target, rights in found.items() if rights}


def _place(target: Target) -> tuple[str, str]:
    return target.database, target.schema


def _check(desired: DesiredGrant, state: ServerState) -> None:
    check_name(desired.grantee, field=desired.grantee_kind)
    for role in desired.roles:
        check_name(role, field="roles")
    admin = state.facts.admin.name
    if desired.grantee == admin:
        text = f"{admin!r} is the account that manages this server"
        raise DbopsError(Reason.ACCESS_DENIED, text, field=desired.grantee_kind)
    if admin in desired.roles:
        text = f"roles names {admin!r}, the account that manages this server, which nobody becomes a member of"
        raise DbopsError(Reason.ACCESS_DENIED, text, field="roles")
    if desired.grantee in desired.roles:
        text = f"{desired.grantee} cannot be a member of itself"
        raise DbopsError(Reason.INVALID_SPEC, text, field="roles")
    if grantee_name(desired.grantee) == PUBLIC:
        if desired.roles:
            raise DbopsError(Reason.INVALID_SPEC, "PUBLIC is everybody, and no member of a role", field="roles")
        if any(one.grant_option for one in desired.grants):
            text = "PUBLIC is everybody, and can pass on nothing: grant_option is for roles"
            raise DbopsError(Reason.INVALID_SPEC, text, field="grants")


@dataclass
class _Planning:
    """The plan of one grant while it is made."""

    desired: DesiredGrant
    grantee: str
    declares: Declaration
    before: Declaration
    others: Sequence[Declaration]
    state: ServerState
    made: Plan = field(default_factory=Plan)
    kept: Declaration = field(init=False)
    """What could not be taken back, so that it is not forgotten."""
    work: Work = field(init=False)

    def __post_init__(self) -> None:
        self.kept = Declaration(self.desired.ref)
        giving = Giving(
            grantee=self.grantee,
            wanted=self.declares.items,
            given=self.before.items,
            others=[one.items for one in self.others],
        )
        self.work = Work(giving, self.state, self.made)

    def plan(self) -> Plan:
        """Give the steps: inside of each database, then on memberships and on databases themselves."""
        changes = self._default_changes()
        names = [
            *(target.database for target in (*self.declares.items, *self.before.items)),
            *(one.key.database for one in changes),
        ]
        for name in dict.fromkeys(names):
            found = [*self.work.database(name), *self._defaults(name, changes)]
            add_steps(found, name, self.state, self.made)
        inside = bool(self.made.steps)
        self._memberships()
        add_steps(self.work.shared, None, self.state, self.made)
        self.kept = replace(self.kept, items=self.work.remembered)
        self.made.waits = together(self.work.problems)
        self.made.applied = declared.to_ledger(self.grantee, self.kept.with_(self.declares))
        if inside and self.desired.present:
            self.made.ahead = declared.to_ledger(self.grantee, self.before.with_(self.declares))
        return self.made

    def _memberships(self) -> None:
        role = self.state.roles.get(self.grantee)
        present = role.member_of if role else ()
        inherit = role.inherit if role else True
        work = Memberships(self.grantee, present, self.state, self.made, inherit, option="roles", field="roles")
        for name in sorted(self.declares.roles):
            try:
                work.give(name)
            except DbopsError as error:
                if error.reason is Reason.INVALID_SPEC:
                    raise
                self.work.problems.append(error)
        keep = self.declares.roles.union(*(one.roles for one in self.others))
        for row in present:
            if row.role in self.before.roles - keep:
                work.take(row)
                if self.made.waits:
                    self.kept = replace(self.kept, roles=self.kept.roles | {row.role})
        if self.made.waits:
            self.work.problems.append(self.made.waits)

    def _default_changes(self) -> list[default_privileges.Change]:
        """Give what has to change of default privileges, as far as it can."""
        wanted, given = self.declares.default_privileges, self.before.default_privileges
        keys = {*wanted, *given}
        has: dict[DefaultKey, frozenset[str]] = {}
        for name in {key.database for key in keys}:
            there = self.state.acls.get(name)
            has |= default_privileges.held(name, there.default_acls) if there else {}
        others = {
            key: frozenset().union(*(one.default_privileges.get(key, _NOTHING) for one in self.others)) for key in keys
        }
        changes = []
        for change in default_privileges.compare(wanted, given, others, has, exact=False):
            problem = self._hindrance(change.key)
            if problem is None:
                changes.append(change)
                continue
            self.work.problems.append(problem)
            if change.action is Action.REVOKE:
                kept = {**self.kept.default_privileges, change.key: change.privileges}
                self.kept = replace(self.kept, default_privileges=kept)
        for key in given:
            there = self.state.acls.get(key.database)
            if there and there.problem:
                kept = {**self.kept.default_privileges, key: given[key]}
                self.kept = replace(self.kept, default_privileges=kept)
        return changes

    def _hindrance(self, key: DefaultKey) -> DbopsError | None:
        """Say why default privileges cannot be changed."""
        there, text = self.state.acls.get(key.database), ""
        if there is None:
            text = f"database {key.database} does not exist"
        elif there.problem:
            return there.problem
        elif key.grantor not in self.state.role_names:
            text = f"the role {key.grantor!r}, on whose objects privileges are to be given, does not exist"
        elif there.schema(key.schema) is None and key.database not in self.state.scripted:
            text = f"schema {key.schema} of database {key.database} does not exist"
        if text:
            return DbopsError(Reason.DEPENDENCY_NOT_READY, text, field=default_privileges.FIELD)
        if can_act_as(key.grantor, self.state):
            return None
        admin = self.state.facts.admin.name
        text = (
            f"{admin} may not change what {key.grantor} gives by default; a superuser can allow it: "
            f"GRANT {quoted(key.grantor)} TO {quoted(admin)}"
        )
        return DbopsError(Reason.PRIVILEGE_MISSING, text, field=default_privileges.FIELD)

    def _defaults(self, database: str, changes: Iterable[default_privileges.Change]) -> list[Sentence]:
        found = []
        for change in changes:
            if change.key.database != database:
                continue
            grants = change.action is Action.GRANT
            self.made.differences.append(default_privileges.difference(change))
            step = Step(
                change.action,
                f"default privileges on {change.key}",
                default_privileges.statement(change),
                destructive=not grants,
                database=database,
                effect=default_privileges.effect(change),
            )
            found.append(Sentence(step, Name((change.key.grantor,))))
        return found

    def refuse_others(self, others: Sequence[Declaration]) -> None:
        """Refuse with Conflict to take away what another declaration gives to the same role."""
        for one in others:
            roles = one.roles & self.before.roles
            keys = one.default_privileges.keys() & self.before.default_privileges.keys()
            if roles or keys or self._claimed(one.items):
                text = f"{one.owner} gives it to {self.grantee} as well; use force to take it away all the same"
                raise DbopsError(Reason.CONFLICT, text, field="grants")

    def _claimed(self, items: Mapping[Target, Mapping[str, bool]]) -> bool:
        for name in {target.database for target in self.before.items}:
            there = self.state.acls.get(name)
            mine = grant_items.within(name, self.before.items)
            theirs = grant_items.within(name, items)
            if there and claims(there, theirs, compare(there, self.grantee, wanted={}, given=mine).extra):
                return True
        return False


def observed(desired: DesiredGrant, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result: how much of what is declared is there, and what is not."""
    grantee = grantee_name(desired.grantee)
    exists = grantee == PUBLIC or grantee in state.role_names
    facts: dict[str, Any] = {"exists": exists, "name": desired.name, "grantee": desired.grantee}
    facts |= {"roles": [], "direct_grants": 0, "default_privileges": 0, "missing": []}
    if not exists or not desired.present:
        return facts
    role = state.roles.get(grantee)
    joined = {row.role for row in role.member_of} if role else set()
    facts["roles"] = sorted(joined.intersection(desired.roles))
    facts |= entries_held(desired.grants, grantee, state, inline=False)
    for one in desired.default_privileges:
        there = state.acls.get(one.database)
        with suppress(DbopsError):
            words = default_privileges.declared_words(one.object_type, one.privileges, state.facts.version_number)
            key = DefaultKey(one.database, one.granted_by, one.schema, one.object_type, grantee)
            has = default_privileges.held(one.database, there.default_acls) if there else {}
            facts["default_privileges"] += words <= has.get(key, _NOTHING)
    return facts
