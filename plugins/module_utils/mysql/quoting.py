# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where a statement becomes SQL: as text for the server, and masked for people.

Called by mysql/apply.py with what the planners made (core.statement). Nothing else in the engine puts text from a
user into SQL. What comes out means the same under every sql_mode: names stand in backticks (ANSI_QUOTES does not
concern them), and text in single quotes holds no backslash (NO_BACKSLASH_ESCAPES would decide what that is); text
with a backslash is written in hexadecimal digits.
https://dev.mysql.com/doc/refman/8.4/en/string-literals.html
"""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Literal,
    Part,
    Secret,
    Statement,
)

MASK = "'********'"


def rendered(statement: Statement) -> str:
    """Give STATEMENT for the server."""
    return _render(statement, _secret)


def masked(part: Part) -> str:
    """Give PART for people: what a person would type, with every secret replaced by `'********'`."""
    return _render(part, lambda _secret: MASK)


def _render(part: Part, secret: Callable[[str], str]) -> str:
    match part:
        case Identifier(parts):
            return ".".join(name(one) for one in parts)
        case Secret(value):
            return secret(value)
        case Literal(value):
            return _literal(value)
        case Keyword(word):
            return word
        case Joined(parts, separator):
            return separator.join(_render(one, secret) for one in parts)
        case Statement(template, arguments):
            pieces = template.split("{}")
            values = [_render(one, secret) for one in arguments]
            return pieces[0] + "".join(value + piece for value, piece in zip(values, pieces[1:], strict=True))


def name(value: str) -> str:
    """Quote a name."""
    return "`" + value.replace("`", "``") + "`"


def text(value: str) -> str:
    """Quote text; the session's character set is utf8mb4, where no byte of another character is a quote."""
    if "\\" in value or "\0" in value:
        return f"_utf8mb4 0x{value.encode().hex()}"
    return "'" + value.replace("'", "''") + "'"


def _secret(value: str) -> str:
    # Where secrets stand, which are hashes of passwords, the grammar takes digits but no character set before them.
    return f"0x{value.encode().hex()}" if "\\" in value or not value.isprintable() else text(value)


def _literal(value: str | int | bool | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    return text(value)
