# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection options in, the server of their engine out; called by core.converge and core.export.

An engine and its driver are imported here and not before, so that a run needs only the driver of its own server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import Epoch
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.server import Server


def server(options: Mapping[str, Any], epoch: Epoch | None = None) -> Server:
    """Give the server that checked OPTIONS name, for a run of EPOCH; nothing is opened yet."""
    if options["engine"] == "postgres":
        from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server import Server as PostgreSQL

        return PostgreSQL(options, epoch)
    from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server as MySQL

    return MySQL(options, epoch)
