# SPDX-License-Identifier: GPL-3.0-or-later
"""ClusterDatabaseInstance: a database server for objects of every namespace that its access policy admits."""

from __future__ import annotations

from dbops_operator.api.database_instance import INSTANCE_COLUMNS, DatabaseInstanceSpec, DatabaseInstanceStatus
from dbops_operator.api.kind import Kind

CLUSTER_DATABASE_INSTANCE = Kind(
    name="ClusterDatabaseInstance",
    plural="clusterdatabaseinstances",
    short_name="cdbi",
    scope="Cluster",
    finalizer_name="cluster-instance-protection",
    spec=DatabaseInstanceSpec,
    status=DatabaseInstanceStatus,
    about="A database server that exists, for objects of every namespace, or of those that its access policy admits.",
    columns=INSTANCE_COLUMNS,
)
