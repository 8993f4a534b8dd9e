# SPDX-License-Identifier: GPL-3.0-or-later
"""One server of MySQL or MariaDB for the length of a run: its session, what was observed, its ledger, and the verbs.

Made by core.converge, which drives it object by object. One session does everything; another one is opened only to
try a password, or to end a statement that hangs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
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
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    apply,
    catalog,
    epochs,
    export,
    ledger,
    locks,
    quoting,
    script_session,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import login as logins
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.connection import Connector, Session
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_privileges import admin_has
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.kinds import KINDS
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.observing import Observing
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    Facts,
    ServerState,
    Target,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import shown

_LEASE_MARGIN = 30


class Server:
    """A server that answers. Raises DbopsError (ConnectError when no session can be had) throughout."""

    kinds: Mapping[str, Kind] = KINDS

    def __init__(self, options: Mapping[str, Any], epoch: Epoch | None = None) -> None:
        """Take checked connection OPTIONS and the run's EPOCH; nothing is opened yet."""
        self.connector = Connector(options)
        self._fence = epochs.Fence(epoch, lambda: self.main, float(options["lock_timeout"])) if epoch else None
        self.main: Session
        self.ledger: ledger.Ledger | None = None
        self.entries: dict[tuple[str, str], Entry] = {}
        self.state: ServerState
        self._lease: locks.Lease | None = None
        self._observing = Observing(self.connector)

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
        """Close the session."""
        self.main.close()
        self.connector.__exit__()

    @property
    def engine(self) -> str:
        """`mysql` or `mariadb`: what the server says that it is."""
        return self.facts.dialect.flavour

    @property
    def facts(self) -> Facts:
        """The server as a whole."""
        return self.state.facts

    def described(self) -> dict[str, Any]:
        """Give the facts for the document."""
        return {
            "engine": self.engine,
            "version": self.facts.version,
            "version_number": self.facts.dialect.version_number,
            "system_identifier": self.facts.identity,
            "admin": str(self.facts.admin.name),
        }

    def _open(self) -> None:
        """Open the session, and the ledger if there is one to trust."""
        self.main = self.connector.open()
        try:
            self.state = ServerState(facts=catalog.facts(self.main))
            self._open_ledger()
        except BaseException:
            self.main.close()
            raise

    def _open_ledger(self) -> None:
        self.ledger = None
        admin = self.facts.admin
        if not admin.reads_accounts:
            text = f"who may enter the database {ledger.DATABASE} cannot be seen: {admin.accounts_problem}"
            self.state.ledger_problem = text
            return
        trust = ledger.trust(self.main, admin.name)
        needed = ledger.NEEDED if trust.prepared else ledger.NEEDED | {"CREATE"}
        lacking = needed - admin_has(self.facts, Target("database", ledger.DATABASE))
        if trust.problem:
            self.state.ledger_problem = ledger.distrusted(trust.problem).message
            self.state.ledger_reason = Reason.CONFLICT
        elif trust.prepared and "SELECT" not in lacking:
            self._use_ledger()
        if lacking and not trust.problem:
            grant = f"GRANT {', '.join(sorted(lacking))} ON {ledger.DATABASE}.* TO {shown(admin.name)}"
            self.state.ledger_problem = (
                f"{admin.name} may not keep the database {ledger.DATABASE}, where ownership is recorded; "
                f"an administrator can allow it: {grant}"
            )

    def _use_ledger(self) -> None:
        self.ledger = ledger.Ledger(self.main)
        self.ledger.open()
        if self.facts.identity is None:
            # MariaDB's own, server_uid, is made of the network card's address and the port.
            self.state.facts = replace(self.facts, identity=self.ledger.system_identifier)

    def reopen(self) -> None:
        """Connect again after the session was lost."""
        self.main.close()
        state = self.state
        self._open()
        self.state = replace(state, facts=self.facts, **self.state.of_ledger())

    def observe(self, declared: Sequence[Desired]) -> None:
        """Read all that the DECLARED objects need, anew, into `state` and `entries`.

        Nothing is read through a pooler, where what we pin for a session may be another's.
        """
        if self.facts.pooler:
            return
        self._observing.look(declared, self.state, self.main, self.ledger, self.entries)

    def export(self, chosen: Chosen) -> Exported:
        """Read all that is CHOSEN and give the objects that would declare it."""
        return export.export(self.main, self.state, chosen)

    def note(self, entry: Entry) -> None:
        """Write ENTRY into the ledger and into `entries`."""
        self.require_ledger().record(entry)
        self.entries[entry.kind, entry.name] = entry

    def foresee(self, entry: Entry) -> None:
        """Take ENTRY for what the ledger says."""
        self.entries[entry.kind, entry.name] = entry

    def foresee_script(self, database: str) -> None:
        """Take what is in DATABASE for unknown."""
        self.state.scripted |= {self.facts.fold(database)}

    def script_session(
        self,
        database: str,
        *,
        made: Mapping[str, str],
        remember: Callable[[Mapping[str, str]], None],
        committed: Callable[[Sequence[Step]], None],
    ) -> AbstractContextManager[Callable[[str], None]]:
        """Give what sends one statement of a script in DATABASE; see core.server."""
        return script_session.script_session(self, database, made=made, remember=remember, committed=committed)

    def verify(self, user: DesiredUser) -> dict[str, str]:
        """Log in as USER with its declared password, once."""
        accounts: list[Account] = self.state.of_user(user.name)
        return logins.verify(self.connector, accounts, user)

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
        self._observing.changing()
        apply.apply(steps, apply.Applying(self.main.send, self._look, stopped, committed), closing=closing)

    def _look(self) -> None:
        if self._lease:
            self._lease.renew()
        self.require_current()

    def require_direct(self) -> None:
        """Refuse to look at objects where the state of a session gets lost."""
        if self.facts.pooler:
            text = "a connection pooler is in between, where session state gets lost; connect to the server itself"
            raise DbopsError(Reason.UNSUPPORTED, text)

    def require_changeable(self) -> None:
        """Refuse before anything is sent where nothing can be changed, even where our account could all the same."""
        if self.facts.read_only or self.facts.super_read_only:
            raise DbopsError(Reason.UNSUPPORTED, "the server is read-only (a replica); point at the primary")

    @property
    def fenced(self) -> bool:
        """Whether the run has an epoch."""
        return self._fence is not None

    def take_over(self) -> None:
        """Tell the ledger this run's epoch; where none can be written, nothing can be changed either."""
        if not self._fence or not self.ledger or self.state.ledger_problem or self.ledger.newer:
            return
        if not (self.facts.read_only or self.facts.super_read_only or self.facts.pooler):
            self.require_ledger()
            self.require_current()

    def require_current(self) -> None:
        """Refuse with Superseded where a later epoch works."""
        if self._fence and self.ledger:
            self._fence.require_current()

    def at_work(self, number: int) -> AbstractContextManager[None]:
        """Have the session of this NUMBER ended with our own when somebody takes over."""
        return self._fence.at_work(number) if self._fence else contextlib.nullcontext()

    def require_ledger(self) -> ledger.Ledger:
        """Give the ledger for writing, made at the first call on a new server."""
        if self.state.ledger_problem:
            raise DbopsError(self.state.ledger_reason, self.state.ledger_problem)
        if self.ledger is None:
            self._make_ledger()
        if not self.ledger:
            raise AssertionError("the caller has looked")
        self.ledger.require_writable()
        if self.ledger.outdated:
            self.ledger.upgrade()
        return self.ledger

    def _make_ledger(self) -> None:
        """Make the database and its tables, or finish what another run began: the steps bear repetition."""
        what = f"the database {ledger.DATABASE}"
        with locks.user_lock(self.main, locks.key_of("ledger", ledger.DATABASE), wait=self._lock_timeout, what=what):
            ledger.Ledger(self.main).prepare(self.facts.identity)
        trust = ledger.trust(self.main, self.facts.admin.name)
        if trust.problem:
            raise ledger.distrusted(trust.problem)
        self._use_ledger()

    @property
    def _lock_timeout(self) -> int:
        return int(self.connector.options["lock_timeout"])

    @contextlib.contextmanager
    def lock(self, thing: str, name: str) -> Iterator[None]:
        """Hold the lock of an object: who else wants to change it waits, up to lock_timeout."""
        what, key = f"{thing} {name}", locks.key_of(thing, name)
        if not self.ledger or self.state.ledger_problem:
            with locks.user_lock(self.main, key, wait=self._lock_timeout, what=what):
                yield
            return
        longest = int(self.connector.options["statement_timeout"]) + self._lock_timeout + _LEASE_MARGIN
        holder = epochs.holder(self._fence.epoch if self._fence else None)
        self._lease = locks.Lease(self.main, key, seconds=3 * longest, holder=holder)
        self._lease.take(wait=self._lock_timeout, sees_all=self.facts.admin.may("PROCESS"), what=what)
        try:
            yield
        finally:
            self._lease.give_back()
            self._lease = None
