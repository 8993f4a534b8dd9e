# SPDX-License-Identifier: GPL-3.0-or-later
"""Which privileges each type of object has, in one table, and what declared words mean by it; pure.

Asked by grant_items.py for what is there and by default_privileges.py for what will be made.
https://www.postgresql.org/docs/current/ddl-priv.html
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions

PRIVILEGES = {
    "database": ("CREATE", "CONNECT", "TEMPORARY"),
    "schema": ("USAGE", "CREATE"),
    "table": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"),
    "column": ("SELECT", "INSERT", "UPDATE", "REFERENCES"),
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "function": ("EXECUTE",),
    "type": ("USAGE",),
}
"""In the order in which statements and messages list them."""
ALL = frozenset({"ALL", "ALL PRIVILEGES"})
_SINCE = {"MAINTAIN": versions.MAINTAIN}
_SYNONYMS = {"TEMP": "TEMPORARY"}
PUBLIC = "public"
"""No role can have this name: it stands for everybody."""


@lru_cache(maxsize=256)
def known(object_type: str, version_number: int) -> frozenset[str]:
    """Give the privileges that objects of a type have on a server."""
    return frozenset(name for name in PRIVILEGES[object_type] if versions.has(_SINCE.get(name, 0), version_number))


def meant(
    words: Iterable[str], object_types: Iterable[str], version_number: int, *, field: str
) -> dict[str, frozenset[str]]:
    """Give for each of the OBJECT_TYPES those of the WORDS that it has; `ALL` stands for all that it has.

    Raises DbopsError for a word that none of them has: with InvalidSpec, or Unsupported where only the server is
    too old for it. FIELD is the option that is at fault.
    """
    types = tuple(dict.fromkeys(object_types))
    found, unknown = _meant(frozenset(words), types, version_number)
    for name in unknown:
        if any(name in PRIVILEGES[one] for one in types):
            text = f"privilege {name} is not known to PostgreSQL {versions.major(version_number)}"
            raise DbopsError(Reason.UNSUPPORTED, text, field=field)
        there = dict.fromkeys(privilege for one in types for privilege in PRIVILEGES[one])
        text = f"{name} is no privilege on {_names(types)}; there are: {', '.join(there)}, ALL"
        raise DbopsError(Reason.INVALID_SPEC, text, field=field)
    return dict(found)


@lru_cache(maxsize=1024)
def _meant(
    words: frozenset[str], types: tuple[str, ...], version_number: int
) -> tuple[tuple[tuple[str, frozenset[str]], ...], tuple[str, ...]]:
    """Give the privileges by type, and the words that none of the types has."""
    names = frozenset(_SYNONYMS.get(word, word) for word in words) - ALL
    there = [known(one, version_number) for one in types]
    given = there if words & ALL else [privileges & names for privileges in there]
    return tuple(zip(types, given, strict=True)), tuple(sorted(names.difference(*there)))


def _names(types: Iterable[str]) -> str:
    return " and ".join(f"{one}s" for one in types)


def ordered(object_type: str, privileges: Iterable[str]) -> list[str]:
    """Give PRIVILEGES in the order of the table."""
    names = frozenset(privileges)
    return [name for name in PRIVILEGES[object_type] if name in names]
