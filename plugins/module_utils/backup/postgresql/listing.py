# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a database, in pg_dump's own words: how many objects of each type, and which tables have rows.

Called by dump.py in the snapshot of the dump, with the dump's own choice of schemas and tables, and by compare.py for
what was restored. pg_dump writes the definitions alone, and `pg_restore --list` names them: so both sides are counted
by the tool that dumps them, and nothing about types of objects is ours.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.client_files import ClientFiles
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql import client
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.client import Login
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.messages import require_dumped
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.processes import require_success, run
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.tools import Tool
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Connector

_PG_CLASS = 1259
# `215; 1259 16388 TABLE public orders shop`: the type is words in capitals, and what follows is not.
_ENTRY = re.compile(rb"^\d+; (\d+) (\d+) ([A-Z]+(?: [A-Z]+)*) ", re.MULTILINE)
_TYPES = (
    "ACCESS METHOD, AGGREGATE, CAST, CHECK CONSTRAINT, COLLATION, COMMENT, CONSTRAINT, CONVERSION, DEFAULT, DOMAIN, "
    "EVENT TRIGGER, EXTENSION, FK CONSTRAINT, FOREIGN DATA WRAPPER, FOREIGN TABLE, FUNCTION, INDEX, INDEX ATTACH, "
    "MATERIALIZED VIEW, OPERATOR, OPERATOR CLASS, OPERATOR FAMILY, POLICY, PROCEDURAL LANGUAGE, PROCEDURE, "
    "PUBLICATION, PUBLICATION TABLE, PUBLICATION TABLES IN SCHEMA, ROW SECURITY, RULE, SCHEMA, SEQUENCE, "
    "SEQUENCE OWNED BY, SERVER, STATISTICS, TABLE, TABLE ATTACH, TEXT SEARCH CONFIGURATION, "
    "TEXT SEARCH DICTIONARY, TEXT SEARCH PARSER, TEXT SEARCH TEMPLATE, TRANSFORM, TRIGGER, TYPE, USER MAPPING, VIEW"
)
"""What is counted."""
_OTHERS = (
    "ACL, BLOB, BLOB METADATA, BLOBS, DATABASE, DATABASE PROPERTIES, DEFAULT ACL, ENCODING, MATERIALIZED VIEW DATA, "
    "SEARCHPATH, SECURITY LABEL, SEQUENCE SET, STATISTICS DATA, STDSTRINGS, SUBSCRIPTION, SUBSCRIPTION TABLE, "
    "TABLE DATA"
)
"""What belongs to the place rather than the content, or is no object; `DEFAULT ACL` must not be taken for a DEFAULT."""
COUNTED = frozenset(_TYPES.split(", "))
_KNOWN = COUNTED | frozenset(_OTHERS.split(", "))


@dataclass(frozen=True)
class Listing:
    """Objects by type, as `tables` or `foreign_keys`, and the OIDs of plain and partitioned tables."""

    objects: dict[str, int]
    tables: tuple[int, ...]


def listing(
    pg_dump: Tool, arguments: Sequence[str], *, connector: Connector, login: Login, database: str, watch: Watch
) -> Listing:
    """List DATABASE as seen by LOGIN; ARGUMENTS are pg_dump's, for the choice and the snapshot. Raises DbopsError."""
    with ClientFiles() as files:
        archive = files.new("archive")
        wanted = ["--format=custom", "--compress=0", "--schema-only", *arguments]
        command = client.connecting(pg_dump, wanted, connector=connector, login=login, database=database, files=files)
        require_dumped(run(command, watch, sink=lambda data: _write(archive, data)))
        listed: list[bytes] = []
        command = client.plain(
            pg_dump.beside("pg_restore"), ["--list", f"/proc/self/fd/{archive}"], descriptors=[archive]
        )
        require_success("pg_restore --list", run(command, watch, sink=listed.append))
    return parse(b"".join(listed))


def parse(listed: bytes) -> Listing:
    """Read what `pg_restore --list` wrote; pure."""
    found: Counter[str] = Counter()
    tables = []
    for catalog, oid, words in _ENTRY.findall(listed):
        kind = _kind(words.decode())
        if kind and kind in COUNTED:
            found[_named(kind)] += 1
        if kind == "TABLE" and int(catalog) == _PG_CLASS:
            tables.append(int(oid))
    return Listing(dict(sorted(found.items())), tuple(tables))


def _kind(words: str) -> str | None:
    """Give the type out of WORDS in capitals, which may go on with a name in capitals."""
    parts = words.split(" ")
    candidates = (" ".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((one for one in candidates if one in _KNOWN), None)


def _named(kind: str) -> str:
    names = {
        "ROW SECURITY": "row_security",
        "POLICY": "policies",
        "INDEX": "indexes",
        "FK CONSTRAINT": "foreign_keys",
        "PROCEDURAL LANGUAGE": "languages",
    }
    plain = kind.lower().replace(" ", "_")
    return names.get(kind, plain if plain.endswith(("s", "_by", "_schema")) else f"{plain}s")


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
