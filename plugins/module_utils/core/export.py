# SPDX-License-Identifier: GPL-3.0-or-later
"""The other way round: a live server in, the objects that would declare it out.

Called by core.task for the module database_export. What comes out is a `converge` list whose plan is empty on that
server, and warnings of what is there and cannot be declared. An engine's own export.py reads and decides; this file
opens the server and sorts objects into the variables of the playbook `server`. Passwords are never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import engines, parse
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.exported import Chosen, Objects

VARIABLES = {
    "database_role": "server_roles",
    "database_user": "server_users",
    "database": "server_databases",
    "database_grant": "server_grants",
}
"""The variable of playbooks/server.yml that holds the objects of a kind."""


def export(request: Mapping[str, Any]) -> dict[str, Any]:
    """Look at a server; REQUEST has `connection`, and may have patterns in `databases` and `accounts`.

    Raises DbopsError when the server cannot be reached or looked at.
    """
    options = parse.connection(request.get("connection") or {})
    chosen = Chosen(request.get("databases") or ("*",), request.get("accounts") or ("*",))
    with engines.server(options) as server:
        server.require_direct()
        found = server.export(chosen)
        described = {"engine": server.engine} | server.described()
    return {"version": 1, "server": described, "objects": found.objects, "warnings": found.warnings}


def variables(objects: Iterable[Mapping[str, Any]]) -> dict[str, Objects]:
    """Give OBJECTS as the variables of playbooks/server.yml."""
    found: dict[str, Objects] = {name: [] for name in VARIABLES.values()}
    for one in objects:
        found[VARIABLES[one["kind"]]].append({name: value for name, value in one.items() if name != "kind"})
    return found
