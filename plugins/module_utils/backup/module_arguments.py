# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of `database_backup`, `database_restore` and `database_backup_info`, as Ansible argument specs.

The modules, their action plugins and the worker (worker.py) share them; stores, compression and encryption are in
store_arguments.py.
"""

from __future__ import annotations

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.store_arguments import (
    COMPRESSION,
    DECRYPTION,
    ENCRYPTION,
    reading_arguments,
    storage_argument,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import CONNECTION, Spec

_TOOLS: Spec = {
    "tools_path": {"type": "list", "elements": "path", "default": []},
    "scratch_path": {"type": "path"},
    "deadline": {"type": "int"},
}
"""Where client tools are, where there is room for what cannot be streamed, and seconds that all may take."""

POSTGRESQL: Spec = {
    "format": {"type": "str", "choices": ["plain", "custom", "directory", "tar"], "default": "custom"},
    "jobs": {"type": "int", "default": 1},
    "schemas": {"type": "list", "elements": "str", "default": []},
    "exclude_schemas": {"type": "list", "elements": "str", "default": []},
    "tables": {"type": "list", "elements": "str", "default": []},
    "exclude_tables": {"type": "list", "elements": "str", "default": []},
    "data_only": {"type": "bool", "default": False},
    "schema_only": {"type": "bool", "default": False},
    "blobs": {"type": "bool", "default": True},
    "no_owner": {"type": "bool", "default": False},
    "no_privileges": {"type": "bool", "default": False},
    "lock_wait_timeout": {"type": "int", "default": 60},
}
"""Options of pg_dump."""

MYSQL: Spec = {
    "tables": {"type": "list", "elements": "str", "default": []},
    "exclude_tables": {"type": "list", "elements": "str", "default": []},
    "routines": {"type": "bool", "default": True},
    "triggers": {"type": "bool", "default": True},
    "events": {"type": "bool", "default": True},
    "single_transaction": {"type": "bool", "default": True},
    "lock_tables": {"type": "bool", "default": False},
    "quick": {"type": "bool", "default": True},
    "extended_insert": {"type": "bool", "default": True},
    "set_gtid_purged": {"type": "str", "choices": ["OFF", "ON", "AUTO"], "default": "AUTO"},
}
"""Options of mysqldump and mariadb-dump."""

MYSQL_RESTORE: Spec = {
    "routines": {"type": "bool", "default": True},
    "triggers": {"type": "bool", "default": True},
    "events": {"type": "bool", "default": True},
    "disable_foreign_key_checks": {"type": "bool", "default": True},
    "disable_binlog": {"type": "bool", "default": False},
}

_OWNERSHIP: Spec = {"dbops_owner": {"type": "raw"}, "force": {"type": "bool", "default": False}}

ACKNOWLEDGEMENT = "I-UNDERSTAND-DATA-LOSS"
"""What `target.acknowledge_data_loss` must say where a database is replaced."""

BACKUP: Spec = {
    "database": {"type": "str", "required": True, "aliases": ["db"]},
    "backup_name": {"type": "str"},
    "started": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "verified", "absent"], "default": "present"},
    **storage_argument(),
    "compression": {"type": "dict", "options": COMPRESSION},
    # What is verified is also read.
    "encryption": {"type": "dict", "options": ENCRYPTION | {"identities": DECRYPTION["identities"]}},
    "postgresql": {"type": "dict", "options": POSTGRESQL},
    "mysql": {"type": "dict", "options": MYSQL},
    "created_by": {"type": "dict"},
    **_TOOLS,
}

RESTORE: Spec = {
    "backup": {"type": "str", "required": True},
    "target": {
        "type": "dict",
        "default": {},
        "options": {
            "database": {"type": "str"},
            "in_place": {"type": "bool", "default": False},
            "acknowledge_data_loss": {"type": "str"},
        },
    },
    **reading_arguments(),
    "create_database": {"type": "bool", "default": True},
    "drop_existing": {"type": "bool", "default": False},
    "owner": {"type": "str"},
    "role_mapping": {"type": "dict", "default": {}},
    "schemas": {"type": "list", "elements": "str", "default": []},
    "tables": {"type": "list", "elements": "str", "default": []},
    "jobs": {"type": "int", "default": 1},
    "schema_only": {"type": "bool", "default": False},
    "data_only": {"type": "bool", "default": False},
    "no_owner": {"type": "bool", "default": False},
    "no_privileges": {"type": "bool", "default": False},
    "disable_triggers": {"type": "bool", "default": False},
    "analyze": {"type": "bool", "default": True},
    "mysql": {"type": "dict", "options": MYSQL_RESTORE},
    **_OWNERSHIP,
    **_TOOLS,
}

INFO: Spec = {
    **storage_argument(),
    "database": {"type": "str", "aliases": ["db"]},
    "folder": {"type": "str", "default": ""},
    "remove_unfinished_after": {"type": "int"},
}


def backup_spec() -> Spec:
    """Give the options of the module `database_backup`."""
    return CONNECTION | BACKUP


def restore_spec() -> Spec:
    """Give the options of the module `database_restore`."""
    return CONNECTION | RESTORE


def info_spec() -> Spec:
    """Give the options of the module `database_backup_info`, which asks no database server."""
    return dict(INFO)
