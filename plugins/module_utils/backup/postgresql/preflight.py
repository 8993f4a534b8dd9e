# SPDX-License-Identifier: GPL-3.0-or-later
"""All that can be known to speak against a restore before anything is touched.

Called by backup/postgresql/engine.py; reads only. What is found is said all at once, not one by one.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import tools
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import RestoreRequest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql import place
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import release
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server import Server

_SYSTEM = ("postgres", "template0", "template1", "dbops")
_EXTENSIONS = """
SELECT e.name, bool_or(v.trusted OR NOT v.superuser)
FROM pg_available_extensions e
JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version
WHERE e.name = ANY(%s) GROUP BY 1
"""
_TARGET = "SELECT datistemplate, datallowconn FROM pg_database WHERE datname = %s"
_ROLES = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
_NEEDS_ADMINISTRATOR = {
    "event_triggers": "event triggers",
    "foreign_data_wrappers": "foreign data wrappers",
    "access_methods": "access methods",
    "transforms": "transforms",
    "languages": "languages",
}
"""What a login without administrator's rights cannot make."""


def problems(server: Server, request: RestoreRequest, manifest: Manifest, *, scratch: bool) -> Iterator[DbopsError]:
    """Give what speaks against restoring the dump of MANIFEST."""
    if manifest.engine != "postgres":
        text = f"this is a dump of {manifest.engine}, and the server is PostgreSQL"
        yield DbopsError(Reason.INVALID_SPEC, text, field="backup")
        return
    here = versions.major(server.facts.version_number)
    there = int(str(manifest.server_version).split(".", maxsplit=1)[0])
    if there > here:
        text = f"the dump is of PostgreSQL {there}, and the server is the older PostgreSQL {here}"
        yield DbopsError(Reason.UNSUPPORTED, text, field="backup")
        return
    admin = server.facts.admin
    if not (admin.superuser or (admin.create_db and admin.create_role)):
        text = f"{admin.name} needs CREATEDB and CREATEROLE: for the database and for its temporary login"
        yield DbopsError(Reason.PRIVILEGE_MISSING, text, field="login_user")
    yield from _tools(request, manifest, here)
    if not scratch:
        yield from _names(server, request)
    yield from _choice(request, manifest)
    yield from _content(server, request, manifest)


def _tools(request: RestoreRequest, manifest: Manifest, major: int) -> Iterator[DbopsError]:
    if manifest.format == "plain":
        return
    try:
        tools.postgresql("pg_restore", major, request.tools_path)
    except DbopsError as error:
        yield error


def _names(server: Server, request: RestoreRequest) -> Iterator[DbopsError]:
    try:
        check_name(request.database, field="target.database")
    except DbopsError as error:
        yield error
        return
    if request.database in _SYSTEM:
        text = f"database {request.database} is the server's own; restore into another one"
        yield DbopsError(Reason.ACCESS_DENIED, text, field="target.database")
        return
    rows = server.main.rows(_TARGET, [request.database])
    if not rows:
        if request.in_place or not request.create_database:
            text = f"database {request.database} does not exist"
            yield DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="target.database")
        return
    yield from _owned(server, request)
    ((template, connectable),) = rows
    if template or not connectable:
        text = f"database {request.database} is a template or takes no connections: it is left as it is"
        yield DbopsError(Reason.BLOCKED, text, field="target.database")


def _owned(server: Server, request: RestoreRequest) -> Iterator[DbopsError]:
    """Say when the ledger knows the target as somebody else's, or not as that of whoever asks."""
    what = f"database {request.database}"
    found = server.ledger.read([("database", request.database)]) if server.ledger else {}
    entry = found.get(("database", request.database))
    try:
        mine = release(owner=request.claimant, entry=entry, force=request.force, what=what)
    except DbopsError as error:
        yield error
        return
    if not mine:
        whose = (
            f"belongs to {entry.owner}" if entry and entry.state != "absent" else "existed before and is not managed"
        )
        text = f"{what} {whose}: it is not restored into; use force to do it all the same"
        yield DbopsError(Reason.CONFLICT, text, field="target.database")


def _choice(request: RestoreRequest, manifest: Manifest) -> Iterator[DbopsError]:
    chosen = {
        "schemas": request.schemas, "tables": request.tables,
        "schema_only": request.schema_only, "data_only": request.data_only,
    }  # fmt: skip
    if manifest.format == "plain":
        for name in (name for name, value in chosen.items() if value):
            text = f"{name}: nothing can be chosen from a plain dump; restore it as a whole, or dump in another format"
            yield DbopsError(Reason.UNSUPPORTED, text, field=name)
    if request.schema_only and request.data_only:
        text = "schema_only and data_only exclude each other"
        yield DbopsError(Reason.INVALID_SPEC, text, field="data_only")
    whole = request.in_place or request.drop_existing
    for name in ("data_only", "schemas", "tables") if whole else ():
        if chosen[name]:
            text = f"{name} would leave the rest of database {request.database} out of what replaces it"
            yield DbopsError(Reason.INVALID_SPEC, text, field=name)
    if whole and manifest.options.get("data_only"):
        text = "the dump has rows only: it cannot replace a database"
        yield DbopsError(Reason.INVALID_SPEC, text, field="backup")


def _content(server: Server, request: RestoreRequest, manifest: Manifest) -> Iterator[DbopsError]:
    if not (request.schemas or request.tables):
        names = list(manifest.extensions)
        available = dict(server.main.rows(_EXTENSIONS, [names]))
        for name in names:
            if name not in available:
                text = f"extension {name} is not installed on the server"
                yield DbopsError(Reason.UNSUPPORTED, text, field="backup")
            elif not available[name]:
                text = (
                    f"extension {name} is for superusers only, and restores run without an administrator's rights: "
                    "make the target with it, and restore with create_database false"
                )
                yield DbopsError(Reason.PRIVILEGE_MISSING, text, field="backup")
        for kind, words in _NEEDS_ADMINISTRATOR.items():
            if manifest.objects.get(kind):
                text = f"the dump holds {words}, which need an administrator's rights; restores run without"
                yield DbopsError(Reason.PRIVILEGE_MISSING, text, field="backup")
    policy_roles = [request.role_mapping.get(role, role) for role in manifest.options.get("policy_roles", ())]
    wanted = {*policy_roles, *request.role_mapping.values(), *([request.owner] if request.owner else [])}
    known = {name for (name,) in server.main.rows(_ROLES, [sorted(wanted)])}
    for name in sorted(wanted - known):
        text = f"role {name} does not exist; make it first, or map it with role_mapping"
        yield DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="role_mapping")
    for name in sorted({*request.role_mapping.values(), *([request.owner] if request.owner else [])} & known):
        try:
            place.require_harmless(server, name)
        except DbopsError as error:
            yield error
