# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: databases, users and roles on the server that no declaration of the ledger manages.

Called by mysql/observing.py where an instance asks for it; two queries, and one of the ledger. What belongs to the
server itself, the account that manages it, the ledger, and what we make beside what is declared are left out.
"""

from __future__ import annotations

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import memberships, script_session
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.database import SYSTEM
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.ledger import DATABASE, Ledger
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Facts, Reader

_DATABASES = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME"
# MySQL tells roles from users by nothing: CREATE ROLE makes an account that is locked and has no password.
_ACCOUNTS = {
    "mysql": "SELECT User, MIN(account_locked = 'Y' AND authentication_string = '' AND Host = '%')"
    " FROM mysql.user GROUP BY User ORDER BY User",
    "mariadb": "SELECT User, MIN(JSON_VALUE(Priv, '$.is_role') IS NOT NULL)"
    " FROM mysql.global_priv GROUP BY User ORDER BY User",
}
_ROOT = "root"


def unmanaged(reader: Reader, book: Ledger | None, facts: Facts) -> dict[str, list[str]]:
    """Give the names of databases, users and roles that nobody declares."""
    managed = book.managed() if book else frozenset()
    own = {"", _ROOT, facts.admin.name.user, *facts.dialect.system_accounts}
    own |= {memberships.umbrella(name) for kind, name in managed if kind == "role"}
    own |= {script_session.definer(name).user for kind, name in managed if kind == "database"}
    accounts = []
    if facts.admin.reads_accounts:
        rows = reader.rows(_ACCOUNTS[facts.dialect.flavour])
        accounts = [row for row in rows if row[0] not in own and ("role", row[0]) not in managed]
    databases = [name for (name,) in reader.rows(_DATABASES) if name.lower() not in SYSTEM and name != DATABASE]
    return {
        "databases": [name for name in databases if ("database", name) not in managed],
        "users": [name for name, is_role in accounts if not is_role],
        "roles": [name for name, is_role in accounts if is_role],
    }
