# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe: a table, all accounts and roles, and what each of them holds that may concern the table.

Called by mysql/observing.py for tables that somebody asked about; a handful of queries for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import catalog_accounts, catalog_grants
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.access_state import (
    Access,
    AccountFacts,
    TableName,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    AccountName,
    Facts,
    Reader,
)

_TABLE = "SELECT TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
_COLUMNS = """
SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s ORDER BY ORDINAL_POSITION
"""
_USERS = {
    "mysql": "SELECT DISTINCT User FROM mysql.user",
    "mariadb": "SELECT DISTINCT User FROM mysql.global_priv",
}
_MANDATORY = "SELECT @@GLOBAL.mandatory_roles"
_TYPES = {"BASE TABLE": "table", "SYSTEM VERSIONED": "table"}


def read(reader: Reader, name: TableName, facts: Facts) -> Access | DbopsError:
    """Read a table, or give why it could not be read."""
    if not facts.admin.reads_accounts:
        text = f"who may do what is read from the server's tables of accounts: {facts.admin.accounts_problem}"
        return DbopsError(Reason.PRIVILEGE_MISSING, text)
    folded = TableName(facts.fold(name.database), facts.fold(name.table))
    rows = reader.rows(_TABLE, folded)
    if not rows:
        text = f"table {name.table} of database {name.database} does not exist, or cannot be seen by {facts.admin.name}"
        return DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="table")
    ((kind,),) = rows
    flavour = facts.dialect.flavour
    users = [row[0] for row in reader.rows(_USERS[flavour])]
    accounts = catalog_accounts.of_users(reader, users, facts.dialect)
    text = reader.rows(_MANDATORY)[0][0] if flavour == "mysql" else ""
    return Access(
        type=_TYPES.get(kind, kind.lower()),
        columns=tuple(row[0] for row in reader.rows(_COLUMNS, folded)),
        accounts={one.name: _facts(one, folded, facts) for hosts in accounts.values() for one in hosts.values()},
        held=catalog_grants.on_table(reader, users, folded.database, folded.table, facts),
        mandatory=tuple(mandatory_roles(text or "")),
    )


def _facts(account: Account, name: TableName, facts: Facts) -> AccountFacts:
    roles = account.roles
    if account.default_role:
        # MariaDB's one.
        roles = tuple(one._replace(default=one.role.user == account.default_role) for one in roles)
    restricted = {
        word
        for database, words in account.restrictions.items()
        if facts.fold(database) == name.database
        for word in words
    }
    return AccountFacts(not (account.locked or account.is_role), roles, frozenset(restricted))


_PART = r"""(?:`((?:[^`]|``)*)`|'((?:[^']|'')*)'|"((?:[^"]|"")*)"|([^\s,@`'"]+))"""
_ROLE = re.compile(rf"\s*{_PART}(?:\s*@\s*{_PART})?\s*(?:,|$)")


def mandatory_roles(text: str) -> Iterator[AccountName]:
    """Read the value of mandatory_roles: names in any kind of quotes or none, each with a host or for `%`."""
    for found in _ROLE.finditer(text):
        parts = found.groups()
        yield AccountName(_unquoted(parts[:4]) or "", _unquoted(parts[4:]) or "%")


def _unquoted(parts: tuple[str | None, ...]) -> str | None:
    for quote, part in zip(("`", "'", '"', ""), parts, strict=True):
        if part is not None:
            return part.replace(quote * 2, quote) if quote else part
    return None
