# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects that would declare a live server of MySQL or MariaDB: read everything, leave out what is its own.

Called by mysql/server.py for core.export. Left out are system accounts and databases, the ledger, root, and the
account that we are. Accounts are sorted into users and roles by export_accounts.py, privileges into entries by
export_grants.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.exported import Chosen, Exported
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    catalog_accounts,
    catalog_databases,
    catalog_grants,
    export_accounts,
    export_grants,
    ledger,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Account, Reader, ServerState

SYSTEM = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
_USERS = {
    "mysql": "SELECT DISTINCT User FROM mysql.user ORDER BY User",
    "mariadb": "SELECT DISTINCT User FROM mysql.global_priv ORDER BY User",
}
_DATABASES = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME"
_ROOT = "root"


@dataclass
class _Export:
    """One export while it is made."""

    main: Reader
    state: ServerState
    chosen: Chosen
    found: Exported = field(default_factory=Exported)

    def export(self) -> Exported:
        """Read and give everything."""
        facts = self.state.facts
        if not facts.admin.reads_accounts:
            text = f"accounts and privileges cannot be read: {facts.admin.accounts_problem}"
            raise DbopsError(Reason.PRIVILEGE_MISSING, text)
        self._databases()
        those = self._accounts()
        grants = export_grants.Reading(self.state, self.chosen, self.found.warnings)
        grants.look(self.main, those)
        for one in those:
            content = grants.entries(one)
            if content:
                word = "role" if one.is_role else "user"
                self.found.objects.append({"kind": "database_grant", word: one.name, "grants": content})
        logins = sum(not one.is_role for one in those)
        if logins:
            self.found.warnings.append(f"passwords are not exported: {logins} logins are declared without one")
        return self.found

    def _databases(self) -> None:
        names = [row[0] for row in self.main.rows(_DATABASES)]
        self.state.databases = catalog_databases.read(self.main, names, self.state.facts)
        for name in names:
            database = self.state.databases[self.state.facts.fold(name)]
            if name.lower() in SYSTEM or name == ledger.DATABASE or not self.chosen.has_database(name):
                continue
            options = {"name": name, "encoding": database.charset, "collation": database.collation}
            self.found.objects.append({"kind": "database", **options})

    def _accounts(self) -> list[export_accounts.Exportable]:
        facts = self.state.facts
        own = {facts.admin.name.user, _ROOT, *facts.dialect.system_accounts}
        names = [row[0] for row in self.main.rows(_USERS[facts.dialect.flavour])]
        wanted = [name for name in names if name not in own and self.chosen.has_account(name)]
        by_name = catalog_accounts.of_users(self.main, wanted, facts.dialect)
        held = catalog_grants.of_users(self.main, wanted, facts.dialect)
        if facts.dialect.has_dynamic_privileges:
            self.state.dynamic_privileges = catalog_grants.dynamic(self.main)
        those = []
        for name in sorted(by_name):
            accounts: list[Account] = [
                replace(one, privileges=held.get(one.name, {})) for _ignored, one in sorted(by_name[name].items())
            ]
            those += export_accounts.sort(name, accounts, facts, self.found.warnings)
        refused = own - {_ROOT}
        self.found.objects += [export_accounts.entry(one, facts, refused, self.found.warnings) for one in those]
        return those


def export(main: Reader, state: ServerState, chosen: Chosen) -> Exported:
    """Give the objects for what is CHOSEN; STATE takes what is observed."""
    return _Export(main, state, chosen).export()
