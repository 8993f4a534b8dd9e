# SPDX-License-Identifier: GPL-3.0-or-later
"""What all reconcilers share: the latest body, finalizers, work on a server with progress, reports with events.

Called by the files of the kinds only.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import annotation, results, status
from dbops_operator.api.kinds import KINDS
from dbops_operator.client import ApiError, Conflict, NamespaceTerminating, NotFound
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import measure
from dbops_operator.resolve import Server
from dbops_operator.work import Done, Retry, Verdict, Wait, verdict

Body = dict[str, Any]
Work = Callable[[Context, Body], Awaitable[Verdict]]

PROGRESS_SECONDS = 1.0
"""Work that takes longer than this shows in status while it goes on; a quick one costs one write less."""
_ATTEMPTS = 3


async def level(context: Context, key: Key, work: Work) -> Verdict:
    """Do WORK on the latest body of KEY; once more from the start when the object turns out to have changed."""
    body = context.store.get(key)
    for _ in range(_ATTEMPTS):
        if body is None or body["metadata"].get("deletionTimestamp"):
            # What is about to be dropped is read from the API itself, and so is what the watch does not show.
            body = await current(context, key)
        if body is None or annotation.paused(body):
            return Done()
        try:
            answer = await work(context, dict(body))
            measure.information(context, context.store.get(key))
            return answer
        except NamespaceTerminating:
            # The object itself is about to be deleted, which wakes it.
            return Wait(Reason.DEPENDENCY_NOT_READY)
        except (Conflict, NotFound):
            body = None
    return Retry(Reason.CONFLICT)


async def current(context: Context, key: Key) -> Mapping[str, Any] | None:
    """The object as the API has it now; None when it is gone."""
    try:
        return await context.api.get(key)
    except NotFound:
        return None


def has_finalizer(body: Body) -> bool:
    """Whether the operator's finalizer is on the object."""
    return KINDS[body["kind"]].finalizer in (body["metadata"].get("finalizers") or ())


async def add_finalizer(context: Context, body: Body) -> Body:
    """Put the kind's finalizer on, before anything is made outside."""
    if has_finalizer(body):
        return body
    finalizers = [*(body["metadata"].get("finalizers") or ()), KINDS[body["kind"]].finalizer]
    return await context.api.patch_finalizers(body, finalizers)


async def remove_finalizer(context: Context, body: Body, name: str = "") -> None:
    """Take the kind's finalizer (or the one of this NAME) off; an object that is gone is fine."""
    finalizer = name or KINDS[body["kind"]].finalizer
    kept = [one for one in body["metadata"].get("finalizers") or () if one != finalizer]
    with contextlib.suppress(NotFound):
        await context.api.patch_finalizers(body, kept)


async def converge(
    context: Context, body: Body, server: Server, options: Mapping[str, Any], *, check: bool = False, announce: str = ""
) -> tuple[Body, ObjectResult]:
    """Have the engine bring an object to its declared state. Raises DbopsError when the run itself broke.

    When it takes a while, status says so (ANNOUNCE is the message; empty: say nothing), unless all was well with the
    object's present generation: then it stays so until something is found. Gives the body with its latest
    resourceVersion, and the result.
    """
    work = asyncio.ensure_future(
        context.lanes.converge(
            server.target,
            options,
            key=Key.of(body),
            priority=context.priority,
            cancel=context.cancel,
            check=check,
        )
    )
    begin = time.monotonic()
    try:
        if announce and (body["metadata"].get("deletionTimestamp") or not settled(body)):
            await asyncio.wait({work}, timeout=PROGRESS_SECONDS)
            if not work.done():
                phase = "Deleting" if body["metadata"].get("deletionTimestamp") else _working_phase(body)
                # The work goes on whatever becomes of this write.
                with contextlib.suppress(ApiError):
                    body = await status.write(context, body, results.progress(body, phase=phase, message=announce))
        result = await work
        if not check and result.reason is not Reason.CANCELLED:
            measure.converged(context, body, server, result, seconds=time.monotonic() - begin)
        return body, result
    finally:
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work


def _working_phase(body: Body) -> str:
    if body["kind"].endswith("Instance"):
        return "Pending"
    condition = status.condition(body, "Ready")
    return "Ready" if condition and condition["status"] == "True" else "Creating"


def owner(context: Context, body: Body) -> dict[str, str]:
    """Who declares the object, as the ledger on the server records it: never a uid."""
    metadata = body["metadata"]
    return {
        "cluster": context.settings.cluster_id,
        "kind": body["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
    }


def settled(body: Body) -> bool:
    """Whether the present generation was applied with success already."""
    ready = status.condition(body, "Ready")
    return bool(
        ready and ready["status"] == "True" and ready.get("observedGeneration") == body["metadata"]["generation"]
    )


async def report_failure(
    context: Context,
    body: Body,
    error: DbopsError,
    report: status.Report,
    *,
    event: str = "ReconcileFailed",
) -> Verdict:
    """Write the REPORT of an ERROR, tell it as an event if it is news, and give the verdict of its class."""
    if error.reason is Reason.CANCELLED:
        # Something newer is waiting in the queue already; what holds now is for that one to say.
        return verdict(error.reason)
    before = status.condition(body, "Ready")
    news = not (before and before["status"] == "False" and before["reason"] == error.reason.value)
    await status.write(context, body, report)
    if news and error.reason is not Reason.DEPENDENCY_NOT_READY:
        await context.events.record(body, "Warning", event, error.message)
    return verdict(error.reason)
