# SPDX-License-Identifier: GPL-3.0-or-later
"""What kinds that live on a server share: the way to their server, consent, adoption, drift, the drop at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, ErrorClass, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference, ObjectResult
from dbops_operator import access, annotation, deletion, moved, resolve, results, status
from dbops_operator.api.common import DriftPolicy
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import measure, removal
from dbops_operator.reconcile.common import Body, report_failure, settled
from dbops_operator.resolve import Server
from dbops_operator.settings import parse_duration
from dbops_operator.status import RECONCILE_SUCCESS, Condition, Report
from dbops_operator.work import Priority, Verdict

MAX_LISTED = 50
"""Entries of a list in status; a count says how many there are."""


@dataclass(frozen=True)
class Reached:
    """A server that an object may use. `limits` is None inside the instance's own namespace."""

    server: Server
    limits: access.Limits | None


async def reach(context: Context, body: Body, spec: resolve.References, *, home: str = "") -> Reached:
    """Find the instance, check that it consents and is ready, and read how to reach it. Raises DbopsError.

    HOME is the namespace of the object whose references SPEC has, if that is another one.
    """
    namespace = body["metadata"].get("namespace", "")
    instance = resolve.find_instance(context, resolve.instance_key(spec, home or namespace))
    foreign = resolve.check_consent(context, instance, body["kind"], namespace)
    resolve.require_ready(instance)
    server = await resolve.server(context, instance)
    if not foreign:
        return Reached(server, None)
    policy = server.spec.access_policy
    _check_quota(context, body, server)
    users, awaited = _own(context, server.key, namespace, "DatabaseUser", "username")
    users |= _service_roles(context, server.key, namespace)
    roles, roles_awaited = _own(context, server.key, namespace, "DatabaseRole", "roleName")
    databases, databases_awaited = _own(context, server.key, namespace, "Database", "name")
    limits = access.Limits(
        namespace,
        policy,
        own_names=users | roles,
        own_databases=databases,
        awaited=awaited | roles_awaited,
        awaited_databases=databases_awaited,
    )
    return Reached(server, limits)


def _check_quota(context: Context, body: Body, server: Server) -> None:
    """Refuse an object that has too many older ones of its kind beside it in its namespace on this server."""
    if not (server.spec.access_policy and server.spec.access_policy.quotas):
        return
    kind, namespace = body["kind"], body["metadata"]["namespace"]
    age = (body["metadata"]["creationTimestamp"], body["metadata"]["name"])
    older = [
        Key.of(one)
        for one in context.store.list(kind, namespace)
        if removal.refers(one, server.key) and (one["metadata"]["creationTimestamp"], one["metadata"]["name"]) < age
    ]
    try:
        access.check_quota(server.spec.access_policy, kind=kind, namespace=namespace, before=len(older))
    except DbopsError:
        # Room is made by one of these going.
        for key in older:
            context.depends(key)
        raise


def _own(
    context: Context, instance: Key, namespace: str, kind: str, field: str
) -> tuple[frozenset[str], frozenset[str]]:
    """What objects of the namespace own on this server, and what they declare beside.

    Those that are settled own it, the ledger says so too. Ready alone is not enough: an object that was ready on
    another server, and names this one since, owns nothing here.
    """
    own, declared = set(), set()
    for one in context.store.list(kind, namespace):
        if not removal.refers(one, instance):
            continue
        name = str(one["spec"][field])
        if settled(dict(one)):
            own.add(name)
        else:
            context.depends(Key.of(one))
            declared.add(name)
    return frozenset(own), frozenset(declared - own)


def _service_roles(context: Context, instance: Key, namespace: str) -> frozenset[str]:
    """The group roles of logins that rotate: as good as the namespace's own once their users have them."""
    return frozenset(
        name
        for one in context.store.list("DatabaseUser", namespace)
        if removal.refers(one, instance) and settled(dict(one)) and (name := service_role(one, only_made=True))
    )


