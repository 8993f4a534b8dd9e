# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of `grants` as users write them become typed values; what holds on every engine is checked here.

Called by core.parse; what a server's engine and version allow is checked by its planners.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Grant
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

# The API takes words of capitals; dynamic privileges of MySQL have underscores.
_WORD = re.compile(r"[A-Z][A-Z_ ]*")
_LISTS = ("tables", "columns", "sequences", "functions")


def read(entries: Iterable[Mapping[str, Any]]) -> tuple[Grant, ...]:
    """Read validated entries of `grants`. Raises DbopsError with InvalidSpec."""
    return tuple(_one(entry) for entry in entries)


def _one(entry: Mapping[str, Any]) -> Grant:
    lists = {name: tuple(dict.fromkeys(entry[name] or ())) for name in _LISTS}
    return Grant(**{**entry, **lists, "privileges": words(entry["privileges"])})


def words(privileges: Iterable[str], *, field: str = "grants") -> tuple[str, ...]:
    """Give privileges in capitals with single blanks, each once. Raises DbopsError with InvalidSpec."""
    found = tuple(dict.fromkeys(" ".join(word.upper().split()) for word in privileges))
    if not found:
        raise DbopsError(Reason.INVALID_SPEC, "privileges is empty", field=field)
    for word in found:
        if not _WORD.fullmatch(word):
            raise DbopsError(Reason.INVALID_SPEC, f"{word!r} is not the name of a privilege", field=field)
    return found
