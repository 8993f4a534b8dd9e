# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe privileges: who holds what on which level, from the tables that the server itself works with.

Called by mysql/server.py and catalog.py; gives the plain values of state.py. information_schema shows an account
only its own privileges unless it may read these tables anyway, and nothing of roles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import names, privileges
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.dialects import Dialect
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import (
    COLUMN,
    DATABASE,
    GLOBAL,
    GRANT_OPTION,
    TABLE,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import AccountName, Facts, Reader, Target

Held = dict[AccountName, dict[Target, frozenset[str]]]

_GLOBAL_WORDS = (*privileges.at_level(GLOBAL, flavour="mysql", version_number=0), GRANT_OPTION)


def _bits(words: Iterable[str]) -> str:
    """Give the expression that makes one number of many columns: the driver reads that in a fraction of the time."""
    return " + ".join(f"({privileges.COLUMNS[word]} = 'Y') * {1 << bit}" for bit, word in enumerate(words))


# Most accounts hold nothing everywhere: of these there is nothing to read.
_MYSQL_GLOBAL = "SELECT User, Host, {bits} AS bits FROM mysql.user WHERE User IN %(users)s HAVING bits <> 0"
_MYSQL_DYNAMIC = "SELECT USER, HOST, PRIV, WITH_GRANT_OPTION FROM mysql.global_grants WHERE USER IN %(users)s"
_MARIADB_GLOBAL = (
    "SELECT User, Host, JSON_VALUE(Priv, '$.access') AS access FROM mysql.global_priv WHERE User IN %(users)s"
    " HAVING access <> 0"
)
_DATABASES = "SELECT User, Host, Db, {bits} FROM mysql.db WHERE "
_TABLES = "SELECT User, Host, Db, Table_name, Table_priv FROM mysql.tables_priv WHERE Table_priv <> '' AND "
_COLUMNS = "SELECT User, Host, Db, Table_name, Column_name, Column_priv FROM mysql.columns_priv WHERE "
_ROUTINES = (
    "SELECT User, Host, Db, Routine_name, Routine_type, Proc_priv FROM mysql.procs_priv"
    " WHERE Routine_type IN ('FUNCTION', 'PROCEDURE') AND "
)
_OF_USERS = "User IN %(users)s"
_PATTERNS = "Db IN %(patterns)s"
_OF_TABLE = "Db = %(database)s AND Table_name = %(table)s"
_DYNAMIC = "SHOW PRIVILEGES"


def of_users(reader: Reader, users: Iterable[str], dialect: Dialect) -> Held:
    """Read all privileges of the accounts of these USERS (or roles)."""
    parameters = {"users": list(users)}
    if not parameters["users"]:
        return {}
    held: Held = {}
    for name, target, words in (
        *_global(reader, parameters, dialect),
        *_others(reader, _OF_USERS, parameters, dialect),
    ):
        if words:
            of_one = held.setdefault(name, {})
            had = of_one.get(target)
            # Thousands of rows have the same set; what is joined anew is one of its own.
            of_one[target] = words if had is None else had | words
    return held


def on_databases(reader: Reader, databases: Iterable[str], facts: Facts) -> dict[str, Held]:
    """Read everybody's privileges on databases of exactly these names, and on what is in them."""
    found: dict[str, Held] = {facts.fold(one): {} for one in databases}
    spellings = {spelling: name for name in found for spelling in (name, names.escaped(name))}
    if not found:
        return found
    parameters = {"patterns": sorted(spellings)}
    for name, target, words in _others(reader, _PATTERNS, parameters, facts.dialect):
        database = spellings.get(facts.fold(target.database))
        if database is not None and words:
            found[database].setdefault(name, {})[target] = words
    return found


def on_table(reader: Reader, users: Iterable[str], database: str, table: str, facts: Facts) -> Held:
    """Read what these USERS (or roles) hold everywhere, on databases by all patterns that match, and on a table."""
    parameters = {"users": list(users), "database": database, "table": table}
    held: Held = {}
    for name, target, words in (
        *_global(reader, parameters, facts.dialect),
        *_on_patterns(reader, parameters, facts),
        *_on_tables(reader, _OF_TABLE, parameters),
    ):
        if words:
            held.setdefault(name, {})[target] = words
    return held


def _on_patterns(
    reader: Reader, parameters: dict[str, Any], facts: Facts
) -> Iterator[tuple[AccountName, Target, frozenset[str]]]:
    for name, target, words in _on_databases(reader, _OF_USERS, parameters, facts.dialect):
        pattern = facts.fold(target.database)
        database = parameters["database"]
        if pattern == database or (not facts.partial_revokes and names.matches(pattern, database)):
            yield name, target._replace(database=pattern), words


def dynamic(reader: Reader) -> frozenset[str]:
    """Read which dynamic privileges MySQL's components have registered; static ones are not written in capitals."""
    return frozenset(name for name, *_ignored in reader.rows(_DYNAMIC) if name == name.upper())


def _global(
    reader: Reader, parameters: dict[str, Any], dialect: Dialect
) -> Iterator[tuple[AccountName, Target, frozenset[str]]]:
    everything = Target(GLOBAL)
    if dialect.flavour == "mariadb":
        for user, host, access in reader.rows(_MARIADB_GLOBAL, parameters):
            yield AccountName(user, host), everything, _known_bits(int(access), privileges.BITS)
        return
    for user, host, bits in reader.rows(_MYSQL_GLOBAL.format(bits=_bits(_GLOBAL_WORDS)), parameters):
        yield AccountName(user, host), everything, _known_bits(int(bits), _GLOBAL_WORDS)
    for user, host, word, grantable in reader.rows(_MYSQL_DYNAMIC, parameters):
        # Each of them has a grant option of its own.
        words = frozenset({word, GRANT_OPTION} if grantable == "Y" else {word})
        yield AccountName(user, host), Target(GLOBAL, name=word), words


def _others(
    reader: Reader, condition: str, parameters: dict[str, Any], dialect: Dialect
) -> Iterator[tuple[AccountName, Target, frozenset[str]]]:
    yield from _on_databases(reader, condition, parameters, dialect)
    yield from _on_tables(reader, condition, parameters)
    for user, host, database, name, kind, text in reader.rows(_ROUTINES + condition, parameters):
        yield AccountName(user, host), Target(kind.lower(), database, name), _known_set(text)


def _on_databases(
    reader: Reader, condition: str, parameters: dict[str, Any], dialect: Dialect
) -> Iterator[tuple[AccountName, Target, frozenset[str]]]:
    order = (*dialect.privileges_at(DATABASE), GRANT_OPTION)
    query = _DATABASES.format(bits=_bits(order)) + condition
    for user, host, database, bits in reader.rows(query, parameters):
        yield AccountName(user, host), Target(DATABASE, database), _known_bits(int(bits), order)


def _on_tables(
    reader: Reader, condition: str, parameters: dict[str, Any]
) -> Iterator[tuple[AccountName, Target, frozenset[str]]]:
    for user, host, database, table, text in reader.rows(_TABLES + condition, parameters):
        yield AccountName(user, host), Target(TABLE, database, table), _known_set(text)
    for user, host, database, table, column, text in reader.rows(_COLUMNS + condition, parameters):
        yield AccountName(user, host), Target(COLUMN, database, table, column), _known_set(text)


# There are few different ones among many rows.
_known_bits = lru_cache(maxsize=4096)(privileges.of_bits)
_known_set = lru_cache(maxsize=4096)(privileges.of_set)
