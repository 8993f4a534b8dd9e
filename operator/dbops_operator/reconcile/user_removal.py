# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a DatabaseUser: every login that rotation made for it goes, and then their service role.

Called by database_user.py once the object is being deleted.
"""

from __future__ import annotations

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import annotation, deletion, moved, status
from dbops_operator.api import variables
from dbops_operator.api.database_user import DATABASE_USER, DatabaseUserSpec
from dbops_operator.api.model import parse
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import leaving, on_server, removal, user_secrets
from dbops_operator.reconcile.common import Body, has_finalizer, owner, remove_finalizer
from dbops_operator.reconcile.leaving import Going
from dbops_operator.work import Done, Verdict

_OWNERSHIP_SECONDS = 30.0


async def delete(context: Context, body: Body) -> Verdict:
    """Let the object go once what is outside is gone, or stays as its policy says."""
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
    left: DbopsError | None = None
    for one in await _going(context, body, spec):
        body, result, failure = await leaving.drop(context, body, spec, one, what=what)
        if failure and not on_server.lets_go(body, failure):
            if failure.reason is Reason.BLOCKED and result and result.observed.get("owned_objects"):
                return await _report_owned(context, body, failure, result)
            return await on_server.report_undropped(context, body, failure, what=what)
        left = left or failure
    await on_server.tell_end(context, body, left, what=what)
    await _let_go(context, body)
    return Done()


async def leave_former(context: Context, body: Body, spec: DatabaseUserSpec) -> Verdict | None:
    """Drop the user from servers that it was on before."""
    # The store has what the API server said to the last write of ours.
    if not moved.left_on(context.store.get(Key.of(body)) or {}):
        return None
    going = await _going(context, body, spec)
    return await leaving.leave_former(context, Key.of(body), going, what=f"user {spec.username}")


async def _going(context: Context, body: Body, spec: DatabaseUserSpec) -> list[Going]:
    """Give the steps in their order: nothing goes while the service role owns something."""
    mine = {"dbops_owner": owner(context, body)}
    record = await user_secrets.read_record(context, body)
    logins = record.logins if record else [spec.username]
    steps = [Going.on_any_engine(variables.absent_database_user(name) | mine) for name in logins]
    if record is None or not record.makes_role:
        return steps
    role = variables.absent_service_role(record.service_role) | mine
    return [Going.on_any_engine(role, only_look=True), *steps, Going.on_any_engine(role)]


async def _report_owned(context: Context, body: Body, failure: DbopsError, result: ObjectResult) -> Verdict:
    decision = deletion.Decision(deletion.Step.BLOCK, "OwnershipBlocks", failure.message)
    block = {
        "blocked": True,
        "lastCheckedAt": status.now(),
        "ownedObjects": on_server.owned_objects(result),
        "ownedObjectsCount": result.observed.get("owned_objects_count", len(result.observed["owned_objects"])),
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


async def _let_go(context: Context, body: Body) -> None:
    await user_secrets.delete_state(context, Key.of(body))
    await remove_finalizer(context, body)
    on_server.wake_namesakes(context, body, "username")
