# SPDX-License-Identifier: GPL-3.0-or-later
"""One PostgreSQL server for the length of a run: its sessions, what was observed, its ledger, and the three verbs.

Made by core.converge, which drives it object by object. One session for the server as a whole (in the ledger's
database where there is one), one more for each database that is looked into.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Desired, DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.kinds import Kind
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    apply,
    catalog,
    catalog_databases,
    dependencies,
    errors,
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
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Facts,
    Reader,
    Role,
    ServerState,
    Wanted,
)

_NO_SUCH_DATABASE = "3D000"


class Server:
    """A server that answers. Raises DbopsError (ConnectError when no session can be had) throughout."""

    engine = "postgres"
    kinds: Mapping[str, Kind] = KINDS

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Take checked connection OPTIONS; nothing is opened yet."""
        self.connector = Connector(options)
        self.main: Session
        self.ledger: ledger.Ledger | None = None
        self.entries: dict[tuple[str, str], Entry] = {}
        self.state: ServerState
        self._inside: dict[str, Session] = {}

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
        session = self._inside.get(database)
        if session is None or session.closed:
            session = self._inside[database] = self.connector.open(database)
        return session

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
        wanted = Wanted.union(KINDS[one.kind].wanted(one) for one in declared)
        self._read_databases(wanted)
        databases = [self.state.databases[name] for name in wanted.databases if name in self.state.databases]
        owners = {owner for one in databases for owner in one.owners()}
        self._read_roles(wanted, owners)
        admin = self.facts.admin
        if wanted.settings:
            self.state.settings |= catalog.settings(self.main, wanted.settings, admin)
        for user in declared:
            if isinstance(user, DesiredUser):
                self._try_password(user)
        if self.ledger:
            things = [(thing, one.name) for one in declared if (thing := KINDS[one.kind].thing)]
            for key in things:
                self.entries.pop(key, None)
            self.entries |= self.ledger.read(things) if things else {}

    def _read_databases(self, wanted: Wanted) -> None:
        if not wanted.databases:
            return
        ours = [session.backend_pid for session in self._inside.values()]
        catalog_databases.read_into(self.state, self.main, wanted, self._reader_inside, ours)

    def _reader_inside(self, database: str) -> Reader:
        return self.inside(database)

    def _read_roles(self, wanted: Wanted, owners: Iterable[str]) -> None:
        admin = self.facts.admin
        names = sorted({*wanted.roles, *owners, admin.name})
        found = catalog.roles(self.main, names, admin)
        going = dependencies.read(found, wanted.dependencies, self.main, self._reader_inside)
        if going:
            found |= going
            owners = {owner for role in going.values() for owner in dependencies.owners(role)} - set(names)
            found |= catalog.roles(self.main, owners, admin)
            names = sorted({*names, *owners})
        self._find_circles(wanted, found)
        self.state.role_names = (self.state.role_names - set(names)) | found.keys()
        self.state.roles = {name: role for name, role in self.state.roles.items() if name not in names} | found
        rights = catalog.rights(self.main, names, admin)
        for field, those in rights.items():
            if those is not None:
                known = getattr(admin, field) or frozenset()
                rights[field] = (known - set(names)) | those
        self.state.facts = replace(self.facts, admin=replace(admin, **rights))

    def _find_circles(self, wanted: Wanted, found: Mapping[str, Role]) -> None:
        pairs = {pair for pair in wanted.memberships if found.keys() >= {*pair} and _lacks(found[pair[0]], pair[1])}
        circles = catalog.circles(self.main, pairs) if pairs else frozenset()
        self.state.circles = (self.state.circles - wanted.memberships) | circles

    def _try_password(self, user: DesiredUser) -> None:
        """Where verifiers may not be read, one login tells whether the password is as declared."""
        role = self.state.roles.get(user.name)
        undecided = role and role.verifier is None and user.present and user.password
        if role and undecided and user.password and user.update_password == "always":  # noqa: S105 (no password)
            self.state.roles[user.name] = replace(role, password_matches=logins.matches(self.connector, role, user))

    def note(self, entry: Entry) -> None:
        """Write ENTRY into the ledger and into `entries`."""
        self.require_ledger().record(entry)
        self.entries[entry.kind, entry.name] = entry

    def script_session(
        self, database: str, *, made: Mapping[str, str], remember: Callable[[Mapping[str, str]], None]
    ) -> AbstractContextManager[Callable[[str], None]]:
        """Give what sends one statement of a script in DATABASE; see core.server."""
        return script_session.script_session(self, database, made=made, remember=remember)

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
        apply.apply(steps, apply.Applying(self.session, self.leave, stopped, committed), closing=closing)

    def require_direct(self) -> None:
        """Refuse to look at objects where the state of a session gets lost."""
        if self.facts.pooler:
            text = "a connection pooler is in between, where session state gets lost; connect to the server itself"
            raise DbopsError(Reason.UNSUPPORTED, text)

    def require_changeable(self) -> None:
        """Refuse before anything is sent where nothing can be changed."""
        if self.facts.in_recovery or self.facts.read_only:
            raise DbopsError(Reason.UNSUPPORTED, "the server is read-only (a replica); point at the primary")

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


def _lacks(member: Role, role: str) -> bool:
    return all(row.role != role for row in member.member_of)
