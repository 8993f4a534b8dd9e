# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks that several kinds share: references, drift policy and report, conditions, deletion confirmation.

Used by the files of the kinds only.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dbops_operator.api.model import AtLeastOne, Block, Int32, Int64, NotBoth, SchemaExtra, Time

_CONDITION_TYPE = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)


class ObjectRef(Block):
    """Another object of this API, by its metadata.name."""

    name: Annotated[str, Field(min_length=1)]
    """metadata.name of the object (not the name on the server)."""
    namespace: str | None = None
    """Namespace of the object; empty means the namespace of the object that refers to it."""


class ClusterInstanceRef(Block):
    """A ClusterDatabaseInstance."""

    name: Annotated[str, Field(min_length=1)]
    """metadata.name of the ClusterDatabaseInstance."""


class InstanceReferences(Block):
    """The server that an object lives on: a DatabaseInstance or a ClusterDatabaseInstance."""

    rules = (
        AtLeastOne(
            "instance_ref", "cluster_instance_ref", message="one of instanceRef and clusterInstanceRef must be given"
        ),
        NotBoth(
            "instance_ref",
            "cluster_instance_ref",
            message="instanceRef and clusterInstanceRef exclude one another",
        ),
    )

    instance_ref: ObjectRef | None = None
    """The DatabaseInstance; in another namespace it must consent by its accessPolicy."""
    cluster_instance_ref: ClusterInstanceRef | None = None
    """The ClusterDatabaseInstance."""


class SecretKeyRef(Block):
    """One key of a Secret."""

    name: str
    """Name of the Secret."""
    key: str
    """Key in the Secret."""
    namespace: str | None = None
    """Namespace of the Secret; empty means the namespace of the object that refers to it."""


class ConfigMapKeyRef(Block):
    """One key of a ConfigMap."""

    name: str
    """Name of the ConfigMap."""
    key: str
    """Key in the ConfigMap."""
    namespace: str | None = None
    """Namespace of the ConfigMap; empty means the namespace of the object that refers to it."""


class DriftPolicy(Block):
    """What happens when the server differs from what the object declares."""

    mode: Literal["ignore", "detect", "correct"] = "detect"
    """`ignore` does not look, `detect` reports in status.drift, `correct` repairs. Destructive repairs need the
    annotation dbops.dbprovision.io/allow-destructive-drift: "true" as well."""
    interval: str = "8h"
    """How often it is compared, as a Go duration such as 10s, 30m or 8h."""


class DriftDiff(Block):
    """One difference between the server and the declaration."""

    field: str
    """What differs, such as connectionLimit or extensions.missing."""
    expected: str
    """What the object declares; empty when there is too much on the server."""
    actual: str
    """What the server has; empty when something is missing there."""
    destructive: bool | None = None
    """Repairing it may take data or access away."""
    immutable: bool | None = None
    """It cannot be changed on an object that exists."""


class DriftStatus(Block):
    """The last comparison of the server with the declaration."""

    detected: bool | None = None
    """Whether something differs."""
    last_checked: Time | None = None
    """When the finding last changed."""
    diffs: list[DriftDiff] | None = None
    """What differs, at most the first few."""
    diffs_count: Int32 | None = None
    """How many differences there are, also those that `diffs` has no room for."""


class Condition(Block):
    """One aspect of the object's state."""

    type: Annotated[str, Field(pattern=_CONDITION_TYPE, max_length=316)]
    """Which aspect, such as Ready, Reconciling, Stalled, Synced or Connected."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", min_length=1, max_length=1024)]
    """Why, as one stable word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, for people, and what to do about it."""
    last_transition_time: Time
    """When `status` last changed."""
    observed_generation: Annotated[int | None, Field(ge=0), SchemaExtra({"format": "int64"})] = None
    """The metadata.generation that this was found out for."""


class DeletionConfirmation(Block):
    """What a forced deletion with dependants waits for."""

    required: bool
    """Whether the annotation dbops.dbprovision.io/confirm-force-delete is waited for."""
    hash: str
    """The value that the annotation must have."""
    children: list[str]
    """Objects that would be deleted with this one, as Kind/name or Kind/namespace/name."""
    remaining_count: int
    """How many of them still exist."""
    message: str
    """What to do, for people."""


class Status(Block):
    """What every kind reports."""

    message: str | None = None
    """What is going on, for people."""
    conditions: Annotated[
        list[Condition] | None,
        SchemaExtra({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = None
    """The object's state, one entry per aspect; Ready sums it up."""
    observed_generation: Int64 | None = None
    """The metadata.generation that this status belongs to."""


class Place(Block):
    """A server that an object was brought about on."""

    instance: str
    """The instance that the object referred to, as Kind/namespace/name or Kind/name."""
    address: str | None = None
    """Where the server was."""
    identity: str | None = None
    """The server's own identifier."""
    server_changed_at: Time | None = None
    """The instance's serverChangedAt at that time."""
    generation: Int64 | None = None
    """The metadata.generation that was applied."""
    spec_hash: str | None = None
    """Of what was applied: a spec that differs in its policies alone is not applied again."""


class ReconciledStatus(Status):
    """What the kinds report that are kept equal to their declaration."""

    reconcile_id: str | None = None
    """Names the last reconcile that changed something; stands in events and logs too."""
    last_reconcile_time: Time | None = None
    """When that was."""


class PlacedStatus(ReconciledStatus):
    """What the kinds report that are brought about on a server."""

    applied_to: Place | None = None
    """Where the object was applied last; on another server it is applied anew."""
    left_on: Annotated[list[Place] | None, Field(max_length=64)] = None
    """Servers that the object was on before and that it must still be dropped from, as its deletion policy says."""
