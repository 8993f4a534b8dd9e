# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection options in, the backup engine of that server out; called by backup/worker.py.

An engine and its driver are imported here and not before, so that a run needs only the driver of its own server.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import BackupEngine


def open_engine(options: Mapping[str, Any]) -> AbstractContextManager[BackupEngine]:
    """Give the engine that checked OPTIONS (core.argument_specs.CONNECTION) name. Raises DbopsError."""
    if options["engine"] == "postgres":
        from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.engine import PostgreSQL

        return PostgreSQL(options)
    from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.engine import MySQL

    return MySQL(options)
