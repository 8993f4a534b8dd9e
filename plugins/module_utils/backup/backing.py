# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a backup, verifies it by a real restore, and removes it.

Called by worker.py. A backup is there when its manifest is: that is written last, when the tool exited with 0, the
upload is complete, and the sizes are known. Whatever fails before leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import catalog, naming, restoring
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import encryption as encryptions
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import manifest as manifests
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import (
    BackupEngine,
    BackupRequest,
    Contents,
    Examined,
    Watch,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engines import open_engine
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.facts import StreamFacts
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.listed import described
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.module_arguments import MYSQL, POSTGRESQL
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.pipeline import DumpWriter
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store, open_store
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import CONNECTION, Spec
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

Result = dict[str, Any]


def back_up(options: Mapping[str, Any], check: bool, watch: Watch) -> Result:
    """Make the backup unless it is there; with CHECK look whether it could be made."""
    started = naming.moment(options.get("started"))
    path = naming.dump_path(options, started)
    store = open_store(options["storage"])
    there = catalog.find(store, path)
    if there:
        return {"backup": described(there)}
    request = _request(options)
    with open_engine(connection(options)) as engine:
        examined = engine.examine(request)
        if check:
            return {"changed": True, "warnings": list(examined.warnings), "backup": {"path": path}}
        made = _make(engine, examined, request, options, store, path, started, watch)
    return {"changed": True, "warnings": list(examined.warnings), "backup": described(made)}


def verify(options: Mapping[str, Any], check: bool, watch: Watch) -> Result:
    """Restore the backup into a scratch database and compare it with its manifest; the scratch database goes."""
    store = open_store(options["storage"])
    path = str(options.get("backup") or naming.dump_path(options, naming.moment(options.get("started"))))
    manifest = catalog.find(store, path)
    if manifest is None:
        raise DbopsError(Reason.NOT_VERIFIABLE, f"{path} is no backup: it has no manifest", field="backup")
    with open_engine(connection(options)) as engine:
        found = restoring.try_out(engine, store, manifest, options, watch, check=check)
    return {"backup": described(manifest), "verification": found}


def remove(options: Mapping[str, Any], check: bool, watch: Watch) -> Result:  # noqa: ARG001 (it is short)
    """Remove the backup with its manifest, and what is there of one that was not finished."""
    store = open_store(options["storage"])
    path = str(options.get("backup") or naming.dump_path(options, naming.moment(options.get("started"))))
    there = any(store.find(one) for one in (path, manifests.path_of(path), path + catalog.MARKER))
    if there and not check:
        catalog.remove(store, path, now=datetime.datetime.now(datetime.UTC))
    return {"changed": there, "backup": {"path": path}}


def connection(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options of the connection."""
    return {name: options.get(name) for name in CONNECTION}


def _request(options: Mapping[str, Any]) -> BackupRequest:
    name, spec = ("postgresql", POSTGRESQL) if options["engine"] == "postgres" else ("mysql", MYSQL)
    return BackupRequest(
        database=str(options["database"]),
        options=_with_defaults(options.get(name), spec),
        tools_path=options.get("tools_path") or (),
        scratch_path=options.get("scratch_path"),
    )


def _with_defaults(given: Mapping[str, Any] | None, spec: Spec) -> dict[str, Any]:
    """Give the options of an engine; Ansible fills in defaults only below an option that is given."""
    return {name: one.get("default") for name, one in spec.items()} | {
        name: value for name, value in (given or {}).items() if value is not None
    }


def _make(
    engine: BackupEngine,
    examined: Examined,
    request: BackupRequest,
    options: Mapping[str, Any],
    store: Store,
    path: str,
    started: datetime.datetime,
    watch: Watch,
) -> Manifest:
    created_by = options.get("created_by")
    catalog.begin(store, path, started=started, created_by=created_by)
    try:
        contents, facts = _stream(engine, examined, request, options, store, path, watch)
        watch.require()
        made = _manifest(examined, contents, facts, options, path, started)
        catalog.complete(store, made)
    except BaseException:
        # Whoever lists the store finds the marker, if that cannot be removed now either.
        with contextlib.suppress(DbopsError):
            catalog.remove(store, path, now=datetime.datetime.now(datetime.UTC))
        raise
    return made


def _stream(
    engine: BackupEngine,
    examined: Examined,
    request: BackupRequest,
    options: Mapping[str, Any],
    store: Store,
    path: str,
    watch: Watch,
) -> tuple[Contents, StreamFacts]:
    writer = DumpWriter(
        store,
        path,
        compression=naming.compression_of(options),
        encryption=options.get("encryption"),
        expected_size=examined.size,
    )
    try:
        contents = engine.dump(examined, request, writer.write, watch)
        watch.require()
        return contents, writer.finish()
    except BaseException:
        writer.abort()
        raise


def _manifest(
    examined: Examined,
    contents: Contents,
    facts: StreamFacts,
    options: Mapping[str, Any],
    path: str,
    started: datetime.datetime,
) -> Manifest:
    encryption = options.get("encryption")
    recorded = {**examined.options}
    if contents.policy_roles:
        recorded["policy_roles"] = list(contents.policy_roles)
    return Manifest(
        engine=examined.engine,
        server_version=examined.server_version,
        tool=examined.tool.name,
        tool_version=examined.tool.version,
        format=examined.format,
        path=path,
        database=str(options["database"]),
        backup_name=str(options.get("backup_name") or options["database"]),
        started=manifests.timestamp(started),
        completed=manifests.timestamp(max(started, datetime.datetime.now(datetime.UTC))),
        stream=facts,
        compression=naming.compression_of(options)["algorithm"],
        encryption=encryptions.kind_of(encryption),
        recipients=tuple((encryption or {}).get("recipients") or ()),
        options=recorded,
        created_by=options.get("created_by"),
        objects=contents.objects,
        rows=contents.rows,
        rows_missing=contents.rows_missing,
        checksums=contents.checksums,
        extensions=contents.extensions,
        roles=tuple(contents.roles),
        server=examined.server,
    )
