# SPDX-License-Identifier: GPL-3.0-or-later
"""A database as one snapshot sees it, held for as long as pg_dump reads it: rows by table, extensions, roles.

Called by dump.py. The snapshot is exported, so that pg_dump, its listing and our counts see the same, whatever is
committed meanwhile; the counts go on beside pg_dump in a session of their own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Identifier, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Connector, Session

_SETTINGS = (
    # It is idle in its transaction for as long as pg_dump works, and a table may take longer than other statements.
    "SET idle_in_transaction_session_timeout = 0",
    "SET statement_timeout = 0",
    # Counting must not take the server's other cores away from whoever uses it.
    "SET max_parallel_workers_per_gather = 0",
    # An error instead of a part of the rows.
    "SET row_security = off",
)
_EXTENSIONS = "SELECT extname, extversion FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
_ROLES = """
SELECT DISTINCT pg_get_userbyid(refobjid) FROM pg_shdepend
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND refclassid = 'pg_authid'::regclass ORDER BY 1
"""
# Roles that a policy names must exist before it can be made; others are only given something.
_POLICY_ROLES = """
SELECT DISTINCT r.rolname FROM pg_policy p JOIN pg_roles r ON r.oid = ANY(p.polroles) ORDER BY 1
"""
_BLOBS = "SELECT count(*) FROM pg_largeobject_metadata"
_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY(%s) AND c.relkind = 'r' ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Snapshot:
    """An open snapshot: its name for pg_dump, and what was read in it at once."""

    session: Session = field(repr=False)
    name: str
    extensions: Mapping[str, str]
    roles: Sequence[str]
    policy_roles: Sequence[str]
    blobs: int
    """Large objects."""

    def tables(self, oids: Sequence[int]) -> list[tuple[str, str]]:
        """Give schema and name of those of the tables OIDS that have rows of their own."""
        return list(self.session.rows(_TABLES, [list(oids)]))


@contextlib.contextmanager
def snapshot(connector: Connector, database: str) -> Iterator[Snapshot]:
    """Hold a snapshot of DATABASE. Raises DbopsError."""
    session = connector.open(database)
    try:
        for setting in _SETTINGS:
            session.rows(setting)
        session.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        ((name,),) = session.rows("SELECT pg_export_snapshot()")
        yield Snapshot(
            session,
            name,
            dict(session.rows(_EXTENSIONS)),
            [role for (role,) in session.rows(_ROLES)],
            [role for (role,) in session.rows(_POLICY_ROLES)],
            session.rows(_BLOBS)[0][0],
        )
    finally:
        session.close()


class Counting:
    """Counts the rows of tables in a session, beside whatever else goes on."""

    def __init__(self, session: Session, tables: Sequence[tuple[str, str]]) -> None:
        """Begin with the TABLES in SESSION, which is nobody else's until `end`."""
        self.done = 0
        self._session, self._tables = session, tables
        self._rows: dict[str, int] = {}
        self._error: DbopsError | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._count, daemon=True, name="dbops-count")
        self._thread.start()

    def _count(self) -> None:
        try:
            for schema, name in self._tables:
                if self._stopped:
                    return
                query = Statement("SELECT count(*) FROM ONLY {}", Identifier(schema, name))
                ((self._rows[f"{schema}.{name}"],),) = self._session.select(query, doing=f"count {schema}.{name}")
                self.done += 1
        except DbopsError as error:
            self._error = error

    def stop(self) -> None:
        """Give up what is left, also the table that is being counted."""
        self._stopped = True
        if self._thread.is_alive():
            self._session.cancel()
        self._thread.join()

    def rows(self) -> dict[str, int]:
        """Wait for the last table and give the rows by `schema.table`. Raises DbopsError."""
        self._thread.join()
        if self._error:
            raise self._error
        if len(self._rows) != len(self._tables):
            raise DbopsError(Reason.CANCELLED, "the rows were not counted to the end")
        return self._rows
