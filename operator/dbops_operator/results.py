# SPDX-License-Identifier: GPL-3.0-or-later
"""From an outcome (the engine's result, or an error on the way to it) to conditions, phase and message. Pure.

The reconcilers build their Report from this; what every kind has in common is here once: Ready sums up,
Reconciling and Stalled are there only while true, so that kstatus, `kubectl wait` and Flux agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, ErrorClass, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator.status import RECONCILE_SUCCESS, Condition, Report

_PHASES = {ErrorClass.WAIT: "Pending", ErrorClass.RETRY: "Failed", ErrorClass.HUMAN: "Failed"}


def error_of(result: ObjectResult) -> DbopsError | None:
    """The error that a failed result carries."""
    if not result.failed:
        return None
    return DbopsError(result.reason or Reason.INTERNAL_ERROR, result.message, field=result.field)


def failure_conditions(error: DbopsError) -> list[Condition]:
    """Ready=False with the error's reason, and whether it is still being tried or waits for somebody."""
    made = [Condition("Ready", "False", error.reason.value, error.message)]
    if error.reason.error_class is ErrorClass.HUMAN:
        made.append(Condition("Stalled", "True", error.reason.value, error.message))
    else:
        made.append(Condition("Reconciling", "True", error.reason.value, error.message))
    if error.reason is Reason.DEPENDENCY_NOT_READY:
        made.append(Condition("DependenciesReady", "False", error.reason.value, error.message))
    return made


def failure(
    error: DbopsError,
    *,
    operation: str = "",
    conditions: Sequence[Condition] = (),
    fields: Mapping[str, Any] | None = None,
    changed: bool = False,
    phase: str = "",
) -> Report:
    """Report an error. OPERATION ("create database") makes the message read "Failed to create database: ..."."""
    message = error.message
    if operation and error.reason.error_class is not ErrorClass.WAIT:
        message = f"Failed to {operation}: {message}"
    return Report(
        phase=phase or _PHASES[error.reason.error_class],
        message=message,
        conditions=(*failure_conditions(error), *conditions),
        fields=fields or {},
        changed=changed,
    )


def progress(body: Mapping[str, Any], *, phase: str, message: str) -> Report:
    """Report that work on a generation has begun and is not over: what holds is kept, Ready is not claimed."""
    kept = [
        Condition(one["type"], one["status"], one["reason"], one["message"])
        for one in body.get("status", {}).get("conditions") or ()
        if one["type"] not in ("Ready", "Reconciling", "Stalled")
    ]
    begun = [
        Condition("Ready", "Unknown", "Reconciling", message),
        Condition("Reconciling", "True", "Reconciling", message),
    ]
    return Report(phase=phase, message=message, conditions=(*begun, *kept))


def success(
    message: str,
    *,
    conditions: Sequence[Condition] = (),
    fields: Mapping[str, Any] | None = None,
    changed: bool = False,
    synced: bool = True,
) -> Report:
    """Report that everything is as declared."""
    made = [Condition("Ready", "True", RECONCILE_SUCCESS, message)]
    if synced:
        made += [
            Condition("Synced", "True", RECONCILE_SUCCESS, "Everything is as declared"),
            Condition("DependenciesReady", "True", RECONCILE_SUCCESS, "The instance is ready"),
        ]
    return Report(phase="Ready", message=message, conditions=(*made, *conditions), fields=fields or {}, changed=changed)
