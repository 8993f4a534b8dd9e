# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump on its way into a database that it was not made for, by a login that owns nothing else.

Called by mysql/load.py with the plain bytes of a dump; what comes out goes to the server's own client. Definers become
the login itself, whoever they were; names of databases become the target's; what is not wanted, or is about the server
as a whole, is left out. Text in strings and comments, and bodies of routines, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.heads import Head
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.scanner import Kind, Piece, Scanner
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.processes import Source
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import quoting

_DEFINER = b"DEFINER=CURRENT_USER"
_ROUTINES = frozenset({"PROCEDURE", "FUNCTION", "PACKAGE"})
_DEFINES = frozenset({"CREATE", "DROP", "ALTER", "SET"})
_ROWS = frozenset({"INSERT", "REPLACE"})
_TABLE_STATEMENTS = frozenset({"TABLE", "SEQUENCE", "VIEW"})
_GLOBAL = frozenset({"GLOBAL", "PERSIST", "PERSIST_ONLY", "SQL_LOG_BIN", "GTID_PURGED"})


@dataclass(frozen=True)
class Selection:
    """What of a dump is restored."""

    tables: frozenset[str] = frozenset()
    """None of them: all."""
    code_only: bool = False
    """No tables at all, but views and all that has a definer."""
    structure: bool = True
    rows: bool = True
    routines: bool = True
    triggers: bool = True
    events: bool = True

    @classmethod
    def of(cls, tables: Sequence[str], *, schema_only: bool, data_only: bool, options: Mapping[str, Any]) -> Selection:
        """Take what a request says."""
        whole = not (data_only or tables)
        return cls(
            frozenset(tables),
            structure=not data_only,
            rows=not schema_only,
            routines=whole and bool(options.get("routines", True)),
            triggers=not data_only and bool(options.get("triggers", True)),
            events=whole and bool(options.get("events", True)),
        )

    def takes(self, head: Head) -> bool:
        """Whether the statement that begins so is wanted."""
        if self.code_only and (head.verb not in _DEFINES or head.kind in ("TABLE", "SEQUENCE")):
            return False
        if head.kind in _ROUTINES:
            return self.routines
        if head.kind == "EVENT":
            return self.events
        if head.kind == "TRIGGER":
            # That one is dropped is said without its table's name.
            return self.triggers and (not head.table or self._of(head.table))
        if head.verb in _ROWS:
            return self.rows and self._of(head.name)
        if head.kind in _TABLE_STATEMENTS:
            return self._of(head.name) and (self.structure or head.verb not in ("CREATE", "DROP"))
        return True

    def _of(self, table: str) -> bool:
        return not self.tables or table in self.tables


class Rewriting:
    """The dump to read from, as it shall be."""

    def __init__(
        self,
        source: Source,
        *,
        database: str,
        selection: Selection,
        table: Callable[[str], None],
        own: bool = False,
        events_aside: bool = False,
        definer: bytes | None = _DEFINER,
    ) -> None:
        """Take the plain bytes from SOURCE for the target DATABASE; TABLE is told each table that begins.

        OWN: the dump is a tool's output, as its manifest vouches for. DEFINER takes the place of all; None: they stay.
        """
        self._source = source
        self._scanner = Scanner(own=own)
        self._definer = definer
        self._database = quoting.name(database).encode()
        self._selection = selection
        self._table = table
        self._puts_aside = events_aside
        self.events = bytearray()
        """The events that were put aside, with what they need of the session: they must not fire yet."""
        self._skipping = False
        self._ended = False
        self.used: set[str] = set()
        """Databases that the dump names as its own."""
        self.skipped_global = False
        """Whether something was left out that is about the server as a whole."""
        self.size = 0
        """Bytes that were read of SOURCE."""

    def read(self, size: int) -> bytes:
        """Give about SIZE bytes, nothing at the end. Raises DbopsError."""
        while not self._ended:
            data = self._source.read(size)
            self.size += len(data)
            self._ended = not data
            pieces = self._scanner.feed(data) if data else self._scanner.finish()
            if rewritten := b"".join(self._rewritten(pieces)):
                return rewritten
        return b""

    def _rewritten(self, pieces: Iterable[Piece]) -> Iterable[bytes]:
        for piece in pieces:
            if piece.kind is Kind.BETWEEN:
                self.events += piece.data if self._puts_aside else b""
                yield piece.data
                continue
            data = piece.data
            if piece.kind is Kind.HEAD:
                self._skipping = not self._wanted(piece.head)
                data = self._head(piece.head, data)
            if self._skipping:
                continue
            event = piece.head.kind == "EVENT"
            if self._puts_aside and (event or piece.head.verb == "SET"):
                self.events += data
            if not (self._puts_aside and event):
                yield data

    def _wanted(self, head: Head) -> bool:
        if head.verb == "CREATE" and head.kind == "TABLE":
            self._table(head.name)
        if head.kind == "DATABASE" and head.verb != "ALTER":
            # The database is there already, and the session is in it.
            return not self._uses(head.name)
        if head.verb == "SET" and _GLOBAL.intersection(head.words[1:]):
            self.skipped_global = True
            return False
        return self._selection.takes(head)

    def _uses(self, database: str) -> bool:
        self.used.add(database)
        if len(self.used) > 1:
            text = f"the dump is of several databases ({', '.join(sorted(self.used))}); one can be restored"
            raise DbopsError(Reason.UNSUPPORTED, text)
        return True

    def _head(self, head: Head, data: bytes) -> bytes:
        if head.definer and self._definer is not None:
            start, end = head.definer
            return data[:start] + self._definer + data[end:]
        if head.kind == "DATABASE" and head.name_at:
            start, end = head.name_at
            return data[:start] + self._database + data[end:]
        return data