def service_role(user: Mapping[str, Any], *, only_made: bool = False) -> str:
    """The group role that a DatabaseUser's logins are members of; empty: there is none, or (ONLY_MADE) not its own.

    Status tells that it is there; which one it may be is for the spec to say.
    """
    role = str((user.get("status", {}).get("rotation") or {}).get("serviceRole") or "")
    block = (user["spec"].get("passwordRotation") or {}).get("serviceRole") or {}
    named = block.get("name") or f"svc_{user['spec']['username']}"
    return role if role == named and (block.get("autoCreate", True) or not only_made) else ""


def wake_waiting(context: Context, instance: Key, thing: str, name: str) -> None:
    """Have those looked at that name a THING of this server: it was not there before, and they may wait for it."""
    for body in context.store.naming(thing, name):
        # A grant is on the server of whom it is for.
        if body["kind"].endswith("DatabaseGrant") or removal.refers(body, instance):
            context.wake(Key.of(body), Priority.DEPENDENCY)


def wake_namesakes(context: Context, body: Body, field: str) -> None:
    """Have objects looked at that declare the same thing as one that goes: they were in Conflict with it."""
    key = Key.of(body)
    for other in context.store.list(body["kind"]):
        if other["spec"].get(field) == body["spec"].get(field) and Key.of(other) != key:
            context.wake(Key.of(other), Priority.DEPENDENCY)


def wake_leaving(context: Context, instance: Key) -> None:
    """Have logins and roles of a server looked at that are being deleted: what they owned is not there any more."""
    for kind in ("DatabaseUser", "DatabaseRole", "ClusterDatabaseRole"):
        for one in context.store.list(kind):
            if one["metadata"].get("deletionTimestamp") and removal.refers(one, instance):
                context.wake(Key.of(one), Priority.DELETE)


def adopts(body: Body, server: Server, *, name: str, listed_in: str) -> bool:
    """Whether the instance's owner consents to taking over what exists under NAME on the server."""
    if name in annotation.words(server.body, listed_in):
        return True
    same = server.key.namespace == body["metadata"].get("namespace", "")
    return same and annotation.flag(body, annotation.ADOPT)


def with_hint(error: DbopsError, server: Server, *, name: str, listed_in: str) -> DbopsError:
    """Add to NotAdopted how consent is given here."""
    if error.reason is not Reason.NOT_ADOPTED:
        return error
    return DbopsError(
        error.reason,
        f"{error.message}. To consent, annotate {server.key.kind} {server.key.name} with {listed_in}={name}",
        field=error.field,
    )


def drift_policy(own: DriftPolicy | None, server: Server) -> DriftPolicy | None:
    """The policy that holds for an object: its own, else the instance's; None: the operator's default."""
    return own or server.spec.drift_policy


def drift_interval(policy: DriftPolicy | None, context: Context) -> float:
    """Seconds between two comparisons of the server with the declaration."""
    default = context.settings.default_drift_interval
    if policy is None or policy.mode == "ignore":
        return default
    try:
        return parse_duration(policy.interval) or default
    except ValueError as error:
        raise DbopsError(
            Reason.INVALID_SPEC,
            "spec.driftPolicy.interval is a duration such as 10s, 30m or 8h",
            field="spec.driftPolicy.interval",
        ) from error


def no_drift() -> dict[str, Any]:
    """`status.drift` after everything was brought to what is declared."""
    return _drift(())


def corrects(policy: DriftPolicy | None) -> bool:
    """Whether what differs from a declaration that was applied is put right."""
    return policy is not None and policy.mode == "correct"


def may_take(body: Body, policy: DriftPolicy | None, *, applied: bool) -> bool:
    """Whether data and access may be taken away: by a new declaration, and as drift where the object allows that."""
    return not applied or (corrects(policy) and annotation.flag(body, annotation.ALLOW_DESTRUCTIVE_DRIFT))


