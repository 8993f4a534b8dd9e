# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: who owns what, kept in a database of the server: `dbops`, on which nobody else has a right of its own.

Used by mysql/server.py. What is found is never trusted blindly: somebody could have prepared it. A database has no
owner here, so it is judged by who may do what in it; whoever may write everywhere can change the server's own
tables of accounts as well, and needs no ledger for that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry, Owner
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import AccountName, Reader

DATABASE = "dbops"
VERSION = 2
NEEDED = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
"""What our account must have in it."""
_TABLES = frozenset({"about", "object", "lease"})

# Names are compared byte by byte and blanks at their end count. Each table has a primary key: some servers insist.
CREATE = (
    "CREATE DATABASE IF NOT EXISTS dbops CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    """CREATE TABLE IF NOT EXISTS dbops.about (one tinyint NOT NULL PRIMARY KEY, version int NOT NULL,
system_identifier varchar(64), drops_counted_from datetime(6)) ENGINE=InnoDB""",
    """CREATE TABLE IF NOT EXISTS dbops.object (kind varbinary(16) NOT NULL, name varbinary(1024) NOT NULL,
cluster varchar(255) NOT NULL, owner_kind varchar(255) NOT NULL, namespace varchar(255) NOT NULL,
owner_name varchar(255) NOT NULL, state varchar(16) NOT NULL, adopted tinyint NOT NULL, applied longtext NOT NULL,
grantee varbinary(512), changed_at datetime(6) NOT NULL, PRIMARY KEY (kind, name), KEY grantee (grantee))
ENGINE=InnoDB""",
    """CREATE TABLE IF NOT EXISTS dbops.lease (name varbinary(64) NOT NULL PRIMARY KEY,
holder varbinary(64) NOT NULL, server varchar(255) NOT NULL, session bigint unsigned NOT NULL,
expires_at datetime(6) NOT NULL) ENGINE=InnoDB""",
)
# What later versions added, in the order of the versions; an older ledger gets it before we write to it.
_ADDED = {
    2: (
        """CREATE TABLE IF NOT EXISTS dbops.epoch (name varbinary(255) NOT NULL PRIMARY KEY, number bigint NOT NULL,
announced bigint NOT NULL, changed_at datetime(6) NOT NULL) ENGINE=InnoDB""",
    ),
}
_ABOUT = "INSERT IGNORE INTO dbops.about VALUES (1, %s, COALESCE(%s, UUID()), NULL)"

_CONTENT = """
SELECT 'table', TABLE_NAME, TABLE_TYPE = 'BASE TABLE' AND ENGINE = 'InnoDB' FROM information_schema.TABLES
WHERE TABLE_SCHEMA = 'dbops'
UNION ALL SELECT 'trigger', TRIGGER_NAME, 0 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'dbops'
UNION ALL SELECT 'routine', ROUTINE_NAME, 0 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'dbops'
UNION ALL SELECT 'event', EVENT_NAME, 0 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'dbops'
"""
_EXISTS = "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'dbops'"
# The database of a row is a pattern. A backslash is nothing special in our text (NO_BACKSLASH_ESCAPES).
_RIGHTS = """
SELECT User, Host FROM mysql.db WHERE 'dbops' LIKE Db ESCAPE '\\'
UNION SELECT User, Host FROM mysql.tables_priv WHERE Db = 'dbops'
UNION SELECT User, Host FROM mysql.columns_priv WHERE Db = 'dbops'
UNION SELECT User, Host FROM mysql.procs_priv WHERE Db = 'dbops'
"""

_COLUMNS = "kind, name, cluster, owner_kind, namespace, owner_name, state, adopted, applied"
_ENTRIES = f"SELECT {_COLUMNS} FROM dbops.object WHERE (kind, name) IN %s"  # noqa: S608 (constants)
_GIVEN = f"SELECT {_COLUMNS} FROM dbops.object WHERE grantee IN %s AND state <> 'absent'"  # noqa: S608 (constants)
# Searched only for roles that are none of the server's, which have no other list of their members.
_MEMBERS = f"""
SELECT {_COLUMNS} FROM dbops.object WHERE kind IN ('role', 'grant') AND state <> 'absent'
  AND (JSON_CONTAINS(applied, %(name)s, '$.in_roles') OR JSON_CONTAINS(applied, %(name)s, '$.roles'))
"""  # noqa: S608 (constants)
_RECORD = """
REPLACE INTO dbops.object VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6))
"""
_DROPS = """
SELECT COUNT(*), CAST(MAX(o.changed_at) AS CHAR) FROM dbops.object o, dbops.about a
WHERE o.kind = 'database' AND o.state = 'absent' AND o.changed_at > UTC_TIMESTAMP(6) - INTERVAL %s SECOND
  AND (a.drops_counted_from IS NULL OR o.changed_at > a.drops_counted_from)
"""


@dataclass(frozen=True)
class Trust:
    """Whether the ledger may be used: why not, if not, and whether its tables are there."""

    problem: str | None = None
    exists: bool = False
    prepared: bool = False


_MANAGED = "SELECT kind, name FROM dbops.object WHERE state <> 'absent'"


def trust(reader: Reader, admin: AccountName) -> Trust:
    """Judge the ledger by the server's tables alone. Raises DbopsError where these cannot be read."""
    if not reader.rows(_EXISTS):
        return Trust()
    content = reader.rows(_CONTENT)
    tables = {name for kind, name, _ignored in content if kind == "table"}
    foreign = sorted(f"{kind} {name}" for kind, name, plain in content if not plain)
    rights = {AccountName(*row) for row in reader.rows(_RIGHTS)}
    others = sorted(str(one) for one in rights - {admin})
    problems = []
    if others:
        problems.append(f"{', '.join(others)} may enter it")
    if foreign:
        problems.append(f"it contains {', '.join(foreign)}")
    return Trust("; ".join(problems) or None, exists=True, prepared=tables >= _TABLES)


