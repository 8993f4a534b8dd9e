# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of PostgreSQL as the tests of this folder make them, and the judges of what came back.

What is compared is written by pg_dump and counted by the server, with nothing that the product uses.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import module_arguments, worker
from localstack.postgresql import Login, PostgreSQLServer

Document = dict[str, Any]
_SPECS = {"backup": module_arguments.backup_spec, "restore": module_arguments.restore_spec}
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1
"""
_BLOBS = """
SELECT md5(coalesce(string_agg(encode(lo_get(oid), 'hex'), '|' ORDER BY oid), '')) FROM pg_largeobject_metadata
"""
_STATE = """
SELECT 'database', to_jsonb(d) - 'datfrozenxid' - 'datminmxid' FROM pg_database d
UNION ALL SELECT 'role', to_jsonb(r) FROM pg_roles r UNION ALL SELECT 'member', to_jsonb(m) FROM pg_auth_members m
"""
_LEFT = """
SELECT datname FROM pg_database WHERE datname LIKE 'dbops\\_%' AND datname <> 'dbops'
UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE 'dbops\\_%'
"""


class Backups:
    """The worker with one server, one account, and a folder as the store."""

    def __init__(self, server: PostgreSQLServer, login: Login, folder: Path) -> None:
        """Work on SERVER as LOGIN, and keep backups in FOLDER."""
        self.server, self.login, self.folder = server, login, folder
        self.storage = {"type": "file", "file": {"path": str(folder)}}

    def run(
        self, action: str, *, check: bool = False, cancelled: Callable[[], bool] = lambda: False,
        progress: Callable[[Mapping[str, Any]], None] = lambda _: None, **options: Any,
    ) -> Document:  # fmt: skip
        """Run the worker with OPTIONS, as the module would."""
        given = {**self.login.options(), "storage": self.storage, **options}
        given["tools_path"] = [str(self.server.binaries.directory)]
        checked = ArgumentSpecValidator(_SPECS["restore" if action == "restore" else "backup"]()).validate(given)
        assert not checked.error_messages, checked.error_messages
        return worker.run(action, checked.validated_parameters, check=check, cancelled=cancelled, progress=progress)

    def made(self, database: str, **options: Any) -> str:
        """Make a backup of DATABASE and give its path."""
        done = self.run("backup", database=database, **options)
        assert (done["failed"], done["changed"]) == (False, True), done
        path: str = done["backup"]["path"]
        return path

    def restored(self, path: str, database: str, **options: Any) -> Document:
        """Restore the backup at PATH into DATABASE."""
        target = {"database": database, **options.pop("target", {})}
        done = self.run("restore", backup=path, target=target, **options)
        assert (done["failed"], done["changed"]) == (False, True), done
        return done

    def files(self) -> list[str]:
        """Give what is in the store."""
        return sorted(str(file.relative_to(self.folder)) for file in self.folder.rglob("*") if file.is_file())

    def left(self) -> list[str]:
        """Give scratch databases and temporary logins that are on the server."""
        return [name for (name,) in self.server.query(_LEFT)]


def schema(server: PostgreSQLServer, database: str) -> str:
    """Give the definitions in DATABASE with owners and privileges, as pg_dump writes them."""
    command = [str(server.binaries.program("pg_dump")), "--schema-only", "--dbname", server.admin.dsn(database)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


def checksums(server: PostgreSQLServer, database: str) -> dict[str, str]:
    """Give a checksum of each table's rows, and of the large objects."""
    found = {}
    for (table,) in server.query(_TABLES, dbname=database):
        query = psycopg.sql.SQL("SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM ONLY {} t")
        ((found[table],),) = server.query(query.format(psycopg.sql.SQL(table)), dbname=database)
    ((found["large objects"],),) = server.query(_BLOBS, dbname=database)
    return found


def state(server: PostgreSQLServer) -> list[tuple[Any, ...]]:
    """Give databases and roles as the catalogs have them."""
    return server.query(_STATE)
