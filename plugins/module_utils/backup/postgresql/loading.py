# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends a plain dump to a database, statement by statement and with the rows of COPY as they come.

Called by restore.py with a session that logged in without administrator's rights. The first error ends it: a restore
is whole or it is none.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.roles import Roles
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.script import (
    Data,
    EndOfData,
    ScriptReader,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import errors
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Session

if TYPE_CHECKING:
    import psycopg

_SECONDS_BETWEEN_LOOKS = 0.2
_TRANSACTIONS = (b"BEGIN;", b"COMMIT;", b"START TRANSACTION;")

# Its login is made without an administrator's rights, whoever the admin account is.
_LACKING = "a restore may do no more than the owner of its database"


class Loading:
    """Takes the bytes of a script; `close` says that it was complete."""

    def __init__(self, session: Session, roles: Roles, watch: Watch, *, total: int | None, at_once: bool) -> None:
        """Load in SESSION. TOTAL: how many tables have rows, if known; AT_ONCE: the caller has the transaction."""
        self.tables = 0
        self.size = 0
        self._session, self._roles, self._watch = session, roles, watch
        self._total, self._at_once = total, at_once
        self._reader = ScriptReader()
        self._copy = contextlib.ExitStack()
        self._write: Callable[[bytes], None] | None = None
        self._what = ""

    def __enter__(self) -> Self:
        """Take bytes."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End a COPY that was left open; its rows are none then."""
        with contextlib.suppress(Exception):
            self._copy.__exit__(kind, error, traceback)

    def feed(self, data: bytes) -> None:
        """Take DATA of the script. Raises DbopsError for what the server refuses."""
        self.size += len(data)
        self._take(self._reader.feed(data))
        self._watch.require()
        self._watch.report("restore", size=self.size, tables_done=self.tables, tables_total=self._total)

    def close(self) -> None:
        """Send what is left. Raises DbopsError when the script ends too early."""
        self._take(self._reader.close())

    def _take(self, events: Iterator[Statement | Data | EndOfData]) -> None:
        import psycopg

        try:
            for event in events:
                match event:
                    case Data(content):
                        if self._write:
                            self._write(content)
                    case EndOfData():
                        self._write = None
                        self._copy.close()
                        self.tables += 1
                    case Statement():
                        self._execute(event)
        except psycopg.Error as error:
            raise self._failed(error) from error

    def _execute(self, statement: Statement) -> None:
        # The text may hold rows of tables; its first words say enough.
        words = b" ".join(statement.text[:200].split()[:3]).decode("utf-8", "replace")
        self._what = f"statement {statement.number} of the dump ({words})"
        if statement.copies:
            self._write = self._copy.enter_context(self._session.copy_foreign(statement.text))
            return
        if self._at_once and statement.text.upper() in _TRANSACTIONS:
            return
        fitted = self._roles.fitted(statement.text)
        if fitted is not None:
            self._session.send_foreign(fitted)

    def _failed(self, error: psycopg.Error) -> DbopsError:
        stopped = self._watch.stop()
        return stopped or errors.statement_error(error, doing=self._what, lacking=_LACKING)


class Cancelling:
    """Cancels the statement of a session when the work shall not go on, however long the server is at it."""

    def __init__(self, session: Session, watch: Watch) -> None:
        """Watch over SESSION."""
        self._session, self._watch = session, watch
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="dbops-cancel")

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            if self._watch.stop():
                # Again and again: between two statements there is nothing to cancel.
                self._session.cancel()
