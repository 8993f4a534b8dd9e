# SPDX-License-Identifier: GPL-3.0-or-later
"""What a statement of a dump is about, told from its first words; pure.

Called by mysql/scanner.py with the beginning of each statement. Comments for certain versions (`/*!50003 ... */`), in
which dumps keep half of what they say, count as what is in them.
https://dev.mysql.com/doc/refman/9.4/en/comments.html, https://mariadb.com/kb/en/comment-syntax/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

LONGEST = 8192
"""Bytes in which the words that matter stand; names and hosts of accounts are much shorter."""

_TOKEN = re.compile(
    rb"""
    (?P<blank> \s+ | --(?=[\s\x00-\x1f]|\Z)[^\n]* | \#[^\n]* | /\*(?!!|M!).*?\*/ | /\*M?!\d* | \*/ )
  | (?P<word> [A-Za-z_$0-9\x80-\xff]+ )
  | (?P<name> `(?:[^`]|``)*` )
  | (?P<text> '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" )
  | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_CODE = frozenset({"VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE"})
"""What has a definer."""
_MODIFIERS = frozenset(
    {"OR", "REPLACE", "AGGREGATE", "TEMPORARY", "UNIQUE", "IGNORE", "INTO", "LOW_PRIORITY", "DELAYED"}
)
_EXISTENCE = frozenset({"IF", "NOT", "EXISTS", "BODY"})


@dataclass(frozen=True)
class Head:
    """The beginning of a statement. Positions are bytes from there."""

    verb: str
    """Its first word in capitals, such as CREATE."""
    kind: str = ""
    """What it is about, such as TABLE; of INSERT and the like TABLE too."""
    name: str = ""
    table: str = ""
    """Of a trigger."""
    words: tuple[str, ...] = ()
    """The first words and signs in capitals, for what has no kind."""
    definer: tuple[int, int] | None = None
    """Where the clause DEFINER = ... stands."""
    name_at: tuple[int, int] | None = None
    text: str | None = None
    """Of SET sql_mode = '...': the modes."""


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        return self.text.upper() if self.kind == "word" else self.text

    @property
    def value(self) -> str:
        """Give what it names."""
        if self.kind in ("name", "text"):
            quote = self.text[0]
            return self.text[1:-1].replace(quote * 2, quote)
        return self.text


def head_of(statement: bytes, delimiter: bytes) -> Head:
    """Tell what a STATEMENT is about by its first bytes; it ends at the DELIMITER at the latest."""
    return _Parser(list(_tokens(statement, delimiter))).head()


def _tokens(statement: bytes, delimiter: bytes, most: int = 40) -> Iterator[_Token]:
    position = 0
    while position < len(statement) and most:
        if statement.startswith(delimiter, position):
            return
        found = _TOKEN.match(statement, position)
        if not found:
            raise AssertionError("the last alternative matches anything")
        position = found.end()
        if found.lastgroup != "blank":
            most -= 1
            text = found.group().decode("utf-8", "surrogateescape")
            yield _Token(str(found.lastgroup), text, found.start(), found.end())


class _Parser:
    """Reads the tokens of one statement from left to right."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._definer: tuple[int, int] | None = None

    def head(self) -> Head:
        verb = self._next_word()
        words = tuple(one.upper for one in self._tokens[:8])
        if verb in ("CREATE", "ALTER", "DROP"):
            return self._definition(verb, words)
        if verb in ("INSERT", "REPLACE"):
            self._skip(_MODIFIERS)
            return self._named(verb, "TABLE", words)
        if verb == "LOCK" and self._peek() in ("TABLE", "TABLES"):
            self._at += 1
            return self._named(verb, "TABLE", words)
        if verb == "USE":
            return self._named(verb, "DATABASE", words)
        if verb == "SET" and words[1:3] == ("SQL_MODE", "="):
            return Head(verb, words=words, text=self._tokens[3].value if len(self._tokens) > 3 else "")
        return Head(verb, words=words)

    def _definition(self, verb: str, words: tuple[str, ...]) -> Head:
        while (word := self._peek()) in _MODIFIERS or word in ("ALGORITHM", "SQL", "DEFINER"):
            self._at += 1
            if word == "ALGORITHM":
                self._at += 2
            elif word == "SQL":
                # SECURITY DEFINER
                self._at += 2
            elif word == "DEFINER":
                self._read_definer()
        kind = self._next_word()
        kind = "DATABASE" if kind == "SCHEMA" else kind
        if kind not in _CODE:
            self._definer = None
        self._skip(_EXISTENCE)
        return self._named(verb, kind, words)

    def _read_definer(self) -> None:
        """Read `= user@host`, `= role` or `= CURRENT_USER()` behind the word."""
        start = self._tokens[self._at - 1].start
        if self._peek() != "=":
            return
        self._at += 2
        if self._peek() == "@" or self._peek() == "(":
            self._at += 2
        last = self._tokens[min(self._at, len(self._tokens)) - 1]
        self._definer = start, last.end

    def _named(self, verb: str, kind: str, words: tuple[str, ...]) -> Head:
        name, at = "", None
        if self._at < len(self._tokens):
            token = self._tokens[self._at]
            self._at += 1
            if self._peek() == "." and self._at + 1 < len(self._tokens):
                token = self._tokens[self._at + 1]
                self._at += 2
            name, at = token.value, (token.start, token.end)
        table = self._table_of_trigger() if kind == "TRIGGER" else ""
        return Head(verb, kind, name, table, words, self._definer, at)

    def _table_of_trigger(self) -> str:
        while self._at < len(self._tokens) and self._peek() != "ON":
            self._at += 1
        self._at += 1
        if self._at >= len(self._tokens):
            return ""
        qualified = self._at + 2 < len(self._tokens) and self._tokens[self._at + 1].text == "."
        return self._tokens[self._at + (2 if qualified else 0)].value

    def _peek(self) -> str:
        return self._tokens[self._at].upper if self._at < len(self._tokens) else ""

    def _next_word(self) -> str:
        word = self._peek()
        self._at += 1
        return word

    def _skip(self, words: frozenset[str]) -> None:
        while self._at < len(self._tokens) and self._tokens[self._at].kind == "word" and self._peek() in words:
            self._at += 1
