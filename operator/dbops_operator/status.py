# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole status of an object, built anew at each outcome and written only when it says something new.

Reconcilers give the conditions and fields that hold now; `build` carries over what must not move (transition times,
the id of the last reconcile that changed something) and `write` applies the result. So an idle system writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dbops_operator import logs
from dbops_operator.context import Context

Body = Mapping[str, Any]

MESSAGE_BYTES = 1000
"""Conditions and messages stay under 1 KiB."""
RECONCILE_SUCCESS = "ReconcileSuccess"
_FIRST = ("Ready", "Complete", "Failed", "Stalled", "Reconciling")
_WITHOUT_RECONCILE_ID = ("DatabaseBackup", "DatabaseBackupSchedule", "DatabaseRestore")
# Times that say when something was found: they move only with what they belong to.
_FRESHNESS = ("lastCheckedAt", "lastReconcileTime")
# What moves all the time is written along with something else only.
_MOVING = {"database": ("sizeBytes",), "drift": ("lastChecked",), "ownershipBlock": ("lastCheckedAt",)}


@dataclass(frozen=True)
class Condition:
    """One condition as it holds now; times and generation are added by `build`."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True)
class Report:
    """All that is known about an object after a reconcile."""

    phase: str
    message: str
    conditions: Sequence[Condition]
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the kind's status; None takes one away, an absent one stays as it was."""
    changed: bool = False
    """Whether something outside was changed: makes a new reconcileID."""


def now() -> str:
    """The time as Kubernetes writes it, in whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def build(
    previous: Mapping[str, Any], report: Report, *, generation: int, moment: str, names_reconciles: bool = True
) -> dict[str, Any]:
    """Give the status that follows the PREVIOUS one at MOMENT. Kinds that happen once do not name reconciles."""
    made: dict[str, Any] = {name: value for name, value in previous.items() if name != "conditions"}
    for name, value in report.fields.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = value
    made |= {
        "phase": report.phase,
        "message": shorten(report.message),
        "observedGeneration": generation,
        "conditions": _conditions(previous, report.conditions, generation=generation, moment=moment),
    }
    ready = any(one.type == "Ready" and one.status == "True" for one in report.conditions)
    if names_reconciles and (report.changed or (ready and not previous.get("reconcileID"))):
        made["reconcileID"] = logs.reconcile_id()
        made["lastReconcileTime"] = moment
    return made


def _conditions(
    previous: Mapping[str, Any], conditions: Sequence[Condition], *, generation: int, moment: str
) -> list[dict[str, Any]]:
    before = {one["type"]: one for one in previous.get("conditions") or ()}
    made = []
    for one in conditions:
        old = before.get(one.type)
        stays = old is not None and old["status"] == one.status
        made.append(
            {
                "type": one.type,
                "status": one.status,
                "reason": one.reason,
                "message": shorten(one.message),
                "observedGeneration": generation,
                "lastTransitionTime": old["lastTransitionTime"] if stays and old else moment,
            }
        )
    return sorted(made, key=_place)


def _place(one: Mapping[str, Any]) -> tuple[int, str]:
    """Where a condition stands in the list, as `kubectl describe` shows it: what sums up the others is first."""
    type_ = str(one["type"])
    return (_FIRST.index(type_) if type_ in _FIRST else len(_FIRST), type_)


def shorten(text: str) -> str:
    """Cut TEXT to MESSAGE_BYTES at a character."""
    encoded = text.encode()
    if len(encoded) <= MESSAGE_BYTES:
        return text
    return encoded[: MESSAGE_BYTES - 3].decode(errors="ignore") + "..."


def says_the_same(previous: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether NEW tells nothing that PREVIOUS does not, apart from when it was looked at."""
    return _comparable(previous) == _comparable(new)


def _comparable(status: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {name: value for name, value in status.items() if name not in _FRESHNESS}
    for name, moving in _MOVING.items():
        if name in kept:
            kept[name] = {key: value for key, value in kept[name].items() if key not in moving}
    kept["conditions"] = sorted(status.get("conditions") or (), key=lambda one: str(one["type"]))
    return kept


def condition(body: Body, type_: str) -> Mapping[str, Any] | None:
    """One of an object's conditions as they stand in its status."""
    for one in body.get("status", {}).get("conditions") or ():
        if one["type"] == type_:
            found: Mapping[str, Any] = one
            return found
    return None


async def write(context: Context, body: dict[str, Any], report: Report) -> dict[str, Any]:
    """Apply the REPORT's status to the object that BODY shows; gives the body as it is afterwards.

    Raises client.Conflict when the object changed meanwhile, and client.NotFound when it is gone.
    """
    previous = body.get("status") or {}
    new = build(
        previous,
        report,
        generation=body["metadata"]["generation"],
        moment=now(),
        names_reconciles=body["kind"] not in _WITHOUT_RECONCILE_ID,
    )
    if says_the_same(previous, new):
        return body
    return await context.api.apply_status({**body, "status": new})
