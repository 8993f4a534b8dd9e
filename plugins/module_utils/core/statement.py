# SPDX-License-Identifier: GPL-3.0-or-later
"""A statement before any driver has seen it: a constant template with typed arguments.

Planners make these without I/O and without a driver; each engine's quoting.py renders them, once for the server
and once with secrets masked for people. A template is always a constant of the source: text from users can only
be an argument, and the type of the argument decides how it is quoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Identifier:
    """A name, or a qualified one such as (schema, table)."""

    parts: tuple[str, ...]

    def __init__(self, *parts: str) -> None:
        """Take the PARTS from the outermost to the innermost."""
        object.__setattr__(self, "parts", parts)


@dataclass(frozen=True)
class Literal:
    """A value."""

    value: str | int | bool | None


@dataclass(frozen=True)
class Secret:
    """A value that people never see: rendered as '********' wherever the statement is shown."""

    value: str = field(repr=False)


@dataclass(frozen=True)
class Keyword:
    """Words of SQL out of a table of ours, such as a privilege; anything but capitals, blanks and `_` is refused."""

    text: str

    def __post_init__(self) -> None:
        """Refuse what cannot have come out of a table."""
        letters = self.text.replace(" ", "").replace("_", "")
        if not letters.isascii() or not letters.isalpha() or self.text != self.text.upper():
            raise ValueError(f"not a keyword: {self.text!r}")


@dataclass(frozen=True)
class Statement:
    """A template with one `{}` for each argument; an argument may be a Statement or a Joined of its own."""

    template: str
    arguments: tuple[Part, ...] = ()

    def __init__(self, template: str, *arguments: Part) -> None:
        """Take a constant TEMPLATE and its ARGUMENTS."""
        if template.count("{}") != len(arguments):
            raise ValueError(f"{template!r} takes {template.count('{}')} arguments, not {len(arguments)}")
        object.__setattr__(self, "template", template)
        object.__setattr__(self, "arguments", arguments)


@dataclass(frozen=True)
class Joined:
    """Several parts with a constant SEPARATOR between them."""

    parts: tuple[Part, ...]
    separator: str = ", "

    def __init__(self, parts: Sequence[Part], separator: str = ", ") -> None:
        """Take the PARTS in their order."""
        object.__setattr__(self, "parts", tuple(parts))
        object.__setattr__(self, "separator", separator)


Part = Identifier | Literal | Secret | Keyword | Statement | Joined  # pylint: disable=unsupported-binary-operation
