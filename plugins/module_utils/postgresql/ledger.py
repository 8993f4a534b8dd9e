# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of who owns what, in a database of its own on the server: `dbops`, which only we may enter.

Used by postgresql/server.py, whose session for the server as a whole is in that database where there is one: so
a role and its entry are written in one transaction, and the locks that serialise writers are taken where nobody
else can hold them. What is found is never trusted blindly: somebody could have prepared it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry, Owner
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Literal, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import errors
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Session
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Reader

DATABASE = "dbops"
VERSION = 3

# template0: nothing that somebody put into template1. No connections until nobody else can connect.
CREATE = (
    Statement(
        "CREATE DATABASE dbops TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' ALLOW_CONNECTIONS false"
    ),
    Statement("REVOKE ALL ON DATABASE dbops FROM PUBLIC"),
    Statement("ALTER DATABASE dbops ALLOW_CONNECTIONS true"),
)
# No defaults, no triggers, no functions: then there is nothing in it that could run as us.
_TABLES = (
    Statement("CREATE SCHEMA dbops"),
    Statement(
        "CREATE TABLE dbops.about (version int NOT NULL, system_identifier text, drops_counted_from timestamptz)"
    ),
    Statement(
        "CREATE TABLE dbops.object (kind text NOT NULL, name text NOT NULL, cluster text NOT NULL,"
        " owner_kind text NOT NULL, namespace text NOT NULL, owner_name text NOT NULL, state text NOT NULL,"
        " adopted bool NOT NULL, applied jsonb NOT NULL, changed_at timestamptz NOT NULL, PRIMARY KEY (kind, name))"
    ),
)

# What later versions added, in the order of the versions; an older ledger gets it before we write to it.
_ADDED = {
    2: (Statement("CREATE INDEX object_grantee ON dbops.object ((applied ->> 'grantee')) WHERE kind = 'grant'"),),
    3: (
        Statement(
            "CREATE TABLE dbops.epoch (name text NOT NULL PRIMARY KEY, number bigint NOT NULL,"
            " announced bigint NOT NULL, changed_at timestamptz NOT NULL)"
        ),
    ),
}

_TRUST = """
WITH me AS (SELECT oid FROM pg_roles WHERE rolname = session_user),
     here AS (SELECT d.*, o.rolname, o.rolsuper FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba
              WHERE d.datname = current_database())
SELECT h.rolname, h.datdba = me.oid OR h.rolsuper,
       ARRAY(SELECT coalesce(g.rolname, 'PUBLIC')
             FROM aclexplode(coalesce(h.datacl, acldefault('d', h.datdba))) a LEFT JOIN pg_roles g ON g.oid = a.grantee
             WHERE a.grantee NOT IN (h.datdba, me.oid) AND NOT coalesce(g.rolsuper, false)),
       array_remove(ARRAY[
         (SELECT 'a trigger' FROM pg_trigger WHERE NOT tgisinternal LIMIT 1),
         (SELECT 'an event trigger' FROM pg_event_trigger LIMIT 1),
         (SELECT 'a function' FROM pg_proc WHERE oid >= 16384 LIMIT 1),
         (SELECT 'a rule or view' FROM pg_rewrite WHERE oid >= 16384 LIMIT 1),
         (SELECT 'a row policy' FROM pg_policy LIMIT 1),
         (SELECT 'a default' FROM pg_attrdef WHERE oid >= 16384 LIMIT 1),
         (SELECT 'an operator' FROM pg_operator WHERE oid >= 16384 LIMIT 1),
         (SELECT 'a cast' FROM pg_cast WHERE oid >= 16384 LIMIT 1),
         (SELECT 'a foreign server' FROM pg_foreign_server LIMIT 1),
         (SELECT 'a foreign data wrapper' FROM pg_foreign_data_wrapper LIMIT 1),
         (SELECT 'an extension' FROM pg_extension WHERE extname <> 'plpgsql' LIMIT 1),
         (SELECT 'a publication' FROM pg_publication LIMIT 1),
         (SELECT 'a relation of somebody else' FROM pg_class c
          WHERE c.oid >= 16384 AND c.relowner NOT IN (h.datdba, me.oid) LIMIT 1),
         (SELECT 'a schema of somebody else' FROM pg_namespace n
          WHERE n.oid >= 16384 AND n.nspowner NOT IN (h.datdba, me.oid) LIMIT 1)], NULL),
       to_regclass('dbops.object') IS NOT NULL
FROM here h, me
"""

