# SPDX-License-Identifier: GPL-3.0-or-later
"""What core.converge and core.objects ask of a server, whatever its engine.

postgresql/server.py and mysql/server.py are such servers: the sessions, what was observed, the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Desired, DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.exported import Chosen, Exported
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.kinds import Kind
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement


class Ledger(Protocol):
    """The record of who owns what, kept on the server itself."""

    @property
    def identity(self) -> str | None:
        """Which server it was made on, or was said to be at home on since; None if nobody knows."""

    def settle(self, identity: str) -> None:
        """Write that the server with this IDENTITY is its home from now on."""

    def record(self, entry: Entry) -> None:
        """Write ENTRY over what was there; a part of the open transaction if there is one."""

    def check_brake(self, brake: Mapping[str, int], acknowledged: Iterable[str]) -> None:
        """Refuse with AcknowledgementNeeded one more drop of a database after too many."""


class Server(Protocol):
    """A server for the length of a run. Everything raises DbopsError for what goes wrong."""

    @property
    def engine(self) -> str:
        """`postgres`, `mysql` or `mariadb`."""

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The verbs of each kind of object that the engine has."""

    @property
    def state(self) -> Any:
        """What was observed so far, as the verbs of this engine take it."""

    @property
    def entries(self) -> Mapping[tuple[str, str], Entry]:
        """What the ledger says of the objects that were observed, by thing and name."""

    @property
    def ledger(self) -> Ledger | None:
        """The ledger, if there is one that can be trusted."""

    def __enter__(self) -> Self:
        """Connect and read the server's facts."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all sessions."""

    def described(self) -> dict[str, Any]:
        """Give the facts for the document: version, version_number, system_identifier, admin."""

    def observe(self, declared: Sequence[Desired]) -> None:
        """Read all that the DECLARED objects need, anew, into `state` and `entries`."""

    def reopen(self) -> None:
        """Connect again after the session was lost."""

    def lock(self, thing: str, name: str) -> AbstractContextManager[None]:
        """Hold the lock of an object: who else wants to change it waits."""

    def require_direct(self) -> None:
        """Refuse to look at objects where the state of a session gets lost."""

    def require_changeable(self) -> None:
        """Refuse before anything is sent where nothing can be changed."""

    @property
    def fenced(self) -> bool:
        """Whether the run has an epoch (core.epoch), which the ledger must know."""

    def take_over(self) -> None:
        """Tell the ledger this run's epoch, where there is one that can be written; end sessions of earlier ones."""

    def require_current(self) -> None:
        """Refuse with Superseded where a later epoch than this run's works. Asked before anything is sent."""

    def require_ledger(self) -> Ledger:
        """Give the ledger for writing, made at the first call on a new server."""

    def export(self, chosen: Chosen) -> Exported:
        """Read all that is CHOSEN and give the objects that would declare it."""

    def note(self, entry: Entry) -> None:
        """Write ENTRY into the ledger and into `entries`."""

    def foresee(self, entry: Entry) -> None:
        """Take ENTRY for what the ledger says, without writing it: in check mode, for the plans that come after."""

    def foresee_script(self, database: str) -> None:
        """Take what is in DATABASE for unknown: in check mode, where a script would have changed it by now."""

    def script_session(
        self,
        database: str,
        *,
        made: Mapping[str, str],
        remember: Callable[[Mapping[str, str]], None],
        committed: Callable[[Sequence[Step]], None],
    ) -> AbstractContextManager[Callable[[str], None]]:
        """Give what sends one statement in DATABASE with its owner's rights, logged in as nobody else.

        REMEMBER is told of accounts before they are made for this, and once they are gone; MADE is what it was last
        told, also by a run that was cut off. COMMITTED is told of what was sent to make and drop them.
        """

    def verify(self, user: DesiredUser) -> dict[str, str]:
        """Log in as USER with its declared password, once; give status, reason and message."""

    def masked(self, statement: Statement) -> str:
        """Give STATEMENT as people see it, without secrets."""

    def apply(
        self,
        steps: Sequence[Step],
        *,
        stopped: Callable[[], bool],
        committed: Callable[[Sequence[Step]], None],
        closing: Callable[[], None] | None,
    ) -> None:
        """Send STEPS. STOPPED is asked between two; COMMITTED is told of those that nothing takes back any more.

        CLOSING is called within the last transaction where that can be, else after all.
        """
