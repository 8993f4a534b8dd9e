# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseGrant and ClusterDatabaseGrant: privileges and memberships of one user or role, on the server it lives on.

Waits for the user or role, gives what is declared, takes back what this object gave and no longer declares; the
engine's ledger remembers that, and what other objects still declare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import access, annotation, deletion, moved, resolve, results, status
from dbops_operator.api import grant_variables
from dbops_operator.api.cluster_database_grant import CLUSTER_DATABASE_GRANT, ClusterDatabaseGrantSpec
from dbops_operator.api.database_grant import DATABASE_GRANT, DatabaseGrantSpec
from dbops_operator.api.database_user import DATABASE_USER
from dbops_operator.api.grant_variables import GrantSpec
from dbops_operator.api.model import parse
from dbops_operator.connection import lane
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import database_role, leaving, on_server, removal
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
from dbops_operator.reconcile.leaving import Going
from dbops_operator.resolve import References, Server
from dbops_operator.status import RECONCILE_SUCCESS, Condition
from dbops_operator.work import Done, Verdict


@dataclass(frozen=True)
class Target:
    """Who gets it: the object, its references to a server, and its name there."""

    body: Body
    spec: References
    name: str
    service_role: str = ""
    """Of a user whose logins rotate: the role that has it in the place of each of them."""

    @property
    def grantee(self) -> str:
        """Who has it on the server."""
        return self.service_role or self.name

    @property
    def home(self) -> str:
        """Its namespace, if it has one."""
        return str(self.body["metadata"].get("namespace", ""))


async def reconcile(context: Context, key: Key) -> Verdict:
    """Bring about what the object declares."""
    return await level(context, key, _reconcile)


async def _reconcile(context: Context, body: Body) -> Verdict:
    if body["metadata"].get("deletionTimestamp"):
        return await _delete(context, body)
    place: References | None = None
    try:
        spec = _read(body)
        target = _target(context, body, spec)
        if target is None:
            raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Waiting for {_named(body, spec)}, which does not exist")
        place = target.spec
        if not settled(target.body):
            raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Waiting for {_named(body, spec)} to be ready")
        if isinstance(spec, ClusterDatabaseGrantSpec):
            _check_server(context, spec, target)
            place = spec
        reached = await on_server.reach(context, body, place, home=target.home)
        if reached.limits and isinstance(spec, DatabaseGrantSpec):
            access.check_grant(spec, reached.limits)
        policy = on_server.drift_policy(spec.drift_policy, reached.server)
        after = on_server.drift_interval(policy, context)
        grantee = (body.get("status", {}).get("appliedGrants") or {}).get("grantee", target.name)
        applied = moved.is_applied(body, reached.server) and grantee == target.grantee
        check = applied and not on_server.corrects(policy)
        ready = on_server.Ready("Grants are applied", tuple(_published(body)))
        if check and policy and policy.mode == "ignore":
            await on_server.report_untouched(context, body, ready)
            return Done(after=after)
        body = await add_finalizer(context, body)
        options = _options(context, body, target) | grant_variables.database_grant(spec, reached.server.spec.engine)
        options["allow_destructive"] = on_server.may_take(body, policy, applied=applied)
        body, result = await converge(
            context, body, reached.server, options, check=check, announce="" if check else "Applying grants"
        )
        look = on_server.Look(check, bool(options["allow_destructive"]))
        if applied and await on_server.report_look(context, body, reached.server, result, ready, look):
            return Done(after=after)
        if error := results.error_of(result):
            raise error
        if target.service_role and not check:
            # What the login itself has been given, it has through the role by now.
            body, taken = await converge(context, body, reached.server, _former(context, body, target))
            if error := results.error_of(taken):
                raise error
    except DbopsError as error:
        return await on_server.failed(context, body, place, error, operation="apply grants")
    await _succeeded(context, body, spec, reached.server, result, options, target)
    return Done(after=after)


def _options(context: Context, body: Body, target: Target) -> dict[str, Any]:
    """Who gets it, and who declares that: one declaration for a user's service role, another one for its login."""
    kind = "role" if target.service_role or target.body["kind"] != "DatabaseUser" else "user"
    declares = owner(context, body)
    if target.service_role:
        declares["name"] += f"@{target.service_role}"
    return {kind: target.grantee, "dbops_owner": declares}


def _former(context: Context, body: Body, target: Target) -> dict[str, Any]:
    """Take back what a user's login was given before it had a service role."""
    return _options(context, body, replace(target, service_role="")) | grant_variables.ABSENT


def _read(body: Body) -> GrantSpec:
    """The typed spec of a grant of either scope. Raises InvalidSpec."""
    if body["kind"] == "DatabaseGrant":
        return parse(DATABASE_GRANT, body)
    spec = parse(CLUSTER_DATABASE_GRANT, body)
    if bool(spec.user_ref) == bool(spec.role_ref):
        text = "exactly one of spec.userRef and spec.roleRef must be given"
        raise DbopsError(Reason.INVALID_SPEC, text, field="spec.userRef")
    return spec


def _check_server(context: Context, spec: ClusterDatabaseGrantSpec, target: Target) -> None:
    """Refuse a grant whose user or role lives on another server than the one that it names."""
    keys = resolve.instance_key(spec, ""), resolve.instance_key(target.spec, target.home)
    named, actual = (lane(resolve.parse_instance(resolve.find_instance(context, key))) for key in keys)
    if named != actual:
        text = f"the user or role is on {actual}, and spec.clusterInstanceRef names {named}"
        raise DbopsError(Reason.INVALID_SPEC, text, field="spec.clusterInstanceRef")


