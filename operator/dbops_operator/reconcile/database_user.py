# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseUser: a login on a server, its password, and the Secret that tells applications of it.

The order is what makes it safe: the state Secret learns a password, then the server, then a login is tried, then the
consumer's Secret is written, then status. Each run starts from what is there, so a crash in between costs nothing.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import access, annotation, deletion, results, status
from dbops_operator.api import variables
from dbops_operator.api.database_user import DATABASE_USER, DatabaseUserSpec
from dbops_operator.api.model import parse
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import on_server, removal, user_secrets
from dbops_operator.reconcile.common import (
    Body,
    add_finalizer,
    converge,
    has_finalizer,
    level,
    owner,
    remove_finalizer,
    settled,
)
from dbops_operator.reconcile.user_secrets import Secrets
from dbops_operator.resolve import Server
from dbops_operator.status import Condition
from dbops_operator.work import Done, Verdict


async def reconcile(context: Context, key: Key) -> Verdict:
    """Bring the login and its Secret to what the object declares."""
    return await level(context, key, _reconcile)


async def _reconcile(context: Context, body: Body) -> Verdict:
    if body["metadata"].get("deletionTimestamp"):
        return await _delete(context, body)
    spec = None
    ready_before = settled(body)
    operation = "update user" if ready_before else "create user"
    try:
        spec = parse(DATABASE_USER, body)
        reached = await on_server.reach(context, body, spec)
        if reached.limits:
            access.check_user(spec, reached.limits)
        policy = on_server.drift_policy(spec.drift_policy, reached.server)
        after = on_server.drift_interval(policy, context)
        secrets = await user_secrets.read(context, body, spec)
        rendered = await user_secrets.render(context, body, spec, reached.server, secrets)
        wanted = user_secrets.wanted_consumer(body, secrets, rendered)
        unfinished = secrets.choice.write or wanted is not None or secrets.choice.finished != secrets.choice.state
        check = settled(body) and not unfinished and (policy is None or policy.mode != "correct")
        if check and policy and policy.mode == "ignore":
            return Done(after=after)
        if check:
            body, result = await _converge(context, body, spec, reached.server, secrets, check=True)
            await on_server.report_drift(context, body, result)
            return Done(after=after)
        body = await add_finalizer(context, body)
        await user_secrets.write_ahead(context, body, secrets)
        body, result = await _converge(context, body, spec, reached.server, secrets, check=False)
        if wanted:
            await user_secrets.write_consumer(context, secrets, wanted)
        await user_secrets.finish(context, body, secrets)
    except _Refused as refusal:
        return await on_server.failed(
            context, refusal.body, spec, refusal.error, operation=operation, extra=_credentials(refusal.result)
        )
    except DbopsError as error:
        return await on_server.failed(context, body, spec, error, operation=operation, extra=_unchanged(body))
    if not ready_before or result.observed.get("created"):
        on_server.wake_waiting(context, reached.server.key, "role", spec.username)
    await _succeeded(context, body, spec, secrets, result)
    return Done(after=after)


class _Refused(Exception):  # noqa: N818
    """The engine's answer was an error; carries its result for the conditions."""

    def __init__(self, body: Body, error: DbopsError, result: ObjectResult) -> None:
        super().__init__(error.message)
        self.body = body
        self.error = error
        self.result = result


async def _converge(
    context: Context, body: Body, spec: DatabaseUserSpec, server: Server, secrets: Secrets, *, check: bool
) -> tuple[Body, ObjectResult]:
    options = variables.database_user(spec, server.spec.engine, password=secrets.choice.password) | {
        "dbops_owner": owner(context, body),
        "adopt": on_server.adopts(body, server, name=spec.username, listed_in=annotation.ADOPT_USERS),
    }
    body, result = await converge(
        context, body, server, options, check=check, announce="" if check else "Creating user"
    )
    if error := results.error_of(result):
        told = on_server.with_hint(error, server, name=spec.username, listed_in=annotation.ADOPT_USERS)
        raise _Refused(body, told, result)
    return body, result


def _credentials(result: ObjectResult) -> list[Condition]:
    """The condition CredentialsReady from the login that the engine tried."""
    tried = result.credentials
    if tried is None:
        return []
    return [Condition("CredentialsReady", tried["status"], tried["reason"], tried["message"])]


def _unchanged(body: Body) -> list[Condition]:
    """The condition CredentialsReady as it was: an error elsewhere does not change what was found out."""
    before = status.condition(body, "CredentialsReady")
    if before is None:
        return []
    return [Condition("CredentialsReady", before["status"], before["reason"], before["message"])]


