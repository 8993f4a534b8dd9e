# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump of mysqldump or mariadb-dump, piece by piece, becomes its statements, in constant memory; pure.

Called by mysql/contents.py, which counts what goes by, and by mysql/rewriting.py, which changes it. The rules are
those of the servers' own clients: strings, three kinds of comments, DELIMITER. Commands of a client are refused.
https://dev.mysql.com/doc/refman/9.4/en/mysql-commands.html, https://mariadb.com/kb/en/delimiters/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql import heads
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.heads import Head
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason


class Kind(StrEnum):
    """What a piece is."""

    BETWEEN = "between"
    """Blanks, comments and DELIMITER between statements."""
    HEAD = "head"
    """A statement begins; as many bytes of it as positions in its Head speak of."""
    BODY = "body"
    END = "end"
    """Its delimiter; empty at the end of the dump."""


class Piece(NamedTuple):
    """Bytes of the dump; all together are the dump."""

    kind: Kind
    data: bytes
    head: Head
    """Of the statement; of what is between statements that of the one before."""


class _Mode(StrEnum):
    START = "start"
    CODE = "code"
    ROWS = "rows"
    STRING = "string"
    COMMENT = "comment"
    LINE = "line"


_SANDBOX = b"/*M!999999\\-"
"""The first line of MariaDB's dumps: only its client takes it for more than a comment."""
_BLANKS = re.compile(rb"\s*+")
_DELIMITER = re.compile(rb"delimiter[ \t]+(\S+)[^\n]*(?:\n|\Z)", re.IGNORECASE)
_COMMANDS = re.compile(
    rb"(system|source|connect|tee|notee|pager|nopager|edit|charset|prompt|quit|exit|status|help|print|rehash|warnings"
    rb"|nowarning|resetconnection|query_attributes|ssl_session_data_print|go|ego|clear|sandbox|costs)(?=[\s;]|\Z)",
    re.IGNORECASE,
)
_NO_ESCAPES = "NO_BACKSLASH_ESCAPES"
_ENDS = {  # What goes on before the end of a string, by its quote.
    b"'": re.compile(rb"[^'\\]*+(?:\\.[^'\\]*+)*+", re.DOTALL),
    b'"': re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL),
    b"`": re.compile(rb"[^`]*+"),
}
_PLAIN_ENDS = {b"'": re.compile(rb"[^']*+"), b'"': re.compile(rb'[^"]*+'), b"`": _ENDS[b"`"]}
_LOOK_AHEAD = 16
"""Bytes that tell comments, delimiters and words apart."""


