# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rows of the grant tables count for somebody who wants something of a table; pure.

Called by access.py. The levels are added up, but of a level not all rows count. All of this was tried on MySQL 9.7 and
MariaDB 10.11 and 11.8, and differs between them:

- As long as no role is active, rows for other hosts of the same user count where the session's host fits them, and rows
  for databases also those of the user without a name. Of rows for databases, and of those for the table, only one
  counts: the one whose host says most, then whose pattern does.
- On MySQL, once a role is active, the rows of exactly the account and of its active roles count. For databases that is
  the row for the plain name; else the first in the order of bytes, with all who have that row. `app%` goes before
  `app\\_db` then, which says more.
- On MariaDB each of these decides for itself: the account, its active role with all that this one has, and PUBLIC.

https://dev.mysql.com/doc/refman/9.0/en/request-access.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import names
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.access_state import Access, TableName
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import (
    COLUMN,
    DATABASE,
    GLOBAL,
    GRANT_OPTION,
    TABLE,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import AccountName, Facts, Target

_LONGEST = {"host": 60, "database": 64}


@dataclass(frozen=True)
class Acting:
    """Who acts together: an account, or roles, or both; each with the path that leads there."""

    paths: Mapping[AccountName, tuple[AccountName, ...]]
    by_host: AccountName | None = None
    """The account, where rows for its user's other hosts count as well."""


class Source(NamedTuple):
    """To whom something was given, and at which level."""

    holder: AccountName
    kind: str
    columns: tuple[str, ...] = ()
    pattern: str | None = None
    """Of databases, as the server has it."""
    grantable: bool = False


class _Row(NamedTuple):
    holder: AccountName
    target: Target
    words: frozenset[str]


def sources(acting: Acting, access: Access, name: TableName, privilege: str, facts: Facts) -> Iterator[Source]:
    """Give through what those who are ACTING have PRIVILEGE on a table."""
    for holder in acting.paths:
        words = access.held.get(holder, {}).get(Target(GLOBAL), frozenset())
        if privilege in words and privilege not in access.accounts[holder].restricted:
            yield Source(holder, GLOBAL, grantable=GRANT_OPTION in words)
    for row in _on_database(acting, access, name, facts):
        if privilege in row.words:
            yield Source(row.holder, DATABASE, (), row.target.database, GRANT_OPTION in row.words)
    for holder in _on_table(acting, access, facts):
        held = access.held[holder]
        words = held.get(Target(TABLE, *name), frozenset())
        if privilege in words:
            yield Source(holder, TABLE, grantable=GRANT_OPTION in words)
        columns = {one.column.lower() for one, those in held.items() if one.level == COLUMN and privilege in those}
        if columns:
            listed = tuple(one for one in access.columns if one.lower() in columns)
            yield Source(holder, COLUMN, listed, grantable=GRANT_OPTION in words)


def _rows(holders: Iterable[AccountName], access: Access) -> Iterator[_Row]:
    for holder in holders:
        for target, words in access.held.get(holder, {}).items():
            if target.level == DATABASE:
                yield _Row(holder, target, words)


def _on_database(acting: Acting, access: Access, name: TableName, facts: Facts) -> list[_Row]:
    """Give the row for databases that counts: of all who have it, or of several that say equally much."""
    if acting.by_host:
        holders = [one for one in access.held if _stands_for(one, acting.by_host, anonymous=True)]
        rows = list(_rows(holders, access))
    else:
        rows = list(_rows(acting.paths, access))
    if not rows:
        return []
    if not facts.dialect.roles_are_accounts:
        least = min(_generality(row) for row in rows)
        return [row for row in rows if _generality(row) == least]
    if acting.by_host:
        most = max(_specificity(row) for row in rows)
        return [row for row in rows if _specificity(row) == most]
    plain = "_" not in name.database and "%" not in name.database
    patterns = {row.target.database for row in rows}
    counts = name.database if plain and name.database in patterns else min(patterns, key=str.encode)
    return [row for row in rows if row.target.database == counts]


def _on_table(acting: Acting, access: Access, facts: Facts) -> list[AccountName]:
    """Give those whose rows for the table and its columns count."""

    def has_any(holder: AccountName) -> bool:
        return any(target.level in (TABLE, COLUMN) for target in access.held.get(holder, {}))

    if not acting.by_host:
        return [one for one in acting.paths if has_any(one)]
    found = [one for one in access.held if _stands_for(one, acting.by_host, anonymous=False) and has_any(one)]
    if facts.dialect.roles_are_accounts:
        return sorted(found, key=lambda one: _says(one.host), reverse=True)[:1]
    return sorted(found, key=lambda one: _how_general(one.host, "host"))[:1]


def _stands_for(holder: AccountName, account: AccountName, *, anonymous: bool) -> bool:
    """Whether rows of HOLDER count for whoever is logged in as ACCOUNT, wherever from."""
    if holder == account:
        return True
    # A role of MariaDB has no host and counts for nobody by its name.
    if not (holder.host and account.host) or (holder.user != account.user and (holder.user or not anonymous)):
        return False
    return holder.host == "%" or (
        not names.is_wild(account.host) and names.matches(holder.host.lower(), account.host.lower())
    )


def _specificity(row: _Row) -> tuple[int, int, int]:
    """How MySQL orders rows (get_sort in sql_auth_cache.cc): the highest counts."""
    return _says(row.holder.host), _says(row.target.database), int(bool(row.holder.user))


def _says(pattern: str) -> int:
    """How much a pattern says: where its first wildcard stands."""
    place = 0
    while place < len(pattern):
        if pattern[place] == "\\" and place + 1 < len(pattern):
            place += 1
        elif pattern[place] in "_%":
            return min(place + 1, 127)
        place += 1
    return 128 if pattern else 0


def _generality(row: _Row) -> tuple[Any, ...]:
    """How MariaDB orders rows (get_magic_sort in sql_acl.cc): the lowest counts."""
    user = int(not row.holder.user)
    return _how_general(row.holder.host, "host"), _how_general(row.target.database, "database"), user


def _how_general(pattern: str, what: str) -> tuple[int, int, int, int]:
    """How many names a pattern may stand for, as far as the server compares that.

    What `%` may stand for beyond the pattern's own characters weighs most where that is more than its `_`.
    """
    literal = single = many = prefix = 0
    before = ""
    characters = iter(pattern)
    for one in characters:
        if one in "%_":
            prefix = prefix if many or single else literal
            many += one == "%" != before
            single += one == "_"
        else:
            literal += 1
            if one == "\\":
                next(characters, "")
        before = one
    rest = _LONGEST[what] - literal - single if many else 0
    return (2 * rest + 1, many, single, prefix) if rest > single else (2 * single, rest, many, prefix)
