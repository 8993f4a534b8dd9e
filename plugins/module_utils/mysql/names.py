# SPDX-License-Identifier: GPL-3.0-or-later
"""What MySQL and MariaDB take as names, and how messages and grants show them.

Called by the planners before anything is planned. Nothing is forbidden that the server can hold: a name is quoted,
never inspected. What the server would silently change (MySQL makes `?` of an emoji and cuts blanks off) is refused.
https://dev.mysql.com/doc/refman/8.4/en/identifiers.html
"""

from __future__ import annotations

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

OBJECT_CHARACTERS = 64
"""Databases, tables, columns and routines; characters, not bytes."""
PATTERN_CHARACTERS = 64
"""Of a database's name in a grant, with the backslashes that keep `_` and `%` from being wildcards."""
HOST_CHARACTERS = 255
BLANKS = " \t\n\v\f\r"
"""What servers do not take at the end of a name, or silently cut off there: MySQL made the account without a name of
a user called `\\r`."""
_LAST_OF_UTF8MB3 = "\uffff"


def check_name(name: str, *, field: str, characters: int = OBJECT_CHARACTERS) -> None:
    """Refuse with InvalidSpec what no object on the server can be called."""
    problem = _problem(name, characters)
    if problem:
        raise DbopsError(Reason.INVALID_SPEC, f"{field} {problem}", field=field)


def _problem(name: str, characters: int) -> str | None:
    if not name:
        return "is empty"
    if "\0" in name:
        return "contains a NUL character"
    if not can_be(name):
        return f"{name!r} contains a character that the server cannot keep in names, such as an emoji"
    if len(name) > characters:
        return f"{name[:20]!r}... is {len(name)} characters long; the server keeps {characters}"
    return f"{name!r} ends with a blank" if name[-1] in BLANKS else None


def can_be(name: str) -> bool:
    """Whether the server can compare NAME with its own; for one that it cannot keep, the question is an error."""
    return name.isascii() or max(name) <= _LAST_OF_UTF8MB3


def quoted(name: str) -> str:
    """Show a name inside of SQL that a message proposes."""
    return "`" + name.replace("`", "``") + "`"


def escaped(database: str) -> str:
    """Give the pattern that matches the name DATABASE and no other, as GRANT takes it."""
    return "".join(f"\\{one}" if one in "\\_%" else one for one in database)


def matches(pattern: str, database: str) -> bool:
    """Whether the PATTERN of a row of mysql.db is for a database of this name."""
    return _matches(_parts(pattern), database)


def is_wild(pattern: str) -> bool:
    """Whether PATTERN may be for more than one name."""
    return any(part in ("%", "_") for part in _parts(pattern))


def plain(pattern: str) -> str:
    """Give the one name that a PATTERN without wildcards is for."""
    return "".join(part[1:] for part in _parts(pattern))


def _parts(pattern: str) -> list[str]:
    """Split into wildcards (one character) and literal characters (with a backslash before them)."""
    parts = []
    characters = iter(pattern)
    for one in characters:
        if one == "\\":
            parts.append("\\" + next(characters, "\\"))
        else:
            parts.append(one if one in "%_" else "\\" + one)
    return parts


def _matches(parts: list[str], name: str) -> bool:
    # All places in the pattern that are possible after the characters read so far.
    places = _after_percent({0}, parts)
    for character in name:
        reached = set()
        for place in places - {len(parts)}:
            if parts[place] == "%":
                reached.add(place)
            elif parts[place] in ("_", "\\" + character):
                reached.add(place + 1)
        places = _after_percent(reached, parts)
    return len(parts) in places


def _after_percent(places: set[int], parts: list[str]) -> set[int]:
    """Add the places that are reached without another character."""
    found = set(places)
    for start in places:
        end = start
        while end < len(parts) and parts[end] == "%":
            end += 1
        found.update(range(start, end + 1))
    return found
