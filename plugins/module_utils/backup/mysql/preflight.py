# SPDX-License-Identifier: GPL-3.0-or-later
"""All that can be known to speak against a restore on MySQL or MariaDB before anything is touched.

Called by mysql/engine.py; reads only. What is found is said all at once, not one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import tools
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import RestoreRequest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql import examine, login, place, swap
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.login import RestoreLogin
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import release
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import ledger, names
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server

_NOT_HERE = {
    "schemas": "there are no schemas within a database",
    "owner": "a database has no owner, and what has a definer gets the locked login of the restore",
    "role_mapping": "what has a definer gets the locked login of the restore",
    "data_only": "every restore is into a fresh database, which has no tables yet",
}


def problems(server: Server, request: RestoreRequest, manifest: Manifest, *, scratch: bool) -> Iterator[DbopsError]:
    """Give what speaks against restoring the dump of MANIFEST."""
    if manifest.engine != server.engine:
        text = f"this is a dump of {manifest.engine}, and the server is {server.facts.dialect.title}"
        yield DbopsError(Reason.INVALID_SPEC, text, field="backup")
        return
    number = server.facts.dialect.version_number
    here, there = (number // 10000, number // 100 % 100), _series(manifest.server_version)
    if there > here:
        text = f"the dump is of version {manifest.server_version}, and the server is the older {server.facts.version}"
        yield DbopsError(Reason.UNSUPPORTED, text, field="backup")
        return
    yield from _tools(server, request)
    yield from _choice(request)
    yield from _account(server, request, manifest, scratch=scratch)
    if not scratch:
        yield from _target(server, request)


def _series(version: str) -> tuple[int, int]:
    first, second, *_rest = (*(int(part) for part in version.split(".")[:2] if part.isdigit()), 0, 0)
    return first, second


def _tools(server: Server, request: RestoreRequest) -> Iterator[DbopsError]:
    for purpose in ("client", "dump"):
        try:
            tools.mysql(purpose, server.engine, server.facts.dialect.version_number, request.tools_path)
        except DbopsError as error:
            yield error


def _choice(request: RestoreRequest) -> Iterator[DbopsError]:
    for name, why in _NOT_HERE.items():
        if getattr(request, name):
            yield DbopsError(Reason.UNSUPPORTED, f"{name}: on MySQL and MariaDB {why}", field=name)
    for name in ("tables", "schema_only"):
        if getattr(request, name) and (request.in_place or request.drop_existing):
            text = f"{name} would leave the rest of database {request.database} out of what replaces it"
            yield DbopsError(Reason.INVALID_SPEC, text, field=name)


def _account(server: Server, request: RestoreRequest, manifest: Manifest, *, scratch: bool) -> Iterator[DbopsError]:
    name = place.made_name(server, request, scratch=scratch)
    try:
        if not scratch:
            names.check_name(request.database, field="target.database")
        RestoreLogin(server, name if scratch else request.database).check(name, request.database)
    except DbopsError as error:
        yield error
        return
    yield from login.problems(server, name, _wanted(request, manifest.objects))


def _wanted(request: RestoreRequest, objects: Mapping[str, int]) -> dict[str, int]:
    """Give those of OBJECTS that are restored."""
    left_out = {kind for kind in ("triggers", "events") if not request.options.get(kind, True)}
    if not request.options.get("routines", True):
        left_out |= {"procedures", "functions", "packages"}
    return {kind: number for kind, number in objects.items() if kind not in left_out}


def _target(server: Server, request: RestoreRequest) -> Iterator[DbopsError]:
    if server.facts.fold(request.database) == ledger.DATABASE:
        text = f"the database {request.database} is where ownership is recorded; restore into another one"
        yield DbopsError(Reason.ACCESS_DENIED, text, field="target.database")
        return
    if not place.exists(server, request.database):
        if request.in_place or not request.create_database:
            text = f"database {request.database} does not exist"
            yield DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="target.database")
        return
    try:
        examine.found(server, request.database)
    except DbopsError as error:
        yield error
        return
    yield from _owned(server, request)
    if not (request.in_place or request.drop_existing) and swap.has_content(server, request.database):
        text = f"database {request.database} is not empty; restore in place, or into another one"
        yield DbopsError(Reason.CONFLICT, text, field="target.database")
        return
    yield from swap.problems(server, RestoreLogin(server, request.database), request.database)


def _owned(server: Server, request: RestoreRequest) -> Iterator[DbopsError]:
    """Say when the ledger knows the target as somebody else's, or not as that of whoever asks."""
    what, key = f"database {request.database}", ("database", server.facts.fold(request.database))
    entry = server.ledger.read([key]).get(key) if server.ledger else None
    try:
        mine = release(owner=request.claimant, entry=entry, force=request.force, what=what)
    except DbopsError as error:
        yield error
        return
    if not mine:
        managed = entry and entry.state != "absent"
        whose = f"belongs to {entry.owner}" if entry and managed else "existed before and is not managed"
        text = f"{what} {whose}: it is not restored into; use force to do it all the same"
        yield DbopsError(Reason.CONFLICT, text, field="target.database")
