# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects that would declare a live PostgreSQL server: read everything, leave out what is the server's own.

Called by postgresql/server.py for core.export. Left out are system roles and databases, the ledger, the account that
we are, the superuser that the server was made with, and what belongs to extensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.exported import Chosen, Exported
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    catalog,
    catalog_databases,
    export_catalog,
    export_databases,
    export_grants,
    export_roles,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database_options import LEDGER, SYSTEM
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Reader,
    Role,
    ServerState,
    Wanted,
)


@dataclass
class _Export:
    """One export while it is made."""

    chosen: Chosen
    main: Reader
    inside: Callable[[str], Reader]
    state: ServerState
    found: Exported = field(default_factory=Exported)
    roles: dict[str, Role] = field(default_factory=dict)
    """Those that are exported."""
    bootstrap: frozenset[str] = frozenset()
    grants: list[dict[str, export_grants.Entries]] = field(default_factory=list)
    given: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By grantee what a grant has beside its entries of `grants`."""

    @property
    def nobodys(self) -> frozenset[str]:
        """The accounts that make what has no declared owner."""
        return self.bootstrap | {self.state.facts.admin.name}

    @property
    def grantees(self) -> set[str]:
        """Who is declared to hold something."""
        everybody = {PUBLIC} if self.chosen.has_account(PUBLIC.upper()) else set()
        return {*self.roles, *everybody}

    def export(self) -> Exported:
        """Read and give everything."""
        self._roles()
        self._databases()
        self._grants()
        self._remarks()
        return self.found

    def _roles(self) -> None:
        names = export_catalog.names(self.main)
        self.bootstrap = names.bootstrap
        admin = self.state.facts.admin
        wanted = [one for one in names.roles if one not in self.nobodys and self.chosen.has_account(one)]
        # Passwords are nobody's business here.
        found = catalog.roles(self.main, wanted, replace(admin, reads_verifiers=False))
        self.roles = {name: found[name] for name in wanted if name in found}
        for name, role in self.roles.items():
            one = export_roles.entry(role, self.found.warnings)
            more, joins = export_roles.memberships(role, self.state.facts, self.found.warnings)
            self.found.objects.append(one | more)
            if joins:
                self.given.setdefault(name, {})["roles"] = joins

    def _databases(self) -> None:
        rows = [
            row
            for row in export_catalog.databases(self.main)
            if row.name not in SYSTEM | {LEDGER} and self.chosen.has_database(row.name)
        ]
        names = frozenset(row.name for row in rows if not row.broken)
        wanted = Wanted(databases=names, contents=names)
        catalog_databases.read_into(self.state, self.main, wanted, [])
        for row in rows:
            if row.broken:
                text = f"database {row.name}: somebody began to drop it, and it can only be dropped"
                self.found.warnings.append(text)
            elif row.name in self.state.databases:
                self._database(row)

    def _database(self, row: export_catalog.DatabaseRow) -> None:
        catalog_databases.look_into(self.state, row.name, self.inside)
        database = self.state.databases[row.name]
        one = export_databases.entry(database, self.nobodys)
        inside = None
        if database.content:
            try:
                inside = export_catalog.inside(self.inside(row.name))
            except DbopsError as error:
                database = replace(database, content=None, content_problem=error)
        self.found.warnings += export_databases.remarks(database, inside.others if inside else (), row.provider)
        if inside:
            one |= export_databases.content(
                database,
                inside,
                bootstrap=self.bootstrap,
                nobodys=self.nobodys,
                version_number=self.state.facts.version_number,
            )
            more, others = export_databases.default_privileges(database, self.grantees, self.found.warnings)
            one |= more
            for grantee, those in others.items():
                self.given.setdefault(grantee, {}).setdefault("default_privileges", []).extend(those)
        self.found.objects.append(one)
        self._privileges(row, inside)

    def _privileges(self, row: export_catalog.DatabaseRow, inside: export_catalog.Inside | None) -> None:
        itself = export_catalog.ObjectRow("database", "", row.name, "", row.owner, [], row.acl, row.default)
        rows = inside.objects if inside else ()
        reading = export_grants.read(itself, rows, self.state.facts.version_number, self.found.warnings)
        known = self.grantees
        pairs = {one for one in reading.schemas() if one[0] in known}
        reaching = export_catalog.reaching(self.inside(row.name), pairs) if pairs else frozenset()
        self.grants.append(reading.entries(known, reaching))

    def _grants(self) -> None:
        for grantee, entries in export_grants.merged(self.grants):
            self.given.setdefault(grantee, {})["grants"] = entries
        for grantee, content in sorted(self.given.items()):
            role = self.roles.get(grantee)
            if grantee == PUBLIC:
                whom = {"role": PUBLIC.upper()}
            else:
                whom = {"user" if role and role.login else "role": grantee}
            self.found.objects.append({"kind": "database_grant", **whom, **content})

    def _remarks(self) -> None:
        logins = sum(role.login for role in self.roles.values())
        if logins:
            self.found.warnings.append(f"passwords are not exported: {logins} logins are declared without one")
        self.found.warnings += self._settings()
        self.found.warnings += [
            f"what was granted on {one} cannot be declared" for one in export_catalog.shared(self.main)
        ]

    def _settings(self) -> Iterator[str]:
        for database, role, config in export_catalog.settings(self.main):
            if (database and not self.chosen.has_database(database)) or (role and not self.chosen.has_account(role)):
                continue
            names = ", ".join(one.partition("=")[0] for one in config)
            where = f"database {database}" if database else "all databases"
            who = f"role {role}" if role else "all roles"
            yield f"settings of {who} in {where} cannot be declared: {names}"


def export(main: Reader, inside: Callable[[str], Reader], state: ServerState, chosen: Chosen) -> Exported:
    """Give the objects for what is CHOSEN; INSIDE gives a session in a database, STATE takes what is observed."""
    return _Export(chosen, main, inside, state).export()
