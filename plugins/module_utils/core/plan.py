# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan: the ordered steps that lead from the observed state to the declared one.

Made by the planners of each engine (postgresql/database.py, user.py, ...), which are pure functions; shown by
check mode and diff; executed by the engine's apply. An empty plan sends no statement and is `changed: false`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference, StepResult
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement


class Action(StrEnum):
    """What a step does."""

    CREATE = "create"
    ALTER = "alter"
    DROP = "drop"
    GRANT = "grant"
    REVOKE = "revoke"
    RUN = "run"


@dataclass(frozen=True)
class Step:
    """One statement with all that has to be known about it before it is sent."""

    action: Action
    target: str
    statement: Statement
    before: Any = None
    after: Any = None
    destructive: bool = False
    database: str | None = None
    """Name of the PostgreSQL database that it must run in; None for the session of the server as a whole."""
    transactional: bool = True
    """False for what refuses to run in a transaction (CREATE DATABASE, DROP DATABASE, ...)."""
    changes: bool = True
    """False for a helper step (ending sessions, a membership taken for a moment) that is no change of its own."""
    look_again: bool = False
    """True: once it is done, observe and plan anew and go on with that plan instead of the rest of this one (a
    database that was just made can be looked into; a role that can no longer log in owns nothing more)."""
    cleanup: bool = False
    """Sent even when a step before it failed: it puts back what a helper step took for a moment."""
    effect: Callable[[Any], None] | None = field(default=None, compare=False, repr=False)
    """Notes in the engine's state what the step changes, so that the plans after it see the server as it leaves it."""

    def result(self, masked: str) -> StepResult:
        """Give the step as it is reported; MASKED is its statement for people, rendered by the engine."""
        return StepResult(
            action=self.action.value,
            target=self.target,
            statement=masked,
            before=self.before,
            after=self.after,
            destructive=self.destructive,
            database=self.database,
        )


@dataclass
class Plan:
    """Steps in the order of execution, the fields that differ, and what the user should know."""

    steps: list[Step] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    creates: bool = False
    """The object itself does not exist yet."""
    drops: bool = False
    """The object itself goes."""
    applied: dict[str, Any] = field(default_factory=dict)
    """What the ledger is to remember as given by this declaration, so that its removal takes away just that."""
    ahead: dict[str, Any] | None = None
    """What the ledger is to remember before the first step, where the steps and the ledger share no transaction: all
    that may have been given by then."""
    incomplete: bool = False
    """What comes after these steps shows only once they are done: observe and plan again then."""
    waits: DbopsError | None = None
    """What cannot be done yet although the steps can: raised once they are done."""
    refusal: DbopsError | None = None
    """Why nothing can be done although the differences are known; there are no steps then."""

    @property
    def empty(self) -> bool:
        """Whether nothing has to be done."""
        return not self.steps

    def add(self, step: Step, difference: Difference | None = None) -> None:
        """Append STEP, and the DIFFERENCE that it ends."""
        self.steps.append(step)
        if difference:
            self.differences.append(difference)

    def spare(self, memory: Mapping[str, Any]) -> None:
        """Leave out what takes something away, but for its differences; what was given by MEMORY stays remembered."""
        kept = [step for step in self.steps if not step.destructive]
        if len(kept) == len(self.steps):
            return
        # Helper steps alone are of no use.
        self.steps = kept if any(step.changes for step in kept) else []
        self.applied = {**self.applied, **memory}


CancelCheck = Callable[[str], bool]
"""Asked with an object's ref between two steps; True ends that object with reason Cancelled."""
