# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kinds share while an object is being deleted: its dependants, and carrying a decision out.

deletion.py decides; this reads what it needs and reports what it said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from dbops_operator import annotation, deletion, moved, status
from dbops_operator.client import NotFound
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile.common import Body
from dbops_operator.status import Condition, Report
from dbops_operator.work import Human, Verdict, Wait

# Kinds that name an instance themselves; grants and backups find it through these.
_ON_INSTANCE = ("Database", "DatabaseUser", "DatabaseRole", "ClusterDatabaseRole", "ClusterDatabaseGrant")
_FINISHED = ("Completed", "Failed")


def refers(body: Any, instance: Key) -> bool:
    """Whether an object names the INSTANCE as its server, or must still be dropped there."""
    if any(place.instance == instance for place in moved.left_on(body)):
        return True
    spec, namespace = body["spec"], body["metadata"].get("namespace", "")
    if instance.kind == "ClusterDatabaseInstance":
        return bool((spec.get("clusterInstanceRef") or {}).get("name") == instance.name)
    reference = spec.get("instanceRef") or {}
    return bool(
        reference.get("name") == instance.name and (reference.get("namespace") or namespace) == instance.namespace
    )


def dependants_in_store(context: Context, instance: Key) -> list[Key]:
    """Objects that live on an instance, as far as the watches have told."""
    return [Key.of(one) for kind in _ON_INSTANCE for one in context.store.list(kind) if refers(one, instance)]


async def dependants_of_instance(context: Context, instance: Key) -> list[Key]:
    """Objects that live on an instance, read from the API: an error is an error, never "none"."""
    found = []
    for kind in _ON_INSTANCE:
        found += [Key.of(one) for one in await list_all(context, kind) if refers(one, instance)]
    return found


async def list_all(context: Context, kind: str) -> list[dict[str, Any]]:
    """All objects of a KIND where this operator looks."""
    namespaced = kind not in ("ClusterDatabaseRole", "ClusterDatabaseGrant", "ClusterDatabaseInstance")
    namespaces = context.settings.namespaces if namespaced and context.settings.namespaces else ("",)
    return [one for namespace in namespaces for one in await context.api.list(kind, namespace)]


def dependants_of_database(context: Context, key: Key) -> list[Key]:
    """Grants that name the Database, schedules of it, and backups and restores that are not over."""
    return [
        *_naming(context, "DatabaseGrant", lambda spec: spec.get("databaseRef"), key),
        *_naming(context, "DatabaseBackupSchedule", _scheduled_database, key),
        *_naming(context, "DatabaseBackup", lambda spec: spec.get("databaseRef"), key, running=True),
        *_naming(
            context,
            "DatabaseRestore",
            lambda spec: (spec.get("target") or {}).get("databaseRef"),
            key,
            running=True,
        ),
    ]


def dependants_of_user(context: Context, key: Key) -> list[Key]:
    """Grants to the DatabaseUser."""
    return [
        *_naming(context, "DatabaseGrant", lambda spec: spec.get("userRef"), key),
        *_naming(context, "ClusterDatabaseGrant", lambda spec: spec.get("userRef"), key),
    ]


def read_backups(context: Context) -> dict[Key, list[Key]]:
    """Backups that restores are reading or wait for, and these restores."""
    found: dict[Key, list[Key]] = {}
    for body in context.store.list("DatabaseRestore"):
        named = body["spec"].get("backupRef")
        if named and (body.get("status") or {}).get("phase") not in _FINISHED:
            namespace = named.get("namespace") or body["metadata"]["namespace"]
            found.setdefault(Key("DatabaseBackup", namespace, named["name"]), []).append(Key.of(body))
    return found


def _scheduled_database(spec: Any) -> Any:
    return ((spec.get("template") or {}).get("spec") or {}).get("databaseRef")


def dependants_of_role(context: Context, key: Key) -> list[Key]:
    """Grants to the DatabaseRole. Nothing counts for the cluster-scoped kind, whose grants go with the role."""
    if key.kind == "ClusterDatabaseRole":
        return []
    return [
        *_naming(context, "DatabaseGrant", lambda spec: spec.get("roleRef"), key),
        *_naming(context, "ClusterDatabaseGrant", lambda spec: spec.get("roleRef"), key),
    ]


def _naming(
    context: Context, kind: str, reference: Callable[[Any], Any], target: Key, *, running: bool = False
) -> Iterable[Key]:
    for body in context.store.list(kind):
        named = reference(body["spec"]) or {}
        namespace = named.get("namespace") or body["metadata"].get("namespace", "")
        if named.get("name") != target.name or namespace != target.namespace:
            continue
        if running and body.get("status", {}).get("phase") in _FINISHED:
            continue
        yield Key.of(body)


