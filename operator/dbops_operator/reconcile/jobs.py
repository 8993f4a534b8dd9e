# SPDX-License-Identifier: GPL-3.0-or-later
"""What backups and restores share: a job that runs for hours, while its object is edited, deleted, or watched.

The object is written to when the job begins, every ten seconds while it runs, and at its end, each time on its newest
body. Only its own deletion ends a job; what the spec says by then counts for the next object.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, ErrorClass, Reason
from dbops_operator import results, status
from dbops_operator.client import ApiError, Conflict
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile.common import Body, current
from dbops_operator.rotation_record import stamp
from dbops_operator.status import Condition, Report
from dbops_operator.work import Human, Job, Retry, Told, Verdict, verdict

PROGRESS_SECONDS = 10.0
MOST_ATTEMPTS = 6
"""How often a job is tried that fails for what may pass by itself, within its deadline."""
DEADLINE = "spec.activeDeadlineSeconds"
DEADLINE_EXCEEDED = "DeadlineExceeded"
_WRITES = 5
Tell = Callable[[Mapping[str, Any]], Any]
"""From what a worker told last to `status.progress`."""


@dataclass
class Progress:
    """What the worker told last, and what of it was written."""

    told: dict[str, Any] = field(default_factory=dict)
    written: dict[str, Any] = field(default_factory=dict)

    def take(self, news: Mapping[str, Any]) -> None:
        """Take what is new; what a message does not say stays, as long as the phase does."""
        if news.get("phase") != self.told.get("phase"):
            self.told = {}
        self.told.update(news)


def moment(body: Body, name: str) -> datetime | None:
    """A time in an object's status."""
    text = (body.get("status") or {}).get(name)
    return datetime.fromisoformat(text) if text else None


def is_over(body: Body) -> bool:
    """Whether the object's work was done, or given up: it is not done again."""
    told = body.get("status") or {}
    return bool(told.get("completedAt")) and told.get("phase") in ("Completed", "Failed")


def seconds_left(context: Context, started: datetime, seconds: int) -> float:
    """How much of a deadline is left. Raises DbopsError with Timeout when there is nothing."""
    left = (started + timedelta(seconds=seconds) - context.now()).total_seconds()
    if left <= 0:
        raise exceeded(seconds)
    return left


def exceeded(seconds: int) -> DbopsError:
    """The error of work that did not end within its deadline."""
    text = f"it did not end within spec.activeDeadlineSeconds, {seconds} s"
    return DbopsError(Reason.TIMEOUT, text, field=DEADLINE)


def timely(error: DbopsError, seconds: int) -> DbopsError:
    """The error of a deadline that the worker noticed, in the words of the object."""
    return exceeded(seconds) if error.reason is Reason.TIMEOUT and error.field == "deadline" else error


async def _go_on() -> None:
    """Nothing has to be noted before the end."""


async def do(
    context: Context,
    body: Body,
    action: str,
    lane: str,
    prepare: Callable[[], Awaitable[Job]],
    *,
    tell: Tell,
    finishing: Callable[[], Awaitable[None]] = _go_on,
) -> Mapping[str, Any]:
    """Have a job done and its progress shown; gives its result document. Raises DbopsError when it failed.

    FINISHING is called before the job does what cannot be done twice.
    """
    progress = Progress()
    async with _cancel(context, body) as cancel, _showing(context, body, progress, tell):
        told = Told(progress.take, finishing)
        result = await context.long_lanes.do(action, lane, prepare, told=told, cancel=cancel)
    if result.get("failed"):
        raise DbopsError(_reason(result), str(result.get("message") or ""), field=result.get("field"))
    return result


def _reason(result: Mapping[str, Any]) -> Reason:
    try:
        return Reason(str(result.get("reason")))
    except ValueError:
        return Reason.INTERNAL_ERROR


@contextlib.asynccontextmanager
async def _cancel(context: Context, body: Body) -> AsyncIterator[asyncio.Event]:
    """Give an event that is set when the object is being deleted, or is not there any more."""
    cancel = asyncio.Event()
    key, uid = Key.of(body), body["metadata"]["uid"]
    deleting = bool(body["metadata"].get("deletionTimestamp"))

    async def look() -> None:
        while True:
            await context.cancel.wait()
            context.cancel.clear()
            seen = context.store.get(key)
            gone = seen is None or seen["metadata"]["uid"] != uid
            if gone or (seen and seen["metadata"].get("deletionTimestamp") and not deleting):
                cancel.set()

    looking = asyncio.ensure_future(look())
    try:
        yield cancel
    finally:
        looking.cancel()


