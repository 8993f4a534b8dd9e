# SPDX-License-Identifier: GPL-3.0-or-later
"""Epochs on MySQL and MariaDB: the latest one in the ledger, and the sessions of earlier ones, which are ended.

Used by mysql/server.py; what an epoch is says core.epoch. Whoever takes over first announces it, which stops all
earlier runs at their next look; then ends the sessions that are at work, so that nothing is on its way any more; and
only then is it in force. A session is at work while it has a row in dbops.lease, whose holder begins with the mark.
(Connection attributes would not do: MariaDB shows them only where performance_schema was switched on.)
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import Epoch
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.connection import Session

_PAUSE = 0.05
_SECONDS_AT_WORK = 3600
"""How long a row lasts that nobody took away; it only has to outlive the session."""

_READ = "SELECT number, announced FROM dbops.epoch WHERE name = %s"
_ANNOUNCE = """
INSERT INTO dbops.epoch VALUES (%(name)s, 0, %(number)s, UTC_TIMESTAMP(6))
ON DUPLICATE KEY UPDATE announced = GREATEST(announced, %(number)s), changed_at = UTC_TIMESTAMP(6)
"""
_RECORD = """
UPDATE dbops.epoch SET number = announced, changed_at = UTC_TIMESTAMP(6)
WHERE name = %(name)s AND announced = %(number)s
"""
# Of a server with another name (a copy, or one that took over) the numbers say nothing here.
_AT_WORK = """
SELECT l.name, l.holder, l.session, p.USER FROM dbops.lease l LEFT JOIN information_schema.PROCESSLIST p
  ON p.ID = l.session AND l.server = @@hostname AND p.ID <> CONNECTION_ID()
WHERE l.holder LIKE 'dbops:%'
"""
_BEGIN = """
REPLACE INTO dbops.lease VALUES (%(name)s, %(holder)s, @@hostname, %(session)s,
  UTC_TIMESTAMP(6) + INTERVAL %(seconds)s SECOND)
"""
_END = "DELETE FROM dbops.lease WHERE name = %(name)s AND holder = %(holder)s"


def holder(epoch: Epoch | None) -> str:
    """Give a name for whoever holds a lease in a run of EPOCH; no two are the same."""
    return f"{epoch.mark}:{uuid.uuid4().hex}" if epoch else uuid.uuid4().hex


@dataclass
class Fence:
    """The EPOCH of a run, looked after in the session that SESSION gives."""

    epoch: Epoch
    session: Callable[[], Session]
    patience: float
    """How many seconds sessions of earlier runs get to end."""

    def require_current(self) -> None:
        """Refuse with Superseded after a later epoch; take over from an earlier one, at the first call."""
        number, announced = self._latest()
        latest = max(number, announced)
        if latest > self.epoch.number:
            raise self.epoch.superseded(latest)
        if number < self.epoch.number:
            self._take_over()

    def _latest(self) -> tuple[int, int]:
        rows = self.session().rows(_READ, [self.epoch.name])
        return (int(rows[0][0]), int(rows[0][1])) if rows else (0, 0)

    def _take_over(self) -> None:
        session = self.session()
        values = {"name": self.epoch.name, "number": self.epoch.number}
        session.rows(_ANNOUNCE, values, doing="taking over the server")
        deadline = time.monotonic() + self.patience
        while left := self._end_sessions(session):
            if time.monotonic() > deadline:
                self.epoch.require_ended(left)
            time.sleep(_PAUSE)
        session.rows(_RECORD, values)
        number, announced = self._latest()
        if max(number, announced) > self.epoch.number:
            raise self.epoch.superseded(max(number, announced))

    def _end_sessions(self, session: Session) -> list[str]:
        """End the sessions at work of earlier epochs; give those that are still there."""
        left = []
        for name, mark, number, user in session.rows(_AT_WORK):
            if not self.epoch.is_earlier(mark.decode()):
                continue
            if user is None:
                session.rows(_END, {"name": name, "holder": mark})
                continue
            left.append(f"session {number} of {user}")
            # What may not be ended stays, and is named.
            with suppress(DbopsError):
                session.rows("KILL CONNECTION %s", [number])
        return left

    @contextmanager
    def at_work(self, number: int) -> Iterator[None]:
        """Have the session of this NUMBER known as one of this epoch's for as long as it is used."""
        values = {"name": f"session-{number}", "holder": holder(self.epoch)}
        self.session().rows(_BEGIN, {**values, "session": number, "seconds": _SECONDS_AT_WORK})
        try:
            self.require_current()
            yield
        finally:
            # Where our own session was ended, whoever did that takes the row away.
            with suppress(DbopsError):
                self.session().rows(_END, values)
