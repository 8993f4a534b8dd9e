# SPDX-License-Identifier: GPL-3.0-or-later
"""Is what was restored what was backed up? It is dumped once more by the same tool, and what goes by is compared.

Called by mysql/engine.py. Objects, rows and checksums by table come from the dump tool's output both times, so they are
of one snapshot each; the checksums are of the text of all rows, as CHECKSUM TABLE's are of their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import tools
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import RestoreRequest, Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql import code
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.contents import Contents
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.dump import Dumping, dump
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server

_BY_OPTION = {
    "routines": ("procedures", "functions", "packages"),
    "triggers": ("triggers",),
    "events": ("events",),
}
_MOST = 20
"""Differences that are told."""


def differences(
    server: Server, database: str, request: RestoreRequest, manifest: Manifest, events: bytes, watch: Watch
) -> list[str]:
    """Give the differences between DATABASE, with the EVENTS put aside, and what MANIFEST says."""
    tool = tools.mysql("dump", server.engine, server.facts.dialect.version_number, request.tools_path)
    # Events were put aside; seeing that there are none takes a right that our account need not have.
    options = {**manifest.options, "tables": (), "exclude_tables": (), "set_gtid_purged": "OFF", "events": False}
    found = dump(Dumping(tool, server.connector.options, database, options), _drop, watch, phase="compare")
    objects = {**found.objects, **code.counts(events)}
    told = [*_objects(request, manifest.objects, objects), *_rows(request, manifest.rows, found.rows)]
    if tool.version == manifest.tool_version and not request.schema_only:
        # Another version may write the same values in another way.
        told += _checksums(manifest, found)
    return told if len(told) <= _MOST else [*told[:_MOST], f"and {len(told) - _MOST} more"]


def _objects(request: RestoreRequest, expected: Mapping[str, int], found: Mapping[str, int]) -> Iterator[str]:
    left_out = {kind for option, kinds in _BY_OPTION.items() for kind in kinds if not request.options.get(option, True)}
    if request.tables:
        # Which of the others belong to the chosen tables is not in the manifest.
        return
    for kind in sorted({*expected, *found} - left_out):
        if expected.get(kind, 0) != found.get(kind, 0):
            yield f"{found.get(kind, 0)} {kind}, the backup has {expected.get(kind, 0)}"


def _rows(request: RestoreRequest, expected: Mapping[str, int] | None, found: Mapping[str, int]) -> Iterator[str]:
    if expected is None or request.schema_only:
        return
    chosen = {table: rows for table, rows in expected.items() if not request.tables or table in request.tables}
    for table in sorted({*chosen, *found}):
        if chosen.get(table) != found.get(table):
            yield f"table {table} has {found.get(table, 'no')} rows, in the backup {chosen.get(table, 'no')}"


def _checksums(manifest: Manifest, found: Contents) -> Iterator[str]:
    for table, checksum in sorted(found.checksums.items()):
        same = manifest.checksums.get(table, checksum) == checksum
        if not same and manifest.rows and manifest.rows.get(table) == found.rows.get(table):
            yield f"table {table} has rows that differ from those in the backup"


def _drop(_data: bytes) -> None:
    """Nothing is kept of it."""