def distrusted(problem: str) -> DbopsError:
    """Give the error for a ledger that may not be used."""
    return DbopsError(
        Reason.CONFLICT,
        f"the database {DATABASE}, where ownership is recorded, could have been prepared by somebody else: {problem}. "
        f"Drop it, or take out what is not the ledger's and take all rights of others on it away",
    )


class Ledger:
    """The entries, through a session; only where the database was found trustworthy."""

    def __init__(self, session: Reader) -> None:
        """Take a SESSION; nothing is read yet."""
        self._session = session
        self.version: int | None = None
        self.system_identifier: str | None = None

    @property
    def identity(self) -> str | None:
        """Which server this is the ledger of."""
        return self.system_identifier

    def settle(self, identity: str) -> None:
        """Write that it is the ledger of the server with this IDENTITY."""
        self.require_writable()
        self._session.rows("UPDATE dbops.about SET system_identifier = %s", [identity])

    def prepare(self, identity: str | None) -> None:
        """Make the tables, or what is missing of them; a server without an IDENTITY gets one."""
        for statement in (*CREATE, *(one for added in _ADDED.values() for one in added)):
            self._session.rows(statement)
        self._session.rows(_ABOUT, [VERSION, identity])

    def open(self) -> None:
        """Read what the ledger says of itself."""
        rows = self._session.rows("SELECT version, system_identifier FROM dbops.about")
        self.version, self.system_identifier = rows[0] if rows else (VERSION, None)

    def read(self, things: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        """Give the entries of these THINGS (kind and name), those that there are."""
        wanted = list(things)
        rows = self._session.rows(_ENTRIES, [wanted]) if wanted else []
        return {(entry.kind, entry.name): entry for entry in map(_entry, rows)}

    def managed(self) -> frozenset[tuple[str, str]]:
        """Give the kinds and names of all that somebody declares."""
        return frozenset((kind.decode(), name.decode()) for kind, name in self._session.rows(_MANAGED))

    def given_to(self, grantees: Iterable[str]) -> list[Entry]:
        """Give the entries of all that gives something to these GRANTEES."""
        wanted = list(grantees)
        return [_entry(row) for row in self._session.rows(_GIVEN, [wanted])] if wanted else []

    def members_of(self, role: str) -> list[Entry]:
        """Give the entries of all that gives ROLE to somebody."""
        return [_entry(row) for row in self._session.rows(_MEMBERS, {"name": json.dumps(role)})]

    @property
    def newer(self) -> bool:
        """Whether a newer version of this software made it: it is read and not written."""
        return self.version is not None and self.version > VERSION

    @property
    def outdated(self) -> bool:
        """Whether an older version of this software made it."""
        return self.version is not None and self.version < VERSION

    def upgrade(self) -> None:
        """Add to an older ledger what it lacks; the steps bear repetition, and the version comes last."""
        for version in range((self.version or 0) + 1, VERSION + 1):
            for statement in _ADDED[version]:
                self._session.rows(statement)
            self._session.rows("UPDATE dbops.about SET version = %s WHERE version < %s", [version, version])
        self.version = VERSION

    def require_writable(self) -> None:
        """Refuse with Unsupported what a newer version of this software keeps here."""
        if self.newer:
            text = f"the ledger has version {self.version}, this software writes {VERSION}; update it"
            raise DbopsError(Reason.UNSUPPORTED, text)

    def record(self, entry: Entry) -> None:
        """Write ENTRY over what was there."""
        owner = entry.owner
        values = (entry.kind, entry.name, owner.cluster, owner.kind, owner.namespace, owner.name, entry.state)
        grantee = entry.applied.get("grantee") if entry.kind == "grant" else entry.name
        text = json.dumps(dict(entry.applied), ensure_ascii=False)
        self._session.rows(_RECORD, [*values, int(entry.adopted), text, grantee])

    def check_brake(self, brake: Mapping[str, int], acknowledged: Iterable[str]) -> None:
        """Refuse with AcknowledgementNeeded another drop of a database when there were too many lately.

        BRAKE has `drops` (0: no brake) and `seconds`; a token in ACKNOWLEDGED starts the count anew.
        """
        if not brake["drops"]:
            return
        ((count, latest),) = self._session.rows(_DROPS, [brake["seconds"]])
        if count < brake["drops"]:
            return
        token = f"drops-{hashlib.sha256(str(latest).encode()).hexdigest()[:8]}"
        if token in acknowledged:
            self._session.rows("UPDATE dbops.about SET drops_counted_from = UTC_TIMESTAMP(6)")
            return
        raise DbopsError(
            Reason.ACKNOWLEDGEMENT_NEEDED,
            f"{count} databases were dropped on this server within {brake['seconds']} s; "
            f"if that is meant, acknowledge it with {token}",
        )


def _entry(row: tuple[Any, ...]) -> Entry:
    kind, name = row[0].decode(), row[1].decode()
    return Entry(kind, name, Owner(*row[2:6]), state=row[6], adopted=bool(row[7]), applied=json.loads(row[8]))
