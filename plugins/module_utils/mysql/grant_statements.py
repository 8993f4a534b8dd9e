# SPDX-License-Identifier: GPL-3.0-or-later
"""GRANT and REVOKE: what one account gets or loses becomes steps, few of them; pure.

Called by grant_privileges.py. Columns of one table and dynamic privileges go together into one statement.
https://dev.mysql.com/doc/refman/9.0/en/grant.html https://mariadb.com/kb/en/grant/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import effects
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.dialects import Dialect
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import (
    COLUMN,
    DATABASE,
    FUNCTION,
    GLOBAL,
    GRANT_OPTION,
    PROCEDURE,
    TABLE,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import AccountName, Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import account, step

_USAGE = Keyword("USAGE")
_GLOBALLY = Statement("*.*")
Items = Mapping[Target, frozenset[str]]


def grants(name: AccountName, items: Items, dialect: Dialect) -> Iterator[Step]:
    """Give the steps that give ITEMS to an account; their databases are patterns."""
    for target, words, columns, those in _grouped(items):
        parts = _words(target, words - {GRANT_OPTION}, columns, dialect) or [_USAGE]
        template = "GRANT {} ON {} TO {} WITH GRANT OPTION" if GRANT_OPTION in words else "GRANT {} ON {} TO {}"
        statement = Statement(template, Joined(parts), _object(target), account(name))
        effect = partial(effects.grant, name=name, items=those)
        yield step(Action.GRANT, _target(target, words, columns, f"to {name}"), statement, effect=effect)


def given_again(name: AccountName, items: Items, dialect: Dialect) -> Iterator[Step]:
    """Give the steps that put back what a step before them takes along; what fails in between does not keep them."""
    for one in grants(name, items, dialect):
        yield replace(one, changes=False, cleanup=True)


def revokes(name: AccountName, items: Items, dialect: Dialect) -> Iterator[Step]:
    """Give the steps that take ITEMS from an account; their databases are patterns.

    What is on columns goes before what is on their table, with which it would go as well.
    """
    for target, words, columns, those in sorted(_grouped(items), key=lambda one: not one[2]):
        parts = _words(target, words - {GRANT_OPTION}, columns, dialect)
        if GRANT_OPTION in words:
            parts.append(Keyword(GRANT_OPTION))
        statement = Statement("REVOKE {} ON {} FROM {}", Joined(parts), _object(target), account(name))
        what, effect = _target(target, words, columns, f"from {name}"), partial(effects.revoke, name=name, items=those)
        yield step(Action.REVOKE, what, statement, destructive=True, effect=effect)


_Columns = dict[str, list[str]]


def _grouped(items: Items) -> Iterator[tuple[Target, frozenset[str], _Columns, Items]]:
    """Put columns of one table together, and dynamic privileges that may be given on, and those that may not.

    Gives also which of the ITEMS these are.
    """
    columns: dict[Target, _Columns] = {}
    dynamic: dict[frozenset[str], set[str]] = {}
    parts: dict[Target | frozenset[str], dict[Target, frozenset[str]]] = {}
    for target, words in sorted(items.items()):
        if target.level == COLUMN:
            table = target._replace(level=TABLE, column="")
            parts.setdefault(table, {})[target] = words
            of_table = columns.setdefault(table, {})
            for word in words:
                of_table.setdefault(word, []).append(target.column)
        elif target.level == GLOBAL and target.name:
            parts.setdefault(words & {GRANT_OPTION}, {})[target] = words
            dynamic.setdefault(words & {GRANT_OPTION}, set()).update(words - {GRANT_OPTION})
        else:
            yield target, words, {}, {target: words}
    for option, names in dynamic.items():
        yield Target(GLOBAL), frozenset(names) | option, {}, parts[option]
    for table, by_word in columns.items():
        yield table, frozenset(by_word), by_word, parts[table]


def _words(target: Target, words: frozenset[str], columns: _Columns, dialect: Dialect) -> list[Part]:
    order = {word: number for number, word in enumerate(dialect.privileges_at(COLUMN if columns else target.level))}
    parts: list[Part] = []
    for word in sorted(words, key=lambda one: (order.get(one, len(order)), one)):
        if columns:
            names = Joined([Identifier(one) for one in columns[word]])
            parts.append(Statement("{} ({})", Keyword(word), names))
        else:
            parts.append(Keyword(word))
    return parts


def _object(target: Target) -> Part:
    if target.level == GLOBAL:
        return _GLOBALLY
    if target.level == DATABASE:
        return Statement("{}.*", Identifier(target.database))
    name = Identifier(target.database, target.name)
    return {
        PROCEDURE: Statement("PROCEDURE {}", name),
        FUNCTION: Statement("FUNCTION {}", name),
    }.get(target.level, name)


def _target(target: Target, words: frozenset[str], columns: _Columns, who: str) -> str:
    where = "*.*" if target.level == GLOBAL else f"{target.database}.{target.name or '*'}"
    what = ", ".join(f"{word} ({', '.join(columns[word])})" if word in columns else word for word in sorted(words))
    return f"{what} on {where} {who}"
