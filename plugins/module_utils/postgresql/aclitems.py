# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of access control lists as PostgreSQL writes them, `app=ar*/owner`, become values; pure.

Called by what reads whole lists (export_grants.py); of single roles catalog_grants.py asks the server.
https://www.postgresql.org/docs/current/ddl-priv.html#PRIVILEGE-ABBREVS-TABLE
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC

_LETTERS = {
    "r": "SELECT",
    "a": "INSERT",
    "w": "UPDATE",
    "d": "DELETE",
    "D": "TRUNCATE",
    "x": "REFERENCES",
    "t": "TRIGGER",
    "m": "MAINTAIN",
    "C": "CREATE",
    "c": "CONNECT",
    "T": "TEMPORARY",
    "X": "EXECUTE",
    "U": "USAGE",
}


class Item(NamedTuple):
    """Who got what from whom, and what of it may be passed on."""

    grantee: str
    grantor: str
    privileges: frozenset[str]
    grantable: frozenset[str]


def read(text: str) -> Item:
    """Read one entry. A name with anything but letters, digits and underscores is in double quotes."""
    grantee, rest = _name(text, "=")
    letters, _ignored, grantor = rest.partition("/")
    return Item(grantee or PUBLIC, _name(grantor, "")[0], *_privileges(letters))


def _name(text: str, end: str) -> tuple[str, str]:
    """Give the name that TEXT begins with, and what comes after the END of it."""
    if not text.startswith('"'):
        name, _ignored, rest = text.partition(end) if end else (text, "", "")
        return name, rest
    place = 1
    while True:
        place = text.index('"', place)
        if text[place + 1 : place + 2] != '"':
            return text[1:place].replace('""', '"'), text[place + 1 + len(end) :]
        place += 2


@lru_cache(maxsize=1024)
def _privileges(letters: str) -> tuple[frozenset[str], frozenset[str]]:
    held, grantable = [], []
    for number, letter in enumerate(letters):
        # A newer server may have privileges that we know nothing of.
        if letter in _LETTERS:
            held.append(_LETTERS[letter])
            if letters[number + 1 : number + 2] == "*":
                grantable.append(_LETTERS[letter])
    return frozenset(held), frozenset(grantable)
