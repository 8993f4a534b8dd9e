# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a role's privileges on objects of all databases: GRANT what is lacking, REVOKE what is given no more.

Called by grant.py, and by role.py for a role's own entries; pure. All that happens in one database is one
transaction, so nobody ever sees a moment between two statements. Without superuser it is done in the name of the
owners, or by a grant option of our own; where neither is to be had, that is said before anything is tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import (
    AclEntry,
    AclObject,
    Change,
    DatabaseAcls,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acting_as import acting_as, can_act_as
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_compare import (
    FIELD,
    compare,
    held,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import (
    EVERY,
    Items,
    Target,
    within,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_statements import (
    Name,
    Sentence,
    in_names,
    sentences,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import ordered
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState

_SHOWN = 5
"""How many problems a message lists."""


@dataclass(frozen=True, kw_only=True)
class Giving:
    """What a declaration gives to a role now, what it gave before, and what others give to the same role."""

    grantee: str
    wanted: Mapping[Target, Mapping[str, bool]]
    given: Mapping[Target, Mapping[str, bool]]
    others: Sequence[Mapping[Target, Mapping[str, bool]]] = ()


@dataclass
class Work:
    """The plan of one declaration while it is made."""

    giving: Giving
    state: ServerState
    plan: Plan
    shared: list[Sentence] = field(default_factory=list)
    """What is done on databases themselves: in the session of the server as a whole, after all else."""
    problems: list[DbopsError] = field(default_factory=list)
    """What cannot be done, while the rest can."""
    remembered: Items = field(default_factory=dict)
    """What could not be taken back, so that it is not forgotten."""

    def database(self, name: str) -> list[Sentence]:
        """Plan one database; give what is done inside of it, and put the rest into `shared`."""
        wanted = within(name, self.giving.wanted)
        given = within(name, self.giving.given)
        there = self.state.acls.get(name)
        if there is None:
            if wanted:
                self.problems.append(
                    DbopsError(Reason.DEPENDENCY_NOT_READY, f"database {name} does not exist", field=FIELD)
                )
            return []
        if there.problem and any(target.type != "database" for target in (*wanted, *given)):
            self.problems.append(there.problem)
            self.remembered |= given
            wanted, given = _on_itself(wanted), _on_itself(given)
        problems = len(self.problems)
        others = [within(name, one) for one in self.giving.others]
        found = compare(there, self.giving.grantee, wanted=wanted, given=given, others=others)
        steps = [*self._take(there, found.extra), *self._give(there, found.lacking)]
        if name in self.state.scripted and (found.missing or any(target.name == EVERY for target in wanted)):
            steps.append(self._unknown(name))
        else:
            self.problems += {one.message: one for one in found.missing}.values()
        self._differ(there, found.lacking, found.extra)
        if len(self.problems) > problems:
            self.remembered |= given
        self.shared += [one for one in steps if one.step.database is None]
        return [one for one in steps if one.step.database is not None]

    def _unknown(self, name: str) -> Sentence:
        """Say in a plan that is never applied that the rest of it depends on what a script makes."""
        what = f"what is declared on objects that init_sql makes, to {self.giving.grantee}"
        return Sentence(Step(Action.GRANT, what, Statement("-- known after apply"), database=name), Name())

    def _give(self, there: DatabaseAcls, lacking: Sequence[Change]) -> list[Sentence]:
        possible: list[tuple[Change, Name]] = []
        refused: list[Change] = []
        for change in lacking:
            name = self._giver(there, change)
            if name is None:
                refused.append(change)
            else:
                possible.append((replace(change, grantor=self._grantor(change, name)), name))
        if refused:
            self._refuse(there, refused)
        return [
            one
            for database, those in _by_session(there, possible).items()
            for one in sentences(Action.GRANT, those, self.giving.grantee, database)
        ]

    def _giver(self, there: DatabaseAcls, change: Change) -> Name | None:
        """Give in whose name a privilege can be granted."""
        one = change.object
        owner = there.real_owner(one)
        if can_act_as(owner, self.state):
            return Name((owner, *self._for_schema(there, one)))
        return Name() if self._passes_on(change) else None

    def _grantor(self, change: Change, name: Name) -> str:
        """Give whom the object's list will name: the owner, for whoever has the owner's rights."""
        holders = self._option_holders(change)
        return change.object.owner if name.roles or not holders else holders[0]

    def _passes_on(self, change: Change) -> bool:
        """Whether this account has the grant option for a privilege, by itself or by roles that it inherits."""
        return bool(self._option_holders(change))

    def _option_holders(self, change: Change) -> list[str]:
        """Give in whose name this account could pass a privilege on, itself first."""
        admin, options = self.state.facts.admin, change.object.options
        if change.column and change.option:
            # The server asks for an option on the column itself, and takes one on the table for none.
            return []
        # Who passed it on cannot be given it back.
        grantee = self.giving.grantee
        passed = change.object.passed_on.get(grantee, ())
        back = {one.grantee for one in passed if change.option and change.privilege in one.privileges}
        roles = {admin.name, *admin.inherits} - {grantee, *back}
        holders = [role for role in options if role in roles and change.privilege in options[role]]
        return sorted(holders, key=lambda role: role != admin.name)

    def _for_schema(self, there: DatabaseAcls, one: AclObject) -> tuple[str, ...]:
        """Give the owner of a schema whose content we may not name otherwise."""
        schema = there.schema(one.schema) if one.schema and one.type != "schema" else None
        if schema is None or schema.usable:
            return ()
        owner = there.real_owner(schema)
        return (owner,) if can_act_as(owner, self.state) else ()

    def _refuse(self, there: DatabaseAcls, refused: Sequence[Change]) -> None:
        """Say what this account cannot grant: a problem, unless the role may do it all the same."""
        lacking = []
        for change in refused:
            effective = change.object.effective.get((self.giving.grantee, change.column), frozenset())
            if change.privilege in effective and not change.option:
                self.plan.warnings.append(
                    f"{self._cannot(there, change)}; {self.giving.grantee} has it all the same, through PUBLIC or "
                    "through its roles"
                )
            else:
                lacking.append(change)
        if not lacking:
            return
        first = lacking[0]
        more = f"; and {len(lacking) - 1} more privileges" if len(lacking) > 1 else ""
        text = f"{self._cannot(there, first)}; {self._remedy(there, first)}{more}"
        self.problems.append(DbopsError(Reason.PRIVILEGE_MISSING, text, field=FIELD))

    def _cannot(self, there: DatabaseAcls, change: Change) -> str:
        one, admin = change.object, self.state.facts.admin.name
        where = "" if one.type == "database" else f" of database {there.database.name}"
        what = f"{change.privilege} on {one.type} {one.label}{where}"
        return f"{admin} may not grant {what}, which belongs to {there.real_owner(one)}"

    def _remedy(self, there: DatabaseAcls, change: Change) -> str:
        one, admin = change.object, quoted(self.state.facts.admin.name)
        name = quoted(one.schema or one.name)
        if one.type not in ("database", "schema"):
            name = f"{name}.{quoted(one.name)}"
        if one.type == "function":
            name = f"{name}({', '.join(one.signature)})"
        word = "ROUTINE" if one.type == "function" else one.type.upper()
        inside = "" if one.type == "database" else f", in database {there.database.name}"
        statement = f"GRANT {change.privilege} ON {word} {name} TO {admin} WITH GRANT OPTION"
        return f"a superuser can allow it: {statement}{inside}"

    def _take(self, there: DatabaseAcls, extra: Sequence[Change]) -> list[Sentence]:
        """Take back in the name of each who gave; what that takes from columns beside is given again at once."""
        possible: list[tuple[Change, Name]] = []
        again: list[tuple[Change, Name]] = []
        gone = {(id(one.object), one.column, one.privilege, one.option) for one in extra}
        needed: set[str] = set()
        # Who has passed on something in a schema must be able to get there to take it back: schemas come last.
        for change in sorted(extra, key=lambda one: one.object.type == "schema"):
            if change.object.type == "schema" and change.object.schema in needed:
                continue
            for entry in change.object.entries.get(self.giving.grantee, ()):
                if entry.column != change.column or change.privilege not in _concerned(entry, change):
                    continue
                if self._blocked(change, entry):
                    needed.add(change.object.schema)
                    continue
                name = self._taker(there, change.object, entry, change)
                if name is None:
                    continue
                possible.append((replace(change, grantor=entry.grantor), name))
                again += [(one, name) for one in self._wiped(change, entry.grantor, gone)]
        found: list[Sentence] = []
        for database, those in _by_session(there, possible).items():
            found += sentences(Action.REVOKE, those, self.giving.grantee, database)
        for database, those in _by_session(there, again).items():
            found += sentences(Action.GRANT, those, self.giving.grantee, database, changes_something=False)
        return found

    def _taker(self, there: DatabaseAcls, one: AclObject, entry: AclEntry, change: Change) -> Name | None:
        """Give in whose name an entry is taken back: only who gave it can."""
        admin = self.state.facts.admin
        if entry.grantor == one.owner:
            owner = there.real_owner(one)
            if not can_act_as(owner, self.state):
                text = f"{self._cannot(there, change)}, so {self.giving.grantee} keeps it"
                self.problems.append(DbopsError(Reason.PRIVILEGE_MISSING, text, field=FIELD))
                return None
            # A grant option of our own would go before the owner's.
            ambiguous = not admin.superuser and self._passes_on(change)
            return Name((owner, *self._for_schema(there, one)), owner if ambiguous else None)
        if entry.grantor == admin.name:
            return Name()
        if can_act_as(entry.grantor, self.state):
            return Name((entry.grantor,), entry.grantor)
        self.plan.warnings.append(
            f"{self.giving.grantee} keeps {change.privilege} on {one.type} {one.label} by grant of {entry.grantor}, "
            f"which only {entry.grantor} or a superuser takes back"
        )
        return None

    def _blocked(self, change: Change, entry: AclEntry) -> bool:
        """Whether the role has passed on what it is to lose: the server would refuse."""
        one, grantee = change.object, self.giving.grantee
        if change.privilege not in entry.grantable:
            return False
        for other in one.entries.get(grantee, ()):
            if other is not entry and other.column == entry.column and change.privilege in other.grantable:
                return False
        those = sorted({had.grantee for had in one.passed_on.get(grantee, ()) if change.privilege in had.privileges})
        if not those:
            return False
        text = (
            f"{grantee} has passed {change.privilege} on {one.type} {one.label} on to {', '.join(those)}; it can be "
            f"taken back when {grantee} has taken that back"
        )
        self.problems.append(DbopsError(Reason.BLOCKED, text, field=FIELD))
        return True

    def _wiped(self, change: Change, grantor: str, gone: set[tuple[int, str, str, bool]]) -> Iterator[Change]:
        """Give what a REVOKE on a table takes from its columns as well, though it is to stay.

        https://www.postgresql.org/docs/current/sql-revoke.html: "the corresponding column privileges [...] are
        automatically revoked on each column of the table, as well".
        """
        if change.object.type != "table" or change.column:
            return
        for entry in change.object.entries.get(self.giving.grantee, ()):
            if not entry.column or entry.grantor != grantor or change.privilege not in _concerned(entry, change):
                continue
            key = (id(change.object), entry.column, change.privilege)
            if (*key, False) in gone:
                continue
            option = change.privilege in entry.grantable and (*key, True) not in gone
            if option or not change.option:
                yield Change(change.object, entry.column, change.privilege, option, grantor)

    def _differ(self, there: DatabaseAcls, lacking: Sequence[Change], extra: Sequence[Change]) -> None:
        """Add a difference for each object, named as the API does."""
        for changes, too_much in ((lacking, False), (extra, True)):
            groups: dict[tuple[int, str, bool], list[Change]] = {}
            for change in changes:
                has = held(there, change.object, self.giving.grantee, change.column)
                option = change.option and change.privilege in has
                groups.setdefault((id(change.object), change.column, option), []).append(change)
            for (_ignored, column, option), those in groups.items():
                one = those[0].object
                kind = "column" if column else one.type
                words = ", ".join(ordered(kind, [change.privilege for change in those]))
                name = f"grants.{kind}.{one.label}{f'.{column}' if column else ''}{'.grantOption' if option else ''}"
                if too_much:
                    self.plan.differences.append(Difference(f"{name}.extra", "", words, destructive=True))
                    continue
                has = held(there, one, self.giving.grantee, column)
                self.plan.differences.append(Difference(f"{name}.missing" if has else name, words, ""))


def together(problems: Sequence[DbopsError]) -> DbopsError | None:
    """Give one error for all PROBLEMS: the reason of the first, what each says, shortened."""
    if not problems:
        return None
    texts = list(dict.fromkeys(one.message for one in problems))
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    first = problems[0]
    return DbopsError(first.reason, ("; ".join(texts[:_SHOWN]) + more)[:1000], field=first.field)


def add_steps(found: Sequence[Sentence], database: str | None, state: ServerState, plan: Plan) -> None:
    """Add sentences of one session to PLAN, with the memberships that they take."""
    roles = [role for one in found for role in one.name.roles]
    plan.steps += acting_as(roles, in_names(found, database), state)


def _concerned(entry: AclEntry, change: Change) -> frozenset[str]:
    return entry.grantable if change.option else entry.privileges


def _on_itself(items: Items) -> Items:
    return {target: rights for target, rights in items.items() if target.type == "database"}


def _by_session(
    there: DatabaseAcls, changes: Iterable[tuple[Change, Name]]
) -> dict[str | None, list[tuple[Change, Name]]]:
    """Give changes by the database that their session must be in: None for what is on databases themselves."""
    found: dict[str | None, list[tuple[Change, Name]]] = {}
    for change, name in changes:
        found.setdefault(None if change.object.type == "database" else there.database.name, []).append((change, name))
    return found
