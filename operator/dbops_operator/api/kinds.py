# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of all kinds of the API, by name. Watches, the reconcilers' table and the CRDs are made from it."""

from __future__ import annotations

from typing import Any

from dbops_operator.api.cluster_database_grant import CLUSTER_DATABASE_GRANT
from dbops_operator.api.cluster_database_instance import CLUSTER_DATABASE_INSTANCE
from dbops_operator.api.cluster_database_role import CLUSTER_DATABASE_ROLE
from dbops_operator.api.database import DATABASE
from dbops_operator.api.database_backup import DATABASE_BACKUP
from dbops_operator.api.database_backup_schedule import DATABASE_BACKUP_SCHEDULE
from dbops_operator.api.database_grant import DATABASE_GRANT
from dbops_operator.api.database_instance import DATABASE_INSTANCE
from dbops_operator.api.database_restore import DATABASE_RESTORE
from dbops_operator.api.database_role import DATABASE_ROLE
from dbops_operator.api.database_user import DATABASE_USER
from dbops_operator.api.kind import Kind

_ALL: tuple[Kind[Any, Any], ...] = (
    DATABASE_INSTANCE,
    CLUSTER_DATABASE_INSTANCE,
    DATABASE,
    DATABASE_USER,
    DATABASE_ROLE,
    CLUSTER_DATABASE_ROLE,
    DATABASE_GRANT,
    CLUSTER_DATABASE_GRANT,
    DATABASE_BACKUP,
    DATABASE_BACKUP_SCHEDULE,
    DATABASE_RESTORE,
)
KINDS: dict[str, Kind[Any, Any]] = {kind.name: kind for kind in _ALL}
