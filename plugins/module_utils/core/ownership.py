# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns what on a server: a pure decision from the ledger's entry, the declaration and what exists.

The ledger (postgresql/ledger.py) stores one Entry per database and role; core.converge asks `claim` before
anything is planned, and `release` before anything is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

PLAYBOOK = "ansible"
"""Instead of a cluster: what a playbook declares under a word of its own."""


@dataclass(frozen=True)
class Owner:
    """The declaration that owns something: which cluster (or playbook), kind, namespace and name, never a uid."""

    cluster: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def from_options(cls, value: Any, *, kind: str, name: str) -> Self | None:
        """Read the option `dbops_owner`: a mapping of all four, a word that names a playbook, or nothing."""
        if not value:
            return None
        if isinstance(value, str):
            return cls(cluster=PLAYBOOK, kind=kind, namespace=value, name=name)
        if not isinstance(value, Mapping):
            text = "dbops_owner is neither a word nor a mapping of cluster, kind, namespace and name"
            raise DbopsError(Reason.INVALID_SPEC, text, field="dbops_owner")
        missing = [key for key in ("cluster", "kind", "namespace", "name") if not isinstance(value.get(key), str)]
        if missing:
            raise DbopsError(Reason.INVALID_SPEC, f"dbops_owner lacks {', '.join(missing)}", field="dbops_owner")
        return cls(**{key: str(value[key]) for key in ("cluster", "kind", "namespace", "name")})

    def __str__(self) -> str:
        """Name it for people."""
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place} (cluster {self.cluster})"


@dataclass(frozen=True)
class Entry:
    """What the ledger knows of one database or role.

    `state` is `intent` (about to be made; not confirmed), `present` or `absent` (a tombstone).
    """

    kind: str
    name: str
    owner: Owner
    state: str = "present"
    adopted: bool = False
    applied: Mapping[str, Any] = field(default_factory=dict)
    """What was last given by the owner's declaration (core.plan.Plan.applied)."""


@dataclass(frozen=True)
class Claim:
    """The answer of `claim`: what the ledger must record when the object is applied."""

    record: bool = False
    """Write an entry for the declaration's owner."""
    adopt: bool = False
    """The thing existed before and is taken over; only what is declared may change."""


def claim(*, owner: Owner | None, entry: Entry | None, exists: bool, adopt: bool, force: bool, what: str) -> Claim:
    """Decide whether a declaration may create or change WHAT (such as `database app`).

    Raises DbopsError with Conflict (somebody else declares it) or NotAdopted (it existed before).
    """
    if entry and entry.state == "absent":
        entry = None
    if owner is None:
        # A playbook without an owner records nothing and does what it is told.
        return Claim()
    if entry and entry.owner == owner:
        return Claim(record=entry.state == "intent" and exists, adopt=entry.adopted)
    if entry and not force:
        raise DbopsError(
            Reason.CONFLICT,
            f"{what} belongs to {entry.owner}; remove it there, or declare another name here",
            field="name",
        )
    if exists and not entry and not adopt:
        raise DbopsError(
            Reason.NOT_ADOPTED,
            f"{what} existed before and is not managed; consent to taking it over, or declare another name",
            field="name",
        )
    return Claim(record=True, adopt=exists)


def release(*, owner: Owner | None, entry: Entry | None, force: bool, what: str) -> bool:
    """Decide whether a declaration may drop WHAT; give False when it is not its own and must be left alone.

    Without an owner (a playbook) what somebody else owns is refused with Conflict unless forced. With one,
    what is not recorded as its own is left in place: it never was ours to drop.
    """
    mine = entry is not None and entry.state != "absent" and entry.owner == owner
    if owner is None:
        if entry and entry.state != "absent" and not force:
            raise DbopsError(Reason.CONFLICT, f"{what} belongs to {entry.owner}; use force to drop it all the same")
        return True
    return mine or force
