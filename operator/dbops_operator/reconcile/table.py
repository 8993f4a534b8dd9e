# SPDX-License-Identifier: GPL-3.0-or-later
"""The reconciler of each kind. The controller calls what stands here; a kind that nobody serves yet says so."""

from __future__ import annotations

from dbops_operator.api.kinds import KINDS
from dbops_operator.context import Reconcilers
from dbops_operator.reconcile import (
    database,
    database_backup_schedule,
    database_grant,
    database_instance,
    database_role,
    database_user,
    unsupported,
)

RECONCILERS: Reconcilers = dict.fromkeys(KINDS, unsupported.reconcile) | {
    "DatabaseInstance": database_instance.reconcile,
    "ClusterDatabaseInstance": database_instance.reconcile,
    "Database": database.reconcile,
    "DatabaseUser": database_user.reconcile,
    "DatabaseRole": database_role.reconcile,
    "ClusterDatabaseRole": database_role.reconcile,
    "DatabaseGrant": database_grant.reconcile,
    "ClusterDatabaseGrant": database_grant.reconcile,
    "DatabaseBackupSchedule": database_backup_schedule.reconcile,
}
