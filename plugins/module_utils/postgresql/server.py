# SPDX-License-Identifier: GPL-3.0-or-later
"""One PostgreSQL server for the length of a run: its sessions, what was observed, its ledger, and the three verbs.

Made by core.converge, which drives it object by object. One session for the server as a whole (in the ledger's
database where there is one), one more for each database that is looked into.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Desired, DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import Epoch
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.exported import Chosen, Exported
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.kinds import Kind
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    apply,
    catalog,
    epochs,
    errors,
    export,
    ledger,
    quoting,
    script_session,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import login as logins
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import (
    ConnectError,
    Connector,
    Session,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.kinds import KINDS
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.observing import Observing
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Facts, ServerState

_NO_SUCH_DATABASE = "3D000"
_SESSIONS = 8
"""How many databases are looked into at a time; a server may have thousands, and few connections to spare."""


class Server:
    """A server that answers. Raises DbopsError (ConnectError when no session can be had) throughout."""

    engine = "postgres"
    kinds: Mapping[str, Kind] = KINDS

    def __init__(self, options: Mapping[str, Any], epoch: Epoch | None = None) -> None:
        """Take checked connection OPTIONS and the run's EPOCH; nothing is opened yet."""
        name = epochs.application_name(str(options["application_name"]), epoch)
        self.connector = Connector({**options, "application_name": name})
        patience = float(options["lock_timeout"])
        self._fence = epochs.Fence(epoch, lambda: self.main, patience) if epoch else None
        self.main: Session
        self.ledger: ledger.Ledger | None = None
        self.entries: dict[tuple[str, str], Entry] = {}
        self.state: ServerState
        self._inside: dict[str, Session] = {}
        self._observing = Observing(self.connector, self.inside, self._processes)

    def __enter__(self) -> Self:
        """Connect and read the server's facts."""
        self.connector.__enter__()
        try:
            self._open()
        except BaseException:
            self.connector.__exit__()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all sessions."""
        self.leave()
        self.main.close()
        self.connector.__exit__()

    @property
    def facts(self) -> Facts:
        """The server as a whole."""
        return self.state.facts

    def described(self) -> dict[str, Any]:
        """Give the facts for the document."""
        return {
            "version": self.facts.version,
            "version_number": self.facts.version_number,
            "system_identifier": self.facts.system_identifier,
            "admin": self.facts.admin.name,
        }

    def _open(self) -> None:
        """Open the main session where the ledger is, or else in the database that the options name."""
        problem = None
        try:
            self.main = self.connector.open(ledger.DATABASE)
            trust = ledger.trust(self.main)
            problem = trust.problem
            self.ledger = None if problem or not trust.prepared else ledger.Ledger(self.main)
        except ConnectError as error:
            if not error.proven:
                raise
            self.main = self.connector.open(self.connector.database)
            if error.sqlstate != _NO_SUCH_DATABASE:
                problem = ledger.outside(self.main)
        else:
            if problem:
                self.main.close()
                self.main = self.connector.open(self.connector.database)
        self.state = ServerState(facts=replace(catalog.facts(self.main), admin_database=self.connector.database))
        if problem:
            self.state.ledger_problem = ledger.distrusted(problem).message
        elif self.ledger is None and not self.facts.admin.create_db:
            self.state.ledger_problem = f"the database {ledger.DATABASE} does not exist, and may not be made: CREATEDB"

    def reopen(self) -> None:
        """Connect again after the session was lost."""
        self.leave()
        self.main.close()
        state = self.state
        self._open()
        self.state = replace(state, facts=self.facts, ledger_problem=self.state.ledger_problem)

    def inside(self, database: str) -> Session:
        """Give the session in DATABASE, opened at the first call."""
        if database == self.main.database:
            return self.main
        session = self._inside.pop(database, None)
        if session is None or session.closed:
            while len(self._inside) >= _SESSIONS:
                self._inside.pop(next(iter(self._inside))).close()
            session = self.connector.open(database)
        # The one that was used last is the last to go.
        self._inside[database] = session
        return session

    def _processes(self) -> list[int]:
        return [session.backend_pid for session in self._inside.values()]

    def session(self, database: str | None) -> Session:
        """Give the session that a step runs in."""
        return self.main if database is None else self.inside(database)

    def leave(self) -> None:
        """Close the sessions in single databases."""
        for session in self._inside.values():
            session.close()
        self._inside.clear()

    def observe(self, declared: Sequence[Desired]) -> None:
        """Read all that the DECLARED objects need, anew, into `state` and `entries`.

        Nothing is read through a pooler, where what we pin for a session may be another's.
        """
        if self.facts.pooler:
            return
        self._observing.look(declared, self.state, self.main, self.ledger, self.entries)

    def export(self, chosen: Chosen) -> Exported:
        """Read all that is CHOSEN and give the objects that would declare it."""
        return export.export(self.main, self.inside, self.state, chosen)

    def note(self, entry: Entry) -> None:
        """Write ENTRY into the ledger and into `entries`."""
        self.require_ledger().record(entry)
        self.entries[entry.kind, entry.name] = entry

    def foresee(self, entry: Entry) -> None:
        """Take ENTRY for what the ledger says."""
        self.entries[entry.kind, entry.name] = entry
        self._observing.foresee(entry)

    def foresee_script(self, database: str) -> None:
        """Take what is in DATABASE for unknown."""
        self.state.scripted |= {database}

    @contextlib.contextmanager
    def script_session(
        self,
        database: str,
        *,
        made: Mapping[str, str],
        remember: Callable[[Mapping[str, str]], None],
        committed: Callable[[Sequence[Step]], None],
    ) -> Iterator[Callable[[str], None]]:
        """Give what sends one statement of a script in DATABASE; see core.server."""
        with script_session.script_session(self, database, made=made, remember=remember, committed=committed) as send:
            yield send
        self._observing.look_again(database, self.state, self.main)

    def verify(self, user: DesiredUser) -> dict[str, str]:
        """Log in as USER with its declared password, once."""
        role = self.state.roles.get(user.name)
        return logins.verify(self.connector, role, user, now=datetime.datetime.now(datetime.UTC))

    def masked(self, statement: Statement) -> str:
        """Give STATEMENT as people see it, without secrets."""
        return quoting.masked(statement)

    def apply(
        self,
        steps: Sequence[Step],
        *,
        stopped: Callable[[], bool],
        committed: Callable[[Sequence[Step]], None],
        closing: Callable[[], None] | None,
    ) -> None:
        """Send STEPS; see core.server."""
        applying = apply.Applying(self.session, self.leave, stopped, self.require_current, committed)
        apply.apply(steps, applying, closing=closing)

    def require_direct(self) -> None:
        """Refuse to look at objects where the state of a session gets lost."""
        if self.facts.pooler:
            text = "a connection pooler is in between, where session state gets lost; connect to the server itself"
            raise DbopsError(Reason.UNSUPPORTED, text)

    def require_changeable(self) -> None:
        """Refuse before anything is sent where nothing can be changed."""
        if self.facts.in_recovery or self.facts.read_only:
            raise DbopsError(Reason.UNSUPPORTED, "the server is read-only (a replica); point at the primary")

    @property
    def fenced(self) -> bool:
        """Whether the run has an epoch."""
        return self._fence is not None

    def take_over(self) -> None:
        """Tell the ledger this run's epoch; where none can be written, nothing can be changed either."""
        if not self._fence or not self.ledger or self.facts.in_recovery or self.facts.read_only or self.facts.pooler:
            return
        self.ledger.open()
        if not self.ledger.newer:
            self.require_ledger()
            self.require_current()

    def require_current(self) -> None:
        """Refuse with Superseded where a later epoch works."""
        if self._fence and self.ledger:
            self._fence.require_current()

    def require_ledger(self) -> ledger.Ledger:
        """Give the ledger for writing, made at the first call on a new server."""
        if self.ledger is None:
            if self.state.ledger_problem:
                reason = Reason.PRIVILEGE_MISSING if not self.facts.admin.create_db else Reason.CONFLICT
                raise DbopsError(reason, self.state.ledger_problem)
            self._make_ledger()
        if not self.ledger:
            raise AssertionError("the caller has looked")
        self.ledger.require_writable()
        if self.ledger.outdated:
            with self.lock("ledger", ledger.DATABASE):
                self.ledger.upgrade()
        return self.ledger

    def _make_ledger(self) -> None:
        """Make the database and its tables, or finish what another run began, and move the main session there."""
        import psycopg

        here = self.main
        with self.lock("ledger", ledger.DATABASE):
            try:
                for statement in ledger.CREATE:
                    # Another run may have made it, or begun to: the steps bear repetition.
                    with contextlib.suppress(psycopg.errors.DuplicateDatabase):
                        here.send(statement)
            except psycopg.Error as error:
                raise errors.statement_error(error, doing=f"create database {ledger.DATABASE}") from error
        if here.database != ledger.DATABASE:
            here.close()
            self.main = self.connector.open(ledger.DATABASE)
        trust = ledger.trust(self.main)
        if trust.problem:
            raise ledger.distrusted(trust.problem)
        made = ledger.Ledger(self.main)
        with self.lock("ledger", ledger.DATABASE):
            if not ledger.trust(self.main).prepared:
                made.prepare(self.facts.system_identifier)
        self.ledger = made

    @contextlib.contextmanager
    def lock(self, thing: str, name: str) -> Iterator[None]:
        """Hold the lock of an object: who else wants to change it waits, up to lock_timeout."""
        key = ledger.lock_key(thing, name)
        self.main.rows("SELECT pg_advisory_lock(%s)", [key], doing=f"waiting for the lock of {thing} {name}")
        session = self.main
        try:
            yield
        finally:
            # A session that ended has let go of it already.
            with contextlib.suppress(DbopsError):
                session.rows("SELECT pg_advisory_unlock(%s)", [key])
