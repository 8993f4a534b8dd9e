# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseGrant: privileges and memberships of one user or role, on the server that it lives on.

Waits for the user or role, gives what is declared, takes back what this object gave and no longer declares; the
engine's ledger remembers that, and what other objects still declare.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import access, deletion, results, status
from dbops_operator.api import grant_variables
from dbops_operator.api.common import InstanceReferences
from dbops_operator.api.database_grant import DATABASE_GRANT, DatabaseGrantSpec
from dbops_operator.api.database_role import DATABASE_ROLE
from dbops_operator.api.database_user import DATABASE_USER
from dbops_operator.api.model import parse
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import on_server, removal
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
from dbops_operator.work import Done, Verdict


@dataclass(frozen=True)
class Target:
    """Who gets it: the object, its references to a server, and its name there."""

    body: Body
    spec: InstanceReferences
    name: str


async def reconcile(context: Context, key: Key) -> Verdict:
    """Bring about what the object declares."""
    return await level(context, key, _reconcile)


async def _reconcile(context: Context, body: Body) -> Verdict:
    if body["metadata"].get("deletionTimestamp"):
        return await _delete(context, body)
    place: InstanceReferences | None = None
    try:
        spec = parse(DATABASE_GRANT, body)
        target = _target(context, body, spec)
        if target is None:
            raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Waiting for {_named(body, spec)}, which does not exist")
        place = target.spec
        if not settled(target.body):
            raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Waiting for {_named(body, spec)} to be ready")
        reached = await on_server.reach(context, body, place, home=target.body["metadata"]["namespace"])
        if reached.limits:
            access.check_grant(spec, reached.limits)
        policy = on_server.drift_policy(spec.drift_policy, reached.server)
        after = on_server.drift_interval(policy, context)
        check = settled(body) and (policy is None or policy.mode != "correct")
        if check and policy and policy.mode == "ignore":
            return Done(after=after)
        body = await add_finalizer(context, body)
        options = grant_variables.database_grant(spec, reached.server.spec.engine, target=target.name) | {
            "dbops_owner": owner(context, body)
        }
        body, result = await converge(
            context, body, reached.server, options, check=check, announce="" if check else "Applying grants"
        )
        if error := results.error_of(result):
            raise error
    except DbopsError as error:
        return await on_server.failed(context, body, place, error, operation="apply grants")
    if check:
        await on_server.report_drift(context, body, result)
        return Done(after=after)
    await _succeeded(context, body, spec, result)
    return Done(after=after)


def _reference(body: Body, spec: DatabaseGrantSpec) -> Key:
    reference = spec.user_ref or spec.role_ref
    assert reference
    kind = "DatabaseUser" if spec.user_ref else "DatabaseRole"
    return Key(kind, reference.namespace or body["metadata"]["namespace"], reference.name)


def _named(body: Body, spec: DatabaseGrantSpec) -> str:
    key = _reference(body, spec)
    return f"{key.kind} {key.name}" if key.namespace == body["metadata"]["namespace"] else f"{key.kind} {key.ref}"


def _target(context: Context, body: Body, spec: DatabaseGrantSpec) -> Target | None:
    """Find the user or role. Raises AccessDenied when it is another namespace's and does not consent."""
    key = _reference(body, spec)
    context.depends(key)
    found = context.store.get(key)
    if found is None:
        return None
    access.check_reference(found, reader=body["metadata"]["namespace"], settings=context.settings)
    if spec.user_ref:
        user = parse(DATABASE_USER, found)
        return Target(dict(found), user, user.username)
    role = parse(DATABASE_ROLE, found)
    return Target(dict(found), role, role.role_name)


async def _succeeded(context: Context, body: Body, spec: DatabaseGrantSpec, result: ObjectResult) -> None:
    block = spec.postgres
    roles = list(block.roles or ()) if block else []
    direct = len(block.grants or ()) if block else 0
    default = len(block.default_privileges or ()) if block else 0
    message = "Grants are applied" if roles or direct or default else "Nothing is declared, so nothing is granted"
    report = results.success(
        "; ".join([message, *result.warnings]),
        fields={
            "appliedGrants": {"roles": roles, "directGrants": direct, "defaultPrivileges": default},
            "drift": on_server.no_drift(),
        },
        changed=result.changed,
    )
    if result.changed:
        note = f"Applied {len(roles)} roles and {direct} direct grants"
        await context.events.record(body, "Normal", "Applied", note)
    await status.write(context, body, report)


async def _delete(context: Context, body: Body) -> Verdict:
    if not has_finalizer(body):
        return Done()
    protected = bool(body["spec"].get("deletionProtection", True))
    decision = deletion.decide(removal.facts(body, protected=protected, dependants=[]))
    if decision.step is not deletion.Step.DROP:
        return await removal.hold(context, body, decision, [])
    what = "what this object granted"
    try:
        spec = parse(DATABASE_GRANT, body)
        target = _target(context, body, spec)
    except DbopsError as error:
        return await on_server.report_undropped(context, body, error, what=what)
    if target is None:
        # What a user or role had goes with it.
        note = f"{_named(body, spec)} does not exist any more, so there is nothing to revoke"
        await context.events.record(body, "Normal", "RevokeSkipped", note, action="Delete")
        await remove_finalizer(context, body)
        return Done()
    options = grant_variables.absent_database_grant(spec, target=target.name) | {"dbops_owner": owner(context, body)}
    home = target.body["metadata"]["namespace"]
    body, _, failure = await on_server.drop(context, body, target.spec, options, what=what, home=home)
    if failure and not on_server.lets_go(body, failure):
        return await on_server.report_undropped(context, body, failure, what=what, event="RevokeFailed")
    if not failure:
        await context.events.record(body, "Normal", "Revoked", "Revoked what this object granted", action="Delete")
    await remove_finalizer(context, body)
    return Done()
