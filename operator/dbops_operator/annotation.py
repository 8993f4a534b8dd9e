# SPDX-License-Identifier: GPL-3.0-or-later
"""The annotations of the API group that objects, Secrets and namespaces carry, and how each is read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dbops_operator.resources import GROUP

FORCE_DELETE = f"{GROUP}/force-delete"
CONFIRM_FORCE_DELETE = f"{GROUP}/confirm-force-delete"
SKIP_RECONCILE = f"{GROUP}/skip-reconcile"
PAUSE_RECONCILE = f"{GROUP}/pause-reconcile"
DELETION_POLICY = f"{GROUP}/deletion-policy"
DELETION_PROTECTION = f"{GROUP}/deletion-protection"
ADOPT = f"{GROUP}/adopt"
ADOPT_DATABASES = f"{GROUP}/adopt-databases"
ADOPT_ROLES = f"{GROUP}/adopt-roles"
ADOPT_USERS = f"{GROUP}/adopt-users"
ALLOW_FROM = f"{GROUP}/allow-from"
ACKNOWLEDGE = f"{GROUP}/acknowledge"
ROTATE_AT = f"{GROUP}/rotate-at"
ALLOW_DESTRUCTIVE_DRIFT = f"{GROUP}/allow-destructive-drift"

Body = Mapping[str, Any]


def text(body: Body, annotation: str) -> str:
    """The value of an ANNOTATION; empty when it is not there."""
    return str((body["metadata"].get("annotations") or {}).get(annotation, ""))


def flag(body: Body, annotation: str) -> bool:
    """Whether a boolean ANNOTATION is set: it counts only when the value is exactly `true`."""
    return text(body, annotation) == "true"


def words(body: Body, annotation: str) -> tuple[str, ...]:
    """The comma-separated words of an ANNOTATION."""
    return tuple(word for word in (part.strip() for part in text(body, annotation).split(",")) if word)


def paused(body: Body) -> bool:
    """Whether nothing at all is to happen to the object."""
    return flag(body, SKIP_RECONCILE) or flag(body, PAUSE_RECONCILE)


def retains(body: Body) -> bool:
    """Whether what an object made stays on the server when it goes; everything but `Retain` counts as Delete."""
    return text(body, DELETION_POLICY) == "Retain"
