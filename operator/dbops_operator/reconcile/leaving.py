# SPDX-License-Identifier: GPL-3.0-or-later
"""Dropping what an object has on servers: where its reference leads, and where it was applied before.

Called by the kinds when their object is being deleted (`drop`), and after it was applied to another server than
before (`leave_former`). The engine drops only what the ledger of that server says is this object's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import deletion, moved, resolve, results, status
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile.common import Body, converge, current
from dbops_operator.status import RECONCILE_SUCCESS, Condition, Report
from dbops_operator.work import Verdict, verdict


@dataclass(frozen=True)
class Going:
    """One step of a drop: its options by the engine; with `only_look` it is only found out what is in the way."""

    options: Callable[[str], Mapping[str, Any]]
    only_look: bool = False

    @classmethod
    def on_any_engine(cls, options: Mapping[str, Any], *, only_look: bool = False) -> Going:
        """A step with the same OPTIONS on every engine."""
        return cls(lambda _: options, only_look)


async def drop(
    context: Context, body: Body, spec: resolve.References, going: Going, *, what: str, home: str = ""
) -> tuple[Body, ObjectResult | None, DbopsError | None]:
    """Drop the outside thing wherever it is. Gives the body, the engine's last result, and the error if one failed."""
    here = resolve.instance_key(spec, home or body["metadata"].get("namespace", ""))
    result = None
    for instance in (here, *(place.instance for place in moved.elsewhere(body, here))):
        try:
            body, result = await _drop_on(context, body, instance, going, what=what)
        except DbopsError as error:
            return body, None, error
        if failure := results.error_of(result):
            return body, result, failure
    return body, result, None


async def _drop_on(
    context: Context, body: Body, instance: Key, going: Going, *, what: str
) -> tuple[Body, ObjectResult]:
    server = await resolve.server(context, resolve.find_instance(context, instance))
    options, announce = going.options(server.spec.engine), "" if going.only_look else f"Dropping {what}"
    return await converge(context, body, server, options, check=going.only_look, announce=announce)


async def leave_former(context: Context, key: Key, going: Sequence[Going], *, what: str) -> Verdict | None:
    """Drop WHAT from servers that the object was on before; gives a verdict if something is left to do.

    The object is as declared where it is now, so it stays Ready; the condition Synced tells.
    """
    # The store has what the API server said to the last write of ours.
    if not moved.left_on(context.store.get(key) or {}):
        return None
    body = await current(context, key)
    for place in moved.left_on(body or {}):
        assert body
        failure = None
        for one in going:
            try:
                body, result = await _drop_on(context, dict(body), place.instance, one, what=what)
                failure = results.error_of(result)
            except DbopsError as error:
                failure = error
            if failure:
                break
        where = f"{what} on {place.instance.kind} {place.instance.name}"
        if failure:
            text = deletion.undropped_message(where, failure.message)
            await _tell(context, dict(body), Condition("Synced", "False", failure.reason.value, text), {})
            return verdict(failure.reason)
        left = [one.entry() for one in moved.left_on(body) if one != place] or None
        synced = Condition("Synced", "True", RECONCILE_SUCCESS, "Everything is as declared")
        body = await _tell(context, dict(body), synced, {"leftOn": left})
        note = f"{where} is dropped: the object is on another server now"
        await context.events.record(dict(body), "Normal", "Moved", note)
    return None


async def _tell(context: Context, body: Body, synced: Condition, fields: Mapping[str, Any]) -> Body:
    before = body.get("status") or {}
    kept = [
        Condition(one["type"], one["status"], one["reason"], one["message"])
        for one in before.get("conditions") or ()
        if one["type"] != "Synced"
    ]
    report = Report(
        phase=str(before["phase"]),
        message=str(before["message"]),
        conditions=(*kept, synced),
        fields=fields,
        changed=bool(fields),
    )
    return await status.write(context, body, report)
