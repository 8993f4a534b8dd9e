# SPDX-License-Identifier: GPL-3.0-or-later
"""The login that restores: an account for the databases of one restore and nothing else, locked when it is over.

Used by mysql/engine.py. A dump is foreign code, and on these servers what defines a view or a routine runs with its
rights: so everything in a restored database has this account as its definer, it never has more than the database, and
between restores nobody can log in as it. It stays for as long as something refers to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Keyword,
    Literal,
    Part,
    Secret,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    catalog_accounts,
    catalog_grants,
    errors,
    grant_statements,
    hashes,
    names,
    privileges,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_privileges import admin_has
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import AccountName, Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import account, shown

_FOR = {
    "tables": frozenset({"CREATE", "DROP", "ALTER", "INSERT", "SELECT", "LOCK TABLES"}),
    "views": frozenset({"CREATE VIEW", "SHOW VIEW"}),
    "procedures": frozenset({"CREATE ROUTINE", "ALTER ROUTINE"}),
    "functions": frozenset({"CREATE ROUTINE", "ALTER ROUTINE"}),
    "packages": frozenset({"CREATE ROUTINE", "ALTER ROUTINE"}),
    "triggers": frozenset({"TRIGGER"}),
    "events": frozenset({"EVENT"}),
}
"""What it takes on the database to make objects of a type, as the dump makes them."""
_WRITES_LOG = frozenset({"procedures", "functions", "triggers", "packages"})


class RestoreLogin:
    """The account of a database on one server."""

    def __init__(self, server: Server, database: str) -> None:
        """Take the DATABASE by its final name; nothing is made."""
        self._server = server
        digest = hashlib.sha256(server.facts.fold(database).encode()).hexdigest()[:16]
        self.name = AccountName(f"dbops_restore_{digest}", "%")

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return bool(self._server.main.rows("SELECT 1 FROM mysql.user WHERE user = %s", [self.name.user]))

    def databases(self) -> frozenset[str]:
        """Give the databases that it has privileges on, folded. Raises DbopsError where it has others than those."""
        return frozenset(self._server.facts.fold(names.plain(one.database)) for one in self._held())

    def _held(self) -> dict[Target, frozenset[str]]:
        """Give what it has. An account of this name that somebody else made could have anything."""
        server = self._server
        held = catalog_grants.of_users(server.main, {self.name.user}, server.facts.dialect)
        roles = catalog_accounts.roles(server.main, {self.name.user}, server.facts.dialect.flavour)
        mine = held.get(self.name, {})
        foreign = [one for one in mine if one.level != privileges.DATABASE]
        if foreign or roles.get(self.name) or any(one != self.name for one in held):
            raise self._foreign()
        return dict(mine)

    def check(self, *databases: str) -> None:
        """Refuse an account of this name that is for anything but DATABASES. Raises DbopsError."""
        fold = self._server.facts.fold
        foreign = self.databases() - {fold(one) for one in databases} if self.exists else frozenset()
        if foreign:
            raise self._foreign()

    def _foreign(self) -> DbopsError:
        text = f"the account {self.name} has more than a restore's login; it is none of ours: drop it"
        return DbopsError(Reason.NOT_ADOPTED, text)

    def open(self, databases: Iterable[str]) -> str:
        """Make it, or unlock it, for these DATABASES; give its new password. Raises DbopsError."""
        exists = self.exists
        databases = tuple(databases)
        self.check(*databases)
        password = secrets.token_urlsafe(24)
        self._set(password, "ALTER" if exists else "CREATE", "ACCOUNT UNLOCK")
        for database in databases:
            self._grant(database)
        return password

    def lock(self) -> None:
        """Let nobody log in any more, and end its sessions."""
        self._set(secrets.token_urlsafe(24), "ALTER", "ACCOUNT LOCK")
        self.end_sessions()

    def end_sessions(self) -> None:
        """End what still runs for it, as far as our account may."""
        rows = self._server.main.rows("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s", [self.name.user])
        for (number,) in rows:
            # It may have ended by itself.
            with contextlib.suppress(DbopsError):
                send(self._server, Statement("KILL CONNECTION {}", Literal(number)), f"session of {self.name}")

    def revoke(self, database: str) -> None:
        """Take away what it has on DATABASE, word by word: ALL would take that we have all of it ourselves."""
        fold = self._server.facts.fold
        for target, words in self._held().items():
            if fold(names.plain(target.database)) == fold(database):
                for step in grant_statements.revokes(self.name, {target: words}, self._server.facts.dialect):
                    send(self._server, step.statement, f"privileges of {self.name}")

    def drop_unless_used(self) -> None:
        """Drop it if nothing has it as its definer."""
        flavour = self._server.facts.dialect.flavour
        if catalog_accounts.definitions(self._server.main, {self.name.user}, flavour).get(self.name.user):
            return
        send(self._server, Statement("DROP USER IF EXISTS {}", account(self.name)), f"user {self.name}")

    def _set(self, password: str, verb: str, lock: str) -> None:
        dialect = self._server.facts.dialect
        hashed = Secret(hashes.make(password, dialect.default_plugin))
        identified = Statement(dialect.identified, Identifier(dialect.default_plugin), hashed)
        arguments: tuple[Part, ...] = (Keyword(verb), account(self.name), identified, Keyword(lock))
        send(self._server, Statement("{} USER {}{} {}", *arguments), f"user {self.name}")

    def _grant(self, database: str) -> None:
        pattern = self._pattern(database)
        words = available(self._server, database)
        target = Target(privileges.DATABASE, pattern)
        for step in grant_statements.grants(self.name, {target: words}, self._server.facts.dialect):
            send(self._server, step.statement, f"privileges of {self.name}")

    def _pattern(self, database: str) -> str:
        # With partial revokes on, the server takes no wildcards in grants, and no backslashes before them.
        pattern = database if self._server.facts.partial_revokes else names.escaped(database)
        if len(pattern) > names.PATTERN_CHARACTERS:
            text = f"the name {database} is too long for a grant on that database alone"
            raise DbopsError(Reason.UNSUPPORTED, text, field="database")
        return pattern


def available(server: Server, database: str) -> frozenset[str]:
    """Give the privileges on DATABASE that our account may give to the login."""
    words = set(server.facts.dialect.privileges_at(privileges.DATABASE)) - {privileges.GRANT_OPTION}
    held = admin_has(server.facts, Target(privileges.DATABASE, server.facts.fold(database)))
    return frozenset(words & held) if privileges.GRANT_OPTION in held else frozenset()


def problems(server: Server, database: str, objects: Mapping[str, Any]) -> list[DbopsError]:
    """Give why a login of ours cannot make OBJECTS (types and counts) in DATABASE."""
    if not server.facts.admin.reads_accounts:
        return []
    wanted = {"tables": 1, **{kind: number for kind, number in objects.items() if number}}
    needed = frozenset[str]().union(*(_FOR.get(kind, frozenset()) for kind in wanted))
    lacking = needed - available(server, database)
    found = []
    admin = server.facts.admin.name
    if lacking:
        grant = f"GRANT {', '.join(sorted(lacking))} ON *.* TO {shown(admin)} WITH GRANT OPTION"
        text = (
            f"{admin} may not give {', '.join(sorted(lacking))} to the login that restores, and what is in the backup "
            f"takes that; an administrator can allow it: {grant}"
        )
        found.append(DbopsError(Reason.PRIVILEGE_MISSING, text))
    logged = sorted(kind for kind in wanted if kind in _WRITES_LOG)
    if logged and server.facts.binary_log and not server.facts.trusts_function_creators:
        text = (
            f"the backup holds {', '.join(logged)}, and with the binary log on only an administrator may make those; "
            "set log_bin_trust_function_creators on the server, or leave them out"
        )
        found.append(DbopsError(Reason.PRIVILEGE_MISSING, text))
    return found


def send(server: Server, statement: Statement, doing: str) -> None:
    """Send STATEMENT as our account. Raises DbopsError."""
    import pymysql

    try:
        server.main.send(statement)
    except pymysql.MySQLError as error:
        raise errors.statement_error(error, doing=doing) from error
