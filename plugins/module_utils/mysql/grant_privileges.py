# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of privileges of one user or role, on all its accounts; pure.

Called by grant.py and role.py. What is given comes first and what is taken away after that, so there is never a
moment without a privilege that is both held and declared. What our account may not give is said before anything is
sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import grant_items, grant_statements, names
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_compare import Held, compare
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_items import FIELD, Items
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import (
    COLUMN,
    DATABASE,
    GLOBAL,
    GRANT_OPTION,
    TABLE,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    AccountName,
    Facts,
    ServerState,
    Target,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import shown


@dataclass
class Privileges:
    """What is declared for one user or role, was given before, and is declared by others; MADE gets the steps."""

    state: ServerState
    made: Plan
    wanted: Items
    given: Items
    others: Sequence[Mapping[Target, frozenset[str]]]
    carried: Items
    """What was carried over into rows of databases before (see grant_compare.py)."""
    there: bool = False
    """Whether all that WANTED is about is known to exist."""
    after: Items = field(default_factory=dict)
    """What all accounts together hold once the plan is done."""
    problems: list[DbopsError] = field(default_factory=list)
    """Why something of it cannot be done yet."""
    remembered: Items = field(default_factory=dict)
    """What the ledger is to know as given: what is declared and can be, and what could not be taken back."""
    now_carried: Items = field(default_factory=dict)

    def plan(self, accounts: Iterable[Account]) -> None:
        """Add to the plan what all ACCOUNTS need."""
        there = {target: words for target, words in self.wanted.items() if self._is_there(target)}
        self.remembered = dict(there)
        taken: list[Step] = []
        dialect = self.state.facts.dialect
        for one in accounts:
            held = Held(one, self.state.facts)
            self._warn_of_patterns(held, there)
            found = compare(held, wanted=there, given=self.given, others=self.others, carried=self.carried)
            grant_items.merge(self.now_carried, found.carried)
            lacking = {target: words for target, words in found.lacking.items() if self._may_give(target, words)}
            extra = {target: words for target, words in found.extra.items() if self._may_take(target, words, held)}
            along = _taken_along(held, lacking, extra)
            given = self._grants(lacking, held)
            # What a revoke would take along at once is given after it.
            self.made.steps += grant_statements.grants(one.name, _without(given, along), dialect)
            taken += self._revokes(one.name, extra, held)
            taken += grant_statements.grants(one.name, _without(given, _without(given, along)), dialect)
            taken += grant_statements.given_again(one.name, _without(along, given), dialect)
            grant_items.merge(self.after, _once_done(held, lacking, extra))
        self.made.steps += taken

    def _warn_of_patterns(self, held: Held, wanted: Items) -> None:
        """Warn of rows that are nobody's of ours to take, and make what is declared count for nothing."""
        name = held.account.name
        for target, words in wanted.items():
            instead = held.counts_instead(target.database) if target.level == DATABASE else None
            missing = words - instead[1] if instead else None
            if not instead or not missing:
                continue
            place, there = f"{names.quoted(instead[0])}.*", ", ".join(sorted(instead[1]))
            option = " WITH GRANT OPTION" if GRANT_OPTION in missing else ""
            listed = ", ".join(sorted(missing - {GRANT_OPTION})) or "USAGE"
            who = shown(name)
            self.made.warnings.append(
                f"{name} has privileges on {place} as well, and with an active role MySQL goes by those on the "
                f"database {target.database} and not by what is declared; revoke them: REVOKE {there} ON {place} FROM "
                f"{who}; or give the same there: GRANT {listed} ON {place} TO {who}{option}"
            )

    def _is_there(self, target: Target) -> bool:
        """Whether what privileges are on exists; what does not is waited for."""
        if target.level == GLOBAL or self.there:
            return True
        if self.state.facts.fold(target.database) not in self.state.databases:
            return self._wait(f"the database {target.database} does not exist")
        if target.level == DATABASE or self.state.targets.get(target, False):
            return True
        if self.state.facts.fold(target.database) in self.state.scripted:
            # What the script makes is known when it has run; that it makes this is why it is declared.
            return True
        kind = f"column {target.column} of table" if target.level == COLUMN else target.level
        return self._wait(f"the {kind} {target.name} of database {target.database} does not exist")

    def _wait(self, text: str) -> bool:
        error = DbopsError(Reason.DEPENDENCY_NOT_READY, text, field=FIELD)
        if all(one.message != text for one in self.problems):
            self.problems.append(error)
        return False

    def _may_give(self, target: Target, words: frozenset[str]) -> bool:
        """Whether our account may give (or take) all of WORDS; if not, that is one of the problems."""
        missing = lacking_rights(self.state, target, words)
        if not missing:
            return True
        admin = self.state.facts.admin
        where = grant_items.label(target)
        what = ", ".join(sorted(missing))
        column = f" ({names.quoted(target.column)})" if target.column else ""
        listed = ", ".join(f"{word}{column}" for word in sorted(missing - {GRANT_OPTION})) or "USAGE"
        text = (
            f"{admin.name} may not give {what} on {where}, which it has not to give; an administrator can allow it: "
            f"GRANT {listed} ON {_shown_object(target)} TO {shown(admin.name)} WITH GRANT OPTION"
        )
        if all(one.message != text for one in self.problems):
            self.problems.append(DbopsError(Reason.PRIVILEGE_MISSING, text, field=FIELD))
        return False

    def _may_take(self, target: Target, words: frozenset[str], held: Held) -> bool:
        if target.level == GLOBAL and GRANT_OPTION in words and self._option_stays(target, held):
            text = (
                "on level global MySQL takes GRANT OPTION away for all privileges at once, and some shall keep it; "
                f"{held.account.name} keeps it for {target.name or 'the others'}"
            )
            self.made.warnings.append(text)
            return False
        if self._may_give(target, words):
            return True
        grant_items.merge(self.remembered, {target: words})
        return False

    def _option_stays(self, target: Target, held: Held) -> bool:
        targets = [one for one in held.account.privileges if one.level == GLOBAL and one != target]
        keep = [one for one in targets if GRANT_OPTION in held.on(one)]
        return any(
            GRANT_OPTION not in self.given.get(one, ()) or GRANT_OPTION in self.wanted.get(one, ()) for one in keep
        )

    def _grants(self, lacking: Items, held: Held) -> Items:
        """Give what is to be given, databases as patterns, and note the differences."""
        items = {}
        for target, words in lacking.items():
            pattern = held.exact_row(target.database) if target.level == DATABASE else target.database
            if target.level == DATABASE and len(pattern) > names.PATTERN_CHARACTERS:
                text = (
                    f"a grant on the database {target.database} would have to name {pattern}, which is longer than the "
                    f"{names.PATTERN_CHARACTERS} characters that the server keeps; give privileges on its tables"
                )
                self.problems.append(DbopsError(Reason.UNSUPPORTED, text, field=FIELD))
                continue
            items[target._replace(database=pattern)] = words
            self._differs(f"{FIELD}.{grant_items.label(target)}.missing", words, expected=True)
        return items

    def _revokes(self, name: AccountName, extra: Items, held: Held) -> list[Step]:
        items = {}
        for target, words in extra.items():
            pattern = held.row(target.database) if target.level == DATABASE else target.database
            items[target._replace(database=pattern or target.database)] = words
            self._differs(f"{FIELD}.{grant_items.label(target)}.extra", words, expected=False)
        return list(grant_statements.revokes(name, items, self.state.facts.dialect))

    def _differs(self, name: str, words: frozenset[str], *, expected: bool) -> None:
        text = ", ".join(sorted(words))
        one = Difference(name, text if expected else "", "" if expected else text, destructive=not expected)
        if one not in self.made.differences:
            self.made.differences.append(one)


def _taken_along(held: Held, lacking: Items, extra: Items) -> Items:
    """Give what is to stay on columns, and goes when the same privileges are taken from their table.

    Both servers do so: replace_column_table in sql_acl.cc (MariaDB), sql_auth_cache.cc (MySQL).
    """
    found: Items = {}
    all_held = held.items()
    for column in {**all_held, **lacking}:
        if column.level == COLUMN:
            going = extra.get(column._replace(level=TABLE, column=""), frozenset())
            stays = all_held.get(column, frozenset()) | lacking.get(column, frozenset())
            stays = (stays & going) - extra.get(column, frozenset())
            if stays:
                found[column] = stays
    return found


def _without(items: Items, others: Items) -> Items:
    rest = {target: words - others.get(target, frozenset()) for target, words in items.items()}
    return {target: words for target, words in rest.items() if words}


def _once_done(held: Held, lacking: Items, extra: Items) -> Items:
    return _without(grant_items.merge(held.items(), lacking), extra)


def together(problems: Sequence[DbopsError]) -> DbopsError | None:
    """Give one error for all PROBLEMS; what needs a human counts more than what will come by itself."""
    if not problems:
        return None
    worst = next((one for one in problems if one.reason is not Reason.DEPENDENCY_NOT_READY), problems[0])
    return DbopsError(worst.reason, "; ".join(one.message for one in problems)[:1000], field=worst.field)


def lacking_rights(state: ServerState, target: Target, words: frozenset[str]) -> frozenset[str]:
    """Give those of WORDS that our account has not to give, GRANT OPTION where it lacks that."""
    return (words | {GRANT_OPTION}) - admin_has(state.facts, target)


def admin_has(facts: Facts, target: Target) -> frozenset[str]:
    """Give what our account has on TARGET, on whatever level: the server adds the levels up."""
    fold, admin = facts.fold, facts.admin
    found: frozenset[str] = frozenset()
    for one, words in admin.privileges.items():
        if one.level == GLOBAL:
            counts = one.name == target.name if target.level == GLOBAL else not one.name
        elif target.level == GLOBAL:
            counts = False
        elif one.level == DATABASE:
            pattern = fold(one.database)
            counts = names.matches(pattern, target.database) and not facts.partial_revokes
            counts = counts or pattern == target.database
        elif one.level == COLUMN:
            counts = target == one
        else:
            same = (fold(one.database), fold(one.name)) == (target.database, fold(target.name))
            counts = same and (one.level == target.level or (one.level == TABLE and target.level == COLUMN))
        if counts:
            found |= words
    return found


def _shown_object(target: Target) -> str:
    if target.level == GLOBAL:
        return "*.*"
    if target.level == DATABASE:
        return f"{names.quoted(names.escaped(target.database))}.*"
    kind = "" if target.level in (TABLE, COLUMN) else f"{target.level.upper()} "
    return f"{kind}{names.quoted(target.database)}.{names.quoted(target.name)}"
