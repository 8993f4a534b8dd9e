# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to an object that is being deleted: a pure decision from what was just read.

The reconcilers gather the Facts from the API and carry the Decision out: report why nothing happens yet, delete
dependants, drop the outside thing, or take the finalizer off. The order of the questions is the API's: protection,
dependants, confirmation, cascade, policy. Unknown dependants block: a failed look-up is never "none".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from dbops_operator import annotation
from dbops_operator.keys import Key
from dbops_operator.resources import GROUP

LISTED = 20
"""Dependants that a message or status names; there is always a count."""


class Step(Enum):
    """What is to be done next."""

    BLOCK = "block"
    """Nothing: report `reason` and wait for a change."""
    CONFIRM = "confirm"
    """Nothing: report the hash and wait for the annotation."""
    CASCADE = "cascade"
    """Delete the `children`, with force, and look again when they are gone."""
    DROP = "drop"
    """Drop the outside thing, then let go."""
    RELEASE = "release"
    """Take the finalizer off; what is outside stays (or there is nothing)."""


@dataclass(frozen=True)
class Facts:
    """What is known about an object that is being deleted."""

    protected: bool
    forced: bool
    confirmation: str = ""
    """The value of the annotation `confirm-force-delete`."""
    confirmed_before: Sequence[str] = ()
    """Names of the dependants whose deletion was confirmed earlier (from status)."""
    dependants: Sequence[str] = ()
    retain: bool = False
    has_outside: bool = True
    """Whether the kind has something on a server at all."""


@dataclass(frozen=True)
class Decision:
    """The next step, and how it reads in conditions and status."""

    step: Step
    reason: str = ""
    message: str = ""
    confirmation: Mapping[str, Any] | None = None
    """`status.deletionConfirmation`."""
    children: Sequence[str] = field(default_factory=tuple)


def confirmation_hash(dependants: Sequence[str]) -> str:
    """The published hash of dependants: SHA-256 over their byte-sorted names joined by newlines, 8 hex digits."""
    joined = b"\n".join(sorted(name.encode() for name in dependants))
    return hashlib.sha256(joined).hexdigest()[:8]


def dependant_name(key: Key, *, parent: Key) -> str:
    """How a dependant is named: `Kind/name`, and `Kind/namespace/name` where it is not in the PARENT's namespace."""
    elsewhere = key.namespace and key.namespace != parent.namespace
    return f"{key.kind}/{key.namespace}/{key.name}" if elsewhere else f"{key.kind}/{key.name}"


def decide(facts: Facts) -> Decision:
    """Answer what happens next."""
    if facts.protected and not facts.forced:
        return Decision(
            Step.BLOCK,
            "DeletionProtected",
            f'Deletion blocked by deletion protection: switch it off, or annotate {annotation.FORCE_DELETE}="true"',
        )
    if facts.dependants:
        return _with_dependants(facts)
    if not facts.has_outside or facts.retain:
        return Decision(Step.RELEASE)
    return Decision(Step.DROP)


def _with_dependants(facts: Facts) -> Decision:
    names = sorted(facts.dependants)
    if not facts.forced:
        return Decision(
            Step.BLOCK,
            "DependenciesExist",
            f"cannot delete: still needed by {len(names)} {_objects(names)}: {listing(names)}; delete them first, "
            f'or annotate {annotation.FORCE_DELETE}="true"',
        )
    confirmed = set(facts.confirmed_before)
    expected = confirmation_hash(names)
    if facts.confirmation == expected:
        confirmed = set(names)
    elif facts.confirmation and facts.confirmation != confirmation_hash(sorted(confirmed)):
        # The annotation is for something else than what was confirmed: an old or a wrong value.
        confirmed = set()
    if facts.confirmation and confirmed and set(names) <= confirmed:
        agreed = sorted(confirmed)
        text = f"deleting {len(names)} {_objects(names)}: {listing(names)}"
        return Decision(
            Step.CASCADE,
            "CascadeDeleting",
            text,
            confirmation=_confirmation(False, confirmation_hash(agreed), agreed, len(names), text),
            children=names,
        )
    text = (
        f"{len(names)} {_objects(names)} would be deleted with it: {listing(names)}; to confirm, annotate "
        f"{annotation.CONFIRM_FORCE_DELETE}={expected}"
    )
    return Decision(
        Step.CONFIRM,
        "PendingDeletionConfirmation",
        text,
        confirmation=_confirmation(True, expected, names, len(names), text),
    )


def _confirmation(required: bool, hash_: str, children: Sequence[str], remaining: int, text: str) -> dict[str, Any]:
    return {
        "required": required,
        "hash": hash_,
        "children": list(children),
        "remainingCount": remaining,
        "message": text,
    }


def listing(names: Sequence[str]) -> str:
    """The first LISTED names, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _objects(names: Sequence[str]) -> str:
    return "object" if len(names) == 1 else "objects"


def undropped_message(what: str, why: str) -> str:
    """Say why WHAT is not dropped yet, and the ways out."""
    return (
        f"{what} is still on the server: {why.rstrip('.')}. It is dropped as soon as that is put right. To let it stay "
        f'there and the object go, annotate {annotation.FORCE_DELETE}="true"'
    )


FINALIZER_IN_USE = f"{GROUP}/in-use"
"""On an admin Secret as long as something must still be dropped with it."""


@dataclass(frozen=True)
class SecretUse:
    """What decides whether an admin Secret must be held back."""

    deleting: bool
    namespace_terminating: bool
    needed: bool
    """Whether objects that must drop something on the server still depend on it."""


def holds_secret(use: SecretUse) -> bool:
    """Whether the finalizer `in-use` belongs on the admin Secret.

    It outlives the deletion of its namespace, which takes Secrets first, but not the deletion of the Secret alone:
    whoever deletes just that means it, and gets it.
    """
    return use.needed and (not use.deleting or use.namespace_terminating)
