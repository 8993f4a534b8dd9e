# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseUser: a login on a server, its password, and the Secret that tells applications of it.

The order is what makes it safe: the state Secret learns a password (and with rotation the next login), then the
server, then a login is tried, then the consumer's Secret is written, then what was replaced is ended when its time
has come, then status. Each run starts from what is there, so a crash in between costs nothing. How a user is removed
stands in user_removal.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import access, annotation, moved, results, status
from dbops_operator.api import variables
from dbops_operator.api.database_user import DATABASE_USER, DatabaseUserSpec
from dbops_operator.api.model import parse
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import binding_secret, on_server, rotating, user_removal, user_secrets
from dbops_operator.reconcile.binding_secret import Binding
from dbops_operator.reconcile.common import Body, add_finalizer, converge, level, owner, settled
from dbops_operator.reconcile.user_secrets import Secrets
from dbops_operator.resolve import Server
from dbops_operator.rotation_record import Record
from dbops_operator.status import Condition
from dbops_operator.work import Done, Retry, Verdict


async def reconcile(context: Context, key: Key) -> Verdict:
    """Bring the login and its Secret to what the object declares."""
    return await level(context, key, _reconcile)


async def _reconcile(context: Context, body: Body) -> Verdict:
    if body["metadata"].get("deletionTimestamp"):
        return await user_removal.delete(context, body)
    spec = secrets = None
    ready_before = settled(body)
    try:
        spec = parse(DATABASE_USER, body)
        reached = await on_server.reach(context, body, spec)
        server = reached.server
        ready_before = moved.is_applied(body, server)
        policy = on_server.drift_policy(spec.drift_policy, server)
        after = on_server.drift_interval(policy, context)
        secrets = await user_secrets.read(context, body, spec, server.spec.engine)
        if reached.limits:
            access.check_user(spec, reached.limits)
            access.check_rotation(secrets.rotates, reached.limits, login=secrets.login)
        work = await _work(context, body, spec, server, secrets)
        looks = ready_before and not work.unfinished
        look = on_server.Look(
            check=looks and not on_server.corrects(policy),
            may_take=on_server.may_take(body, policy, applied=ready_before),
        )
        again = Done(after=rotating.look_again(context, body, secrets, secrets.record, after))
        ready = on_server.Ready("; ".join(["User is ready", *rotating.remarks(secrets), *_remarks(spec)]))
        if look.check and policy and policy.mode == "ignore":
            await on_server.report_untouched(context, body, ready)
            return await user_removal.leave_former(context, body, spec) or again
        if not look.check:
            body = await add_finalizer(context, body)
            await user_secrets.write_ahead(context, body, secrets)
        try:
            body, result = await _converge(context, body, spec, server, secrets, look)
        except _Refused as refusal:
            if looks and await on_server.report_look(context, refusal.body, server, refusal.result, ready, look):
                return again
            raise
        if looks and await on_server.report_look(context, body, server, result, ready, look):
            return await user_removal.leave_former(context, body, spec) or again
        if work.wanted:
            await user_secrets.write_secret(context, work.wanted, before=secrets.consumer)
        await binding_secret.write(context, work.binding)
        record = await user_secrets.finish(context, body, secrets)
        body, record = await rotating.tidy(context, body, spec, server, secrets, record)
    except _Refused as refusal:
        return await _refused(context, spec, secrets, refusal)
    except DbopsError as error:
        return await _failed(context, body, spec, secrets, error, _unchanged(body))
    if not ready_before or result.observed.get("created"):
        on_server.wake_waiting(context, server.key, "role", spec.username)
    await _succeeded(context, body, spec, server, _Outcome(secrets, work.binding, record, result))
    again = Done(after=rotating.look_again(context, body, secrets, record, after))
    return await user_removal.leave_former(context, body, spec) or again


@dataclass(frozen=True)
class _Work:
    """What is to be written for applications, and whether anything is to be done at all."""

    wanted: Body | None
    binding: Binding
    unfinished: bool


async def _work(context: Context, body: Body, spec: DatabaseUserSpec, server: Server, secrets: Secrets) -> _Work:
    rendered = await user_secrets.render(context, body, spec, server, secrets)
    wanted = user_secrets.wanted_consumer(body, secrets, rendered)
    binding = await binding_secret.read(context, body, spec, server, secrets)
    changes = secrets.choice.write or secrets.choice.finished != secrets.choice.state
    unfinished = changes or bool(wanted or binding.wanted) or rotating.due(context, secrets)
    return _Work(wanted, binding, unfinished)


class _Refused(Exception):  # noqa: N818
    """The engine's answer was an error; carries its result for the conditions."""

    def __init__(self, body: Body, error: DbopsError, result: ObjectResult, *, of_login: bool = True) -> None:
        super().__init__(error.message)
        self.body = body
        self.error = error
        self.result = result
        self.of_login = of_login


