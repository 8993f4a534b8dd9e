# SPDX-License-Identifier: GPL-3.0-or-later
"""Epochs on PostgreSQL: the latest one in the ledger, and the sessions of earlier ones, which are ended.

Used by postgresql/server.py; what an epoch is says core.epoch. Whoever takes over first announces it, which stops all
earlier runs at their next look; then ends their sessions, so that nothing is on its way any more; and only then is it
in force. Sessions of a run are known by their application_name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import LONGEST_MARK, Epoch
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError

if TYPE_CHECKING:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Session

_LONGEST_NAME = 63
_PAUSE = 0.05

_READ = "SELECT number, announced FROM dbops.epoch WHERE name = %s"
_ANNOUNCE = """
INSERT INTO dbops.epoch VALUES (%(name)s, 0, %(number)s, clock_timestamp())
ON CONFLICT (name) DO UPDATE SET announced = greatest(epoch.announced, excluded.announced),
  changed_at = excluded.changed_at
"""
_RECORD = """
UPDATE dbops.epoch SET number = announced, changed_at = clock_timestamp()
WHERE name = %(name)s AND announced = %(number)s RETURNING number
"""
_SESSIONS = """
SELECT pid, usename, application_name FROM pg_stat_activity
WHERE application_name LIKE '%dbops:%' AND pid <> pg_backend_pid()
"""


def application_name(name: str, epoch: Epoch | None) -> str:
    """Give the application_name of a session: NAME, and the mark of the EPOCH if there is one."""
    if not epoch:
        return name
    # The server writes several characters for one that is not ASCII, and cuts off the end.
    plain = name.encode("ascii", "replace").decode()
    return f"{plain[: _LONGEST_NAME - LONGEST_MARK - 1]} {epoch.mark}"


@dataclass
class Fence:
    """The EPOCH of a run, looked after in the session that SESSION gives, which is in the ledger's database."""

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
        if not session.rows(_RECORD, values):
            raise self.epoch.superseded(self._latest()[1])

    def _end_sessions(self, session: Session) -> list[str]:
        """Have sessions of earlier epochs ended; give those that are still there."""
        found = session.rows(_SESSIONS)
        earlier = [(pid, user) for pid, user, name in found if self.epoch.is_earlier(str(name))]
        for pid, _user in earlier:
            # What may not be ended stays, and is named.
            with suppress(DbopsError):
                session.rows("SELECT pg_terminate_backend(%s)", [pid])
        return [f"process {pid} of {user}" for pid, user in earlier]
