# SPDX-License-Identifier: GPL-3.0-or-later
"""The privileges of MySQL and MariaDB: which there are at which level, and how the grant tables spell them.

Read by the planners of grants (what `ALL` means, what a level takes) and by catalog_grants.py. Dynamic privileges
of MySQL are not here: which there are depends on the server's components, so the server is asked (SHOW PRIVILEGES).
https://dev.mysql.com/doc/refman/9.0/en/privileges-provided.html
https://mariadb.com/kb/en/grant/
"""

from __future__ import annotations

GRANT_OPTION = "GRANT OPTION"
"""In a set of privileges: they may be given on. There is one for each grantee and object, not for each privilege."""
ALL = frozenset({"ALL", "ALL PRIVILEGES"})

GLOBAL, DATABASE, TABLE, COLUMN, PROCEDURE, FUNCTION = (
    "global",
    "database",
    "table",
    "column",
    "procedure",
    "function",
)
LEVELS = (GLOBAL, DATABASE, TABLE, COLUMN, PROCEDURE, FUNCTION)

_COLUMN = ("SELECT", "INSERT", "UPDATE", "REFERENCES")
_TABLE = (
    *("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "REFERENCES", "INDEX", "ALTER", "CREATE VIEW"),
    *("SHOW VIEW", "TRIGGER"),
)
_ROUTINE = ("EXECUTE", "ALTER ROUTINE")
_DATABASE = (*_TABLE, "CREATE TEMPORARY TABLES", "LOCK TABLES", "CREATE ROUTINE", *_ROUTINE, "EVENT")
_GLOBAL = (
    *_DATABASE,
    *("CREATE USER", "CREATE TABLESPACE", "FILE", "PROCESS", "RELOAD", "REPLICATION SLAVE", "SHOW DATABASES"),
    *("SHUTDOWN", "SUPER"),
)
_HISTORY = "DELETE HISTORY"
_SHOW_ROUTINE = "SHOW CREATE ROUTINE"
_SHOW_ROUTINE_FROM = 110300
"""MariaDB: the privilege SHOW CREATE ROUTINE."""

# In the order of the bits of `access` in MariaDB's mysql.global_priv (sql/privilege.h), which is also the order of
# the columns of mysql.user as far as they go.
BITS = (
    *("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "RELOAD", "SHUTDOWN", "PROCESS", "FILE"),
    *(GRANT_OPTION, "REFERENCES", "INDEX", "ALTER", "SHOW DATABASES", "SUPER", "CREATE TEMPORARY TABLES"),
    *("LOCK TABLES", "EXECUTE", "REPLICATION SLAVE", "BINLOG MONITOR", "CREATE VIEW", "SHOW VIEW", "CREATE ROUTINE"),
    *("ALTER ROUTINE", "CREATE USER", "EVENT", "TRIGGER", "CREATE TABLESPACE", _HISTORY, "SET USER"),
    *("FEDERATED ADMIN", "CONNECTION ADMIN", "READ_ONLY ADMIN", "REPLICATION SLAVE ADMIN"),
    *("REPLICATION MASTER ADMIN", "BINLOG ADMIN", "BINLOG REPLAY", "SLAVE MONITOR", _SHOW_ROUTINE),
)

_MYSQL_GLOBAL = (*_GLOBAL, "REPLICATION CLIENT", "CREATE ROLE", "DROP ROLE")
_MARIADB_GLOBAL = (
    *_GLOBAL,
    *(_HISTORY, "BINLOG MONITOR", "SET USER", "FEDERATED ADMIN", "CONNECTION ADMIN", "READ_ONLY ADMIN"),
    *("REPLICATION SLAVE ADMIN", "REPLICATION MASTER ADMIN", "BINLOG ADMIN", "BINLOG REPLAY", "SLAVE MONITOR"),
)
_STATIC: dict[str, dict[str, tuple[str, ...]]] = {
    "mysql": {
        GLOBAL: _MYSQL_GLOBAL,
        DATABASE: _DATABASE,
        TABLE: _TABLE,
        COLUMN: _COLUMN,
        PROCEDURE: _ROUTINE,
        FUNCTION: _ROUTINE,
    },
    "mariadb": {
        GLOBAL: _MARIADB_GLOBAL,
        DATABASE: (*_DATABASE, _HISTORY),
        TABLE: (*_TABLE, _HISTORY),
        COLUMN: _COLUMN,
        PROCEDURE: _ROUTINE,
        FUNCTION: _ROUTINE,
    },
}
# Other words for the same, which the server takes too and shows as these.
_SYNONYMS: dict[str, dict[str, str]] = {
    "mysql": {},
    "mariadb": {
        "REPLICATION CLIENT": "BINLOG MONITOR",
        "REPLICA MONITOR": "SLAVE MONITOR",
        "REPLICATION REPLICA": "REPLICATION SLAVE",
        "REPLICATION REPLICA ADMIN": "REPLICATION SLAVE ADMIN",
        "DELETE VERSIONING ROWS": _HISTORY,
    },
}

# Columns of mysql.user and mysql.db, by the privilege. mysql.user of MariaDB is a view that lacks the newer ones.
COLUMNS = {
    "SELECT": "Select_priv",
    "INSERT": "Insert_priv",
    "UPDATE": "Update_priv",
    "DELETE": "Delete_priv",
    "CREATE": "Create_priv",
    "DROP": "Drop_priv",
    "RELOAD": "Reload_priv",
    "SHUTDOWN": "Shutdown_priv",
    "PROCESS": "Process_priv",
    "FILE": "File_priv",
    GRANT_OPTION: "Grant_priv",
    "REFERENCES": "References_priv",
    "INDEX": "Index_priv",
    "ALTER": "Alter_priv",
    "SHOW DATABASES": "Show_db_priv",
    "SUPER": "Super_priv",
    "CREATE TEMPORARY TABLES": "Create_tmp_table_priv",
    "LOCK TABLES": "Lock_tables_priv",
    "EXECUTE": "Execute_priv",
    "REPLICATION SLAVE": "Repl_slave_priv",
    "REPLICATION CLIENT": "Repl_client_priv",
    "CREATE VIEW": "Create_view_priv",
    "SHOW VIEW": "Show_view_priv",
    "CREATE ROUTINE": "Create_routine_priv",
    "ALTER ROUTINE": "Alter_routine_priv",
    "CREATE USER": "Create_user_priv",
    "EVENT": "Event_priv",
    "TRIGGER": "Trigger_priv",
    "CREATE TABLESPACE": "Create_tablespace_priv",
    "CREATE ROLE": "Create_role_priv",
    "DROP ROLE": "Drop_role_priv",
    _HISTORY: "Delete_history_priv",
    _SHOW_ROUTINE: "Show_create_routine_priv",
}


def at_level(level: str, *, flavour: str, version_number: int) -> tuple[str, ...]:
    """Give the static privileges that there are at LEVEL on a server, in the order in which statements name them."""
    found = _STATIC[flavour][level]
    # On a single routine MariaDB takes it too, and forgets it at the next start: its table is not written (11.8.9).
    if flavour == "mariadb" and level in (GLOBAL, DATABASE) and version_number >= _SHOW_ROUTINE_FROM:
        return (*found, _SHOW_ROUTINE)
    return found


def usual_word(word: str, *, flavour: str) -> str:
    """Give a privilege as the server's tables call it."""
    return _SYNONYMS[flavour].get(word, word)


def of_set(text: str) -> frozenset[str]:
    """Read a column of type SET of mysql.tables_priv, columns_priv or procs_priv."""
    words = (word.upper() for word in text.split(",") if word)
    return frozenset(_SET_WORDS.get(word, word) for word in words)


_SET_WORDS = {"GRANT": GRANT_OPTION, "DELETE VERSIONING ROWS": _HISTORY}


def of_bits(bits: int, order: tuple[str, ...]) -> frozenset[str]:
    """Read a number whose lowest bit stands for the first privilege of ORDER."""
    return frozenset(word for number, word in enumerate(order) if bits >> number & 1)
