# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe databases: character set, collation, size, sessions; and which collations the server has.

Called by mysql/server.py; gives the plain values of state.py. Sets are read in one query each.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import (
    COLUMN,
    FUNCTION,
    PROCEDURE,
    TABLE,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Database,
    Facts,
    Reader,
    ServerState,
    Target,
)

_DATABASES = """
SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME
FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN %s
"""
_SESSIONS = (
    "SELECT DB, ID FROM information_schema.PROCESSLIST WHERE DB IN %s AND ID <> CONNECTION_ID() AND COMMAND <> 'Killed'"
)
# MariaDB's information_schema.TABLES would open every table of the server; what its files take is known without,
# and their names are written as file names.
_SIZES = {
    "mysql": """
SELECT TABLE_SCHEMA, SUM(DATA_LENGTH + INDEX_LENGTH) FROM information_schema.TABLES
WHERE TABLE_SCHEMA IN %s GROUP BY TABLE_SCHEMA
""",
    "mariadb": """
SELECT CONVERT(CONVERT(CAST(SUBSTRING_INDEX(NAME, '/', 1) AS BINARY) USING filename) USING utf8mb4), SUM(FILE_SIZE)
FROM information_schema.INNODB_SYS_TABLESPACES
WHERE SUBSTRING_INDEX(NAME, '/', 1) IN (SELECT CAST(CONVERT(SCHEMA_NAME USING filename) AS BINARY)
  FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN %s) GROUP BY 1
""",
}
_COLLATIONS = {
    "mysql": "SELECT COLLATION_NAME, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY",
    "mariadb": "SELECT {name}, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY",
}
_CHARACTER_SETS = "SELECT CHARACTER_SET_NAME, DEFAULT_COLLATE_NAME FROM information_schema.CHARACTER_SETS"
_FULL_NAMES_FROM = 101001
"""MariaDB: collations of the Unicode standard have one short name for all character sets, and a full one."""


def read(reader: Reader, databases: Iterable[str], facts: Facts) -> dict[str, Database]:
    """Read the databases of these names that exist, by their folded names."""
    wanted = list(databases)
    if not wanted:
        return {}
    folded = {facts.fold(one) for one in wanted}
    # The server may compare names without regard to case or accents.
    rows = [row for row in reader.rows(_DATABASES, [wanted]) if facts.fold(row[0]) in folded]
    if not rows:
        return {}
    there = [row[0] for row in rows]
    sessions: dict[str, list[int]] = {}
    for name, number in reader.rows(_SESSIONS, [there]):
        sessions.setdefault(facts.fold(name), []).append(number)
    sizes = _sizes(reader, there, facts)
    return {
        facts.fold(name): Database(
            name=name,
            charset=charset,
            collation=collation,
            size_bytes=None if sizes is None else sizes.get(facts.fold(name), 0),
            sessions=tuple(sessions.get(facts.fold(name), ())),
        )
        for name, charset, collation in rows
    }


def _sizes(reader: Reader, names: list[str], facts: Facts) -> dict[str, int] | None:
    try:
        rows = reader.rows(_SIZES[facts.dialect.flavour], [names])
    except DbopsError as error:
        if error.reason is not Reason.PRIVILEGE_MISSING:
            raise
        return None
    return {facts.fold(name): int(size or 0) for name, size in rows}


def collations(reader: Reader, facts: Facts) -> tuple[dict[str, str], dict[str, str]]:
    """Read every collation with its character set, and every character set with its default collation."""
    mariadb = facts.dialect.flavour == "mariadb"
    full = mariadb and facts.dialect.version_number >= _FULL_NAMES_FROM
    query = _COLLATIONS[facts.dialect.flavour]
    rows = reader.rows(query.format(name="FULL_COLLATION_NAME" if full else "COLLATION_NAME") if mariadb else query)
    return dict(rows), dict(reader.rows(_CHARACTER_SETS))


_TABLES = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME IN %s"
_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME IN %s
"""
_ROUTINES = "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s"


def targets(reader: Reader, wanted: Iterable[Target], state: ServerState) -> dict[Target, bool]:
    """Read which of these tables, columns and routines there are; by database, as the server looks them up."""
    fold = state.facts.fold
    by_database: dict[str, set[Target]] = {}
    for target in wanted:
        by_database.setdefault(fold(target.database), set()).add(target)
    found: dict[Target, bool] = {}
    for key, those in by_database.items():
        database = state.databases.get(key)
        there: set[Target] = _inside(reader, database.name, those, state.facts) if database else set()
        found |= {target: _folded(target, state.facts) in there for target in those}
        found |= {_folded(target, state.facts): value for target, value in found.items()}
    return found


def _folded(target: Target, facts: Facts) -> Target:
    """Give TARGET as the server compares it; routines and columns it compares without regard to case."""
    routine = target.level in (PROCEDURE, FUNCTION)
    name = target.name.lower() if routine else facts.fold(target.name)
    return Target(target.level, facts.fold(target.database), name, target.column.lower())


def _inside(reader: Reader, database: str, wanted: set[Target], facts: Facts) -> set[Target]:
    found: set[Target] = set()
    tables = sorted({target.name for target in wanted if target.level == TABLE})
    if tables:
        rows = reader.rows(_TABLES, [database, tables])
        found |= {_folded(Target(TABLE, database, name), facts) for (name,) in rows}
    tables = sorted({target.name for target in wanted if target.level == COLUMN})
    if tables:
        rows = reader.rows(_COLUMNS, [database, tables])
        found |= {_folded(Target(COLUMN, database, name, column), facts) for name, column in rows}
    if any(target.level in (PROCEDURE, FUNCTION) for target in wanted):
        rows = reader.rows(_ROUTINES, [database])
        found |= {_folded(Target(kind.lower(), database, name), facts) for kind, name in rows}
    return found