@contextlib.asynccontextmanager
async def _showing(context: Context, body: Body, progress: Progress, tell: Tell) -> AsyncIterator[None]:
    async def show() -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            news = {"progress": tell(progress.told)} if progress.told else progress.written
            if news != progress.written:
                # What is not written now is in the next one.
                with contextlib.suppress(ApiError):
                    await write(context, body, functools.partial(same, fields=news))
                    progress.written = news

    showing = asyncio.ensure_future(show())
    try:
        yield
    finally:
        showing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await showing


def same(body: Body, *, fields: Mapping[str, Any]) -> Report:
    """Report what is known already, and FIELDS beside it."""
    told = body.get("status") or {}
    kept = [
        Condition(one["type"], one["status"], one["reason"], one["message"]) for one in told.get("conditions") or ()
    ]
    return Report(str(told.get("phase", "Running")), str(told.get("message", "")), kept, fields)


async def write(context: Context, body: Body, report: Callable[[Body], Report]) -> Body | None:
    """Write a REPORT on the newest body of the object that BODY shows; None when it is gone."""
    key, uid = Key.of(body), body["metadata"]["uid"]
    for _ in range(_WRITES):
        latest = await current(context, key)
        if latest is None or latest["metadata"]["uid"] != uid:
            return None
        with contextlib.suppress(Conflict):
            return await status.write(context, dict(latest), report(dict(latest)))
    raise Conflict(f"{key.ref} changes all the time")


async def begin(context: Context, body: Body, message: str, fields: Mapping[str, Any]) -> None:
    """Note that the job begins, before it does. Raises DbopsError with Cancelled when the object is gone."""

    def report(latest: Body) -> Report:
        return replace(results.progress(latest, phase="Running", message=message), fields=fields)

    written = await write(context, body, report)
    if written is None or written["metadata"].get("deletionTimestamp"):
        raise DbopsError(Reason.CANCELLED, "the object was deleted")


async def failed(
    context: Context, body: Body, error: DbopsError, *, operation: str, fields: Mapping[str, Any]
) -> Verdict:
    """Report that a job failed that had begun: for good, or until the next try."""
    if error.reason is Reason.CANCELLED:
        # The object is being deleted, which is in the queue already.
        return verdict(error.reason)
    attempts = int((body.get("status") or {}).get("attempts") or 1)
    again = error.reason.error_class is not ErrorClass.HUMAN and error.field != DEADLINE
    if again and attempts < MOST_ATTEMPTS:
        told = DbopsError(error.reason, f"try {attempts} of {MOST_ATTEMPTS}: {error.message}", field=error.field)
        report = results.failure(told, operation=operation, fields={"progress": None}, phase="Pending")
        await write(context, body, lambda _: report)
        return Retry(error.reason)
    return await give_up(context, body, error, operation=operation, event="Failed", fields=fields)


async def give_up(
    context: Context,
    body: Body,
    error: DbopsError,
    *,
    operation: str,
    event: str,
    fields: Mapping[str, Any] | None = None,
) -> Verdict:
    """Report that the work is given up for good, and tell it as an EVENT."""
    await write(context, body, lambda _: _given_up(context, error, operation, fields or {}))
    told = DEADLINE_EXCEEDED if error.field == DEADLINE else event
    await context.events.record(body, "Warning", told, error.message)
    return Human(error.reason)


def _given_up(context: Context, error: DbopsError, operation: str, fields: Mapping[str, Any]) -> Report:
    reason = DEADLINE_EXCEEDED if error.field == DEADLINE else error.reason.value
    conditions = [
        Condition("Ready", "False", reason, error.message),
        Condition("Stalled", "True", reason, error.message),
        Condition("Failed", "True", reason, error.message),
        Condition("Complete", "False", reason, error.message),
        Condition("Synced", "False", reason, error.message),
    ]
    told = {"completedAt": stamp(context.now()), "progress": None, **fields}
    return Report("Failed", f"Failed to {operation}: {error.message}", conditions, told)


def completed(
    context: Context, reason: str, message: str, fields: Mapping[str, Any], *, conditions: tuple[Condition, ...] = ()
) -> Report:
    """Report that the job is done."""
    made = [
        Condition("Ready", "True", reason, message),
        Condition("Complete", "True", reason, message),
        Condition("Synced", "True", status.RECONCILE_SUCCESS, message),
        *conditions,
    ]
    told = {"completedAt": stamp(context.now()), "progress": None, **fields}
    return Report("Completed", message, made, told)