def _reference(body: Body, spec: GrantSpec) -> Key:
    reference = spec.user_ref or spec.role_ref
    assert reference
    namespace = reference.namespace or body["metadata"].get("namespace", "")
    if spec.user_ref:
        return Key("DatabaseUser", namespace, reference.name)
    return Key("DatabaseRole" if namespace else "ClusterDatabaseRole", namespace, reference.name)


def _named(body: Body, spec: GrantSpec) -> str:
    key = _reference(body, spec)
    if key.namespace == body["metadata"].get("namespace", ""):
        return f"{key.kind} {key.name}"
    return f"{key.kind} {key.namespace}/{key.name}"


def _target(context: Context, body: Body, spec: GrantSpec) -> Target | None:
    """Find the user or role. Raises AccessDenied when it is another namespace's and does not consent."""
    key = _reference(body, spec)
    context.depends(key)
    found = context.store.get(key)
    if found is None:
        return None
    if body["kind"] == "DatabaseGrant":
        access.check_reference(found, reader=body["metadata"]["namespace"], settings=context.settings)
    if spec.user_ref:
        user = parse(DATABASE_USER, found)
        return Target(dict(found), user, user.username, on_server.service_role(found))
    role = database_role.read(found)
    return Target(dict(found), role, role.role_name)


async def _succeeded(
    context: Context,
    body: Body,
    spec: GrantSpec,
    server: Server,
    result: ObjectResult,
    options: Mapping[str, Any],
    target: Target,
) -> None:
    roles = list(options.get("roles") or ())
    direct = len(options.get("grants") or ())
    default = len(options.get("default_privileges") or ())
    message = "Grants are applied" if roles or direct or default else "Nothing is declared, so nothing is granted"
    fields = (
        {
            "appliedGrants": {
                **({"grantee": target.grantee} if target.service_role else {}),
                "roles": roles,
                "directGrants": direct,
                "defaultPrivileges": default,
            },
            "drift": on_server.no_drift(),
        }
        if body["kind"] == "DatabaseGrant"
        else _of_cluster(spec, options, target)
    )
    report = results.success(
        "; ".join([message, *result.warnings]),
        fields=fields | moved.fields(body, server, drops=False),
        conditions=_published(body),
        changed=result.changed,
    )
    if not await on_server.tell_corrected(context, body, server, result) and result.changed:
        note = f"Applied {_count(len(roles), 'role')} and {_count(direct, 'direct grant')}"
        await context.events.record(body, "Normal", "Applied", note)
    await status.write(context, body, report)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


_DETAILS = 20
"""Entries of `details` in status."""


def _of_cluster(spec: GrantSpec, options: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """Status fields of the cluster-scoped kind."""
    roles, entries = list(options.get("roles") or ()), list(options.get("grants") or ())
    details = [
        {
            **{name: entry[name] for name in ("database", "schema") if entry.get(name)},
            "privileges": entry["privileges"],
            "status": "Applied",
        }
        for entry in entries[:_DETAILS]
    ]
    applied = {
        **({"grantee": target.grantee} if target.service_role else {}),
        "roles": roles,
        "directGrants": len(entries),
        "defaultPrivileges": len(options.get("default_privileges") or ()),
        "applied": len(entries) + len(roles),
        "failed": 0,
        "details": details,
    }
    info = {
        "type": "user" if spec.user_ref else "role",
        "name": target.body["metadata"]["name"],
        "namespace": target.home,
        "resolvedUsername": target.name,
    }
    return {"appliedGrants": applied, "targetInfo": info, "drift": on_server.no_drift()}


def _published(body: Body) -> list[Condition]:
    """A condition that users of the published API look for."""
    if body["kind"] == "DatabaseGrant":
        return []
    return [Condition("GrantsApplied", "True", RECONCILE_SUCCESS, "Everything is granted")]


async def _delete(context: Context, body: Body) -> Verdict:
    if not has_finalizer(body):
        return Done()
    protected = bool(body["spec"].get("deletionProtection", True))
    decision = deletion.decide(removal.facts(body, protected=protected, dependants=[], retain=annotation.retains(body)))
    if decision.step not in (deletion.Step.DROP, deletion.Step.RELEASE):
        return await removal.hold(context, body, decision, [])
    if decision.step is deletion.Step.RELEASE:
        note = "What this object granted stays on the server, as its deletion policy says"
        await context.events.record(body, "Normal", "RevokeSkipped", note, action="Delete")
        await remove_finalizer(context, body)
        return Done()
    what = "what this object granted"
    try:
        spec = _read(body)
        target = _target(context, body, spec)
    except DbopsError as error:
        return await on_server.report_undropped(context, body, error, what=what)
    if target is None:
        # What a user or role had goes with it.
        note = f"{_named(body, spec)} does not exist any more, so there is nothing to revoke"
        await context.events.record(body, "Normal", "RevokeSkipped", note, action="Delete")
        await remove_finalizer(context, body)
        return Done()
    place = spec if isinstance(spec, ClusterDatabaseGrantSpec) else target.spec
    going = [_options(context, body, target) | grant_variables.ABSENT]
    going += [_former(context, body, target)] if target.service_role else []
    failure = None
    for options in going:
        body, _, failed = await leaving.drop(
            context, body, place, Going.on_any_engine(options), what=what, home=target.home
        )
        if failed and not on_server.lets_go(body, failed):
            return await on_server.report_undropped(context, body, failed, what=what, event="RevokeFailed")
        failure = failure or failed
    if not failure:
        await context.events.record(body, "Normal", "Revoked", "Revoked what this object granted", action="Delete")
    await remove_finalizer(context, body)
    return Done()
