# SPDX-License-Identifier: GPL-3.0-or-later
"""How a declared function or procedure is found among those of a schema: by name, or by name and types; pure.

Called by acls.py. `total` stands for every routine of that name, `total(int, text[])` for the one that takes these.
Types may be written as SQL writes them or by their short names; they are compared with what format_type() gives
under the pinned search_path, so nothing declared is ever parsed by the server.
https://www.postgresql.org/docs/current/datatype.html
"""

from __future__ import annotations

import re

_SHORT = {
    "bool": "boolean",
    "bpchar": "character",
    "char": "character",
    "dec": "numeric",
    "decimal": "numeric",
    "float": "double precision",
    "float4": "real",
    "float8": "double precision",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
    "varchar": "character varying",
}
_COMMA = re.compile(r""",(?=(?:[^"]*"[^"]*")*[^"]*$)(?![^(]*\))""")
_MODIFIER = re.compile(r"\s*\(\s*\d+\s*(?:,\s*-?\d+\s*)?\)")
_ARRAY = re.compile(r"(?:\s*\[\s*\d*\s*\])+$")


def split(declared: str) -> tuple[str, tuple[str, ...] | None]:
    """Give the name and the types, as format_type() would write them; None: all that have the name."""
    name, parenthesis, rest = declared.partition("(")
    if not parenthesis or not name.strip() or not rest.rstrip().endswith(")"):
        return declared, None
    inner = rest.rstrip()[:-1]
    types = tuple(_type(one) for one in _COMMA.split(inner)) if inner.strip() else ()
    return name.rstrip(), types


def takes(types: tuple[str, ...], arguments: tuple[str, ...]) -> bool:
    """Whether a routine with ARGUMENTS (by format_type) is the one declared with TYPES."""
    return len(types) == len(arguments) and all(
        declared in (there, _unqualified(there)) for declared, there in zip(types, arguments, strict=True)
    )


def _type(text: str) -> str:
    words = " ".join(text.split())
    if '"' not in words:
        words = words.lower()
    words = words.removeprefix("pg_catalog.")
    array = "[]" if _ARRAY.search(words) else ""
    base = _MODIFIER.sub("", _ARRAY.sub("", words))
    return _SHORT.get(base, base) + array


def _unqualified(there: str) -> str:
    """Give a type of another schema by its own name; those of the system have no schema in front anyway."""
    schema, dot, name = there.partition(".")
    return name if dot and not schema.startswith('"') else there