_OUTSIDE = """
SELECT o.rolname, o.rolname = session_user OR o.rolsuper, d.datallowconn
FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba WHERE d.datname = %s
"""
_FOREIGN = "it belongs to {owner}, who is neither the admin account nor a superuser"

_ENTRIES = """
SELECT kind, name, cluster, owner_kind, namespace, owner_name, state, adopted, applied
FROM dbops.object WHERE (kind, name) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""

# What is given to roles: by their own entries, by grants, and by databases as default privileges.
_DECLARED = """
SELECT o.kind, o.name, o.cluster, o.owner_kind, o.namespace, o.owner_name, o.state, o.adopted, o.applied
FROM unnest(%(grantees)s::text[]) w (grantee) JOIN dbops.object o
  ON o.kind = 'grant' AND o.applied ->> 'grantee' = w.grantee
UNION ALL
SELECT kind, name, cluster, owner_kind, namespace, owner_name, state, adopted, applied
FROM dbops.object WHERE state <> 'absent' AND (kind, name) IN (
    SELECT 'role', unnest(%(grantees)s::text[]) UNION ALL SELECT 'database', unnest(%(databases)s::text[]))
"""

_RECORD = """
INSERT INTO dbops.object VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp())
ON CONFLICT (kind, name) DO UPDATE SET cluster = excluded.cluster, owner_kind = excluded.owner_kind,
  namespace = excluded.namespace, owner_name = excluded.owner_name, state = excluded.state,
  adopted = excluded.adopted, applied = excluded.applied, changed_at = excluded.changed_at
"""

_DROPS = """
SELECT count(*), max(changed_at)::text FROM dbops.object o, dbops.about a
WHERE o.kind = 'database' AND o.state = 'absent'
  AND o.changed_at > clock_timestamp() - make_interval(secs => %s)
  AND (a.drops_counted_from IS NULL OR o.changed_at > a.drops_counted_from)
"""


@dataclass(frozen=True)
class Trust:
    """Whether the ledger may be entered: why not, if not, and whether its tables are there."""

    problem: str | None = None
    prepared: bool = False


_MANAGED = "SELECT kind, name FROM dbops.object WHERE state <> 'absent'"


def trust(reader: Reader) -> Trust:
    """Judge the ledger from a session in it, by the catalogs alone."""
    ((owner, owned, others, foreign, prepared),) = reader.rows(_TRUST)
    problems = []
    if not owned:
        problems.append(_FOREIGN.format(owner=owner))
    if others:
        problems.append(f"{', '.join(sorted(set(others)))} may enter it")
    if foreign:
        problems.append(f"it contains {', '.join(foreign)}")
    return Trust("; ".join(problems) or None, prepared)


def outside(reader: Reader) -> str | None:
    """Say, from a session elsewhere, why the ledger's database lets nobody in; None when it is being made by us."""
    rows = reader.rows(_OUTSIDE, [DATABASE])
    if not rows:
        return None
    ((owner, owned, open_),) = rows
    if not owned:
        return _FOREIGN.format(owner=owner)
    return "the admin account cannot enter it" if open_ else None


def distrusted(problem: str) -> DbopsError:
    """Give the error for a ledger that may not be entered."""
    return DbopsError(
        Reason.CONFLICT,
        f"the database {DATABASE}, where ownership is recorded, could have been prepared by somebody else: {problem}. "
        f"Drop or rename it, or give it to the admin account and take all rights of others on it away",
    )


