# SPDX-License-Identifier: GPL-3.0-or-later
"""What declared entries of `grants` give: privileges by what they are on; pure.

Called by grant.py, role.py and declared.py with what core.grants has read; what comes out is compared with what an
account holds by grant_compare.py and kept in the ledger. Here a database is a name, never a pattern.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Grant
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import privileges
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import (
    ALL,
    COLUMN,
    DATABASE,
    FUNCTION,
    GLOBAL,
    GRANT_OPTION,
    LEVELS,
    PROCEDURE,
    TABLE,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Facts, Target

FIELD = "grants"
Items = dict[Target, frozenset[str]]
"""Privileges, GRANT OPTION among them, by what they are on."""

# What an entry must name, by its level.
_NAMED = {
    GLOBAL: (),
    DATABASE: ("database",),
    TABLE: ("database", "table"),
    COLUMN: ("database", "table", "columns"),
    PROCEDURE: ("database", "procedure"),
    FUNCTION: ("database", "function"),
}
_OPTIONS = ("database", "table", "columns", "procedure", "function")
_NOTHING = "USAGE"


def merge(into: Items, other: Mapping[Target, frozenset[str]]) -> Items:
    """Add the items of OTHER to INTO, which is given back."""
    for target, words in other.items():
        had = into.get(target)
        into[target] = words if had is None else had | words
    return into


def read(entries: Iterable[Grant], facts: Facts, dynamic: frozenset[str]) -> Items:
    """Give all that ENTRIES declare; DYNAMIC privileges are those that the server has. Raises DbopsError."""
    found: Items = {}
    for entry in entries:
        merge(found, read_entry(entry, facts, dynamic))
    return found


def read_entry(entry: Grant, facts: Facts, dynamic: frozenset[str]) -> Items:
    """Give what one entry declares. Raises DbopsError with InvalidSpec for what no server could do."""
    level = level_of(entry)
    words = _words(entry, level, facts, dynamic)
    passed_on = entry.grant_option or GRANT_OPTION in entry.privileges
    option = frozenset({GRANT_OPTION} if passed_on else ())
    found: Items = {}
    for target in _targets(entry, level, facts):
        static = words - dynamic if level == GLOBAL else words
        # A column has no grant option of its own: it is the table's.
        plain = static | option if option and level != COLUMN else static
        # Nor does that of dynamic privileges let anything else be passed on.
        if level == GLOBAL and words and not static:
            plain = static
        if plain:
            found[target] = plain
        if level == COLUMN and option:
            found[target._replace(level=TABLE, column="")] = option
    if level == GLOBAL:
        # Each dynamic privilege has a grant option of its own.
        found |= {Target(GLOBAL, name=word): frozenset({word}) | option for word in words & dynamic}
    return found


def targets(entry: Grant, facts: Facts) -> list[Target]:
    """Give what one entry is about."""
    return _targets(entry, level_of(entry), facts)


def _targets(entry: Grant, level: str, facts: Facts) -> list[Target]:
    database = facts.fold(entry.database or "")
    if level == COLUMN:
        # The server compares the names of columns without regard to case.
        table = facts.fold(entry.table or "")
        return [Target(COLUMN, database, table, column.lower()) for column in entry.columns]
    if level in (PROCEDURE, FUNCTION):
        return [Target(level, database, (entry.procedure or entry.function or "").lower())]
    return [Target(level, database, facts.fold(entry.table or "") if level == TABLE else "")]


def named(entries: Iterable[Grant]) -> tuple[set[str], set[Target]]:
    """Give the databases that ENTRIES name, and the tables, columns and routines; as they are written."""
    databases: set[str] = set()
    found: set[Target] = set()
    for entry in entries:
        # What is wrong with an entry is said by the plan.
        with suppress(DbopsError):
            level, database = level_of(entry), entry.database or ""
            if level != GLOBAL:
                databases.add(database)
            if level in (TABLE, COLUMN):
                found.add(Target(TABLE, database, entry.table or ""))
            found |= {Target(COLUMN, database, entry.table or "", column) for column in entry.columns}
            if level in (PROCEDURE, FUNCTION):
                found.add(Target(level, database, entry.procedure or entry.function or ""))
    return databases, found


def level_of(entry: Grant) -> str:
    """Give the level of an entry: the one that it names, or else that of what it names."""
    names = (bool(entry.database), bool(entry.table), bool(entry.columns), bool(entry.procedure), bool(entry.function))
    level = _level(entry.level, names)
    for name in (entry.database, entry.table, entry.procedure, entry.function):
        if name is not None:
            check_name(name, field=FIELD)
    for column in entry.columns:
        check_name(column, field=FIELD)
    if entry.table == "*" or entry.database == "*":
        raise _invalid("`*` is no name; all tables of a database are level database, all databases level global")
    return level


@cache
def _level(level: str | None, named: tuple[bool, ...]) -> str:
    """Give the level of an entry that says LEVEL, and of _OPTIONS has those that are NAMED."""
    options = {option for option, is_named in zip(_OPTIONS, named, strict=True) if is_named}
    if level is None:
        level = next((one for one in reversed(LEVELS) if _NAMED[one] and options.issuperset(_NAMED[one])), None)
    if level is None:
        raise _invalid("an entry of grants names neither a level nor what it is on")
    wrong = options.symmetric_difference(_NAMED[level])
    if wrong:
        option = min(wrong)
        raise _invalid(f"an entry of level {level} {'names' if option in options else 'does not name'} {option}")
    return level


def _words(entry: Grant, level: str, facts: Facts, dynamic: frozenset[str]) -> frozenset[str]:
    """Give the privileges of an entry as the server's tables call them."""
    dialect = facts.dialect
    here = dialect.privileges_at(level)
    found, unknown = _known(entry.privileges, here, dynamic if level == GLOBAL else frozenset(), dialect.flavour)
    if unknown:
        raise _unknown(unknown, level, facts)
    return found