async def tell_corrected(context: Context, body: Body, server: Server, result: ObjectResult) -> bool:
    """Tell that drift was put right: what was applied before had to be applied again. Gives whether it was so."""
    # A new password is no drift.
    fields = dict.fromkeys(one.field for one in result.differences if one.field != "password")
    corrected = bool(result.changed and fields and moved.is_applied(body, server))
    if corrected:
        measure.drift_corrected(context, body)
        note = f"The server differed and was put right: {', '.join([*fields][:10])}"
        await context.events.record(body, "Normal", "DriftCorrected", note)
    return corrected


def _drift(differences: Sequence[Difference]) -> dict[str, Any]:
    return {
        "detected": bool(differences),
        "lastChecked": status.now(),
        "diffs": [_diff(one) for one in differences[:MAX_LISTED]],
        "diffsCount": len(differences),
    }


def _diff(one: Difference) -> dict[str, Any]:
    return {
        "field": one.field,
        "expected": one.expected,
        "actual": one.actual,
        "destructive": one.destructive,
        "immutable": one.immutable,
    }


@dataclass(frozen=True)
class Ready:
    """What Ready says of an object that was only looked at, and conditions of its kind that go with it."""

    message: str
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Look:
    """How an object that was applied was looked at."""

    check: bool
    """Only compared; otherwise what differed was put right."""
    may_take: bool
    """Also what takes data or access away."""


async def report_look(
    context: Context, body: Body, server: Server, result: ObjectResult, ready: Ready, look: Look
) -> bool:
    """Write what differs from what was applied before, if there is anything left; gives whether it was written.

    Ready stays True, or is so again, and Synced tells. False: all was put right, which is for the kind to tell, or
    the LOOK failed.
    """
    error = results.error_of(result)
    if error and (error.reason.error_class is not ErrorClass.HUMAN or not result.differences):
        return False
    left = [one for one in result.differences if error or look.check or (one.destructive and not look.may_take)]
    if not left and not look.check:
        return False
    found = _drift(left)
    measure.looked_for_drift(context, body, detected=bool(left))
    before = bool((body.get("status", {}).get("drift") or {}).get("detected"))
    mended = replace(result, differences=[one for one in result.differences if one not in left])
    await tell_corrected(context, body, server, mended)
    text = f"The server differs: {', '.join(dict.fromkeys(one.field for one in left[:10]))}{_why(error, look)}"
    synced = (
        Condition("Synced", "False", "DriftDetected", text)
        if left
        else Condition("Synced", "True", RECONCILE_SUCCESS, "Everything is as declared")
    )
    message, conditions = _as_ready(body, ready)
    others = [one for one in conditions if one.type != "Synced"]
    report = Report("Ready", message, (*others, synced), {"drift": found}, changed=result.changed and not look.check)
    await status.write(context, body, report)
    if left and not before:
        event = "DriftCorrectionFailed" if error and not look.check else "DriftDetected"
        await context.events.record(body, "Warning", event, text)
    return True


def _why(error: DbopsError | None, look: Look) -> str:
    """Why a difference is still there, if that is not the policy's wish."""
    if error:
        return f"; it cannot be put right: {error.message}"
    if look.check:
        return ""
    return f'; that takes data or access away, and is put right once {annotation.ALLOW_DESTRUCTIVE_DRIFT} is "true"'


async def report_untouched(context: Context, body: Body, ready: Ready) -> None:
    """Write that an object is Ready which is not looked at: what hindered that is over."""
    message, conditions = _as_ready(body, ready)
    await status.write(context, body, Report(phase="Ready", message=message, conditions=conditions))


def _as_ready(body: Body, ready: Ready) -> tuple[str, list[Condition]]:
    """Give message and conditions of an object that was applied: as they are, or as they are again."""
    before = body.get("status") or {}
    kept = [
        Condition(one["type"], one["status"], one["reason"], one["message"]) for one in before.get("conditions") or ()
    ]
    if settled(body):
        return str(before.get("message", "")), kept
    made = list(results.success(ready.message, conditions=ready.conditions).conditions)
    again = {one.type for one in made}
    return ready.message, made + [one for one in kept if one.type not in {*again, "Reconciling", "Stalled"}]


