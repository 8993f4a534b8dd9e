# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database is, and what our account may read of it, before it is dumped; reads only.

Called by mysql/engine.py. The dump tools leave out in silence what an account may not see (triggers, routines), or
fail in the middle (events): here the options are chosen so that they do neither, and what will be missing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import tools
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import BackupRequest, Examined
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import quoting
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_privileges import admin_has
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import DATABASE
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Target

_DATABASE = """
SELECT SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA
WHERE SCHEMA_NAME = %s
"""
_TABLES = """
SELECT TABLE_NAME, ENGINE, COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0), TABLE_TYPE
FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s
"""
_SYSTEM = frozenset({"mysql", "information_schema", "performance_schema", "sys"})
_TABLE_TYPES = ("BASE TABLE", "SYSTEM VERSIONED")
_SEES_ROUTINES = {
    "mysql": frozenset({"SHOW_ROUTINE"}),
    "mariadb": frozenset({"SHOW CREATE ROUTINE"}),
}


def examine(server: Server, request: BackupRequest) -> Examined:
    """Say how REQUEST will be done on SERVER. Raises DbopsError."""
    server.require_direct()
    database, charset, collation = found(server, request.database)
    tool = tools.mysql("dump", server.engine, server.facts.dialect.version_number, request.tools_path)
    tables = server.main.rows(_TABLES, [database])
    warnings: list[str] = []
    options = {
        **request.options,
        **_code(server, database, request.options, warnings),
        "set_gtid_purged": _gtids(server, request.options, warnings),
        "tables_total": sum(kind in _TABLE_TYPES for _name, _engine, _size, kind in tables),
    }
    _check_tables(request.options, {name for name, *_rest in tables}, database)
    _check_locks(server, database, options)
    if options.get("single_transaction", True):
        others = sorted(name for name, engine, _size, kind in tables if kind in _TABLE_TYPES and engine != "InnoDB")
        if others:
            text = f"{', '.join(others[:10])}: not InnoDB, so their rows can be newer than the snapshot of the others"
            warnings.append(text)
    return Examined(
        engine=server.engine,
        server_version=server.facts.version.partition("-")[0],
        tool=tool,
        format="plain",
        extension=".sql",
        size=sum(int(size) for _name, _engine, size, _kind in tables),
        options=options,
        server={"charset": charset, "collation": collation},
        warnings=warnings,
    )


def found(server: Server, name: str) -> tuple[str, str, str]:
    """Give name, character set and collation of a database as the server has them. Raises DbopsError."""
    fold = server.facts.fold
    rows = [row for row in server.main.rows(_DATABASE, [name]) if fold(row[0]) == fold(name)]
    if not rows:
        text = f"the database {name} does not exist, or {server.facts.admin.name} may not see it"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="database")
    if rows[0][0].lower() in _SYSTEM:
        raise DbopsError(Reason.INVALID_SPEC, f"{name} is the server's own database", field="database")
    database, charset, collation = rows[0]
    return str(database), str(charset), str(collation)


def _code(server: Server, database: str, wanted: Mapping[str, Any], warnings: list[str]) -> dict[str, bool]:
    """Say which of triggers, routines and events are dumped: those that are wanted, and can be seen."""
    admin = server.facts.admin
    held = admin_has(server.facts, Target(DATABASE, server.facts.fold(database)))
    everywhere = {word for word in _SEES_ROUTINES[server.engine] | {"SELECT"} if admin.may(word)}
    sees = {
        "triggers": "TRIGGER" in held,
        "routines": bool(everywhere) or {"CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE"} <= held,
        "events": sees_events(server, database),
    }
    needs = {"triggers": "TRIGGER", "routines": "SELECT ON *.*", "events": "EVENT"}
    found: dict[str, bool] = {}
    for kind, visible in sees.items():
        asked = bool(wanted.get(kind, True))
        # Where grants cannot be read, what the account may see is not known.
        known = visible or (kind != "events" and not admin.reads_accounts)
        found[kind] = asked and known
        if asked and not known:
            warnings.append(f"{kind} are not in the dump: {admin.name} lacks {needs[kind]} for the database {database}")
    return found


def sees_events(server: Server, database: str) -> bool:
    """Whether our account may see the events of DATABASE; without that right there seem to be none."""
    try:
        server.main.rows(f"SHOW EVENTS FROM {quoting.name(database)}")
    except DbopsError as error:
        if error.reason is not Reason.PRIVILEGE_MISSING:
            raise
        return False
    return True


def _gtids(server: Server, wanted: Mapping[str, Any], warnings: list[str]) -> str:
    """Say whether the dump sets the server's GTIDs: only where that was asked for by name.

    They are those of the whole server, and the dump is of one database; no restore of ours could set them.
    """
    if server.engine != "mysql" or wanted.get("set_gtid_purged") != "ON":
        return "OFF"
    admin = server.facts.admin
    if admin.may("RELOAD") or admin.may("FLUSH_TABLES") or not admin.reads_accounts:
        return "ON"
    warnings.append(f"GTIDs are not in the dump: {admin.name} lacks RELOAD")
    return "OFF"


def _check_tables(wanted: Mapping[str, Any], there: set[str], database: str) -> None:
    missing = sorted(set(wanted.get("tables") or ()) - there)
    if missing:
        text = f"there is no table {', '.join(missing)} in the database {database}"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="tables")


def _check_locks(server: Server, database: str, options: Mapping[str, Any]) -> None:
    if options.get("single_transaction", True) or not options.get("lock_tables", True):
        return
    admin = server.facts.admin
    held = admin_has(server.facts, Target(DATABASE, server.facts.fold(database)))
    if admin.reads_accounts and "LOCK TABLES" not in held:
        text = (
            f"{admin.name} lacks LOCK TABLES on the database {database}; set single_transaction, or lock_tables: false"
        )
        raise DbopsError(Reason.PRIVILEGE_MISSING, text, field="lock_tables")