class Ledger:
    """The entries, through a SESSION in the ledger's database that was found trustworthy."""

    def __init__(self, session: Session) -> None:
        """Take a SESSION in the database; nothing is read yet."""
        self._session = session
        self.version: int | None = None
        self._identity: str | None = None

    @property
    def identity(self) -> str | None:
        """Which server this is the ledger of."""
        if self.version is None:
            self._read_version()
        return self._identity

    def settle(self, identity: str) -> None:
        """Write that it is the ledger of the server with this IDENTITY."""
        self.require_writable()
        self._session.rows("UPDATE dbops.about SET system_identifier = %s", [identity])

    def prepare(self, system_identifier: str | None) -> None:
        """Make the tables."""
        with self._session.transaction():
            for statement in (*_TABLES, *(one for added in _ADDED.values() for one in added)):
                self._session.send(statement)
            self._session.send(
                Statement("INSERT INTO dbops.about VALUES ({}, {}, NULL)", Literal(VERSION), Literal(system_identifier))
            )

    def read(self, things: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Entry]:
        """Give the entries of these THINGS (kind and name), those that there are."""
        if self.version is None:
            self._read_version()
        wanted = list(things)
        rows = self._session.rows(_ENTRIES, [[kind for kind, _ignored in wanted], [name for _ignored, name in wanted]])
        return {(row[0], row[1]): _entry(row) for row in rows}

    def managed(self) -> frozenset[tuple[str, str]]:
        """Give the kinds and names of all that somebody declares."""
        return frozenset(self._session.rows(_MANAGED))

    def declared(self, grantees: Iterable[str], databases: Iterable[str]) -> list[Entry]:
        """Give the entries of what gives something to GRANTEES, and those of DATABASES."""
        parameters = {"grantees": list(grantees), "databases": list(databases)}
        return [_entry(row) for row in self._session.rows(_DECLARED, parameters)]

    def open(self) -> None:
        """Read what the ledger says of itself."""
        self._read_version()

    def _read_version(self) -> int:
        rows = self._session.rows("SELECT version, system_identifier FROM dbops.about")
        version, self._identity = rows[0] if rows else (VERSION, None)
        self.version = int(version)
        return self.version

    def upgrade(self) -> None:
        """Add to an older ledger what it lacks. The caller holds the ledger's lock."""
        import psycopg

        try:
            with self._session.transaction():
                for version in range(self._read_version() + 1, VERSION + 1):
                    note = Statement("UPDATE dbops.about SET version = {}", Literal(version))
                    for statement in (*_ADDED[version], note):
                        self._session.send(statement)
        except psycopg.Error as error:
            raise errors.statement_error(error, doing=f"bringing the ledger to version {VERSION}") from error
        self.version = VERSION

    @property
    def newer(self) -> bool:
        """Whether a newer version of this software made it: it is read and not written."""
        return self.version is not None and self.version > VERSION

    @property
    def outdated(self) -> bool:
        """Whether an older version of this software made it."""
        return self.version is not None and self.version < VERSION

    def require_writable(self) -> None:
        """Refuse with Unsupported what a newer version of this software keeps here."""
        if self.newer:
            text = f"the ledger has version {self.version}, this software writes {VERSION}; update it"
            raise DbopsError(Reason.UNSUPPORTED, text)

    def record(self, entry: Entry) -> None:
        """Write ENTRY over what was there; a part of the session's transaction if one is open."""
        owner = entry.owner
        values = (entry.kind, entry.name, owner.cluster, owner.kind, owner.namespace, owner.name, entry.state)
        self._session.rows(_RECORD, [*values, entry.adopted, json.dumps(dict(entry.applied))])

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
            self._session.rows("UPDATE dbops.about SET drops_counted_from = clock_timestamp()")
            return
        raise DbopsError(
            Reason.ACKNOWLEDGEMENT_NEEDED,
            f"{count} databases were dropped on this server within {brake['seconds']} s; "
            f"if that is meant, acknowledge it with {token}",
        )


def _entry(row: tuple[Any, ...]) -> Entry:
    return Entry(row[0], row[1], Owner(*row[2:6]), state=row[6], adopted=row[7], applied=row[8])


def lock_key(thing: str, name: str) -> int:
    """Give the key of the advisory lock that writers on this object take, a signed number of 64 bits."""
    return int.from_bytes(hashlib.sha256(f"{thing}:{name}".encode()).digest()[:8], "big", signed=True)
