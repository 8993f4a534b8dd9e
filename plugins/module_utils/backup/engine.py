# SPDX-License-Identifier: GPL-3.0-or-later
"""What the worker asks of a database engine to back up, restore and compare one database.

backup/worker.py calls it, and knows nothing of SQL; backup/postgresql and backup/mysql implement it. The worker puts
these verbs together: a backup is examine and dump; a restore is check_restore, prepare, load, compare, finish; a
verification is the same into a scratch database that is abandoned at the end. Whatever fails between prepare and
finish, the worker calls abandon, and what was there before is untouched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.tools import Tool
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Owner
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

Progress = Callable[[Mapping[str, Any]], None]
Sink = Callable[[bytes], object]
"""Takes the next bytes of a dump; blocks for as long as the store is slower than the server."""


class Watch:
    """How far the work is, for whoever waits, and whether it shall go on."""

    def __init__(self, *, progress: Progress, cancelled: Callable[[], bool], seconds: float | None) -> None:
        """Take whom to tell, who may cancel, and how many SECONDS there are from now on, if bounded."""
        self._progress = progress
        self._cancelled = cancelled
        self._seconds = seconds
        self._ends = None if seconds is None else time.monotonic() + seconds

    def report(
        self, phase: str, *, size: int | None = None, tables_done: int | None = None, tables_total: int | None = None
    ) -> None:
        """Tell the PHASE, such as `dump`, with SIZE in bytes so far and tables; what is None is not known."""
        known = {"bytes": size, "tables_done": tables_done, "tables_total": tables_total}
        self._progress({"phase": phase, **{name: value for name, value in known.items() if value is not None}})

    def stop(self) -> DbopsError | None:
        """Give why the work shall not go on: Cancelled or Timeout; None while it may."""
        if self._cancelled():
            return DbopsError(Reason.CANCELLED, "the work was cancelled")
        if self._ends is not None and time.monotonic() >= self._ends:
            return DbopsError(Reason.TIMEOUT, f"the deadline of {self._seconds:g} s has passed", field="deadline")
        return None

    def require(self) -> None:
        """Raise what `stop` gives, if anything."""
        if error := self.stop():
            raise error


@dataclass(frozen=True)
class BackupRequest:
    """What to dump, and how."""

    database: str
    options: Mapping[str, Any]
    """The engine's own options as the module has them: its option `postgresql` or `mysql`, defaults filled in."""
    tools_path: Sequence[str] = ()
    """Folders to look for client tools in, before the usual ones."""
    scratch_path: str | None = None
    """A folder for what cannot be streamed (the directory format); None: the system's for temporary files."""


@dataclass(frozen=True)
class Examined:
    """What reading alone has told about a database that is to be dumped."""

    engine: str
    """`postgres`, `mysql` or `mariadb`: the server's flavour, whatever the connection called it."""
    server_version: str
    """As people write it: `17.10`, `9.7.4`, `11.8.3`."""
    tool: Tool
    format: str
    """`plain`, `custom`, `directory` or `tar`; what mysqldump and mariadb-dump write is `plain`."""
    extension: str
    """Of the file's name: `.sql`, `.dump`, `.dir` or `.tar`."""
    size: int
    """Bytes that the database takes on the server."""
    options: Mapping[str, Any]
    """How the tool will be called, for the manifest: the request's options as far as they can be had."""
    server: Mapping[str, str] = field(default_factory=dict)
    """More about server and database for the manifest: encoding, collation, ..."""
    warnings: Sequence[str] = ()
    """What will not be in the dump, and why."""


@dataclass(frozen=True)
class Contents:
    """What a dump holds, as seen in the same snapshot, never by a second look."""

    objects: Mapping[str, int]
    """How many there are by type: `tables`, `views`, `functions`, `sequences`, `triggers`, ..."""
    rows: Mapping[str, int] | None
    """Rows by table: `schema.table` on PostgreSQL, `table` on MySQL and MariaDB."""
    rows_missing: str | None = None
    """Why there are no rows."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Of each table's rows as the same tool dumps them; MySQL and MariaDB only."""
    extensions: Mapping[str, str] = field(default_factory=dict)
    """Extensions with their versions; PostgreSQL only."""
    roles: Sequence[str] = ()
    """Roles or accounts that the dump refers to as owners, grantees or definers."""
    policy_roles: Sequence[str] = ()
    """Those of them that row-level security policies name: without them there is no restore."""


