# SPDX-License-Identifier: GPL-3.0-or-later
"""What a PostgreSQL server was sent, by its own log: an independent judge of what the product did and did not do."""

from __future__ import annotations

import re
from collections import Counter

from localstack.postgresql import PostgreSQLServer

SETTINGS = {"log_statement": "all", "log_line_prefix": "%m [%p] <%a> "}
"""Settings of a server whose log can be read here."""
_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d \S+ \S+ \[\d+\] ", re.MULTILINE)
# The tests' own sessions have a name.
_STATEMENT = re.compile(r"^<(?!localstack)[^>]*> LOG:  (?:statement|execute [^:]*): (.*)", re.DOTALL)
# What only looks, what bounds a transaction, and what the engine notes in a database of its own.
_NO_CHANGE = re.compile(
    r"\s*((SELECT(?! pg_terminate_backend)|WITH|SHOW|BEGIN|COMMIT|ROLLBACK|SET|RESET)\b|(INSERT INTO|UPDATE|CREATE"
    r" (SCHEMA|TABLE|INDEX)) .*\bdbops\b|CREATE DATABASE dbops|(REVOKE|ALTER) .* DATABASE dbops|ALTER DATABASE dbops)",
    re.DOTALL,
)
_SECRET = re.compile(r"'SCRAM-SHA-256\$[^']*'")


def changes(server: PostgreSQLServer) -> Counter[str]:
    """The statements that change something, but for the ledger, sent by others than the tests; secrets masked."""
    text = server.log.read_text(encoding="utf-8", errors="replace")
    found = [_STATEMENT.match(one) for one in _ENTRY.split(text)]
    statements = [plain(one[1]) for one in found if one]
    return Counter(one for one in statements if not _NO_CHANGE.match(one))


def plain(statement: str) -> str:
    """A statement on one line, as the audit trail shows it."""
    return re.sub(r"\s+", " ", _SECRET.sub("'********'", statement)).strip()
