# SPDX-License-Identifier: GPL-3.0-or-later
"""What has a definer in a database (views, triggers, routines, events): which there is, whether we could bring it back.

Called by mysql/swap.py, which drops it and makes it anew, since none of it can be moved to another database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql import examine
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.contents import Contents
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.login import RestoreLogin, send
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Identifier, Keyword, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_privileges import admin_has
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import DATABASE
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import shown

# In the order in which they are dropped: what fires by itself goes first.
_OBJECTS = """
SELECT 1, 'EVENT', EVENT_NAME, DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %(database)s
UNION ALL
SELECT 2, 'TRIGGER', TRIGGER_NAME, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %(database)s
UNION ALL
SELECT 3, 'VIEW', TABLE_NAME, DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %(database)s
UNION ALL
SELECT 4, ROUTINE_TYPE, ROUTINE_NAME, DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %(database)s
ORDER BY 1, 3
"""
_PACKAGE_BODY = "PACKAGE BODY"
_DROPS = {
    "EVENT": "EVENT",
    "TRIGGER": "TRIGGER",
    "VIEW": "DROP",
    "PROCEDURE": "ALTER ROUTINE",
    "FUNCTION": "ALTER ROUTINE",
    "PACKAGE": "ALTER ROUTINE",
}
"""What it takes to drop one."""
_SETS_DEFINERS = {
    "mysql": ("SET_ANY_DEFINER", "SET_USER_ID", "SUPER"),
    "mariadb": ("SET USER", "SUPER"),
}
_TABLES = ("tables", "sequences")


def objects(server: Server, database: str) -> list[tuple[str, str, str]]:
    """Give kind, name and definer of all that our account sees in DATABASE, in the order to drop it."""
    rows = server.main.rows(_OBJECTS, {"database": database})
    # A package's body goes with the package.
    return [(kind, name, definer) for _order, kind, name, definer in rows if kind != _PACKAGE_BODY]


def there(server: Server, database: str) -> bool:
    """Whether there is any."""
    return bool(objects(server, database))


def drop(server: Server, database: str) -> None:
    """Drop all of it."""
    _drop(server, database, objects(server, database))


def drop_triggers(server: Server, database: str) -> None:
    """Drop triggers only: tables with triggers are not moved to another database."""
    _drop(server, database, [one for one in objects(server, database) if one[0] == "TRIGGER"])


def _drop(server: Server, database: str, those: list[tuple[str, str, str]]) -> None:
    for kind, name, _definer in those:
        statement = Statement("DROP {} {}", Keyword(kind), Identifier(database, name))
        send(server, statement, f"{kind.lower()} {database}.{name}")


def problems(server: Server, login: RestoreLogin, database: str) -> Iterator[DbopsError]:
    """Give why our account could not take away what is in DATABASE, and bring it back as it was."""
    admin = server.facts.admin
    held = admin_has(server.facts, Target(DATABASE, server.facts.fold(database)))
    if not examine.sees_events(server, database):
        text = f"{admin.name} lacks EVENT on the database {database}, so what events it has would be lost"
        yield DbopsError(Reason.PRIVILEGE_MISSING, text, field="target.database")
    found = objects(server, database)
    lacking = sorted({_DROPS[kind] for kind, *_rest in found} - held) if admin.reads_accounts else []
    if lacking:
        text = f"{admin.name} lacks {', '.join(lacking)} on the database {database}, which has to be replaced"
        yield DbopsError(Reason.PRIVILEGE_MISSING, text, field="target.database")
    mine = {str(admin.name), str(login.name)}
    foreign = sorted({definer for *_rest, definer in found} - mine)
    if foreign and not sets_definers(server):
        privilege = _SETS_DEFINERS[server.engine][0]
        text = (
            f"were the swap to fail, {admin.name} could not bring back what has {', '.join(foreign[:5])} as its "
            f"definer; an administrator can allow it: GRANT {privilege} ON *.* TO {shown(admin.name)}"
        )
        yield DbopsError(Reason.PRIVILEGE_MISSING, text, field="target.database")


def sets_definers(server: Server) -> bool:
    """Whether our account may make objects with any definer."""
    admin = server.facts.admin
    return not admin.reads_accounts or any(admin.may(word) for word in _SETS_DEFINERS[server.engine])


def is_of(text: bytes, login: RestoreLogin) -> bool:
    """Whether all in a dump's TEXT has the restore's LOGIN as its definer."""
    return _seen(text).accounts <= {shown(login.name)}


def counts(text: bytes) -> Mapping[str, int]:
    """Give how many objects with a definer there are in a dump's TEXT, by type."""
    return {kind: number for kind, number in _seen(text).objects.items() if kind not in _TABLES}


def _seen(text: bytes) -> Contents:
    found = Contents()
    found.feed(text)
    found.finish()
    return found
