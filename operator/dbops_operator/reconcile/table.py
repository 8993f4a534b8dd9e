# SPDX-License-Identifier: GPL-3.0-or-later
"""The reconciler of each kind. The controller calls what stands here."""

from __future__ import annotations

from dbops_operator.context import Reconcilers
from dbops_operator.reconcile import (
    database,
    database_backup,
    database_backup_schedule,
    database_grant,
    database_instance,
    database_restore,
    database_role,
    database_user,
)

RECONCILERS: Reconcilers = {
    "DatabaseInstance": database_instance.reconcile,
    "ClusterDatabaseInstance": database_instance.reconcile,
    "Database": database.reconcile,
    "DatabaseUser": database_user.reconcile,
    "DatabaseRole": database_role.reconcile,
    "ClusterDatabaseRole": database_role.reconcile,
    "DatabaseGrant": database_grant.reconcile,
    "ClusterDatabaseGrant": database_grant.reconcile,
    "DatabaseBackup": database_backup.reconcile,
    "DatabaseRestore": database_restore.reconcile,
    "DatabaseBackupSchedule": database_backup_schedule.reconcile,
}
