# SPDX-License-Identifier: GPL-3.0-or-later
"""The name under which an object travels through the operator: kind, namespace and name, never a uid.

Watches turn events into keys, the queue holds keys, a reconciler gets one. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self


class Key(NamedTuple):
    """One object of the Kubernetes API; `namespace` is "" for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    @property
    def ref(self) -> str:
        """The key as one string, `Kind/namespace/name`: the `ref` of the object in results, and its name in logs."""
        return f"{self.kind}/{self.namespace}/{self.name}"

    @classmethod
    def from_ref(cls, ref: str) -> Self:
        """Read what `ref` gave. Raises ValueError for anything else."""
        kind, namespace, name = ref.split("/")
        return cls(kind, namespace, name)

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """The key of an object as the API gives it, `kind` included."""
        metadata = body["metadata"]
        return cls(body["kind"], metadata.get("namespace", ""), metadata["name"])
