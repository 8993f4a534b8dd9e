# SPDX-License-Identifier: GPL-3.0-or-later
"""One declared object after the other on an observed server: claim, plan, and if need be lock, look again, apply.

Called by core.converge for each object in its order; fills the object's result. Engines differ only behind
core.server, and kinds only in their row of the engine's kinds.py.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import companions, scripts
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    Desired,
    DesiredDatabase,
    DesiredUser,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import Superseded
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.init_sql import MEMORY, in_new_database
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.kinds import Kind
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Claim, Entry, claim, release
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import CancelCheck, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.server import Server

_ROUNDS = 5
"""How often a plan may ask for another look, or somebody else may have changed things under us."""

_WRONG = frozenset(
    {
        *(Reason.INVALID_SPEC, Reason.IMMUTABLE_FIELD, Reason.UNSUPPORTED),
        *(Reason.ACCESS_DENIED, Reason.NOT_ADOPTED, Reason.CONFLICT),
    }
)
"""What a declaration itself has wrong, whatever else of it is done before."""


@dataclass
class Objects:
    """The work on a SERVER; CHECK: plan only."""

    server: Server
    check: bool
    acknowledged: Collection[str]
    brake: Mapping[str, int]
    cancelled: CancelCheck
    stop: DbopsError | None = None
    """Why nothing is done on this server at all; what is only looked at is looked at all the same."""
    _created: set[tuple[str, str]] = field(default_factory=set)
    _adopted: set[tuple[str, str]] = field(default_factory=set)
    _changed: bool = False

    def _stopped(self, desired: Desired) -> bool:
        return self.cancelled(companions.belongs_to(desired.ref))

    def refusal(self, parts: Sequence[Desired]) -> tuple[str, DbopsError] | None:
        """Plan the PARTS of one declaration ahead; give the ref of the one that is wrong, and what is wrong with it.

        So nothing is sent for one part where another one will be refused. Raises DbopsError where none can be planned.
        """
        if len(parts) == 1:
            return None
        if self.stop:
            raise self.stop
        self.server.require_direct()
        state, sends = self.server.state, False
        for one in parts:
            if one is parts[-1] and not sends:
                # It is the first that anything is sent for.
                return None
            try:
                planned, _claimed = self._plan(self.server.kinds[one.kind], one, state)
            except DbopsError as error:
                planned = Plan(refusal=error)
            if planned.refusal and planned.refusal.reason in _WRONG:
                return one.ref, planned.refusal
            sends = sends or bool(planned.steps)
            # What is to be is planned on what is there by then; whether it is wrong that something goes is plain.
            if planned.steps and one.present:
                state = _scratch(state)
                for step in planned.steps:
                    if step.effect:
                        step.effect(state)
        return None

    def converge(self, desired: Desired, result: ObjectResult) -> None:
        """Bring DESIRED about, writing into RESULT as it goes. Raises DbopsError."""
        kind = self.server.kinds.get(desired.kind)
        if kind is None:
            raise DbopsError(Reason.UNSUPPORTED, f"{desired.kind} is not served on this engine", field="kind")
        if kind.thing:
            self.server.require_direct()
        elif self._changed:
            # What is only looked at is looked at after what comes before it in the list.
            self.server.observe([desired])
        try:
            if self.stop:
                raise self.stop
            former = self._former(kind, desired)
            if former:
                if desired.present and not desired.allow_destructive and self._spared(kind, former, result):
                    return
                self._bring_about(kind, former, result)
                if not self.check:
                    self.server.observe([desired])
            self._bring_about(kind, desired, result)
        finally:
            result.observed = self._observed(kind, desired)
        if isinstance(desired, DesiredDatabase) and desired.present and desired.init_sql:
            stopped = partial(self._stopped, desired)
            scripts.run(self.server, desired, result, check=self.check, stopped=stopped)
        if isinstance(desired, DesiredUser) and desired.present and desired.verify_login and not self.check:
            self._verify(desired, result)

    def _bring_about(self, kind: Kind, desired: Desired, result: ObjectResult) -> None:
        """Plan, and apply what there is to apply or foresee it. Raises DbopsError."""
        planned, claimed = self._plan(kind, desired)
        result.differences += planned.differences
        result.warnings += planned.warnings
        if planned.refusal:
            raise planned.refusal
        if self.check:
            self._foresee(kind, desired, claimed, planned, result)
        elif planned.steps or planned.waits or self._must_record(kind, desired, claimed, planned):
            planned = self._change(kind, desired, result)
        if planned.waits:
            raise planned.waits

    def _former(self, kind: Kind, desired: Desired) -> Desired | None:
        """Give what takes back what this declaration gave to somebody else, before it gives anything to whom it now is.

        The ledger has one entry for it, which remembers one of both.
        """
        remembered = self._remembered(kind, desired)
        return kind.former(desired, self.server.state, remembered) if kind.former and remembered else None

    def _spared(self, kind: Kind, former: Desired, result: ObjectResult) -> bool:
        """Tell what would be taken back and may not be; then the ledger must go on remembering who has it."""
        planned, _claimed = self._plan(kind, former)
        if not any(step.destructive for step in planned.steps):
            return False
        result.differences += planned.differences
        result.warnings.append("somebody else was given it before; nobody gets it until that may be taken back")
        return True

    def _observed(self, kind: Kind, desired: Desired) -> dict[str, object]:
        facts = kind.observed(desired, self.server.state)
        if kind.thing:
            facts["created"] = (kind.thing, desired.name) in self._created
            if (kind.thing, desired.name) in self._adopted:
                facts["adopted"] = True
        return facts

    def _plan(self, kind: Kind, desired: Desired, state: Any = None) -> tuple[Plan, Claim]:
        """Ask who owns it, and compare; with a STATE other than the observed one if given.

        What is not ours to drop gives an empty plan.
        """
        state = self.server.state if state is None else state
        entry = self._entry(kind, desired)
        what = f"{kind.thing} {desired.name}"
        mine = entry is not None and entry.owner == desired.owner_record
        memory = entry.applied if entry and mine else {}
        if self._former(kind, desired):
            text = f"another run with this declaration changes at the same time who gets {what}; it is tried again"
            raise DbopsError(Reason.IN_USE, text)
        if kind.thing and not desired.present:
            if not release(owner=desired.owner_record, entry=entry, force=desired.force, what=what):
                left = kind.exists(desired, state)
                text = f"{what} is left in place: this declaration never owned it"
                return Plan(warnings=[text] if left else []), Claim()
            return kind.plan(desired, state, memory), Claim()
        claimed = Claim()
        if kind.thing:
            claimed = claim(
                owner=desired.owner_record,
                entry=entry,
                exists=kind.exists(desired, state),
                adopt=desired.adopt,
                force=desired.force,
                what=what,
            )
        planned = kind.plan(desired, state, memory)
        if not desired.allow_destructive and desired.present and not planned.creates:
            planned.spare(memory)
        if planned.creates and (rest := in_new_database(memory)):
            planned.applied |= rest
            planned.ahead = {**(planned.ahead or {}), **rest}
        elif MEMORY in memory and not planned.creates:
            planned.applied[MEMORY] = memory[MEMORY]
        if entry and entry.state != "absent" and not mine and not desired.force:
            if any(step.destructive for step in planned.steps):
                text = f"{what} belongs to {entry.owner}; use force to take something away from it all the same"
                raise DbopsError(Reason.CONFLICT, text)
        return planned, claimed

    def _entry(self, kind: Kind, desired: Desired) -> Entry | None:
        return self.server.entries.get((kind.thing, desired.name)) if kind.thing else None

    def _must_record(self, kind: Kind, desired: Desired, claimed: Claim, planned: Plan) -> bool:
        """Whether the ledger has to learn something although the server is as declared."""
        entry = self._entry(kind, desired)
        if desired.owner_record is None or not kind.thing:
            return False
        if not desired.present:
            return entry is not None and entry.owner == desired.owner_record and entry.state != "absent"
        return claimed.record or entry is None or entry.state != "present" or entry.applied != planned.applied

    def _foresee(self, kind: Kind, desired: Desired, claimed: Claim, planned: Plan, result: ObjectResult) -> None:
        """Note what the plan would have changed, on the server and in the ledger."""
        self._report(planned.steps, result)
        if planned.drops or self._must_record(kind, desired, claimed, planned):
            entry = self._entry_after(kind, desired, claimed, planned)
            if entry:
                self.server.foresee(entry)

    def _report(self, steps: Sequence[Step], result: ObjectResult) -> None:
        for step in steps:
            if step.effect:
                step.effect(self.server.state)
        result.steps += [step.result(self.server.masked(step.statement)) for step in steps]
        result.changed = result.changed or any(step.changes for step in steps)
        self._changed = self._changed or (result.changed and not self.check)

    def _change(self, kind: Kind, desired: Desired, result: ObjectResult) -> Plan:
        """Under the object's lock: look again, plan again, apply; and again where the plan asks for it.

        Gives the last plan.
        """
        self.server.require_changeable()
        with contextlib.ExitStack() as held:
            try:
                self._lock(held, kind, desired)
            except DbopsError as error:
                if error.reason is not Reason.CONNECTION_FAILED:
                    raise
                # The server was restarted since the last look; nothing is lost yet.
                self.server.reopen()
                self._lock(held, kind, desired)
            for number in range(1, _ROUNDS + 1):
                self.server.observe([desired])
                planned, claimed = self._plan(kind, desired)
                if planned.refusal:
                    raise planned.refusal
                if self._round(kind, desired, planned, claimed, result, last=number == _ROUNDS):
                    break
            else:
                text = f"{desired.name} keeps changing while it is worked on (new sessions?); it is tried again"
                raise DbopsError(Reason.IN_USE, text)
            self.server.observe([desired])
            return planned

    def _lock(self, held: contextlib.ExitStack, kind: Kind, desired: Desired) -> None:
        """Take the object's lock, in the ledger's database if there is one or has to be."""
        if not kind.thing:
            raise AssertionError("the caller has looked")
        if desired.owner_record or self.server.fenced:
            self.server.require_ledger()
        held.enter_context(self.server.lock(*(kind.locks(desired) if kind.locks else (kind.thing, desired.name))))
        self.server.require_current()

    def _round(
        self, kind: Kind, desired: Desired, planned: Plan, claimed: Claim, result: ObjectResult, *, last: bool
    ) -> bool:
        """Apply one plan as far as it goes; False when another look is due, which after the LAST round is none."""
        steps = planned.steps
        stop = next((number for number, step in enumerate(steps, 1) if step.look_again), len(steps))
        finished = stop == len(steps) and not (steps and (planned.incomplete or steps[-1].look_again))
        if planned.drops and any(not step.transactional for step in steps):
            self._check_brake(kind, desired)
        alone = all(step.transactional for step in steps)
        ahead = planned.ahead is not None and planned.ahead != self._remembered(kind, desired)
        if ahead or (planned.creates and not (finished and alone)):
            # Nothing is atomic with it: should we end in between, the next run knows that it is ours.
            self._record(kind, desired, claimed, planned, state="intent")
        entry = self._entry(kind, desired)
        adopts = claimed.record and claimed.adopt and not (entry and entry.owner == desired.owner_record)
        closing: Callable[[], None] | None = None
        if finished and (planned.drops or self._must_record(kind, desired, claimed, planned)):
            closing = partial(self._record, kind, desired, claimed, planned)
        try:
            if steps:
                self.server.apply(
                    steps[:stop],
                    stopped=partial(self._stopped, desired),
                    committed=lambda sent: self._report(sent, result),
                    closing=closing,
                )
            elif closing:
                closing()
        except DbopsError as error:
            if error.reason is Reason.CONFLICT and not last and not isinstance(error, Superseded):
                return False
            raise
        if planned.creates and steps:
            self._created.add((str(kind.thing), desired.name))
        if finished and adopts:
            self._adopted.add((str(kind.thing), desired.name))
        return finished

    def _remembered(self, kind: Kind, desired: Desired) -> Mapping[str, object]:
        """Give what the ledger says that this declaration gave."""
        entry = self._entry(kind, desired)
        return entry.applied if entry and entry.owner == desired.owner_record else {}

    def _check_brake(self, kind: Kind, desired: Desired) -> None:
        if kind.thing == "database" and self.server.ledger and desired.owner_record:
            self.server.ledger.check_brake(self.brake, self.acknowledged)

    def _record(self, kind: Kind, desired: Desired, claimed: Claim, planned: Plan, state: str | None = None) -> None:
        """Write the ledger's entry, in the transaction that is open if one is."""
        book = self.server.ledger
        entry = self._entry_after(kind, desired, claimed, planned, state)
        if book and entry:
            book.record(entry)

    def _entry_after(
        self, kind: Kind, desired: Desired, claimed: Claim, planned: Plan, state: str | None = None
    ) -> Entry | None:
        """Give what the ledger is to say once the plan is applied."""
        if not desired.owner_record or not kind.thing:
            return None
        if state is None:
            # What still waits to be taken back must not be forgotten.
            state = "present" if desired.present or planned.waits else "absent"
        applied = {"present": planned.applied, "intent": planned.ahead or {}}.get(state, {})
        entry = self._entry(kind, desired)
        adopted = claimed.adopt or bool(entry and entry.owner == desired.owner_record and entry.adopted)
        return Entry(kind.thing, desired.name, desired.owner_record, state, adopted, applied)

    def _verify(self, desired: DesiredUser, result: ObjectResult) -> None:
        result.credentials = self.server.verify(desired)
        if result.credentials["status"] == "False":
            raise DbopsError(Reason.AUTHENTICATION_FAILED, result.credentials["message"], field="password")


def _scratch(state: Any) -> Any:
    """Give a copy of STATE to note effects in that are not to stay.

    What is in its collections is shared: effects put another role or database there. Those of privileges change what
    they find, and no part of a declaration that comes with others gives any.
    """
    copied = {one.name: copy.copy(getattr(state, one.name)) for one in fields(state)}
    return replace(state, **copied)