@dataclass(frozen=True)
class RestoreRequest:
    """Where to restore to, and what of the dump."""

    database: str
    """The target's name."""
    in_place: bool = False
    """Whether the target exists and is to be replaced."""
    create_database: bool = True
    drop_existing: bool = False
    """Whether an existing target may be replaced that is not restored in place."""
    owner: str | None = None
    """Whom everything shall belong to; None: the database's owner, as far as the dump's own roles do not exist."""
    role_mapping: Mapping[str, str] = field(default_factory=dict)
    """A role of the dump to the role that takes its place."""
    schemas: Sequence[str] = ()
    tables: Sequence[str] = ()
    jobs: int = 1
    schema_only: bool = False
    data_only: bool = False
    no_owner: bool = False
    no_privileges: bool = False
    disable_triggers: bool = False
    analyze: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    """What only this engine has: the module's option `mysql`."""
    tools_path: Sequence[str] = ()
    scratch_path: str | None = None
    claimant: Owner | None = None
    """On whose behalf it is done: what the ledger says belongs to somebody else is not replaced."""
    force: bool = False
    """Whether it is replaced all the same."""

    @property
    def partial(self) -> bool:
        """Whether less than the whole dump is restored, so that counts cannot be compared."""
        return bool(self.schemas or self.tables or self.schema_only or self.data_only)


@dataclass(frozen=True)
class Target:
    """A database that is being restored into; nobody but this restore uses it until `finish`."""

    database: str
    """Its name on the server now."""
    final: str | None
    """Its name in the end; None: a scratch database, which is dropped."""
    fresh: bool = True
    """Whether there is nothing but the restore in it, so that it can be compared with the manifest. Login, owner and
    the like are the engine's own memory."""


@dataclass(frozen=True)
class Restored:
    """What a restore has done."""

    tables: int
    warnings: Sequence[str] = ()
    previous: str | None = None
    """In place: the name that the replaced database has now, for as long as it is kept."""


class BackupEngine(Protocol):
    """One server. Opened by backup/engines.py with the connection options; each method raises DbopsError."""

    def examine(self, request: BackupRequest) -> Examined:
        """Read what the database is and which tool dumps it; Unsupported, PrivilegeMissing, ... before any work."""

    def dump(self, examined: Examined, request: BackupRequest, sink: Sink, watch: Watch) -> Contents:
        """Run the tool, give its output to SINK, and say what is in it. Raises unless the tool exited with 0."""

    def check_restore(self, request: RestoreRequest, manifest: Manifest, *, scratch: bool) -> list[DbopsError]:
        """Give all that speaks against this restore, reading only (T03); SCRATCH: against a verification."""

    def prepare(self, request: RestoreRequest, manifest: Manifest, *, scratch: bool) -> Target:
        """Make the fresh database and the login without admin's rights; SCRATCH: for a verification.

        What an earlier try of the same restore left behind is removed first; one that is still at work is InUse.
        """

    def load(
        self, target: Target, request: RestoreRequest, manifest: Manifest, source: BinaryIO, watch: Watch
    ) -> Restored:
        """Restore the plain bytes of the dump from SOURCE into the target, as that login."""

    def compare(self, target: Target, request: RestoreRequest, manifest: Manifest, watch: Watch) -> list[str]:
        """Give the differences between the target and what the manifest says is in the dump (B10)."""

    def finish(self, target: Target, request: RestoreRequest) -> str | None:
        """Put the target in its place under its final name; give what the replaced database is called now (T04)."""

    def abandon(self, target: Target) -> None:
        """Drop the target and the login, and let whatever it would have replaced be as it was."""
