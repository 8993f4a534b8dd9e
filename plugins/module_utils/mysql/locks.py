# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks of objects: who else wants to change the same thing waits. Used by mysql/server.py.

With a ledger it is a lease, a row there, since anybody can hold a GET_LOCK name and so keep us out; without one it
is GET_LOCK. A lease ends by the server's clock, or when the session of its holder is gone: a statement of that
session could still run for as long as the session is there, whatever the clock says.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.connection import Session

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5

# In the order of assignment: each sees what those before it have set.
_TAKE = """
INSERT INTO dbops.lease VALUES (%(name)s, %(holder)s, @@hostname, CONNECTION_ID(),
  UTC_TIMESTAMP(6) + INTERVAL %(seconds)s SECOND)
ON DUPLICATE KEY UPDATE holder = IF(expires_at < UTC_TIMESTAMP(6), %(holder)s, holder),
  server = IF(holder = %(holder)s, @@hostname, server), session = IF(holder = %(holder)s, CONNECTION_ID(), session),
  expires_at = IF(holder = %(holder)s, UTC_TIMESTAMP(6) + INTERVAL %(seconds)s SECOND, expires_at)
"""
# Only who sees all sessions may conclude from one that is missing; our own is always seen.
_LOOK = """
SELECT l.holder, %(sees_all)s AND l.server = @@hostname AND p.ID IS NULL
FROM dbops.lease l LEFT JOIN information_schema.PROCESSLIST p ON p.ID = l.session WHERE l.name = %(name)s
"""
_RENEW = """
UPDATE dbops.lease SET expires_at = UTC_TIMESTAMP(6) + INTERVAL %(seconds)s SECOND
WHERE name = %(name)s AND holder = %(holder)s
"""
_GIVE_BACK = "DELETE FROM dbops.lease WHERE name = %(name)s AND holder = %(holder)s"


@dataclass
class Lease:
    """One lease of an object, as long as the run works on it."""

    session: Session
    name: str
    seconds: int
    """How long it lasts unless it is renewed: longer than any statement may take."""
    holder: str
    """Whose it is: nobody else has this name."""
    _renewed: float = 0.0

    def take(self, *, wait: float, sees_all: bool, what: str) -> None:
        """Take it, waiting for up to WAIT seconds. Raises DbopsError with Timeout."""
        deadline = time.monotonic() + wait
        pause = _FIRST_PAUSE
        while not self._try(sees_all=sees_all):
            if time.monotonic() > deadline:
                text = f"waiting for the lock of {what}: another run works on it; it is tried again"
                raise DbopsError(Reason.TIMEOUT, text)
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (nothing secret)
            pause = min(2 * pause, _LONGEST_PAUSE)
        self._renewed = time.monotonic()

    def _try(self, *, sees_all: bool) -> bool:
        values = {"name": self.name, "holder": self.holder, "seconds": self.seconds, "sees_all": int(sees_all)}
        self.session.rows(_TAKE, values)
        rows = self.session.rows(_LOOK, values)
        if rows and rows[0][0].decode() == self.holder:
            return True
        if rows and rows[0][1]:
            self.session.rows(_GIVE_BACK, values | {"holder": rows[0][0].decode()})
        return False

    def renew(self) -> None:
        """Make it last, before something that may take long. Raises DbopsError with Conflict if it was lost."""
        if time.monotonic() - self._renewed < self.seconds / 3:
            return
        values = {"name": self.name, "holder": self.holder, "seconds": self.seconds}
        self.session.rows(_RENEW, values)
        held = self.session.rows("SELECT 1 FROM dbops.lease WHERE name = %(name)s AND holder = %(holder)s", values)
        if not held:
            raise DbopsError(Reason.CONFLICT, "the lock of the object was lost to another run; it is tried again")
        self._renewed = time.monotonic()

    def give_back(self) -> None:
        """Let others have it."""
        # A session that ended has let go of it already.
        with suppress(DbopsError):
            self.session.rows(_GIVE_BACK, {"name": self.name, "holder": self.holder})


@contextmanager
def user_lock(session: Session, key: str, *, wait: int, what: str) -> Iterator[None]:
    """Hold a GET_LOCK of the server."""
    doing = f"waiting for the lock of {what}"
    ((taken,),) = session.rows("SELECT GET_LOCK(%s, %s)", [key, wait], doing=doing)
    if not taken:
        raise DbopsError(Reason.TIMEOUT, f"{doing}: another run works on it; it is tried again")
    try:
        yield
    finally:
        with suppress(DbopsError):
            session.rows("SELECT RELEASE_LOCK(%s)", [key])


def key_of(thing: str, name: str) -> str:
    """Give the name of an object's lock; the server takes up to 64 characters, and compares without case."""
    return "dbops-" + hashlib.sha256(f"{thing}:{name}".encode()).hexdigest()[:56]
