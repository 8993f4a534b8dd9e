# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe databases: character set, collation, size, sessions; and which collations the server has.

Called by mysql/server.py; gives the plain values of state.py. Sets are read in one query each.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Database, Facts, Reader

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
