# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseRole and ClusterDatabaseRole: a group role on a server, with its attributes, memberships and privileges.

Waits for its instance, applies the declaration once per generation, then compares and reports; drops the role when
the object goes and its policy says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import access, annotation, deletion, moved, results, status
from dbops_operator.api import grant_variables
from dbops_operator.api.cluster_database_role import CLUSTER_DATABASE_ROLE, ClusterDatabaseRoleSpec
from dbops_operator.api.database_role import DATABASE_ROLE, DatabaseRoleSpec
from dbops_operator.api.model import parse
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import leaving, on_server, removal
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
from dbops_operator.resolve import Server
from dbops_operator.status import RECONCILE_SUCCESS, Condition
from dbops_operator.work import Done, Verdict

RoleSpec = DatabaseRoleSpec | ClusterDatabaseRoleSpec


def read(body: Mapping[str, Any]) -> RoleSpec:
    """The typed spec of a role of either scope. Raises InvalidSpec."""
    if body["kind"] == "ClusterDatabaseRole":
        return parse(CLUSTER_DATABASE_ROLE, body)
    return parse(DATABASE_ROLE, body)


async def reconcile(context: Context, key: Key) -> Verdict:
    """Bring the role to what the object declares."""
    return await level(context, key, _reconcile)


async def _reconcile(context: Context, body: Body) -> Verdict:
    if body["metadata"].get("deletionTimestamp"):
        return await _delete(context, body)
    spec = None
    ready_before = settled(body)
    operation = "update role" if ready_before else "create role"
    try:
        spec = read(body)
        reached = await on_server.reach(context, body, spec)
        ready_before = moved.is_applied(body, reached.server)
        if reached.limits and isinstance(spec, DatabaseRoleSpec):
            access.check_role(spec, reached.limits)
        policy = on_server.drift_policy(spec.drift_policy, reached.server)
        after = on_server.drift_interval(policy, context)
        check = ready_before and not on_server.corrects(policy)
        ready = on_server.Ready("Role is ready", tuple(_published(body)))
        if check and policy and policy.mode == "ignore":
            await on_server.report_untouched(context, body, ready)
            return Done(after=after)
        body = await add_finalizer(context, body)
        options = grant_variables.database_role(spec, reached.server.spec.engine) | {
            "dbops_owner": owner(context, body),
            "adopt": on_server.adopts(body, reached.server, name=spec.role_name, listed_in=annotation.ADOPT_ROLES),
            "allow_destructive": on_server.may_take(body, policy, applied=ready_before),
        }
        body, result = await converge(
            context, body, reached.server, options, check=check, announce="" if check else "Creating role"
        )
        look = on_server.Look(check, bool(options["allow_destructive"]))
        if ready_before and await on_server.report_look(context, body, reached.server, result, ready, look):
            return await _leave_former(context, body, spec) or Done(after=after)
        if error := results.error_of(result):
            raise on_server.with_hint(error, reached.server, name=spec.role_name, listed_in=annotation.ADOPT_ROLES)
    except DbopsError as error:
        return await on_server.failed(context, body, spec, error, operation=operation)
    if not ready_before or result.observed.get("created"):
        on_server.wake_waiting(context, reached.server.key, "role", spec.role_name)
    await _succeeded(context, body, spec, reached.server, result)
    return await _leave_former(context, body, spec) or Done(after=after)


async def _succeeded(context: Context, body: Body, spec: RoleSpec, server: Server, result: ObjectResult) -> None:
    before = (body.get("status") or {}).get("role") or {}
    created = bool(result.observed.get("created"))
    info: dict[str, Any] = {"name": spec.role_name}
    if at := status.now() if created else before.get("createdAt"):
        info["createdAt"] = at
    report = results.success(
        "; ".join(["Role is ready", *result.warnings]),
        fields={
            "role": info,
            "drift": on_server.no_drift(),
            **_confirmed(body),
            **moved.fields(body, server, drops=on_server.drops(body)),
        },
        conditions=_published(body),
        changed=result.changed,
    )
    if created:
        await context.events.record(body, "Normal", "Created", f"Created role {spec.role_name}")
    await on_server.tell_corrected(context, body, server, result)
    await status.write(context, body, report)


def _confirmed(body: Body) -> dict[str, None]:
    # The cluster-scoped kind has no such field.
    return {"deletionConfirmation": None} if body["kind"] == "DatabaseRole" else {}


def _published(body: Body) -> list[Condition]:
    """A condition that users of the published API look for."""
    if body["kind"] == "DatabaseRole":
        return []
    return [Condition("RoleReady", "True", RECONCILE_SUCCESS, "The role is as declared")]


async def _delete(context: Context, body: Body) -> Verdict:
    if not has_finalizer(body):
        return Done()
    key = Key.of(body)
    dependants = removal.dependants_of_role(context, key)
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
    note = f"Role {body['spec']['roleName']} stays on the server, as its deletion policy says"
    await context.events.record(body, "Normal", "Deleted", note, action="Delete")
    await _let_go(context, body)
    return Done()


def _absent(body: Body, spec: RoleSpec, context: Context) -> leaving.Going:
    """Options that drop the role, by the engine."""
    options = grant_variables.absent_database_role(spec) | {"dbops_owner": owner(context, body)}
    return leaving.Going.on_any_engine(options)


async def _leave_former(context: Context, body: Body, spec: RoleSpec) -> Verdict | None:
    what = f"role {spec.role_name}"
    return await leaving.leave_former(context, Key.of(body), [_absent(body, spec, context)], what=what)


async def _drop(context: Context, body: Body) -> Verdict:
    what = f"role {body['spec'].get('roleName')}"
    try:
        spec = read(body)
    except DbopsError as error:
        return await on_server.report_undropped(context, body, error, what=what)
    body, _, failure = await leaving.drop(context, body, spec, _absent(body, spec, context), what=what)
    if failure and not on_server.lets_go(body, failure):
        return await on_server.report_undropped(context, body, failure, what=what)
    await on_server.tell_end(context, body, failure, what=what)
    await _let_go(context, body)
    return Done()


async def _let_go(context: Context, body: Body) -> None:
    await remove_finalizer(context, body)
    on_server.wake_namesakes(context, body, "roleName")
