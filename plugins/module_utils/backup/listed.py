# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and the operator are told about backups: the list of a store, and one backup out of its manifest.

Called by worker.py and backing.py.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import catalog
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import manifest as manifests
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import open_store

_MAX_ROWS = 1000
"""Tables whose rows are told; the manifest has all of them."""


def described(manifest: Manifest) -> dict[str, Any]:
    """Give a backup as results show it."""
    stream = manifest.stream
    rows = manifest.rows
    return {
        "path": manifest.path,
        "manifest_path": manifest.manifest_path,
        "database": manifest.database,
        "backup_name": manifest.backup_name,
        "engine": manifest.engine,
        "server_version": manifest.server_version,
        "tool": manifest.tool,
        "tool_version": manifest.tool_version,
        "format": manifest.format,
        "started": manifest.started,
        "completed": manifest.completed,
        "size_bytes": stream.plain_bytes,
        "stored_bytes": stream.stored_bytes,
        "checksum": f"sha256:{stream.stored_sha256}",
        "compression": manifest.compression,
        "encryption": manifest.encryption,
        "recipients": list(manifest.recipients),
        "created_by": dict(manifest.created_by) if manifest.created_by else None,
        "objects": dict(manifest.objects),
        "tables": None if rows is None else len(rows),
        "rows": None if rows is None else dict(sorted(rows.items())[:_MAX_ROWS]),
        "rows_missing": manifest.rows_missing,
        "extensions": dict(manifest.extensions),
        "roles": list(manifest.roles),
    }


def list_backups(options: Mapping[str, Any], check: bool, watch: Watch) -> dict[str, Any]:
    """List the store; what was left unfinished long ago is removed if that is asked for."""
    watch.report("list")
    store = open_store(options["storage"])
    folder = str(options.get("folder") or "")
    now = datetime.datetime.now(datetime.UTC)
    removed: list[str] = []
    seconds = options.get("remove_unfinished_after")
    if seconds is not None:
        grace = datetime.timedelta(seconds=int(seconds))
        if check:
            removed = [one.path for one in catalog.listing(store, folder).unfinished if now - one.since > grace]
        else:
            removed = catalog.remove_unfinished(store, folder, now=now, grace=grace)
    found = catalog.listing(store, folder)
    database = options.get("database")
    return {
        "changed": bool(removed),
        "backups": [described(one) for one in found.backups if database in (None, one.database)],
        "broken": [{"path": one.path, "message": one.message} for one in found.broken],
        "unfinished": [{"path": one.path, "since": manifests.timestamp(one.since)} for one in found.unfinished],
        "removed": removed,
    }