async def _refused(
    context: Context, spec: DatabaseUserSpec | None, secrets: Secrets | None, refusal: _Refused
) -> Verdict:
    """Report what the engine refused; a new login whose name is somebody else's gets another name."""
    record = secrets.record if secrets else None
    new_login = refusal.of_login and record is not None and bool(record.next_login)
    if secrets and new_login and refusal.error.reason in (Reason.NOT_ADOPTED, Reason.CONFLICT):
        await user_secrets.rename(context, refusal.body, secrets)
        return Retry(refusal.error.reason)
    # What is said of a new login is not yet true of the Secret, which has the old one.
    tried = [] if new_login else _credentials(refusal.result)
    return await _failed(context, refusal.body, spec, secrets, refusal.error, tried or _unchanged(refusal.body))


async def _failed(
    context: Context,
    body: Body,
    spec: DatabaseUserSpec | None,
    secrets: Secrets | None,
    error: DbopsError,
    conditions: list[Condition],
) -> Verdict:
    rotates = bool(secrets and secrets.record and secrets.record.under_way)
    operation = "rotate password" if rotates else "update user" if settled(body) else "create user"
    event = "RotationFailed" if rotates else "ReconcileFailed"
    return await on_server.failed(context, body, spec, error, operation=operation, extra=conditions, event=event)


async def _converge(
    context: Context, body: Body, spec: DatabaseUserSpec, server: Server, secrets: Secrets, look: on_server.Look
) -> tuple[Body, ObjectResult]:
    body, role = await rotating.service_role(context, body, spec, server, secrets, look)
    if role and (error := results.error_of(role)):
        name = secrets.record.service_role if secrets.record else ""
        told = on_server.with_hint(error, server, name=name, listed_in=annotation.ADOPT_ROLES)
        raise _Refused(body, told, role, of_login=False)
    if role and look.check and not role.observed.get("exists", True):
        # Its members cannot be compared with what they are to be members of.
        return body, role
    # What is under the name of a new login already is nobody's to take over.
    first = secrets.login == spec.username
    options = variables.database_user(spec, server.spec.engine, rotating.login(spec, secrets)) | {
        "dbops_owner": owner(context, body),
        "adopt": first and on_server.adopts(body, server, name=spec.username, listed_in=annotation.ADOPT_USERS),
        "allow_destructive": look.may_take,
    }
    body, result = await converge(
        context, body, server, options, check=look.check, announce="" if look.check else "Creating user"
    )
    if error := results.error_of(result):
        told = on_server.with_hint(error, server, name=spec.username, listed_in=annotation.ADOPT_USERS)
        raise _Refused(body, told, result)
    if role:
        differences = [*role.differences, *result.differences]
        result = replace(result, differences=differences, changed=role.changed or result.changed)
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


@dataclass(frozen=True)
class _Outcome:
    """All that a successful reconcile has to tell."""

    secrets: Secrets
    binding: Binding
    record: Record | None
    result: ObjectResult


async def _succeeded(context: Context, body: Body, spec: DatabaseUserSpec, server: Server, outcome: _Outcome) -> None:
    secrets, result, record = outcome.secrets, outcome.result, outcome.record
    before = body.get("status") or {}
    created = bool(result.observed.get("created"))
    info: dict[str, Any] = {
        "username": secrets.login,
        "createdAt": status.now() if created else (before.get("user") or {}).get("createdAt"),
    }
    place = secrets.consumer_key
    assert place or spec.existing_password_secret
    name = place.name if place else spec.existing_password_secret and spec.existing_password_secret.name
    secret = {**(before.get("secret") or {}), "name": name, "namespace": body["metadata"]["namespace"]}
    if secrets.choice.state.current and secrets.choice.state.next:
        secret["lastRotatedAt"] = status.now()
    report = results.success(
        "; ".join(["User is ready", *rotating.remarks(secrets), *_remarks(spec), *result.warnings]),
        conditions=_credentials(result),
        fields={
            "user": {key: value for key, value in info.items() if value is not None},
            "secret": secret,
            **binding_secret.fields(outcome.binding),
            **rotating.fields(context, secrets, record),
            "drift": on_server.no_drift(),
            "ownershipBlock": None,
            "deletionConfirmation": None,
            **moved.fields(body, server, drops=on_server.drops(body)),
        },
        changed=result.changed,
    )
    if created and secrets.login == spec.username:
        await context.events.record(body, "Normal", "Created", f"Created user {spec.username}")
    if secrets.choice.regenerated:
        text = f"Secret {name} was deleted or emptied; the user has a new password"
        await context.events.record(body, "Normal", "SecretRegenerated", text)
    await on_server.tell_corrected(context, body, server, result)
    await rotating.tell(context, body, secrets, record)
    await status.write(context, body, report)


def _remarks(spec: DatabaseUserSpec) -> list[str]:
    if spec.password_secret and spec.password_secret.format != "kubernetes":
        return [f"passwordSecret.format {spec.password_secret.format} is not served: a plain Secret is written"]
    return []
