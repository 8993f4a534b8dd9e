# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a dump of mysqldump or mariadb-dump, told while it goes by: objects, rows and checksums by table; pure.

Called by mysql/dump.py with the tool's output. These tools read in a snapshot of their own that nothing else can look
into, so their own output is the only place where counts can come from that belong to the dump.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from operator import methodcaller

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.heads import Head
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.scanner import Kind, Piece, Scanner

_OBJECTS = {
    "TABLE": "tables",
    "SEQUENCE": "sequences",
    "TRIGGER": "triggers",
    "PROCEDURE": "procedures",
    "FUNCTION": "functions",
    "EVENT": "events",
    "PACKAGE": "packages",
}

_QUOTES = methodcaller("count", b"'")


class Contents:
    """Takes a tool's output as it comes."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.rows: dict[str, int] = {}
        """Rows by table; tables without a row are there too."""
        self.accounts: set[str] = set()
        """Definers, as the dump writes them."""
        self._scanner = Scanner(own=True)
        self._checksums: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._views: set[str] = set()
        self._row: RowCounter | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._look(self._scanner.feed(data))

    def finish(self) -> None:
        """Take the end. Raises DbopsError with NotVerifiable when it comes in the middle of something."""
        self._look(self._scanner.finish())

    @property
    def objects(self) -> dict[str, int]:
        """How many objects there are, by type; types without one are left out."""
        found = {"tables": self._counts["tables"], "views": len(self._views), **self._counts}
        return {kind: number for kind, number in sorted(found.items()) if number}

    @property
    def checksums(self) -> dict[str, str]:
        """CRC-32 of the statements with rows by table, like that of CHECKSUM TABLE in hexadecimal digits."""
        return {table: f"{checksum:08x}" for table, checksum in self._checksums.items()}

    def _look(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            if piece.kind is Kind.HEAD:
                self._begin(piece.head, piece.data)
            elif self._row and piece.kind is Kind.BODY:
                self._row.feed(piece.data)
                table = piece.head.name
                self._checksums[table] = zlib.crc32(piece.data, self._checksums[table])
            elif self._row and piece.kind is Kind.END:
                self.rows[piece.head.name] += self._row.finish()
                self._row = None

    def _begin(self, head: Head, data: bytes) -> None:
        if head.verb == "INSERT":
            self._row = RowCounter()
            self.rows.setdefault(head.name, 0)
            self._checksums.setdefault(head.name, 0)
        if head.verb != "CREATE":
            return
        if head.kind == "VIEW":
            # Each comes twice: as what others can refer to, and as it is.
            self._views.add(head.name)
        elif head.kind in _OBJECTS:
            self._counts[_OBJECTS[head.kind]] += 1
        if head.kind == "TABLE":
            self.rows.setdefault(head.name, 0)
            self._checksums.setdefault(head.name, 0)
        if head.definer:
            start, end = head.definer
            self.accounts.add(data[start:end].partition(b"=")[2].strip().decode("utf-8", "replace"))


class RowCounter:
    """Counts the rows of one INSERT of a tool's own dump: what is between them stands outside of strings.

    Everything is done by whole pieces and rows, not by strings: it must keep up with the tool. Neither tool writes an
    end of a line inside of a string, and MariaDB's begins a line with each row.
    """

    def __init__(self) -> None:
        """Start before the first row."""
        self._rows = 0
        self._by_line: bool | None = None
        self._inside = False
        self._kept = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._by_line is None:
            self._by_line = b" VALUES\n(" in data
            self._rows = 0 if self._by_line else 1
        if self._by_line:
            data = self._kept + data
            self._kept = b"\n" if data.endswith(b"\n") else b""
            self._rows += data.count(b"\n(")
        else:
            self._feed_strings(self._kept + data)

    def _feed_strings(self, data: bytes) -> None:
        # What belongs together may be cut in two: a backslash and what it escapes, and what is between two rows.
        slashes = len(data) - len(data.rstrip(b"\\"))
        end = next((end for end in (b"),", b")") if data.endswith(end)), b"\\" if slashes % 2 else b"")
        data, self._kept = data[: len(data) - len(end)], end
        if b"\\" in data:
            data = data.replace(b"\\\\", b"").replace(b"\\'", b"")
        parts = data.split(b"),(")
        *odd, last = [quotes & 1 for quotes in map(_QUOTES, parts)]
        if not self._inside and not any(odd):
            self._rows += len(odd)
        else:
            for one in odd:
                self._inside ^= bool(one)
                self._rows += not self._inside
        self._inside ^= bool(last)

    def finish(self) -> int:
        """Give how many there were."""
        return self._rows