# A lost connection, and what the server or the admin account is not able to do.
_OF_THE_SERVER = (
    Reason.CONNECTION_FAILED,
    Reason.AUTHENTICATION_FAILED,
    Reason.TLS_FAILED,
    Reason.PRIVILEGE_MISSING,
    Reason.UNSUPPORTED,
)


async def failed(
    context: Context,
    body: Body,
    spec: resolve.References | None,
    error: DbopsError,
    *,
    operation: str,
    extra: list[Condition] | None = None,
    fields: Mapping[str, Any] | None = None,
    synced: str = "",
    phase: str = "",
    event: str = "ReconcileFailed",
) -> Verdict:
    """Report an ERROR of an object that lives on a server; what may be the server's has the instance looked at.

    SYNCED and PHASE stand in the place of what follows from the error's reason.
    """
    if spec and error.reason in _OF_THE_SERVER:
        context.wake(resolve.instance_key(spec, body["metadata"].get("namespace", "")), Priority.DEPENDENCY)
    conditions = [Condition("Synced", "False", synced or error.reason.value, error.message), *(extra or [])]
    if error.reason is not Reason.DEPENDENCY_NOT_READY and status.condition(body, "DependenciesReady"):
        conditions.append(Condition("DependenciesReady", "True", RECONCILE_SUCCESS, "The instance is ready"))
    report = results.failure(error, operation=operation, conditions=conditions, fields=fields, phase=phase)
    return await report_failure(context, body, error, report, event=event)


def drops(body: Body) -> bool:
    """Whether a login or role is dropped from a server that it leaves; one that is protected or retained stays."""
    return not annotation.retains(body) and not annotation.flag(body, annotation.DELETION_PROTECTION)


def owned_objects(result: ObjectResult) -> list[dict[str, str]]:
    """What a login owns that is not dropped, as status lists it."""
    return [
        {
            "type": one["type"],
            "name": one["name"],
            # Names of two databases may be equal: the database stands before the schema.
            "schema": ".".join(part for part in (one.get("database"), one.get("schema")) if part),
        }
        for one in (result.observed.get("owned_objects") or ())[:MAX_LISTED]
    ]


def lets_go(body: Body, failure: DbopsError) -> bool:
    """Whether a forced deletion goes on although the drop failed."""
    return annotation.flag(body, annotation.FORCE_DELETE) and failure.reason is not Reason.CANCELLED


async def tell_end(context: Context, body: Body, failure: DbopsError | None, *, what: str) -> None:
    """Tell what became of the outside thing, just before the object goes."""
    if failure:
        note = f"Forced deletion: {what} may still be on the server and must be dropped by hand: {failure.message}"
        await context.events.record(body, "Warning", "DeleteFailed", note, action="Delete")
    else:
        note = f"{what} is not on the server any more, or was never this object's"
        await context.events.record(body, "Normal", "Deleted", note, action="Delete")


async def report_undropped(
    context: Context, body: Body, error: DbopsError, *, what: str, event: str = "DeleteFailed"
) -> Verdict:
    """Report that WHAT could not be dropped: the object stays, and the message says what to do."""
    told = DbopsError(error.reason, deletion.undropped_message(what, error.message), field=error.field)
    report = results.failure(told, operation=f"drop {what}", phase="Failed", conditions=_kept(body))
    return await report_failure(context, body, told, report, event=event)


def _kept(body: Body) -> list[Condition]:
    return [
        Condition(one["type"], one["status"], one["reason"], one["message"])
        for one in body.get("status", {}).get("conditions") or ()
        if one["type"] not in ("Ready", "Reconciling", "Stalled", "DependenciesReady")
    ]
