# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps one PostgreSQL database with pg_dump: looks at it first, then streams, and says what is in the stream.

Called by backup/postgresql/engine.py. The stream is not compressed by pg_dump: the pipeline does that. The directory
format cannot be streamed while it is written; it goes through a bounded scratch folder, compressed by pg_dump's
workers there, and is streamed as one tar archive.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, cast  # pylint: disable=unused-import

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import tools
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.client_files import ClientFiles
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import (
    BackupRequest,
    Contents,
    Examined,
    Sink,
    Watch,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.naming import FORMATS
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql import client, properties
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.listing import listing
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.messages import require_dumped
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.snapshot import (
    Counting,
    Snapshot,
    snapshot,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.processes import run
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.tools import Tool
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Connector, Session

_CHOICES = {
    "schemas": "--schema",
    "exclude_schemas": "--exclude-schema",
    "tables": "--table",
    "exclude_tables": "--exclude-table",
}

_SIZE = "SELECT pg_database_size(oid) FROM pg_database WHERE datname = current_database()"
# Rows that the account would not see make pg_dump fail in the middle.
_HIDDEN = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_roles me ON me.rolname = session_user
WHERE c.relrowsecurity AND c.relkind IN ('r', 'p') AND NOT (me.rolsuper OR me.rolbypassrls)
  AND (c.relforcerowsecurity OR NOT pg_has_role(c.relowner, 'USAGE'))
ORDER BY 1 LIMIT 5
"""
_UNREADABLE = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT (has_schema_privilege(n.oid, 'USAGE')
           AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                    ELSE has_table_privilege(c.oid, 'SELECT') END)
ORDER BY 1 LIMIT 5
"""
_UNREADABLE_BLOBS = """
SELECT count(*) FROM pg_largeobject_metadata m JOIN pg_roles me ON me.rolname = session_user
WHERE NOT me.rolsuper AND NOT pg_has_role(m.lomowner, 'USAGE') AND NOT EXISTS (
    SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT'
    AND CASE WHEN a.grantee = 0 THEN true ELSE pg_has_role(a.grantee, 'USAGE') END)
"""
_TABLE_SIZE = "SELECT coalesce(sum(pg_table_size(oid)), 0)::bigint FROM pg_class WHERE relkind IN ('r', 'm')"


def examine(connector: Connector, server_version: str, request: BackupRequest) -> Examined:
    """Look at the database and at what there is to dump it with, before any work. Raises DbopsError."""
    session = connector.open(request.database)
    try:
        major = versions.major(session.version_number)
        tool = tools.postgresql("pg_dump", major, request.tools_path)
        options = request.options
        whole = not any(options.get(name) for name in _CHOICES)
        if whole:
            _require_readable(session, options)
        ((size,),) = session.rows(_SIZE)
        (locale,) = session.rows(properties.locale_query(session.version_number))
        written = str(options["format"])
        if written == "directory":
            _require_space(session, request)
        recorded = {name: value for name, value in options.items() if value not in (None, [], False)}
        return Examined(
            engine="postgres",
            server_version=server_version.split(" ", maxsplit=1)[0],
            tool=tool,
            format=written,
            extension=FORMATS[written],
            size=size,
            options=recorded,
            server=properties.recorded(locale),
        )
    finally:
        session.close()


def dump(connector: Connector, examined: Examined, request: BackupRequest, sink: Sink, watch: Watch) -> Contents:
    """Stream the dump into SINK and give what is in it. Raises DbopsError."""
    login = client.admin_login(connector)
    watch.report("list")
    with snapshot(connector, request.database) as seen:
        same = [f"--snapshot={seen.name}", *chosen(request.options)]
        listed = listing(examined.tool, same, connector=connector, login=login, database=request.database, watch=watch)
        tables = [] if request.options.get("schema_only") else seen.tables(listed.tables)
        counting = Counting(seen.session, tables)
        try:
            counted = _Counted(sink, watch, counting, len(tables))
            _dump(connector, examined, request, seen, counted, watch)
            watch.report("count", size=counted.size, tables_done=counting.done, tables_total=len(tables))
            rows = counting.rows()
        finally:
            counting.stop()
        objects = {} if request.options.get("data_only") else dict(listed.objects)
        if request.options.get("blobs") and not request.options.get("schema_only") and seen.blobs:
            objects["large_objects"] = seen.blobs
        return Contents(
            objects=objects,
            rows=None if request.options.get("schema_only") else rows,
            rows_missing="the dump has definitions only" if request.options.get("schema_only") else None,
            extensions=seen.extensions,
            roles=seen.roles,
            policy_roles=seen.policy_roles,
        )


def chosen(options: Mapping[str, Any]) -> list[str]:
    """Give pg_dump's arguments for what of the database is dumped; each is one word, whatever is in it."""
    found = [f"{argument}={one}" for name, argument in _CHOICES.items() for one in options.get(name) or ()]
    # A table or schema that is not there is an error, not an empty dump.
    return ["--strict-names", *found] if found else []


def _arguments(options: Mapping[str, Any]) -> list[str]:
    seconds = int(options.get("lock_wait_timeout") or 0)
    flags = {
        "--data-only": options.get("data_only"),
        "--schema-only": options.get("schema_only"),
        "--no-owner": options.get("no_owner"),
        "--no-privileges": options.get("no_privileges"),
        f"--lock-wait-timeout={seconds}s": seconds,
        # The short forms have the same name in all versions. Definitions alone have no large objects.
        "-b": options.get("blobs") and not options.get("schema_only"),
        "-B": options.get("blobs") is False,
    }
    return [*chosen(options), *(flag for flag, wanted in flags.items() if wanted)]


def _dump(
    connector: Connector, examined: Examined, request: BackupRequest, seen: Snapshot, sink: _Counted, watch: Watch
) -> None:
    arguments = [f"--format={examined.format}", f"--snapshot={seen.name}", *_arguments(request.options)]
    if examined.format == "directory":
        _through_folder(connector, examined.tool, request, arguments, sink, watch)
        return
    if examined.format == "custom":
        arguments.append("--compress=0")
    with ClientFiles() as files:
        command = client.connecting(
            examined.tool, arguments, connector=connector, login=client.admin_login(connector),
            database=request.database, files=files,
        )  # fmt: skip
        require_dumped(run(command, watch, sink=sink.write))


def _through_folder(
    connector: Connector, tool: Tool, request: BackupRequest, arguments: list[str], sink: _Counted, watch: Watch
) -> None:
    """Let pg_dump's workers write a folder, then stream it as a tar archive, file by file."""
    with tempfile.TemporaryDirectory(prefix="dbops-dump-", dir=request.scratch_path) as scratch, ClientFiles() as files:
        folder = Path(scratch) / "dump"
        jobs = max(1, int(request.options.get("jobs") or 1))
        arguments += [f"--file={folder}", f"--jobs={jobs}", "--compress=1", "--no-sync"]
        command = client.connecting(
            tool, arguments, connector=connector, login=client.admin_login(connector),
            database=request.database, files=files,
        )  # fmt: skip
        require_dumped(run(command, watch))
        with tarfile.open(fileobj=cast("IO[bytes]", sink), mode="w|", format=tarfile.PAX_FORMAT) as archive:
            # toc.dat first: whoever reads the archive knows then what comes.
            for file in sorted(folder.iterdir(), key=lambda one: (one.name != "toc.dat", one.name)):
                watch.require()
                archive.add(file, arcname=file.name, recursive=False, filter=_anonymous)
                file.unlink()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


def _require_readable(session: Session, options: Mapping[str, Any]) -> None:
    for query, what in ((_HIDDEN, "row-level security hides rows of"), (_UNREADABLE, "the account may not read")):
        found = [name for (name,) in session.rows(query)]
        if found and not options.get("schema_only"):
            text = (
                f"{what} {', '.join(found)}: dump as a superuser or, for the former, a role with BYPASSRLS, "
                "or leave the tables out with exclude_tables"
            )
            raise DbopsError(Reason.PRIVILEGE_MISSING, text, field="login_user")
    ((blobs,),) = session.rows(_UNREADABLE_BLOBS)
    if blobs and options.get("blobs") and not options.get("schema_only"):
        text = f"{blobs} large objects belong to others and may not be read: dump as their owner, or set blobs to false"
        raise DbopsError(Reason.PRIVILEGE_MISSING, text, field="postgresql.blobs")


def _require_space(session: Session, request: BackupRequest) -> None:
    ((needed,),) = session.rows(_TABLE_SIZE)
    folder = request.scratch_path or tempfile.gettempdir()
    if not Path(folder).is_dir():
        raise DbopsError(Reason.INVALID_SPEC, f"the scratch folder {folder} does not exist", field="scratch_path")
    free = shutil.disk_usage(folder).free
    if free < needed:
        text = f"the directory format needs up to {needed} bytes in {folder}, and {free} are free"
        raise DbopsError(Reason.INVALID_SPEC, text, field="scratch_path")


class _Counted:
    """The sink with its size, told to whoever waits."""

    def __init__(self, sink: Sink, watch: Watch, counting: Counting, total: int) -> None:
        self.size = 0
        self._sink, self._watch, self._counting, self._total = sink, watch, counting, total

    def write(self, data: bytes) -> int:
        self._sink(data)
        self.size += len(data)
        self._watch.report("dump", size=self.size, tables_done=self._counting.done, tables_total=self._total)
        return len(data)
