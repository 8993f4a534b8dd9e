# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares a restored database with the manifest of its dump: objects by type, and rows by table.

Called by backup/postgresql/engine.py for verifications and before a database is replaced. All is read as the restore's
own login: nothing that a dump brought along runs with an administrator's rights.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import tools
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import RestoreRequest, Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.client import Login
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.listing import listing
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.loading import Cancelling
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.place import Place
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Identifier, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Session
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server import Server

MAX_DIFFERENCES = 20
# Rows that row-level security hides from their owner can only be counted without its rules.
_TABLES = """
SELECT n.nspname || '.' || c.relname, n.nspname, c.relname, c.relrowsecurity AND c.relforcerowsecurity
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
BLOBS = "SELECT count(*) FROM pg_largeobject_metadata"


def differences(server: Server, place: Place, request: RestoreRequest, manifest: Manifest, watch: Watch) -> list[str]:
    """Give what is not as the manifest says, at most MAX_DIFFERENCES and how many more. Raises DbopsError."""
    session = server.connector.open_as(place.login, place.password, place.database)
    try:
        session.rows("SET role = none")
        session.rows("SET statement_timeout = 0")
        with Cancelling(session, watch):
            found = _rows(session, manifest.rows or {}, watch)
            ((blobs,),) = session.rows(BLOBS)
    finally:
        session.close()
    watch.require()
    major = versions.major(server.facts.version_number)
    listed = listing(
        tools.postgresql("pg_dump", major, request.tools_path), [], connector=server.connector,
        login=Login(place.login, place.password), database=place.database, watch=watch,
    )  # fmt: skip
    objects = dict(listed.objects)
    if blobs:
        objects["large_objects"] = blobs
    found += _objects(manifest.objects, objects)
    if len(found) > MAX_DIFFERENCES:
        found = [*found[:MAX_DIFFERENCES], f"and {len(found) - MAX_DIFFERENCES} more"]
    return found


def _objects(expected: Mapping[str, int], actual: Mapping[str, int]) -> list[str]:
    return [
        f"{kind.replace('_', ' ')}: {expected.get(kind, 0)} in the backup, {actual.get(kind, 0)} restored"
        for kind in sorted({*expected, *actual})
        if expected.get(kind, 0) != actual.get(kind, 0)
    ]


def _rows(session: Session, expected: Mapping[str, int], watch: Watch) -> list[str]:
    there = {key: (schema, name, hidden) for key, schema, name, hidden in session.rows(_TABLES)}
    found = []
    for number, (key, count) in enumerate(sorted(expected.items())):
        watch.require()
        watch.report("compare", tables_done=number, tables_total=len(expected))
        if key not in there:
            found.append(f"table {key} is missing")
            continue
        schema, name, hidden = there[key]
        if hidden:
            continue
        query = Statement("SELECT count(*) FROM ONLY {}", Identifier(schema, name))
        ((actual,),) = session.select(query, doing=f"count {key}")
        if actual != count:
            found.append(f"rows of {key}: {count} in the backup, {actual} restored")
    return found