def facts(
    body: Body,
    *,
    protected: bool,
    dependants: Sequence[str],
    retain: bool = False,
    has_outside: bool = True,
) -> deletion.Facts:
    """The facts for deletion.decide, with what the object itself says."""
    confirmed = body.get("status", {}).get("deletionConfirmation") or {}
    return deletion.Facts(
        protected=protected,
        forced=annotation.flag(body, annotation.FORCE_DELETE),
        confirmation=annotation.text(body, annotation.CONFIRM_FORCE_DELETE),
        confirmed_before=() if confirmed.get("required", True) else tuple(confirmed.get("children") or ()),
        dependants=dependants,
        retain=retain,
        has_outside=has_outside,
    )


def dependants_of(context: Context, key: Key) -> list[Key]:
    """What depends on an object that lives on a server, as far as the watches have told."""
    look = {
        "Database": dependants_of_database,
        "DatabaseUser": dependants_of_user,
        "DatabaseRole": dependants_of_role,
    }.get(key.kind)
    return look(context, key) if look else []


async def hold(context: Context, body: Body, decision: deletion.Decision, children: Sequence[Key]) -> Verdict:
    """Report why the object stays, or delete its dependants first."""
    phase = "PendingDeletion" if decision.step is deletion.Step.CONFIRM else "Failed"
    if decision.step is deletion.Step.CASCADE:
        phase = "Deleting"
        await _delete_children(context, children)
    await report_held(
        context,
        body,
        decision,
        phase=phase,
        event={deletion.Step.CONFIRM: "ForceDeletePending", deletion.Step.BLOCK: "DeletionBlocked"}.get(decision.step),
        note=_note(decision),
    )
    return Wait(Reason.DEPENDENCY_NOT_READY) if decision.step is deletion.Step.CASCADE else Human(Reason.BLOCKED)


def _note(decision: deletion.Decision) -> str:
    if decision.step is not deletion.Step.CONFIRM or not decision.confirmation:
        return decision.message
    # Never the hash: whoever confirms has looked at the status.
    names = deletion.listing(decision.confirmation["children"])
    return f"Forced deletion waits for confirmation; it would delete {names}"


async def report_held(
    context: Context,
    body: Body,
    decision: deletion.Decision,
    *,
    phase: str,
    event: str | None,
    note: str,
    fields: dict[str, Any] | None = None,
) -> None:
    """Write that a deletion does not go on, and say it as an EVENT if that is news."""
    before = status.condition(body, "Ready")
    stalled = decision.step is not deletion.Step.CASCADE
    conditions = [
        Condition("Ready", "False", decision.reason, decision.message),
        Condition("Stalled" if stalled else "Reconciling", "True", decision.reason, decision.message),
        *_kept(body),
    ]
    report = Report(
        phase=phase,
        message=decision.message,
        conditions=conditions,
        fields={"deletionConfirmation": decision.confirmation, **(fields or {})},
    )
    await status.write(context, body, report)
    if event and not (before and before["reason"] == decision.reason):
        await context.events.record(body, "Warning", event, note, action="Delete")


def _kept(body: Body) -> list[Condition]:
    return [
        Condition(one["type"], one["status"], one["reason"], one["message"])
        for one in body.get("status", {}).get("conditions") or ()
        if one["type"] not in ("Ready", "Reconciling", "Stalled")
    ]


# What others own or need: it goes when the rest is gone, since a forced drop that fails leaves it on the server.
_LAST = ("DatabaseUser", "DatabaseRole", "ClusterDatabaseRole")


async def _delete_children(context: Context, children: Sequence[Key]) -> None:
    for key in [one for one in children if one.kind not in _LAST] or children:
        with contextlib.suppress(NotFound):
            child = await context.api.get(key)
            if not annotation.flag(child, annotation.FORCE_DELETE):
                child = await context.api.patch_annotations(child, _forced(context, key))
            if not child["metadata"].get("deletionTimestamp"):
                await context.api.delete(key, uid=child["metadata"]["uid"])


def _forced(context: Context, key: Key) -> dict[str, str]:
    """Annotations that have a dependant go, and what depends on it in turn: who confirmed the one meant the other.

    What comes to depend on it afterwards asks again, on the dependant.
    """
    below = dependants_of(context, key)
    names = [deletion.dependant_name(one, parent=key) for one in below]
    confirmed = {annotation.CONFIRM_FORCE_DELETE: deletion.confirmation_hash(names)} if below else {}
    return {annotation.FORCE_DELETE: "true"} | confirmed


async def tell_cascade_complete(context: Context, body: Body) -> None:
    """Tell that the last dependant of a confirmed deletion is gone."""
    if (status.condition(body, "Ready") or {}).get("reason") == "CascadeDeleting":
        await context.events.record(
            body, "Normal", "CascadeDeleteComplete", "All objects that needed it are gone", action="Delete"
        )
