# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream of a plain dump becomes statements and the data of COPY, in constant memory; pure.

Called by loading.py with the bytes of a plain dump, or of what `pg_restore --file=-` makes of an archive. So no psql is
needed, and there is no client whose commands a dump could use: a line that begins with a backslash is refused, but for
psql's own guard. Where statements end is found as psql finds it; a dump that is read differently by the server harms
nobody else, since every statement goes to it as the restore's own login. psql's psqlscan.l
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

MAX_STATEMENT = 256 * 1024 * 1024
"""Bytes of one statement that are kept; the server takes no more than 1 GB."""
_IDENTIFIER = rb"[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*"
_TOKEN = re.compile(
    rb"""
    (?P<comment> --[^\n]* )
  | (?P<nested> /\* )
  | (?P<quote> [eE]?' | " )
  | (?P<dollar> \$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$ )
  | (?P<word> """
    + _IDENTIFIER
    + rb""" )
  | (?P<end> ; )
  | (?P<parenthesis> [()] )
  | (?P<backslash> \\ )
    """,
    re.VERBOSE,
)
_ESCAPED = re.compile(rb"\\.|''|'", re.DOTALL)
_NESTING = re.compile(rb"/\*|\*/")
_COPY = re.compile(rb"COPY\s.*\sFROM\s+stdin\s*(?:WITH\s.*)?;\Z", re.DOTALL | re.IGNORECASE)
_GUARD = re.compile(rb"\\(?:un)?restrict [A-Za-z0-9]+\s*\Z")
_ROUTINE = ((b"create", b"function"), (b"create", b"procedure"))


@dataclass(frozen=True)
class Statement:
    """One statement with what ends it."""

    text: bytes
    number: int
    """Counted from 1."""
    copies: bool
    """Whether data follows, for COPY ... FROM stdin."""


@dataclass(frozen=True)
class Data:
    """Some of the data of the COPY before it."""

    content: bytes


@dataclass(frozen=True)
class EndOfData:
    """The data of the COPY is complete."""


Event = Statement | Data | EndOfData  # pylint: disable=unsupported-binary-operation


class ScriptReader:
    """Takes a script in pieces of any size and gives what is in it as soon as it is complete."""

    def __init__(self) -> None:
        """Start at the beginning of a script."""
        self._rest = b""
        self._copying = False
        self._lexer = _Lexer()
        self._pieces: list[bytes] = []
        self._size = 0
        self._number = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take DATA. Raises DbopsError for a client's command and for a statement that is too long."""
        self._rest += data
        position = 0
        while True:
            if self._copying:
                self._rest, position = self._rest[position:], 0
                if not (yield from self._data()):
                    return
                continue
            end = self._rest.find(b"\n", position) + 1
            if not end:
                self._rest = self._rest[position:]
                _require_short(len(self._rest))
                return
            line, position = self._rest[position:end], end
            yield from self._line(line)
            # Before rows the line's end counts as given: they may be none at all.
            position -= int(self._in_rows())

    def close(self) -> Iterator[Event]:
        """Say that nothing follows. Raises DbopsError when that is in the middle of something."""
        rest, self._rest = self._rest, b""
        if rest and not self._copying:
            yield from self._line(rest)
        if self._in_rows():
            raise DbopsError(Reason.NOT_VERIFIABLE, "the dump ends in the middle of a table's rows")
        if self._pieces:
            raise DbopsError(Reason.NOT_VERIFIABLE, "the dump ends in the middle of a statement")

    def _in_rows(self) -> bool:
        return self._copying

    def _data(self) -> Generator[Event, None, bool]:
        r"""Give what there is of the rows; true once the line `\.` is reached.

        `_rest` begins with one byte that has been given already, the line's end before the rows at first.
        """
        found = self._rest.find(b"\n\\.\n")
        if found < 0:
            # The last three bytes may be the beginning of the end.
            cut = len(self._rest) - 3
            if cut > 1:
                yield Data(self._rest[1:cut])
                self._rest = self._rest[cut - 1 :]
            return False
        if found:
            yield Data(self._rest[1 : found + 1])
        self._rest = self._rest[found + 4 :]
        self._copying = False
        yield EndOfData()
        return True

    def _line(self, line: bytes) -> Iterator[Event]:
        if not self._pieces:
            stripped = line.strip()
            if not stripped or stripped.startswith(b"--"):
                return
            if stripped.startswith(b"\\"):
                if not _GUARD.match(stripped):
                    raise _refused(stripped)
                return
        start = 0
        for end in self._lexer.ends(line):
            yield self._statement(line[start:end])
            start = end
        rest = line[start:]
        if self._in_rows():
            # psql would take it for a statement after the rows; pg_dump writes nothing there.
            if rest.strip():
                raise DbopsError(Reason.INVALID_SPEC, "something follows COPY ... FROM stdin on its line")
        elif self._pieces or rest.strip():
            self._pieces.append(rest)
            self._size += len(rest)
            _require_short(self._size)

    def _statement(self, last: bytes) -> Statement:
        text = b"".join([*self._pieces, last]).strip()
        self._pieces, self._size = [], 0
        self._number += 1
        self._copying = bool(_COPY.match(text))
        return Statement(text, self._number, self._copying)