@cache
def _code(first: bytes, escapes: bool) -> re.Pattern[bytes]:
    """Give what may go on in a statement without being looked at, up to FIRST, the delimiter's first byte."""
    special = re.escape(b"'\"`#-/\\" + first)
    single = rb"'[^'\\]*+(?:\\.[^'\\]*+)*+'" if escapes else rb"'[^']*+'"
    double = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"' if escapes else rb'"[^"]*+"'
    return re.compile(rb"(?:[^" + special + rb"]++|" + single + rb"|" + double + rb"|`[^`]*+`)*+", re.DOTALL)


class Scanner:
    """Takes the dump as it comes."""

    def __init__(self, *, own: bool = False) -> None:
        """Take whether the dump is a tool's OWN output, unchanged: then rows end where a line ends with `;`."""
        self._own = own
        self._buffer = b""
        self._at = 0
        self._mode, self._after = _Mode.START, _Mode.START
        self._quote = b""
        self._delimiter = b";"
        self._escapes = True
        self._head = Head("")
        self._opening = False
        self._final = False

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Give the pieces that DATA completes. Raises DbopsError with InvalidSpec for commands of a client."""
        self._buffer = self._buffer[self._at :] + data
        self._at = 0
        yield from self._pieces()

    def finish(self) -> Iterator[Piece]:
        """Give the last pieces. Raises DbopsError with NotVerifiable for a dump that ends in the middle."""
        self._final = True
        yield from self._pieces()
        if self._mode in (_Mode.STRING, _Mode.COMMENT):
            raise DbopsError(Reason.NOT_VERIFIABLE, f"the dump ends in the middle of a {self._mode}")
        if self._mode is not _Mode.START:
            yield Piece(Kind.END, b"", self._head)

    def _pieces(self) -> Iterator[Piece]:
        steps = {
            _Mode.START: self._start, _Mode.CODE: self._statement, _Mode.ROWS: self._rows,
            _Mode.STRING: self._string, _Mode.COMMENT: self._comment, _Mode.LINE: self._line,
        }  # fmt: skip
        while self._at < len(self._buffer):
            before = self._at, self._mode
            yield from steps[self._mode]()
            if (self._at, self._mode) == before:
                return

    @property
    def _left(self) -> int:
        return len(self._buffer) - self._at

    def _take(self, end: int) -> bytes:
        data = self._buffer[self._at : end]
        self._at = end
        return data

    def _piece(self, end: int) -> Iterator[Piece]:
        if end > self._at:
            between = self._mode is _Mode.START or (self._after is _Mode.START and self._mode is not _Mode.CODE)
            yield Piece(Kind.BETWEEN if between else Kind.BODY, self._take(end), self._head)

    def _start(self) -> Iterator[Piece]:
        found = _BLANKS.match(self._buffer, self._at)
        yield from self._piece(found.end() if found else self._at)
        if self._left < heads.LONGEST and not self._final:
            return
        if not self._left:
            return
        if self._opens_comment():
            return
        if command := _DELIMITER.match(self._buffer, self._at):
            self._delimiter = command.group(1)
            yield from self._piece(command.end())
            return
        if command := _COMMANDS.match(self._buffer, self._at):
            raise _refused(command.group(1).decode())
        if self._buffer.startswith(self._delimiter, self._at):
            yield from self._piece(self._at + len(self._delimiter))
            return
        yield self._begin()

    def _begin(self) -> Piece:
        text = self._buffer[self._at : self._at + heads.LONGEST]
        self._head = heads.head_of(text, self._delimiter)
        if self._head.text is not None:
            self._escapes = _NO_ESCAPES not in self._head.text.upper()
        rows = self._own and self._head.verb == "INSERT" and self._delimiter == b";"
        self._mode = self._after = _Mode.ROWS if rows else _Mode.CODE
        spans = [span for span in (self._head.definer, self._head.name_at) if span]
        return Piece(Kind.HEAD, self._take(self._at + max((end for _start, end in spans), default=0)), self._head)

    def _end(self, length: int) -> Piece:
        self._mode = self._after = _Mode.START
        return Piece(Kind.END, self._take(self._at + length), self._head)

    def _rows(self) -> Iterator[Piece]:
        """Rows of a tool's own dump: no string holds the end of a line, which is written as `\\n` there."""
        end = self._buffer.find(b";\n", self._at)
        yield from self._piece(end if end >= 0 else len(self._buffer) - (0 if self._final else 1))
        if end >= 0:
            yield self._end(1)

    def _statement(self) -> Iterator[Piece]:
        found = _code(self._delimiter[:1], self._escapes).match(self._buffer, self._at)
        yield from self._piece(found.end() if found else self._at)
        if self._left < max(_LOOK_AHEAD, len(self._delimiter)) and not self._final:
            return
        if not self._left:
            return
        if self._buffer.startswith(self._delimiter, self._at):
            yield self._end(len(self._delimiter))
            return
        byte = self._buffer[self._at : self._at + 1]
        if byte in _ENDS:
            yield from self._piece(self._at + 1)
            self._mode, self._quote = _Mode.STRING, byte
            return
        if self._opens_comment():
            return
        if byte == b"\\":
            raise _refused("\\" + self._buffer[self._at + 1 : self._at + 2].decode("ascii", "replace"))
        yield from self._piece(self._at + 1)

    def _opens_comment(self) -> bool:
        buffer, at = self._buffer, self._at
        if buffer.startswith(b"/*", at):
            conditional = buffer.startswith((b"/*!", b"/*M!"), at) and not buffer.startswith(_SANDBOX, at)
            if conditional:
                return False
            self._mode, self._opening = _Mode.COMMENT, True
            return True
        # Two hyphens are a comment before a blank, a control character or the end only.
        hyphens = buffer.startswith(b"--", at) and (self._left == 2 or buffer[at + 2] <= 32)
        if hyphens or buffer.startswith(b"#", at):
            self._mode = _Mode.LINE
            return True
        return False

    def _string(self) -> Iterator[Piece]:
        ends = _ENDS if self._escapes else _PLAIN_ENDS
        found = ends[self._quote].match(self._buffer, self._at)
        end = found.end() if found else self._at
        yield from self._piece(end)
        if self._left and self._buffer.startswith(self._quote, self._at):
            yield from self._piece(self._at + 1)
            self._mode = _Mode.CODE

    def _comment(self) -> Iterator[Piece]:
        # Not the asterisk of its own beginning.
        end = self._buffer.find(b"*/", self._at + (2 if self._opening else 0))
        self._opening = False
        if end < 0:
            yield from self._piece(max(self._at, len(self._buffer) - 1))
            return
        yield from self._piece(end + 2)
        self._mode = self._after

    def _line(self) -> Iterator[Piece]:
        end = self._buffer.find(b"\n", self._at)
        yield from self._piece(end + 1 if end >= 0 else len(self._buffer))
        if end >= 0 or self._final:
            self._mode = self._after


def _refused(command: str) -> DbopsError:
    text = f"the dump holds the client's command {command!r}; commands of a client are not executed"
    return DbopsError(Reason.INVALID_SPEC, text)
