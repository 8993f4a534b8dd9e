# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place where a statement becomes SQL: as psycopg's composition for the server, as masked text for people.

Called by postgresql/apply.py with what the planners made (core.statement). Nothing else in the engine puts text
from a user into SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Literal,
    Part,
    Secret,
    Statement,
)

if TYPE_CHECKING:
    from psycopg import sql

MASK = "'********'"


def composed(statement: Statement) -> sql.Composed:
    """Give STATEMENT for the server."""
    return _constant(statement.template).format(*(_composable(one) for one in statement.arguments))


def _composable(part: Part) -> sql.Composable:
    from psycopg import sql

    match part:
        case Identifier(parts):
            return sql.Identifier(*parts)
        case Literal(value) | Secret(value):
            return sql.Literal(value)
        case Keyword(text):
            return _constant(text)
        case Joined(parts, separator):
            return _constant(separator).join([_composable(one) for one in parts])
        case Statement():
            return composed(part)


def masked(part: Part) -> str:
    """Give PART for people: what a person would type, with every secret replaced by `'********'`."""
    match part:
        case Identifier(parts):
            return ".".join('"' + one.replace('"', '""') + '"' for one in parts)
        case Secret():
            return MASK
        case Literal(value):
            return _literal(value)
        case Keyword(text):
            return text
        case Joined(parts, separator):
            return separator.join(masked(one) for one in parts)
        case Statement(template, arguments):
            pieces = template.split("{}")
            rendered = [masked(one) for one in arguments]
            return pieces[0] + "".join(text + piece for text, piece in zip(rendered, pieces[1:], strict=True))


def _literal(value: str | int | bool | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    quoted = "'" + value.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in value else quoted


def _constant(text: str) -> sql.SQL:
    from psycopg import sql

    # Templates, separators and keywords are constants of our source: core.statement says so.
    return sql.SQL(text)
