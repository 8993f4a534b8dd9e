# SPDX-License-Identifier: GPL-3.0-or-later
"""Observed databases in, the objects that would declare them and their default privileges out; pure.

Called by export.py. What a new database has anyway is not said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import DefaultAcl
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.export_catalog import Inside
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC, ordered
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Database, DatabaseContent

_TYPES = {"tables": "table", "sequences": "sequence", "functions": "function", "types": "type"}
_EVERYWHERE = "plpgsql"
"""The extension that every new database has."""


def entry(database: Database, nobodys: Collection[str]) -> dict[str, Any]:
    """Give the object for a DATABASE, without its content. An owner of NOBODYS is who makes it anyway."""
    found: dict[str, Any] = {
        "kind": "database",
        "name": database.name,
        "encoding": database.encoding,
        "lc_collate": database.lc_collate,
        "lc_ctype": database.lc_ctype,
        "template": "template0",
    }
    if database.owner not in nobodys:
        found["owner"] = database.owner
    if database.tablespace != "pg_default":
        found["tablespace"] = database.tablespace
    if database.connection_limit != -1:
        found["connection_limit"] = database.connection_limit
    if database.is_template:
        found["is_template"] = True
    if not database.allow_connections:
        found["allow_connections"] = False
    return found


def content(
    database: Database, inside: Inside, *, bootstrap: Collection[str], nobodys: Collection[str], version_number: int
) -> dict[str, Any]:
    """Give the options for what is in a DATABASE."""
    there = database.content or DatabaseContent()
    extensions = []
    for name, default_version in inside.default_versions.items():
        one = there.extensions[name]
        if name != _EVERYWHERE:
            version = {} if one.version == default_version else {"version": one.version}
            extensions.append({"name": name, "schema": one.schema} | version)
    if _EVERYWHERE not in there.extensions:
        extensions.append({"name": _EVERYWHERE, "state": "absent"})
    modern = versions.has(versions.PUBLIC_OF_DATABASE_OWNER, version_number)
    public_owners = {"pg_database_owner"} if modern else set(bootstrap)
    schemas: list[dict[str, Any]] = []
    for name, owner in sorted(there.schemas.items()):
        if name in inside.schemas_of_extensions or (name == "public" and owner in public_owners):
            continue
        # Without an owner it is whoever makes the schema.
        schemas.append({"name": name} | ({} if owner in nobodys else {"owner": owner}))
    if "public" not in there.schemas:
        schemas.append({"name": "public", "state": "absent"})
    found = {"extensions": extensions, "schemas": schemas}
    return {option: those for option, those in found.items() if those}


def default_privileges(
    database: Database, roles: Collection[str], warnings: list[str]
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Give what ROLES get by default: as an option of the database what its owner gives, else by who gets it."""
    own: list[dict[str, Any]] = []
    others: dict[str, list[dict[str, Any]]] = {}
    for acl in sorted(database.content.default_acls if database.content else (), key=_key):
        if acl.grantee == acl.grantor or (acl.grantee != PUBLIC and acl.grantee not in roles):
            continue
        if acl.grantable:
            warnings.append(
                f"database {database.name}: {acl.grantee} may pass on what it gets by default on {acl.object_type} of "
                f"{acl.grantor} in {acl.schema}, which cannot be declared"
            )
        words = ordered(_TYPES[acl.object_type], acl.privileges)
        one = {"schema": acl.schema, "object_type": acl.object_type, "privileges": words}
        if acl.grantor == database.owner:
            own.append({"role": _grantee(acl.grantee)} | one)
        else:
            one |= {"database": database.name, "granted_by": acl.grantor}
            others.setdefault(acl.grantee, []).append(one)
    return ({"default_privileges": own} if own else {}), others


def _key(acl: DefaultAcl) -> tuple[str, str, str, str]:
    return acl.schema, acl.object_type, acl.grantee, acl.grantor


def _grantee(name: str) -> str:
    return PUBLIC.upper() if name == PUBLIC else name


def remarks(database: Database, others: Iterable[str], provider: str) -> list[str]:
    """Say what of a DATABASE cannot be declared."""
    found = [f"what was granted on {one} cannot be declared" for one in others]
    if provider != "c":
        found.append("its locale is not one of the C library, which alone can be declared; it stays as it is")
    if database.content is None:
        reason = database.content_problem.message if database.content_problem else "it takes no connections"
        found.append(f"nothing in it could be seen: {reason}")
    return [f"database {database.name}: {text}" for text in found]
