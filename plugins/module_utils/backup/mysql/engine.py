# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL and MariaDB behind the worker's interface (backup/engine.py): one server, its admin session, and the verbs.

Opened by backup/engines.py. The work is in examine.py, dump.py, preflight.py, place.py, load.py, compare.py
and swap.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, BinaryIO, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import tools
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import (
    BackupRequest,
    Contents,
    Examined,
    Restored,
    RestoreRequest,
    Sink,
    Target,
    Watch,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql import compare, examine, place, preflight
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.dump import Dumping, dump
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.load import Loading, load
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.rewriting import Rewriting, Selection
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server


class MySQL:
    """One server of MySQL or MariaDB."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take checked connection OPTIONS; nothing is opened yet."""
        self._server = Server(options)
        self._places: dict[str, tuple[place.Place, RestoreRequest]] = {}
        self._events: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        """Connect. Raises DbopsError."""
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the session, and let go of the locks."""
        self._server.__exit__(kind, error, traceback)

    def examine(self, request: BackupRequest) -> Examined:
        """Read what there is to dump, and with which tool."""
        return examine.examine(self._server, request)

    def dump(self, examined: Examined, request: BackupRequest, sink: Sink, watch: Watch) -> Contents:
        """Run the dump tool and give its output to SINK."""
        database = examine.found(self._server, request.database)[0]
        dumping = Dumping(examined.tool, self._server.connector.options, database, examined.options)
        found = dump(dumping, sink, watch)
        accounts = sorted(found.accounts)
        return Contents(objects=found.objects, rows=found.rows, checksums=found.checksums, roles=accounts)

    def check_restore(self, request: RestoreRequest, manifest: Manifest, *, scratch: bool) -> list[DbopsError]:
        """Give all that speaks against this restore."""
        self._server.require_direct()
        self._server.require_changeable()
        return list(preflight.problems(self._server, request, manifest, scratch=scratch))

    def prepare(self, request: RestoreRequest, manifest: Manifest, *, scratch: bool) -> Target:
        """Make the fresh database and its login."""
        made = place.prepare(self._server, request, manifest.server, scratch=scratch)
        self._places[made.database] = made, request
        return Target(made.database, made.final)

    def load(
        self, target: Target, request: RestoreRequest, manifest: Manifest, source: BinaryIO, watch: Watch
    ) -> Restored:
        """Restore SOURCE into the target."""
        made, _request = self._places[target.database]
        done: list[str] = []
        total = None if manifest.rows is None or request.tables else len(manifest.rows)

        def begins(table: str) -> None:
            done.append(table)
            watch.report("restore", size=rewriting.size, tables_done=len(done), tables_total=total)

        selection = Selection.of(
            request.tables, schema_only=request.schema_only, data_only=False, options=request.options
        )
        rewriting = Rewriting(
            source,
            database=made.database,
            selection=selection,
            table=begins,
            events_aside=True,
            # Only dumps of ours come with these, and are known to be what the tool wrote.
            own=bool(manifest.checksums),
        )
        number = self._server.facts.dialect.version_number
        tool = tools.mysql("client", self._server.engine, number, request.tools_path)
        loading = Loading(
            tool, self._server.connector.options, made.database, made.login.name.user, made.password,
            checks_keys=not request.options.get("disable_foreign_key_checks", True),
        )  # fmt: skip
        load(loading, rewriting, watch, doing=f"restore of {request.database}")
        self._events[made.database] = bytes(rewriting.events)
        missing = sorted(set(request.tables) - set(done))
        if missing:
            text = f"the backup has no table {', '.join(missing)}"
            raise DbopsError(Reason.INVALID_SPEC, text, field="tables")
        return Restored(tables=len(done), warnings=self._warnings(request, rewriting))

    def compare(self, target: Target, request: RestoreRequest, manifest: Manifest, watch: Watch) -> list[str]:
        """Give the differences between the target and the manifest."""
        made, _request = self._places[target.database]
        return compare.differences(self._server, made.database, request, manifest, self._events[made.database], watch)

    def finish(self, target: Target, request: RestoreRequest) -> str | None:
        """Put the target in its place."""
        made, _request = self._places[target.database]
        return place.finish(self._server, made, request, self._events[made.database])

    def abandon(self, target: Target) -> None:
        """Drop the target and the login."""
        place.abandon(self._server, *self._places[target.database])

    def _warnings(self, request: RestoreRequest, rewriting: Rewriting) -> list[str]:
        found = []
        if rewriting.skipped_global:
            found.append("settings of the server as a whole (GTIDs, the binary log) in the dump were left out")
        if request.options.get("disable_binlog", True) and self._server.facts.binary_log:
            found.append("what is restored is in the binary log: restores run without an administrator's rights")
        return found
