# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL behind the worker's interface (backup/engine.py): one server, its admin session, and the verbs.

Opened by backup/engines.py. The work is in dump.py, preflight.py, place.py, restore.py and compare.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, BinaryIO, Self

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
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql import (
    compare,
    dump,
    place,
    preflight,
    restore,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server import Server


class PostgreSQL:
    """One PostgreSQL server."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take checked connection OPTIONS; nothing is opened yet."""
        self._server = Server(options)
        self._places: dict[str, place.Place] = {}

    def __enter__(self) -> Self:
        """Connect. Raises DbopsError."""
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all sessions, and let go of the locks."""
        self._server.__exit__(kind, error, traceback)

    def examine(self, request: BackupRequest) -> Examined:
        """Read what there is to dump, and with which tool."""
        self._server.require_direct()
        return dump.examine(self._server.connector, self._server.facts.version, request)

    def dump(self, examined: Examined, request: BackupRequest, sink: Sink, watch: Watch) -> Contents:
        """Run pg_dump and give its output to SINK."""
        return dump.dump(self._server.connector, examined, request, sink, watch)

    def check_restore(self, request: RestoreRequest, manifest: Manifest, *, scratch: bool) -> list[DbopsError]:
        """Give all that speaks against this restore."""
        self._server.require_direct()
        self._server.require_changeable()
        return list(preflight.problems(self._server, request, manifest, scratch=scratch))

    def prepare(self, request: RestoreRequest, manifest: Manifest, *, scratch: bool) -> Target:
        """Make the fresh database and its login."""
        made = place.prepare(self._server, request, manifest.server, scratch=scratch)
        self._places[made.database] = made
        return Target(made.database, made.final, fresh=not made.existing)

    def load(
        self, target: Target, request: RestoreRequest, manifest: Manifest, source: BinaryIO, watch: Watch
    ) -> Restored:
        """Restore SOURCE into the target."""
        total = len(manifest.rows) if manifest.rows is not None and not request.partial else None
        made = self._places[target.database]
        return restore.load(self._server, made, request, source, watch, written=manifest.format, total=total)

    def compare(self, target: Target, request: RestoreRequest, manifest: Manifest, watch: Watch) -> list[str]:
        """Give the differences between the target and the manifest."""
        return compare.differences(self._server, self._places[target.database], request, manifest, watch)

    def finish(self, target: Target, request: RestoreRequest) -> str | None:
        """Put the target in its place."""
        return place.finish(self._server, self._places[target.database], request)

    def abandon(self, target: Target) -> None:
        """Drop the target and the login."""
        place.abandon(self._server, self._places[target.database])
