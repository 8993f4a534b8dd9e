# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API server and the operator must know about a kind beside its fields: names, scope, finalizer, columns.

Each kind's file makes one Kind; `api.kinds` lists them, `api.crd` makes the CRD from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal

from dbops_operator.api.model import AnyBlock, AnyStatus

GROUP = "dbops.dbprovision.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "dbops"


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`; WIDE ones show with `-o wide` only."""

    name: str
    path: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    wide: bool = False


AGE = Column("Age", ".metadata.creationTimestamp", "date")
# Added to every kind, out of the way of those who read the published columns.
CONDITION_COLUMNS = (
    Column("Ready", ".status.conditions[?(@.type=='Ready')].status", wide=True),
    Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", wide=True),
    Column("Message", ".status.message", wide=True),
)


@dataclass(frozen=True)
class Kind(Generic[AnyBlock, AnyStatus]):
    """One kind of the API. `short_name` and `plural` are those of kubectl; `about` is its description."""

    name: str
    plural: str
    short_name: str
    scope: Literal["Namespaced", "Cluster"]
    finalizer_name: str
    spec: type[AnyBlock]
    status: type[AnyStatus]
    about: str
    columns: tuple[Column, ...]
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def singular(self) -> str:
        """The name as kubectl takes it."""
        return self.name.lower()

    @property
    def namespaced(self) -> bool:
        """Whether its objects live in a namespace."""
        return self.scope == "Namespaced"

    @property
    def crd_name(self) -> str:
        """The name of its CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"

    @property
    def finalizer(self) -> str:
        """The finalizer that the operator puts on its objects."""
        return f"{GROUP}/{self.finalizer_name}"
