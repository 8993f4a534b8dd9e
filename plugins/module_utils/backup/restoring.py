# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores a backup, or tries it out in a scratch database: looks first, loads beside, compares, then swaps.

Called by worker.py and backing.py. Nothing that was there is touched before the whole dump was read, was found to be
the one of the manifest, and was loaded.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import catalog, foreign, paths
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import manifest as manifests
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import (
    BackupEngine,
    Restored,
    RestoreRequest,
    Target,
    Watch,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engines import open_engine
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.facts import StreamFacts
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.module_arguments import (
    ACKNOWLEDGEMENT,
    MYSQL_RESTORE,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.pipeline import check_stored, open_dump
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.processes import CHUNK
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store, open_store
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import CONNECTION
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Owner
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

Open = Callable[[], BinaryIO]
_UNKNOWN = StreamFacts(0, "0" * 64, 0, "0" * 64)


def restore(options: Mapping[str, Any], check: bool, watch: Watch) -> dict[str, Any]:
    """Restore as the options of `database_restore` say; with CHECK say whether that would be possible."""
    path = paths.checked(str(options["backup"]), field="backup")
    store = open_store(options["storage"])
    manifest, known = _manifest(store, path, options)
    request = _request(options, manifest)
    _require_acknowledged(options, request)
    opened = _opening(store, manifest, options, known=known)
    with open_engine({name: options.get(name) for name in CONNECTION}) as engine:
        watch.report("preflight")
        _require_none(engine.check_restore(request, manifest, scratch=False))
        # A wrong key and a dump that is gone show with the first bytes.
        with opened() as source:
            if check:
                return {"changed": True, "restore": _described(request, path, None, Restored(0))}
            return _restore(engine, store, request, manifest, source, watch, known=known)


def try_out(
    engine: BackupEngine, store: Store, manifest: Manifest, options: Mapping[str, Any], watch: Watch, *, check: bool
) -> dict[str, Any]:
    """Restore the backup of MANIFEST into a scratch database, compare, and drop it (B10)."""
    begun = datetime.datetime.now(datetime.UTC)
    request = RestoreRequest(
        # A name that only this backup has: the scratch database is called after it.
        database=manifest.path,
        no_privileges=True,
        analyze=False,
        tools_path=options.get("tools_path") or (),
        scratch_path=options.get("scratch_path"),
    )
    _require_none(engine.check_restore(request, manifest, scratch=True))
    with _opening(store, manifest, options, known=True)() as source:
        if check:
            return {"verified": None, "differences": []}
        target = engine.prepare(request, manifest, scratch=True)
        with _abandoning(engine, target):
            engine.load(target, request, manifest, source, watch)
            _drain(source, watch)
            found = engine.compare(target, request, manifest, watch)
        engine.abandon(target)
    ended = datetime.datetime.now(datetime.UTC)
    if found:
        text = f"what was restored is not what was dumped: {'; '.join(found)}"
        raise DbopsError(Reason.NOT_VERIFIABLE, text, field="backup")
    seconds = round((ended - begun).total_seconds(), 3)
    return {"verified": True, "at": manifests.timestamp(ended), "seconds": seconds, "differences": []}


def _restore(
    engine: BackupEngine, store: Store, request: RestoreRequest, manifest: Manifest, source: BinaryIO, watch: Watch, *,
    known: bool,
) -> dict[str, Any]:  # fmt: skip
    target = engine.prepare(request, manifest, scratch=False)
    with _abandoning(engine, target):
        if known and not target.fresh:
            # It is loaded into what stays: the whole dump is read and compared before.
            check_stored(store, manifest.path, manifest.stream)
        done = engine.load(target, request, manifest, source, watch)
        _drain(source, watch)
        if known and target.fresh and not request.partial:
            found = engine.compare(target, request, manifest, watch)
            if found:
                text = f"what was restored is not what was dumped: {'; '.join(found)}"
                raise DbopsError(Reason.NOT_VERIFIABLE, text, field="backup")
        watch.require()
        watch.report("finish", tables_done=done.tables)
        previous = engine.finish(target, request)
    described = _described(request, manifest.path, previous, done)
    return {"changed": True, "warnings": list(done.warnings), "restore": described}


@contextlib.contextmanager
def _abandoning(engine: BackupEngine, target: Target) -> Iterator[None]:
    """Let the target go when something fails; the first error is the one that is told."""
    try:
        yield
    except BaseException:
        # What cannot be removed now is removed by the next try.
        with contextlib.suppress(DbopsError):
            engine.abandon(target)
        raise


def _manifest(store: Store, path: str, options: Mapping[str, Any]) -> tuple[Manifest, bool]:
    """Give the manifest of the dump at PATH and true, or for somebody else's file what its name tells and false."""
    found = catalog.find(store, path)
    if found:
        return found, True
    algorithm = (options.get("compression") or {}).get("algorithm")
    if algorithm is None or store.find(path + catalog.MARKER):
        text = f"{path} is no backup: it has no manifest. For somebody else's dump say how it is compressed"
        raise DbopsError(Reason.NOT_VERIFIABLE, text, field="backup")
    dump = foreign.recognised(store, path, compression=algorithm, decryption=options.get("encryption"))
    if dump.format is None:
        text = f"{path} has no manifest, and its name does not tell its format (.sql, .dump, .dir, .tar)"
        raise DbopsError(Reason.NOT_VERIFIABLE, text, field="backup")
    now = manifests.timestamp(datetime.datetime.now(datetime.UTC))
    return Manifest(
        engine=str(options["engine"]),
        server_version="0",
        tool="",
        tool_version="",
        format=dump.format,
        path=dump.path,
        database="",
        backup_name="",
        started=now,
        completed=now,
        stream=_UNKNOWN,
        compression=dump.compression,
        encryption=dump.encryption,
    ), False


def _opening(store: Store, manifest: Manifest, options: Mapping[str, Any], *, known: bool) -> Open:
    def opened() -> BinaryIO:
        source = open_dump(
            store,
            manifest.path,
            compression=manifest.compression,
            encryption=manifest.encryption,
            decryption=options.get("encryption"),
            expected=manifest.stream if known else None,
        )
        source.peek(1)  # type: ignore[attr-defined]
        return source

    return opened


def _request(options: Mapping[str, Any], manifest: Manifest) -> RestoreRequest:
    target = options.get("target") or {}
    database = target.get("database") or manifest.database
    if not database:
        raise DbopsError(Reason.INVALID_SPEC, "target.database is missing", field="target.database")
    given = {name: value for name, value in (options.get("mysql") or {}).items() if value is not None}
    names = ("create_database", "drop_existing", "schema_only", "data_only", "no_owner", "no_privileges")
    flags = {
        name: bool(options[name]) for name in (*names, "disable_triggers", "analyze") if options.get(name) is not None
    }
    return RestoreRequest(
        database=str(database),
        in_place=bool(target.get("in_place")),
        owner=options.get("owner"),
        role_mapping={str(role): str(other) for role, other in (options.get("role_mapping") or {}).items()},
        schemas=options.get("schemas") or (),
        tables=options.get("tables") or (),
        jobs=int(options.get("jobs") or 1),
        options={name: one.get("default") for name, one in MYSQL_RESTORE.items()} | given,
        tools_path=options.get("tools_path") or (),
        scratch_path=options.get("scratch_path"),
        claimant=Owner.from_options(options.get("dbops_owner"), kind="database", name=str(database)),
        force=bool(options.get("force")),
        **flags,
    )


def _require_acknowledged(options: Mapping[str, Any], request: RestoreRequest) -> None:
    given = (options.get("target") or {}).get("acknowledge_data_loss")
    if (request.in_place or request.drop_existing) and given != ACKNOWLEDGEMENT:
        text = f"database {request.database} would be replaced: acknowledge_data_loss must be {ACKNOWLEDGEMENT}"
        raise DbopsError(Reason.ACKNOWLEDGEMENT_NEEDED, text, field="target.acknowledge_data_loss")


def _require_none(problems: list[DbopsError]) -> None:
    """Raise the first problem, with the messages of all."""
    if not problems:
        return
    text = "; ".join(dict.fromkeys(one.message for one in problems))
    raise DbopsError(problems[0].reason, text, field=problems[0].field)


def _drain(source: BinaryIO, watch: Watch) -> None:
    """Read what a tool had no use for: only then all of the dump has been compared with its checksum."""
    while source.read(CHUNK):
        watch.require()


def _described(request: RestoreRequest, path: str, previous: str | None, done: Restored) -> dict[str, Any]:
    return {
        "backup": path,
        "database": request.database,
        "in_place": request.in_place,
        "previous": previous,
        "tables": done.tables,
    }
