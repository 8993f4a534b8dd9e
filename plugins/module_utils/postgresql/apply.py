# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply: send the steps of a plan, in transactions where the server allows it.

Called by postgresql/server.py under the object's lock. Steps next to each other that are transactional and in the
same session are one transaction; the ledger's entry joins the last one of the ledger's session. What fails for
the sake of somebody who did the same at the same moment is tried again a few times.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import Superseded
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import errors
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Session

if TYPE_CHECKING:
    import psycopg

_TRIES = 6
_FIRST_PAUSE = 0.05


@dataclass
class Applying:
    """What is needed to send steps: where sessions come from, and when to stop."""

    session: Callable[[str | None], Session]
    """Gives the session in a database, None being that of the server as a whole."""
    leave: Callable[[], None]
    """Closes the sessions in single databases, so that a database can be dropped or altered."""
    stopped: Callable[[], bool]
    """Whether the object was cancelled; asked between two steps."""
    current: Callable[[], None]
    """Raises Superseded where a later epoch works; asked once a session is open and before anything is sent in it."""
    committed: Callable[[Sequence[Step]], None]
    """Told of steps once nothing takes them back any more."""


def apply(steps: Sequence[Step], applying: Applying, *, closing: Callable[[], None] | None = None) -> None:
    """Send STEPS; CLOSING is called within the last transaction if that is in the main session, else after all.

    Raises DbopsError; steps that put back what was taken for a moment are sent in any case.
    """
    batches = [list(batch) for _ignored, batch in itertools.groupby(steps, key=_batch)]
    done: list[Step] = []
    try:
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            within = closing if last and batch[0].transactional and batch[0].database is None else None
            _send_batch(batch, applying, within)
            done += batch
            applying.committed(batch)
            if last and closing and not within:
                closing()
    except Superseded:
        raise
    except DbopsError:
        _clean_up(steps, done, applying)
        raise


def _batch(step: Step) -> tuple[str | None, int]:
    # One that refuses to be in a transaction is a batch of its own.
    return step.database, 0 if step.transactional else id(step)


def _send_batch(batch: Sequence[Step], applying: Applying, closing: Callable[[], None] | None) -> None:
    import psycopg

    transactional = batch[0].transactional
    if not transactional:
        applying.leave()
    for pause in _pauses():
        _require_going_on(batch[0], applying)
        step = batch[0]
        try:
            session = applying.session(batch[0].database)
            with session.transaction() if transactional else nullcontext():
                applying.current()
                for step in batch:
                    _require_going_on(step, applying)
                    session.send(step.statement)
                if closing:
                    closing()
            return
        except psycopg.Error as error:
            if pause is None or not _worth_another_try(error):
                raise errors.statement_error(error, doing=f"{step.action} {step.target}") from error
        time.sleep(pause)


def _pauses() -> Iterator[float | None]:
    """Give growing pauses with jitter, and None for the last try."""
    for number in range(_TRIES - 1):
        yield _FIRST_PAUSE * 2**number * random.uniform(0.5, 1.5)  # noqa: S311 (nothing secret)
    yield None


def _worth_another_try(error: psycopg.Error) -> bool:
    if error.sqlstate == "XX000":
        # Internal errors are never translated. The same code stands for all that should not happen.
        return (error.diag.message_primary or "").startswith("tuple concurrently")
    return error.sqlstate in errors.RETRIED


def _require_going_on(step: Step, applying: Applying) -> None:
    if applying.stopped() and not step.cleanup:
        raise DbopsError(Reason.CANCELLED, f"cancelled before: {step.action} {step.target}")


def _clean_up(steps: Sequence[Step], done: Sequence[Step], applying: Applying) -> None:
    """Put back what steps that were committed took; what was rolled back needs nothing."""
    import psycopg

    rest = steps[len(done) :]
    # Within one transaction everything was taken and undone together.
    pending = [step for step in rest if step.cleanup]
    taken = any(not step.changes for step in done)
    for step in pending if taken else ():
        try:
            applying.session(step.database).send(step.statement)
        except (psycopg.Error, DbopsError):
            # The session or the server is gone: the first error says why, and the next run plans anew.
            return
