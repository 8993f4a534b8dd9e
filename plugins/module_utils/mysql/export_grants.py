# SPDX-License-Identifier: GPL-3.0-or-later
"""Privileges of accounts in, the entries of `grants` that would give the same out.

Called by export.py. A grant is for all accounts of a user, so what only some of them hold cannot be declared; nor
can privileges on patterns of names, or on what does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.exported import Chosen
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    catalog_databases,
    grant_items,
    ledger,
    names,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.export_accounts import Exportable
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import (
    COLUMN,
    DATABASE,
    GLOBAL,
    GRANT_OPTION,
    LEVELS,
    TABLE,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    Reader,
    ServerState,
    Target,
)

Items = dict[Target, frozenset[str]]
_NO_WORDS: frozenset[str] = frozenset()


@dataclass
class Reading:
    """The privileges of one server while they are sorted."""

    state: ServerState
    chosen: Chosen
    warnings: list[str]
    _items: dict[str, list[Items]] = field(default_factory=dict)
    """By user or role, those of each account."""

    def look(self, main: Reader, those: Iterable[Exportable]) -> None:
        """Read whether all is there that THOSE hold privileges on."""
        asked: set[Target] = set()
        for one in those:
            self._items[one.name] = [self._named(account) for account in one.accounts]
            for items in self._items[one.name]:
                asked |= {target for target in items if target.level not in (GLOBAL, DATABASE)}
        self.state.targets = catalog_databases.targets(main, asked, self.state)

    def _named(self, account: Account) -> Items:
        """Give what an account holds in chosen databases, by names instead of patterns."""
        found: Items = {}
        for target, words in account.privileges.items():
            name = self._database(account, target)
            if target.level == GLOBAL or name is not None:
                grant_items.merge(found, {target._replace(database=name or ""): words})
        return found

    def _database(self, account: Account, target: Target) -> str | None:
        facts, name = self.state.facts, target.database
        if target.level == GLOBAL:
            return None
        if target.level == DATABASE and not facts.partial_revokes:
            exists = facts.fold(name) in self.state.databases
            if names.is_wild(name):
                # In most grants that people write `_` is just a part of the name.
                text = f"is declared for the database {name} only" if exists else "cannot be declared"
                self.warnings.append(f"{account.name} has privileges on all databases like {name}, which {text}")
                if not exists:
                    return None
            else:
                name = names.plain(name)
        if name == ledger.DATABASE or not self.chosen.has_database(name):
            return None
        if facts.fold(name) not in self.state.databases:
            self.warnings.append(f"{account.name} has privileges on the database {name}, which does not exist")
            return None
        return name

    def entries(self, one: Exportable) -> list[dict[str, Any]]:
        """Give the entries of a user or role."""
        items = self._items[one.name]
        common: Items = {}
        for target in dict.fromkeys(target for those in items for target in those):
            held = [those.get(target, _NO_WORDS) for those in items]
            words = frozenset.intersection(*held)
            if any(words != those for those in held):
                self.warnings.append(
                    f"the accounts of {one.name} differ in privileges on {grant_items.label(target)}, which cannot be "
                    "declared"
                )
            words = self._known(one, target, words)
            if words and self._is_there(one, target):
                common[target] = words
        groups: dict[tuple[Any, ...], list[Target]] = {}
        for target, words in sorted(common.items(), key=lambda item: (LEVELS.index(item[0].level), item[0])):
            groups.setdefault(_group(target, words), []).append(target)
        return [self._entry(those, common) for those in groups.values()]

    def _known(self, one: Exportable, target: Target, words: frozenset[str]) -> frozenset[str]:
        known = {*self.state.facts.dialect.privileges_at(target.level), GRANT_OPTION}
        unknown = words - known - (self.state.dynamic_privileges if target.level == GLOBAL else _NO_WORDS)
        if unknown:
            text = f"{', '.join(sorted(unknown))} on {grant_items.label(target)} cannot be declared"
            self.warnings.append(f"{one.name}: {text}")
        return words - unknown

    def _is_there(self, one: Exportable, target: Target) -> bool:
        if target.level in (GLOBAL, DATABASE) or self.state.targets.get(target, False):
            return True
        self.warnings.append(f"{one.name} has privileges on {grant_items.label(target)}, which does not exist")
        return False

    def _entry(self, those: list[Target], common: Items) -> dict[str, Any]:
        first = those[0]
        words = _NO_WORDS.union(*(common[target] for target in those))
        entry: dict[str, Any] = {"level": first.level}
        if first.level != GLOBAL:
            entry["database"] = first.database
        if first.level in (TABLE, COLUMN):
            entry["table"] = first.name
        elif first.level not in (GLOBAL, DATABASE):
            entry[first.level] = first.name
        if first.level == COLUMN:
            entry["columns"] = [target.column for target in those]
        order = self.state.facts.dialect.privileges_at(first.level)
        listed = [word for word in order if word in words]
        listed += sorted(words - set(order) - {GRANT_OPTION})
        if first.level != GLOBAL and listed == list(order):
            listed = ["ALL"]
        # Nothing but that it may be passed on: USAGE is the word for nothing.
        entry["privileges"] = listed or ["USAGE"]
        return entry | ({"grant_option": True} if GRANT_OPTION in words else {})


def _group(target: Target, words: frozenset[str]) -> tuple[Any, ...]:
    """What targets have in common that stand in one entry: what is on the same and may be passed on alike."""
    if target.level == GLOBAL:
        return GLOBAL, GRANT_OPTION in words, words == {GRANT_OPTION}
    return target.level, target.database, target.name, words
