# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups and restores of MySQL and MariaDB through the engine, without a store in between."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import (
    BackupRequest,
    Examined,
    RestoreRequest,
    Target,
    Watch,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engines import open_engine
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.facts import StreamFacts
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest, from_json, to_json
from localstack.mysql import MySQLLogin, MySQLServer

DEFAULTS = {
    "tables": [], "exclude_tables": [], "routines": True, "triggers": True, "events": True,
    "single_transaction": True, "lock_tables": None, "quick": True, "extended_insert": True, "set_gtid_purged": "AUTO",
}  # fmt: skip
RESTORE = {
    "routines": True, "triggers": True, "events": True, "disable_foreign_key_checks": True, "disable_binlog": True
}  # fmt: skip


def watch(*, cancelled: Any = lambda: False, seconds: float | None = 120, told: list[Any] | None = None) -> Watch:
    """Give a watch; TOLD gets what is reported."""
    return Watch(progress=(told if told is not None else []).append, cancelled=cancelled, seconds=seconds)


class Backups:
    """One server and one admin account."""

    def __init__(self, server: MySQLServer, login: MySQLLogin) -> None:
        """Work on SERVER as LOGIN."""
        self.server = server
        self.login = login
        self.options = {
            "ssl_mode": "prefer",
            "connect_timeout": 10,
            "statement_timeout": 60,
            "lock_timeout": 5,
            "application_name": "dbops-test",
            "engine": server.engine,
            **login.options(),
        }
        self.tools = [str(server.binaries.directory / "bin")]

    @property
    def weak(self) -> bool:
        """Whether the account is not root."""
        return self.login.user != self.server.admin.user

    def examine(self, database: str, **options: Any) -> Examined:
        """Examine DATABASE."""
        with open_engine(self.options) as engine:
            return engine.examine(BackupRequest(database, {**DEFAULTS, **options}, self.tools))

    def backup(self, database: str, **options: Any) -> tuple[Manifest, bytes]:
        """Dump DATABASE; give a manifest as the store would have it, and the dump."""
        request = BackupRequest(database, {**DEFAULTS, **options}, self.tools)
        dump = io.BytesIO()
        with open_engine(self.options) as engine:
            examined = engine.examine(request)
            contents = engine.dump(examined, request, dump.write, watch())
        text = dump.getvalue()
        facts = StreamFacts(len(text), "0" * 64, len(text), f"{zlib.crc32(text):064x}")
        manifest = Manifest(
            engine=examined.engine, server_version=examined.server_version, tool=examined.tool.name,
            tool_version=examined.tool.version, format=examined.format, path=f"{database}.sql", database=database,
            backup_name=database, started="2026-01-01T00:00:00Z", completed="2026-01-01T00:00:00Z", stream=facts,
            compression="none", encryption=None, options=examined.options, objects=contents.objects,
            rows=contents.rows, roles=tuple(contents.roles), checksums=contents.checksums, server=examined.server,
        )  # fmt: skip
        return from_json(to_json(manifest), manifest.path), text

    def request(self, database: str, **more: Any) -> RestoreRequest:
        """Ask for a restore into DATABASE."""
        options = {**RESTORE, **more.pop("options", {})}
        return RestoreRequest(database, tools_path=self.tools, options=options, **more)

    def restore(
        self, manifest: Manifest, dump: bytes, database: str, *, scratch: bool = False, **more: Any
    ) -> tuple[list[str], str | None]:
        """Restore as the worker does; give the differences and what the replaced database is called."""
        request = self.request(database, **more)
        with open_engine(self.options) as engine:
            problems = engine.check_restore(request, manifest, scratch=scratch)
            if problems:
                raise problems[0]
            target = engine.prepare(request, manifest, scratch=scratch)
            try:
                engine.load(target, request, manifest, io.BytesIO(dump), watch())
                differences = engine.compare(target, request, manifest, watch())
                previous = None if scratch else engine.finish(target, request)
            except BaseException:
                engine.abandon(target)
                raise
            if scratch:
                engine.abandon(target)
        return differences, previous

    def left(self) -> dict[str, list[str]]:
        """Give what restores have left on the server: databases, and accounts that can log in."""
        databases = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'dbops\\_%'"
        query = "SELECT user FROM mysql.user WHERE user LIKE 'dbops\\_restore\\_%' AND account_locked = 'N'"
        if self.server.engine == "mariadb":
            query = (
                "SELECT user FROM mysql.global_priv WHERE user LIKE 'dbops\\_restore\\_%' "
                "AND coalesce(JSON_VALUE(priv, '$.account_locked'), 0) = 0"
            )
        names = [name for (name,) in self.server.query(databases)]
        return {"databases": names, "accounts": [name for (name,) in self.server.query(query)]}


NOTHING: Mapping[str, list[str]] = {"databases": [], "accounts": []}
__all__ = ["NOTHING", "Backups", "Target", "replace", "watch"]
