# SPDX-License-Identifier: GPL-3.0-or-later
"""Declared privileges against what an account holds: what it lacks, and what nobody declares any more; pure.

Called by grant_privileges.py. On a database the server looks at one row only: the one whose pattern says most. So a
new row for exactly one database, in which `_` and `%` are no wildcards, hides a row such as `app%` that was there
before, and takes away what only that one gave. Such privileges are carried over into the new row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import names
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_items import Items
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import DATABASE
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Account, Facts, Target

_NO_WORDS: frozenset[str] = frozenset()


@dataclass
class Held:
    """What one account holds, by names instead of patterns."""

    account: Account
    facts: Facts
    _others: dict[Target, frozenset[str]] = field(default_factory=dict)
    _rows: dict[str, frozenset[str]] = field(default_factory=dict)
    """Of databases, by pattern as the server has it."""

    def __post_init__(self) -> None:
        """Sort what was read."""
        for target, words in self.account.privileges.items():
            database = self.facts.fold(target.database)
            if target.level == DATABASE:
                self._rows[database] = words
            else:
                name = self.facts.fold(target.name) if target.level in ("table", "column") else target.name
                if target.level in ("procedure", "function"):
                    name = name.lower()
                key = target._replace(database=database, name=name, column=target.column.lower())
                self._others[key] = words

    def on(self, target: Target) -> frozenset[str]:
        """Give the privileges on TARGET that are its own: those on more than that are not counted."""
        if target.level != DATABASE:
            return self._others.get(target, _NO_WORDS)
        return self._rows.get(self.row(target.database) or "", _NO_WORDS)

    def items(self) -> Items:
        """Give all that it holds, without what is on patterns of names, and what is on nothing in particular."""
        literal = self.facts.partial_revokes
        found = {
            Target(DATABASE, pattern if literal else names.plain(pattern)): words
            for pattern, words in self._rows.items()
            if literal or not names.is_wild(pattern)
        }
        return found | self._others

    def row(self, database: str) -> str | None:
        """Give the pattern of the row that is for this database: in either spelling, the exact one first."""
        spellings = [database] if self.facts.partial_revokes else [names.escaped(database), database]
        return next((one for one in spellings if one in self._rows), None)

    def exact_row(self, database: str) -> str:
        """Give the pattern that a grant on this database names."""
        return database if self.facts.partial_revokes else names.escaped(database)

    def hidden_by(self, database: str) -> frozenset[str]:
        """Give what holds in a database by a row that one for exactly this database hides, or would hide."""
        if self.facts.partial_revokes:
            return _NO_WORDS
        exact = names.escaped(database)
        rows = [one for one in self._rows if one != exact and names.is_wild(one) and names.matches(one, database)]
        if not rows:
            return _NO_WORDS
        most = max(map(_says, rows))
        return _NO_WORDS.union(*(self._rows[one] for one in rows if _says(one) == most))

    def counts_instead(self, database: str) -> tuple[str, frozenset[str]] | None:
        """Give the pattern, and its privileges, that MySQL goes by instead of the exact row once a role is active.

        Then the first row in the order of bytes counts, and not the one that says most; but a name without `_` and
        `%` is looked up as it is before (tried on MySQL 9.7, see access_rows.py). Roles are locked accounts, and what
        they hold counts for who has them active.
        """
        exact = names.escaped(database)
        active = self.account.roles or self.account.locked
        if not (self.facts.dialect.roles_are_accounts and active) or self.facts.partial_revokes or exact == database:
            return None
        first = min((one for one in (*self._rows, exact) if names.matches(one, database)), key=str.encode)
        return None if first == exact else (first, self._rows[first])


def _says(pattern: str) -> int:
    """How much a pattern says, as the server sorts them (get_sort in sql_acl.cc): where its first wildcard stands."""
    place = 0
    while place < len(pattern):
        if pattern[place] == "\\" and place + 1 < len(pattern):
            place += 2
        elif pattern[place] in "_%":
            return min(place + 1, 127)
        else:
            place += 1
    return 128


@dataclass
class Compared:
    """What one account lacks of what is declared, and has too much; what was carried over into which database."""

    lacking: Items = field(default_factory=dict)
    extra: Items = field(default_factory=dict)
    carried: Items = field(default_factory=dict)


def compare(
    held: Held,
    *,
    wanted: Mapping[Target, frozenset[str]],
    given: Mapping[Target, frozenset[str]],
    others: Sequence[Mapping[Target, frozenset[str]]],
    carried: Mapping[Target, frozenset[str]],
) -> Compared:
    """Compare what is WANTED, was GIVEN or CARRIED over, and is declared by OTHERS with what is HELD."""
    found = Compared()
    for target in dict.fromkeys((*wanted, *given, *carried)):
        words, has = wanted.get(target, _NO_WORDS), held.on(target)
        exact, hidden = True, _NO_WORDS
        if target.level == DATABASE:
            exact = held.row(target.database) == held.exact_row(target.database)
            hidden = held.hidden_by(target.database)
        lacking = words - has
        over: frozenset[str] = _NO_WORDS
        if words and hidden and (target in carried or (lacking and not exact)):
            # Into the exact row goes all that shall hold by it.
            over = hidden
            lacking = (words | hidden) - (has if exact else _NO_WORDS)
        keep = words.union(*(one.get(target, _NO_WORDS) for one in others))
        extra = ((given.get(target, _NO_WORDS) | carried.get(target, _NO_WORDS)) & has) - keep
        if exact and (has | lacking) - extra:
            # As long as something stays in the row it hides the other one: what that one gives stays in it as well.
            over |= extra & hidden
            extra -= hidden
        for into, those in ((found.lacking, lacking), (found.extra, extra), (found.carried, over)):
            if those:
                into[target] = those
    return found