@lru_cache(maxsize=1024)
def _known(
    declared: tuple[str, ...], static: tuple[str, ...], dynamic: frozenset[str], flavour: str
) -> tuple[frozenset[str], str | None]:
    """Give which privileges are DECLARED, of those that there are, and the first that there is not.

    Many entries declare the same ones.
    """
    here = dynamic.union(static)
    # MySQL's dynamic privileges have underscores, MariaDB's have blanks; each may be written the other way.
    spelled = {one.replace("_", " "): one for one in here}
    found: set[str] = set()
    for word in declared:
        if word in ALL:
            found |= here
        elif word not in (_NOTHING, GRANT_OPTION):
            known = spelled.get(privileges.usual_word(word, flavour=flavour).replace("_", " "))
            if known is None:
                return frozenset(), word
            found.add(known)
    return frozenset(found), None


def _unknown(word: str, level: str, facts: Facts) -> DbopsError:
    usual = privileges.usual_word(word, flavour=facts.dialect.flavour)
    levels = [one for one in LEVELS if usual in facts.dialect.privileges_at(one)]
    if levels:
        return _invalid(f"{word} is no privilege of level {level}, but of {', '.join(levels)}")
    there = ", ".join(sorted(facts.dialect.privileges_at(level)))
    return _invalid(f"{facts.dialect.title} has no privilege {word}; on level {level} there are {there}, ALL")


def _invalid(text: str) -> DbopsError:
    return DbopsError(Reason.INVALID_SPEC, text, field=FIELD)


def to_ledger(items: Mapping[Target, frozenset[str]]) -> list[list[Any]]:
    """Give ITEMS as plain data."""
    return [[*target, sorted(words)] for target, words in sorted(items.items())]


def from_ledger(rows: Iterable[Any]) -> Items:
    """Read what `to_ledger` gave."""
    return {Target(*row[:4]): frozenset(row[4]) for row in rows}


def label(target: Target) -> str:
    """Give what privileges are on for people, as in `grants.app.orders`."""
    if target.level == GLOBAL:
        return "*.*"
    column = f".{target.column}" if target.column else ""
    return f"{target.database}.{target.name or '*'}{column}"