def _require_short(size: int) -> None:
    if size > MAX_STATEMENT:
        raise DbopsError(Reason.UNSUPPORTED, f"a statement of the dump is longer than {MAX_STATEMENT} bytes")


def _refused(line: bytes) -> DbopsError:
    command = line.split()[0][:40].decode("utf-8", "replace")
    text = f"the dump holds the client's command {command}; commands of psql are not executed"
    return DbopsError(Reason.INVALID_SPEC, text)


class _Lexer:
    """Whether we are inside of a text, a comment, parentheses or a routine's body, from line to line."""

    def __init__(self) -> None:
        self._inside = b""
        self._comments = 0
        self._begin()

    def _begin(self) -> None:
        self._parentheses = 0
        self._block = 0
        self._first: list[bytes] = []

    def ends(self, line: bytes) -> Iterator[int]:
        """Give where in LINE, which is complete, statements end."""
        position = 0
        while position < len(line):
            if self._inside:
                position = self._leave(line, position)
                continue
            found = _TOKEN.search(line, position)
            if not found:
                return
            position, text = found.end(), found.group()
            match found.lastgroup:
                case "nested":
                    self._inside, self._comments = text, 1
                case "quote" | "dollar":
                    self._inside = text.lower() if text in (b"E'", b"e'") else text
                case "word":
                    self._word(text.lower())
                case "parenthesis":
                    self._parentheses = max(0, self._parentheses + (1 if text == b"(" else -1))
                case "backslash":
                    raise _refused(line[found.start() :])
                case "end" if not self._parentheses and not self._block:
                    self._begin()
                    yield position

    def _leave(self, line: bytes, position: int) -> int:
        """Go on behind the end of what we are inside of, or to the line's end."""
        if self._inside == b"/*":
            for found in _NESTING.finditer(line, position):
                self._comments += 1 if found.group() == b"/*" else -1
                if not self._comments:
                    self._inside = b""
                    return found.end()
            return len(line)
        if self._inside == b"e'":
            # A doubled quote, or any character behind a backslash, is a part of the text.
            for found in _ESCAPED.finditer(line, position):
                if found.group() == b"'":
                    self._inside = b""
                    return found.end()
            return len(line)
        end = line.find(self._inside, position)
        if end < 0:
            return len(line)
        position = end + len(self._inside)
        self._inside = b""
        return position

    def _word(self, word: bytes) -> None:
        """Look for the body of a routine that is written as BEGIN ATOMIC ... END."""
        if len(self._first) < 4:
            self._first.append(word)
        routine = tuple(one for one in self._first if one not in (b"or", b"replace"))[:2]
        if self._parentheses or routine not in _ROUTINE:
            return
        if word == b"begin" or (word == b"case" and self._block):
            self._block += 1
        elif word == b"end" and self._block:
            self._block -= 1
