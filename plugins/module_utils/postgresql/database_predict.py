# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan of a database changes for the plans after it: a database, its schemas, and what holds up others.

Called through the table of kinds.py, for what was dropped, and in check mode for all that would have been done.
"""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredDatabase
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import acls
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.encodings import encoding_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Database,
    Dependencies,
    OwnedObject,
    Role,
    ServerState,
    Sessions,
)


def predict(desired: DesiredDatabase, state: ServerState) -> None:
    """Note in STATE what a plan has made or removed, or would have in check mode."""
    if not desired.present:
        state.acls.pop(desired.name, None)
        gone = state.databases.pop(desired.name, None)
        if gone:
            # Roles that are to go as well are not held up any more by what was in it.
            state.roles = {name: _without(role, gone) for name, role in state.roles.items()}
        return
    if desired.name not in state.databases:
        _make(desired, state)
    if desired.name in state.acls:
        admin = state.facts.admin.name
        schemas = {one.name: one.owner or admin for one in desired.schemas if one.present}
        acls.add_schemas(state.acls[desired.name], schemas)


def _make(desired: DesiredDatabase, state: ServerState) -> None:
    template = state.databases[desired.template or "template1"]
    owner = desired.owner or state.facts.admin.name
    public = template.content.schemas if template.content else {"public": "pg_database_owner"}
    state.acls[desired.name] = acls.predicted(desired.name, owner, public)
    state.databases[desired.name] = replace(
        template,
        name=desired.name,
        owner=owner,
        encoding=encoding_name(desired.encoding or "") or template.encoding,
        lc_collate=desired.lc_collate or template.lc_collate,
        lc_ctype=desired.lc_ctype or template.lc_ctype,
        tablespace=desired.tablespace or template.tablespace,
        connection_limit=-1 if desired.connection_limit is None else desired.connection_limit,
        is_template=bool(desired.is_template),
        allow_connections=desired.allow_connections is not False,
        size_bytes=None,
        sessions=Sessions(),
        content=None,
        content_problem=None,
    )


def _without(role: Role, database: Database) -> Role:
    """Give ROLE as it is when DATABASE and all that is in it are gone."""
    had = role.dependencies
    if had is None:
        return role
    counts = {where: count for where, count in had.owned_counts.items() if where != database.name}
    mine = database.owner == role.name
    if mine and "" in counts:
        counts[""] -= 1
    gone = OwnedObject("", "", quoted(database.name), "database")
    owned = tuple(
        one
        for one in had.owned
        if one.database != database.name and not (mine and one in (gone, replace(gone, name=database.name)))
    )
    privileges = {where: owners for where, owners in had.privileges_in.items() if where != database.name}
    return replace(
        role,
        dependencies=Dependencies(
            owned=owned,
            owned_counts={where: count for where, count in counts.items() if count},
            privileges_in=privileges,
        ),
    )
