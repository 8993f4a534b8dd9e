# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply: send the steps of a plan, each by itself, since what they do commits at once on MySQL and MariaDB.

Called by mysql/server.py under the object's lock. What fails for the sake of somebody who did something at the same
moment is tried again a few times. A run that is cut off between two steps left an intent in the ledger
(core.objects), and the next one goes on from what it finds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import Superseded
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import errors

if TYPE_CHECKING:
    import pymysql

_TRIES = 6
_FIRST_PAUSE = 0.05


@dataclass
class Applying:
    """What is needed to send steps, and when to stop."""

    send: Callable[[Statement], None]
    before: Callable[[], None]
    """Called before each step: keeps the object's lock, and raises Superseded where a later epoch works."""
    stopped: Callable[[], bool]
    """Whether the object was cancelled; asked between two steps."""
    committed: Callable[[Sequence[Step]], None]
    """Told of steps once nothing takes them back any more."""


def apply(steps: Sequence[Step], applying: Applying, *, closing: Callable[[], None] | None = None) -> None:
    """Send STEPS, and call CLOSING after all. Raises DbopsError."""
    import pymysql

    for number, step in enumerate(steps):
        try:
            if applying.stopped() and not step.cleanup:
                raise DbopsError(Reason.CANCELLED, f"cancelled before: {step.action} {step.target}")
            applying.before()
            _send(step, applying)
        except Superseded:
            raise
        except DbopsError:
            for rest in steps[number + 1 :] if number else ():
                if rest.cleanup:
                    # The first error says why; where the session is gone, the next run plans anew.
                    with suppress(pymysql.MySQLError):
                        applying.send(rest.statement)
            raise
        applying.committed([step])
    if closing:
        closing()


def _send(step: Step, applying: Applying) -> None:
    import pymysql

    for pause in _pauses():
        try:
            applying.send(step.statement)
            return
        except pymysql.MySQLError as error:
            if pause is None or errors.number_of(error) not in errors.RETRIED:
                raise _error(error, step) from error
        time.sleep(pause)


def _pauses() -> Iterator[float | None]:
    """Give growing pauses with jitter, and None for the last try."""
    for number in range(_TRIES - 1):
        yield _FIRST_PAUSE * 2**number * random.uniform(0.5, 1.5)  # noqa: S311 (nothing secret)
    yield None


def _error(error: pymysql.MySQLError, step: Step) -> DbopsError:
    return errors.statement_error(error, doing=f"{step.action} {step.target}")