async def _succeeded(
    context: Context, body: Body, spec: DatabaseUserSpec, secrets: Secrets, result: ObjectResult
) -> None:
    before = body.get("status") or {}
    created = bool(result.observed.get("created"))
    info: dict[str, Any] = {
        "username": spec.username,
        "createdAt": status.now() if created else (before.get("user") or {}).get("createdAt"),
    }
    place = secrets.consumer_key
    assert place or spec.existing_password_secret
    name = place.name if place else spec.existing_password_secret and spec.existing_password_secret.name
    secret = {**(before.get("secret") or {}), "name": name, "namespace": body["metadata"]["namespace"]}
    if secrets.choice.write and secrets.choice.state.current:
        secret["lastRotatedAt"] = status.now()
    report = results.success(
        "; ".join(["User is ready", *_remarks(spec), *result.warnings]),
        conditions=_credentials(result),
        fields={
            "user": {key: value for key, value in info.items() if value is not None},
            "secret": secret,
            "drift": on_server.no_drift(),
            "ownershipBlock": None,
            "deletionConfirmation": None,
        },
        changed=result.changed,
    )
    if created:
        await context.events.record(body, "Normal", "Created", f"Created user {spec.username}")
    if secrets.choice.regenerated:
        text = f"Secret {name} was deleted or emptied; the user has a new password"
        await context.events.record(body, "Normal", "SecretRegenerated", text)
    await status.write(context, body, report)


def _remarks(spec: DatabaseUserSpec) -> list[str]:
    remarks = []
    if spec.password_rotation and spec.password_rotation.enabled:
        remarks.append("passwordRotation is not served by this version of the operator: the password stays")
    if spec.password_secret and spec.password_secret.format != "kubernetes":
        remarks.append(f"passwordSecret.format {spec.password_secret.format} is not served: a plain Secret is written")
    return remarks


async def _delete(context: Context, body: Body) -> Verdict:
    if not has_finalizer(body):
        return Done()
    key = Key.of(body)
    dependants = removal.dependants_of_user(context, key)
    for child in dependants:
        context.depends(child)
    decision = deletion.decide(
        removal.facts(
            body,
            protected=annotation.flag(body, annotation.DELETION_PROTECTION),
            dependants=[deletion.dependant_name(child, parent=key) for child in dependants],
            retain=annotation.retains(body),
        )
    )
    if decision.step not in (deletion.Step.DROP, deletion.Step.RELEASE):
        return await removal.hold(context, body, decision, dependants)
    await removal.tell_cascade_complete(context, body)
    if decision.step is deletion.Step.DROP:
        return await _drop(context, body)
    note = (
        f"User {body['spec']['username']} stays on the server, as its deletion policy says; its Secret goes, "
        "and with it the password"
    )
    await context.events.record(body, "Normal", "Deleted", note, action="Delete")
    await _let_go(context, body)
    return Done()


async def _drop(context: Context, body: Body) -> Verdict:
    what = f"user {body['spec'].get('username')}"
    try:
        spec = parse(DATABASE_USER, body)
    except DbopsError as error:
        return await on_server.report_undropped(context, body, error, what=what)
    options = variables.absent_database_user(spec) | {"dbops_owner": owner(context, body)}
    body, result, failure = await on_server.drop(context, body, spec, options, what=what)
    if failure and not on_server.lets_go(body, failure):
        if failure.reason is Reason.BLOCKED and result and result.observed.get("owned_objects"):
            return await _report_owned(context, body, failure, result)
        return await on_server.report_undropped(context, body, failure, what=what)
    await on_server.tell_end(context, body, failure, what=what)
    await _let_go(context, body)
    return Done()


async def _report_owned(context: Context, body: Body, failure: DbopsError, result: ObjectResult) -> Verdict:
    owned = result.observed["owned_objects"]
    decision = deletion.Decision(deletion.Step.BLOCK, "OwnershipBlocks", failure.message)
    block = {
        "blocked": True,
        "lastCheckedAt": status.now(),
        "ownedObjects": [
            {
                "type": one["type"],
                "name": one["name"],
                # Names of two databases may be equal: the database stands before the schema.
                "schema": ".".join(part for part in (one.get("database"), one.get("schema")) if part),
            }
            for one in owned[: on_server.MAX_LISTED]
        ],
        "ownedObjectsCount": result.observed.get("owned_objects_count", len(owned)),
        "resolution": result.observed.get("resolution"),
        "message": status.shorten(failure.message),
    }
    await removal.report_held(
        context,
        body,
        decision,
        phase="Failed",
        event="DeletionBlocked",
        note=decision.message,
        fields={"ownershipBlock": {key: value for key, value in block.items() if value is not None}},
    )
    # Objects on the server tell nobody when they go.
    return Done(after=_OWNERSHIP_SECONDS)


_OWNERSHIP_SECONDS = 30.0


async def _let_go(context: Context, body: Body) -> None:
    await user_secrets.delete_state(context, Key.of(body))
    await remove_finalizer(context, body)
    on_server.wake_namesakes(context, body, "username")
