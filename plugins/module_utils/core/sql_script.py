# SPDX-License-Identifier: GPL-3.0-or-later
"""A script of SQL becomes its statements, as the server's own client would see them; pure.

Called by core.init_sql for scripts out of files. No library splits right in all three dialects (dollar quotes, nested
comments and SQL-standard function bodies of PostgreSQL; backslashes, `#` and DELIMITER of MySQL), so this is ours;
the tests have real servers judge it. A line of three hyphens alone also ends a statement.
https://www.postgresql.org/docs/current/sql-syntax-lexical.html, psql's psqlscan.l
https://dev.mysql.com/doc/refman/9.4/en/mysql-commands.html, https://mariadb.com/kb/en/delimiters/
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

_IDENTIFIER = r"[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*"
# A text goes on after a line's end: the parts are of one kind.
_GOES_ON = r"[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:[ \t\f\v\n\r]|--[^\n\r]*[\n\r])*'"
_ESCAPED = r"[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*'"

_POSTGRESQL = re.compile(
    rf"""
    (?P<separator> ^[ \t]*---[ \t]*\r?$ )
  | (?P<comment> --[^\n\r]* )
  | (?P<nested> /\* )
  | (?P<text> [eE]'{_ESCAPED}(?:{_GOES_ON}{_ESCAPED})* | '[^']*' | "[^"]*" )
  | (?P<open> [eE]' )
  | (?P<dollar> \$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$ )
  | (?P<word> {_IDENTIFIER} )
  | (?P<blank> \s+ )
  | (?P<other> [\s\S] )
    """,
    re.VERBOSE | re.MULTILINE,
)
_MYSQL = re.compile(
    r"""
    (?P<separator> ^[ \t]*---[ \t]*\r?$ )
  | (?P<delimiter> ^[ \t]*delimiter[ \t]+(?P<new>\S+)[^\n\r]* )
  | (?P<comment> --(?=[\s\x00-\x1f]|\Z)[^\n\r]* | \#[^\n\r]* | /\*(?![!]|M!)[\s\S]*?\*/ )
  | (?P<text> '[^'\\]*(?:(?:\\[\s\S]|'')[^'\\]*)*' | "[^"\\]*(?:(?:\\[\s\S]|"")[^"\\]*)*" | `[^`]*`
            | /\*(?:!|M!)[\s\S]*?\*/ )
  | (?P<word> [A-Za-z_$0-9\u0080-\U0010ffff]+ )
  | (?P<blank> \s+ )
  | (?P<other> [\s\S] )
    """,
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)


def split(script: str, engine: str) -> list[str]:
    """Give the statements of SCRIPT without what ends them, empty ones left out.

    Raises DbopsError with InvalidSpec for what does not end, and for commands of a client.
    """
    pieces = _postgresql(script) if engine == "postgres" else _mysql(script)
    return [piece.strip() for piece in pieces if piece.strip()]


def _wrong(what: str, script: str, position: int) -> DbopsError:
    line = script.count("\n", 0, position) + 1
    return DbopsError(Reason.INVALID_SPEC, f"the script's line {line}: {what}", field="init_sql")


def _postgresql(script: str) -> Iterator[str]:
    position, start, parentheses, block = 0, 0, 0, _Block()
    # Comments alone are no statement.
    something = False
    while position < len(script):
        found = _POSTGRESQL.match(script, position)
        if not found:
            raise AssertionError("the last alternative matches anything")
        kind, text = found.lastgroup, found.group()
        ends = kind == "separator" or (text == ";" and not parentheses and not block.depth)
        if ends:
            if something:
                yield script[start : found.start()]
            start, parentheses, block, something = found.end(), 0, _Block(), False
        position = found.end()
        if kind == "nested":
            position = _end_of_comment(script, position)
        elif kind == "dollar":
            position = script.find(text, position) + len(text)
            if position < found.end() + len(text):
                raise _wrong(f"the text that begins with {text} does not end", script, found.start())
        elif kind == "open" or text in ("'", '"'):
            raise _wrong(f"the text that begins with {text} does not end", script, found.start())
        elif text == "\\":
            raise _wrong("a backslash outside of quotes: commands of psql are not executed", script, found.start())
        elif kind == "word":
            block.word(text.lower(), inside=parentheses > 0)
        elif text in "()":
            parentheses = max(0, parentheses + (1 if text == "(" else -1))
        something = something or not (ends or kind in ("separator", "comment", "nested", "blank"))
    if something:
        yield script[start:]


def _end_of_comment(script: str, position: int) -> int:
    """Give where the comment ends whose beginning is before POSITION; comments nest."""
    opened, depth = position - 2, 1
    for found in re.compile(r"/\*|\*/").finditer(script, position):
        depth += 1 if found.group() == "/*" else -1
        if not depth:
            return found.end()
    raise _wrong("the comment does not end", script, opened)


class _Block:
    """Whether we are in the body of a function that is written as `BEGIN ATOMIC ... END`, as psql finds it out."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self.depth = 0

    def word(self, word: str, *, inside: bool) -> None:
        if len(self._first) < 4:
            self._first.append(word)
        routine = [one for one in self._first if one not in ("or", "replace")][:2]
        if inside or routine not in (["create", "function"], ["create", "procedure"]):
            return
        if word == "begin" or (word == "case" and self.depth):
            self.depth += 1
        elif word == "end" and self.depth:
            self.depth -= 1


def _mysql(script: str) -> Iterator[str]:
    position, start, delimiter, something = 0, 0, ";", False
    while position < len(script):
        if script.startswith(delimiter, position):
            if something:
                yield script[start:position]
            position += len(delimiter)
            start, something = position, False
            continue
        found = _MYSQL.match(script, position)
        if not found:
            raise AssertionError("the last alternative matches anything")
        kind, text = found.lastgroup, found.group()
        position = found.end()
        if kind in ("new", "delimiter", "separator"):
            if something:
                yield script[start : found.start()]
            start, something = position, False
            delimiter = found.group("new") or delimiter
            continue
        if text in ("'", '"', "`"):
            raise _wrong(f"the text that begins with {text} does not end", script, found.start())
        if script.startswith("/*", found.start()) and kind == "other":
            raise _wrong("the comment does not end", script, found.start())
        if text == "\\":
            raise _wrong("a backslash outside of quotes: commands of a client are not executed", script, found.start())
        if kind == "word" and delimiter in text:
            # A delimiter of letters, or one in the middle of a word.
            position = found.start() + text.index(delimiter)
            something = something or position > found.start()
            continue
        something = something or kind not in ("comment", "blank")
    if something:
        yield script[start:]
