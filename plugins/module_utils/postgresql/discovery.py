# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: databases, logins and group roles on the server that no declaration of the ledger manages.

Called by postgresql/observing.py where an instance asks for it; two queries, and one of the ledger. What belongs to
the server itself, the account that manages it and the ledger are left out.
"""

from __future__ import annotations

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.ledger import DATABASE, Ledger
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Reader

_DATABASES = """
SELECT datname FROM pg_database WHERE NOT datistemplate AND datname NOT IN ('postgres', %s) ORDER BY datname
"""
# The superuser that the server was made with has the first oid, whatever it is called.
_ROLES = """
SELECT rolname, rolcanlogin FROM pg_roles
WHERE oid <> 10 AND rolname !~ '^pg_' AND rolname NOT IN ('postgres', %s) ORDER BY rolname
"""


def unmanaged(reader: Reader, book: Ledger | None, *, admin: str) -> dict[str, list[str]]:
    """Give the names of databases, users and roles that nobody declares."""
    managed = book.managed() if book else frozenset()
    roles = [row for row in reader.rows(_ROLES, [admin]) if ("role", row[0]) not in managed]
    return {
        "databases": [name for (name,) in reader.rows(_DATABASES, [DATABASE]) if ("database", name) not in managed],
        "users": [name for name, login in roles if login],
        "roles": [name for name, login in roles if not login],
    }
