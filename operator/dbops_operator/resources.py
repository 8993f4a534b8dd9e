# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each kind that the operator touches is found in the Kubernetes API: group, version, plural, scope.

Used by the client to build paths and by the watches to know what to watch. Pure data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dbops_operator.keys import Key

GROUP = "dbops.dbprovision.io"
VERSION = "v1alpha1"
FIELD_MANAGER = "dbops-operator"
"""Under which the operator writes."""
SCHEDULE_LABEL = f"{GROUP}/schedule"
"""On a backup: the schedule that made it."""
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


class ImpossibleName(ValueError):  # noqa: N818
    """No object of the kinds here can have this name; in a path, `..` or a slash would lead to another object."""


@dataclass(frozen=True)
class Resource:
    """One kind of object; `group` is "" for the core API."""

    kind: str
    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of the collection (of one NAMESPACE, or of all), of one object, or of its SUBRESOURCE.

        Raises ImpossibleName: names come from what users write.
        """
        for part in (namespace, name):
            if part and not _NAME.fullmatch(part):
                raise ImpossibleName(f"no {self.kind} can be at {namespace}/{name}")
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        return "/" + "/".join([*parts, self.plural, *(part for part in (name, subresource) if part)])


OWN = (
    Resource("DatabaseInstance", GROUP, VERSION, "databaseinstances"),
    Resource("ClusterDatabaseInstance", GROUP, VERSION, "clusterdatabaseinstances", namespaced=False),
    Resource("Database", GROUP, VERSION, "databases"),
    Resource("DatabaseUser", GROUP, VERSION, "databaseusers"),
    Resource("DatabaseRole", GROUP, VERSION, "databaseroles"),
    Resource("ClusterDatabaseRole", GROUP, VERSION, "clusterdatabaseroles", namespaced=False),
    Resource("DatabaseGrant", GROUP, VERSION, "databasegrants"),
    Resource("ClusterDatabaseGrant", GROUP, VERSION, "clusterdatabasegrants", namespaced=False),
    Resource("DatabaseBackup", GROUP, VERSION, "databasebackups"),
    Resource("DatabaseBackupSchedule", GROUP, VERSION, "databasebackupschedules"),
    Resource("DatabaseRestore", GROUP, VERSION, "databaserestores"),
)
"""The kinds of our API group, which have reconcilers."""

REFERRED = (
    Resource("Secret", "", "v1", "secrets"),
    Resource("ConfigMap", "", "v1", "configmaps"),
    Resource("Namespace", "", "v1", "namespaces", namespaced=False),
)
"""What our objects refer to: only the metadata is watched."""

WRITTEN = (
    Resource("Event", "events.k8s.io", "v1", "events"),
    Resource("Lease", "coordination.k8s.io", "v1", "leases"),
)
"""What is only written."""

RESOURCES = {one.kind: one for one in (*OWN, *REFERRED, *WRITTEN)}
OWN_KINDS = frozenset(one.kind for one in OWN)
REFERRED_KINDS = frozenset(one.kind for one in REFERRED)


def path_of(key: Key, subresource: str = "") -> str:
    """Path of one object, or of its SUBRESOURCE. Raises KeyError for an unknown kind, and ImpossibleName."""
    if not key.name:
        raise ImpossibleName(f"a {key.kind} without a name")
    return RESOURCES[key.kind].path(key.namespace, key.name, subresource)
