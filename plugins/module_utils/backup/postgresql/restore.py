# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores the bytes of a PostgreSQL dump into the place that place.py made, as its login.

Called by backup/postgresql/engine.py. Archives become a script by pg_restore, without a connection; the script goes to
the server statement by statement (loading.py), so that roles are fitted and nothing but SQL is ever executed.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import BinaryIO

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import tools
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Restored, RestoreRequest, Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql import client
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.loading import Cancelling, Loading
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.messages import require_restored
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.place import Place
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.roles import Roles
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.processes import CHUNK, run
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Session
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server import Server

_ROLES = "SELECT rolname FROM pg_roles"
_MAX_FILES = 1_000_000
_FORMATS = {"custom": "--format=custom", "tar": "--format=tar", "directory": "--format=directory"}


def load(
    server: Server, place: Place, request: RestoreRequest, source: BinaryIO, watch: Watch, *,
    written: str, total: int | None,
) -> Restored:  # fmt: skip
    """Restore SOURCE, the plain bytes of a dump in the format WRITTEN, of TOTAL tables if known. Raises DbopsError."""
    existing = {name for (name,) in server.main.rows(_ROLES)}
    roles = Roles(owner=place.owner, mapping=request.role_mapping, existing=existing)
    session = server.connector.open_as(place.login, place.password, place.database)
    try:
        with Cancelling(session, watch):
            if place.existing:
                session.send_foreign("BEGIN")
            with Loading(session, roles, watch, total=total, at_once=place.existing) as loading:
                _feed(server, request, source, watch, loading, written)
                loading.close()
            if place.existing:
                session.send_foreign("COMMIT")
            _require_committed(session)
            if request.analyze and not request.schema_only:
                watch.report("analyze", tables_done=loading.tables, tables_total=total)
                session.send_foreign("ANALYZE")
        watch.require()
    finally:
        session.close()
    warnings = roles.summary()
    if request.jobs > 1:
        warnings.append("jobs: a dump of PostgreSQL is restored by one session, which fits its roles")
    return Restored(tables=loading.tables, warnings=warnings)


def _feed(
    server: Server, request: RestoreRequest, source: BinaryIO, watch: Watch, loading: Loading, written: str
) -> None:
    if written == "plain":
        while data := source.read(CHUNK):
            loading.feed(data)
        return
    pg_restore = tools.postgresql("pg_restore", versions.major(server.facts.version_number), request.tools_path)
    arguments = ["--file=-", _FORMATS[written], *_arguments(request)]
    if written != "directory":
        command = client.plain(pg_restore, arguments)
        require_restored(run(command, watch, source=source, sink=loading.feed))
        return
    with tempfile.TemporaryDirectory(prefix="dbops-restore-", dir=request.scratch_path) as scratch:
        unpack(source, Path(scratch), watch)
        require_restored(run(client.plain(pg_restore, [*arguments, scratch]), watch, sink=loading.feed))


def _arguments(request: RestoreRequest) -> list[str]:
    flags = {
        "--schema-only": request.schema_only,
        "--data-only": request.data_only,
        "--disable-triggers": request.disable_triggers and request.data_only,
        "--no-privileges": request.no_privileges,
        # Who owns what is our decision; the statements are of use for the roles that are mapped.
        "--no-owner": request.no_owner or not request.role_mapping,
        "--strict-names": bool(request.schemas or request.tables),
    }
    return [
        "--no-tablespaces",
        "--no-security-labels",
        "--no-subscriptions",
        *(f"--schema={name}" for name in request.schemas),
        *(f"--table={name}" for name in request.tables),
        *(flag for flag, wanted in flags.items() if wanted),
    ]


def unpack(source: BinaryIO, folder: Path, watch: Watch) -> None:
    """Write the files of the directory format, which SOURCE holds as a tar archive, into FOLDER. Raises DbopsError."""
    try:
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for number, member in enumerate(archive):
                watch.require()
                # pg_dump's own files are all beside each other.
                if number > _MAX_FILES or not member.isreg() or Path(member.name).name != member.name:
                    raise DbopsError(Reason.NOT_VERIFIABLE, f"this is no dump in the directory format: {member.name}")
                content = archive.extractfile(member)
                if content is None:
                    raise AssertionError("a regular file has content")
                with (folder / member.name).open("xb") as file:
                    shutil.copyfileobj(content, file, CHUNK)
    except tarfile.TarError as error:
        raise DbopsError(Reason.NOT_VERIFIABLE, f"this is no dump in the directory format: {error}") from error
    # What is behind the archive's end belongs to the stream as well: its checksum is complete only then.
    while source.read(CHUNK):
        watch.require()


def _require_committed(session: Session) -> None:
    if session.in_transaction:
        raise DbopsError(Reason.INVALID_SPEC, "the dump leaves a transaction open, so what was done in it is lost")
