# SPDX-License-Identifier: GPL-3.0-or-later
"""The words between the parts: priorities, what a reconciler decided, and work for one database server.

A reconciler (reconcile/) gets a key, asks the lanes (lanes.py) to converge an object on a server, and answers
with a verdict from which the queue (queue.py) knows when to look at the key again. Pure.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, ErrorClass, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator.keys import Key


class Priority(IntEnum):
    """Why a key is in the queue; the smaller number goes first."""

    DELETE = 0
    CHANGE = 1
    DEPENDENCY = 2
    RETRY = 3
    PERIODIC = 4


@dataclass(frozen=True)
class Done:
    """The object is as declared, or gone. `after`: seconds until it is looked at again; None: on events only."""

    after: float | None = None


@dataclass(frozen=True)
class Retry:
    """Did not work and may pass by itself: tried again with growing pauses, but not before AFTER seconds."""

    reason: Reason
    after: float | None = None


@dataclass(frozen=True)
class Wait:
    """Something else must become ready. Its event wakes the key (see Context.depends); a slow look is the net."""

    reason: Reason


@dataclass(frozen=True)
class Human:
    """Somebody must change something: looked at on that change, and rarely otherwise."""

    reason: Reason


Verdict = Done | Retry | Wait | Human


def verdict(reason: Reason) -> Verdict:
    """The verdict that fits a REASON's class."""
    match reason.error_class:
        case ErrorClass.WAIT:
            return Wait(reason)
        case ErrorClass.RETRY:
            return Retry(reason)
        case ErrorClass.HUMAN:
            return Human(reason)


@dataclass(frozen=True)
class ServerTarget:
    """One database server as an object reaches it.

    `lane` names the server (`postgres://host:port`): what has the same lane is worked on one unit at a time.
    `connection` is the request's connection, secrets included, so it is in no repr.
    """

    lane: str
    connection: Mapping[str, Any] = field(repr=False)
    drop_brake: Mapping[str, int] = field(default_factory=dict)
    acknowledge: tuple[str, ...] = ()
    identity: str = ""
    """The server's own identifier as it was seen last; on another one nothing is done."""


class RunFailed(DbopsError):  # noqa: N818 - a word of the conditions' vocabulary
    """A run broke as a whole (died, hung, gave no result); says nothing about the object's own state."""


class RunNotStarted(RunFailed):
    """A run broke before it had any work, so it says nothing about the objects that it was meant for."""


class Lanes(Protocol):
    """The way to the database servers."""

    async def converge(
        self,
        target: ServerTarget,
        obj: Mapping[str, Any],
        *,
        key: Key,
        priority: Priority,
        cancel: asyncio.Event | None = None,
        check: bool = False,
    ) -> ObjectResult:
        """Bring one object (`kind`, options; `ref` is set from KEY when missing) to its declared state.

        Waits for its turn and shares a run with what else waits for the same server. A set CANCEL takes the object
        out between two of its steps: its result then has reason Cancelled. An object that fails gives a failed
        result; RunFailed is raised when the run itself broke.
        """
        ...


@dataclass(frozen=True)
class Item:
    """One object in a unit of work. Refs are unique in a unit."""

    ref: str
    obj: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class UnitOfWork:
    """What one run does: a list of objects on one server over one connection."""

    target: ServerTarget
    items: Sequence[Item]
    check: bool
    patience: float
    """Seconds without an object's result after which the run is killed."""
    epoch: Mapping[str, Any] | None = None
    """Under which the operator leads, where several of them may."""

    def request(self) -> dict[str, Any]:
        """The engine's request; holds secrets."""
        return {
            "connection": dict(self.target.connection),
            "objects": [{**item.obj, "ref": item.ref} for item in self.items],
            "check": self.check,
            "acknowledge": list(self.target.acknowledge),
            "drop_brake": dict(self.target.drop_brake),
            "server_identity": self.target.identity,
            **({"dbops_epoch": dict(self.epoch)} if self.epoch else {}),
        }


@dataclass(frozen=True)
class Job:
    """Long work for one object: a backup, its verification or its removal, a restore."""

    ref: str
    action: str
    """What the worker does (backup/worker.py of the collection)."""
    options: Mapping[str, Any] = field(repr=False)
    """The options of the module of that name, secrets included."""
    seconds: float
    """How long it may take; the worker ends by itself then."""

    def request(self) -> dict[str, Any]:
        """The message that asks for it; holds secrets."""
        options = {**self.options, "deadline": math.ceil(self.seconds)}
        return {"type": "job", "ref": self.ref, "action": self.action, "options": options, "check": False}


Progress = Callable[[Mapping[str, Any]], None]
"""Told how far a job is: `phase`, and of `bytes`, `tables_done`, `tables_total` what is known."""


async def _go_on() -> None:
    """Nothing has to be noted."""


@dataclass(frozen=True)
class Told:
    """Whom a job tells."""

    progress: Progress
    finishing: Callable[[], Awaitable[None]] = _go_on
    """Awaited before the job does what must not be done twice; what it raises ends the job before that."""


class LongLanes(Protocol):
    """The way to long work, which holds up nothing else."""

    async def do(
        self,
        action: str,
        lane: str,
        prepare: Callable[[], Awaitable[Job]],
        *,
        told: Told,
        cancel: asyncio.Event,
    ) -> Mapping[str, Any]:
        """Wait for a place, do the job that PREPARE gives then, and give its result document.

        That has `failed`, and `reason` and `message` or what the ACTION gives. LANE is the server that is worked on, as
        in ServerTarget; empty: none. A set CANCEL ends the job: its tools are killed and what was begun outside is
        taken back. Raises DbopsError with Cancelled when that was before it began, whatever PREPARE raises, and
        RunFailed when the run broke.
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """How a unit of work ended: facts of the server (`reachable`, `version`, ...) from the result document."""

    server: Mapping[str, Any]


class Runner(Protocol):
    """The one seam between "a unit of work is ready" and "a run does it"."""

    async def available(self) -> None:
        """Return when the next unit would be begun at once, or when waiting longer would not help."""
        ...

    async def run(
        self,
        unit: UnitOfWork,
        *,
        on_run: Callable[[str], None],
        on_result: Callable[[ObjectResult], None],
        cancels: asyncio.Queue[str],
        more: Callable[[Outcome], Awaitable[UnitOfWork | None]],
    ) -> None:
        """Do UNIT; ON_RUN gets the name of the run that does it, ON_RESULT each object's result the moment it is final.

        MORE is told how a unit ended, and gives what the same run does next, if anything. Refs put into CANCELS are
        given up.
        Raises RunFailed when the run broke; results given before stand.
        """
        ...


class JobRunner(Protocol):
    """The same seam for long work."""

    async def job(
        self, job: Job, *, on_run: Callable[[str], None], told: Told, cancels: asyncio.Queue[str]
    ) -> Mapping[str, Any]:
        """Do JOB in a run of its own and give its result document. Raises RunFailed when the run broke.

        ON_RUN gets the name of the run. A ref in CANCELS ends the job between two of its steps.
        """
        ...
