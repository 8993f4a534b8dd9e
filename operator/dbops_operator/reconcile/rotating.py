# SPDX-License-Identifier: GPL-3.0-or-later
"""What rotation does beside the login in use: the service role, the logins that were replaced, and status.

rotation.py decides; database_user.py calls this before and after it works on the login in use.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import annotation, results, rotation, status
from dbops_operator.api import variables
from dbops_operator.api.database_user import DatabaseUserSpec
from dbops_operator.api.variables import Login, Options
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import on_server, user_secrets
from dbops_operator.reconcile.common import Body, converge, owner
from dbops_operator.reconcile.user_secrets import Secrets
from dbops_operator.resolve import Server
from dbops_operator.rotation_record import Fate, How, Record, Retired, stamp

_SHOWN = 20
"""Logins that status lists."""


def login(spec: DatabaseUserSpec, secrets: Secrets) -> Login:
    """The login that is to exist with the newest password."""
    record, password = secrets.record, secrets.choice.password
    if record is None:
        return Login(secrets.login, password)
    return Login(
        secrets.login,
        password,
        service_role=record.service_role,
        own_roles=not record.makes_role,
        acts=bool(record.service_role) and (record.first_acts or secrets.login != spec.username),
        retain=record.under_way is How.DUAL,
    )


def due(context: Context, secrets: Secrets) -> bool:
    """Whether the grace period of a login or password is over."""
    record, now = secrets.record, context.now()
    return record is not None and bool(rotation.to_retire(record, now=now) or rotation.discards(record, now=now))


async def service_role(
    context: Context, body: Body, spec: DatabaseUserSpec, server: Server, secrets: Secrets, look: on_server.Look
) -> tuple[Body, ObjectResult | None]:
    """Have the group role of all logins as it must be, if this user has one. Its logins are made members after it."""
    record = secrets.record
    if record is None or not record.makes_role:
        return body, None
    name = record.service_role
    options = variables.service_role(spec, server.spec.engine, name) | {
        "ref": f"{Key.of(body).ref}/service-role",
        "dbops_owner": owner(context, body),
        "adopt": on_server.adopts(body, server, name=name, listed_in=annotation.ADOPT_ROLES),
        "allow_destructive": look.may_take,
    }
    body, result = await converge(context, body, server, options, check=look.check)
    if result.observed.get("created"):
        on_server.wake_waiting(context, server.key, "role", name)
    return body, result


async def tidy(
    context: Context, body: Body, spec: DatabaseUserSpec, server: Server, secrets: Secrets, record: Record | None
) -> tuple[Body, Record | None]:
    """End the logins and passwords whose grace period is over. Gives what is to be remembered from now on."""
    if record is None:
        return body, None
    now, left = context.now(), record
    for one in rotation.to_retire(record, now=now):
        body, changed = await _retire(context, body, spec, server, one, record)
        left = left.with_retired(changed)
    if rotation.discards(record, now=now):
        body = await _discard(context, body, spec, server, secrets)
        left = replace(left, retained_until=None)
    if left != record:
        await user_secrets.remember(context, body, secrets, left)
    return body, left


async def _discard(context: Context, body: Body, spec: DatabaseUserSpec, server: Server, secrets: Secrets) -> Body:
    options = variables.database_user(spec, server.spec.engine, replace(login(spec, secrets), discard=True))
    body, result = await _run(context, body, server, options)
    if error := results.error_of(result):
        raise error
    return body


async def _retire(
    context: Context, body: Body, spec: DatabaseUserSpec, server: Server, one: Retired, record: Record
) -> tuple[Body, Retired]:
    """Do with a login what `oldUserPolicy` says; what keeps it from being dropped does not keep it usable."""
    policy = rotation.policy(spec)
    if policy.action == "retain":
        return body, replace(one, fate=Fate.RETAINED, delete_after=None)
    disabled = variables.disabled_login(one.user, server.spec.engine, service_role=record.service_role)
    if policy.action == "disable":
        body, result = await _run(context, body, server, disabled)
        fate = Fate.DISABLED
    else:
        heir = None if policy.ownership_check or server.spec.engine != "postgres" else record.service_role
        body, result = await _run(context, body, server, variables.absent_database_user(one.user, heir=heir))
        fate = Fate.DELETED
    error = results.error_of(result)
    if error is None:
        return body, replace(one, fate=fate, finding={})
    if error.reason is Reason.CANCELLED:
        raise error
    if error.reason is Reason.BLOCKED:
        body, locked = await _run(context, body, server, disabled)
        if failure := results.error_of(locked):
            raise failure
    if one.fate is not Fate.BLOCKED:
        note = f"Login {one.user} was replaced, and it is still on the server: {error.message}"
        await context.events.record(body, "Warning", "RotationFailed", note, action="Rotate")
    return body, replace(one, fate=Fate.BLOCKED, finding=_finding(error, result))


async def _run(context: Context, body: Body, server: Server, options: Options) -> tuple[Body, ObjectResult]:
    return await converge(context, body, server, options | {"dbops_owner": owner(context, body)})


def _finding(error: DbopsError, result: ObjectResult) -> dict[str, Any]:
    owned = on_server.owned_objects(result)
    found = {
        "blockedReason": status.shorten(error.message),
        "ownedObjects": owned,
        "resolution": result.observed.get("resolution"),
    }
    return {name: value for name, value in found.items() if value}


def fields(context: Context, secrets: Secrets, record: Record | None) -> dict[str, Any]:
    """What status says of rotation."""
    if record is None:
        return {"rotation": None}
    wanted = secrets.rotates
    next_time = rotation.due_at(record, wanted, zone=context.settings.time_zone)
    told = {
        "strategy": ("role-inheritance" if wanted.twins else "dual-password") if wanted.enabled else None,
        "activeUser": record.login,
        "serviceRole": record.service_role,
        "lastRotatedAt": stamp(record.rotated_at),
        "nextRotationAt": stamp(next_time) if next_time else None,
        "pendingDeletion": [_pending(one) for one in record.retired if one.fate in _LISTED][-_SHOWN:],
    }
    return {"rotation": {"enabled": wanted.enabled, **{name: value for name, value in told.items() if value}}}


_LISTED = (Fate.PENDING, Fate.BLOCKED, Fate.DELETED)


def _pending(one: Retired) -> dict[str, Any]:
    listed = {
        "user": one.user,
        "deprecatedAt": stamp(one.deprecated_at),
        "deleteAfter": stamp(one.delete_after) if one.delete_after else None,
        "status": one.fate.value,
        **one.finding,
    }
    return {name: value for name, value in listed.items() if value}


def remarks(secrets: Secrets) -> list[str]:
    """What the message says of rotation."""
    wanted = secrets.rotates
    if wanted.problem:
        return [wanted.problem]
    if wanted.enabled and not wanted.schedule and not wanted.max_age:
        return ["passwordRotation has neither schedule nor maxAge: only the annotation rotate-at rotates"]
    return []


async def tell(context: Context, body: Body, secrets: Secrets, record: Record | None) -> None:
    """Tell what has just happened as events."""
    problem = secrets.rotates.problem
    if problem and problem not in str(body.get("status", {}).get("message", "")):
        await context.events.record(body, "Warning", "InvalidRotationSchedule", problem)
    before = secrets.record
    if before and before.under_way and record:
        note = {
            How.TWIN: f"{record.login} has replaced {before.login}, which is kept for its grace period",
            How.DUAL: f"{record.login} has a new password; the old one works until {_until(record)}",
            How.PLAIN: f"{record.login} has a new password",
        }[before.under_way]
        await context.events.record(body, "Normal", "PasswordRotated", note, action="Rotate")


def _until(record: Record) -> str:
    return stamp(record.retained_until) if record.retained_until else "now"


def look_again(context: Context, body: Body, secrets: Secrets, record: Record | None, after: float) -> float:
    """Seconds until the user is looked at again: for rotation, or AFTER for everything else."""
    if record is None:
        return after
    now: datetime = context.now()
    request = annotation.text(body, annotation.ROTATE_AT)
    zone = context.settings.time_zone
    sooner = rotation.look_again(record, secrets.rotates, request=request, now=now, zone=zone)
    return after if sooner is None else min(after, sooner)
