# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps become transactions: what belongs together, what is put back, what is reported when something fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import Epoch, Superseded
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.apply import Applying, apply
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Session


class Recorder:
    """Sessions that write down what they are sent, and fail where they are told to."""

    def __init__(self, *failing: str, errors: list[psycopg.Error] | None = None) -> None:
        self.log: list[str] = []
        self.committed: list[str] = []
        self.failing = failing
        self.errors = errors or []
        self.stop_before: str | None = None
        self.superseded_after: str | None = None

    def applying(self) -> Applying:
        return Applying(
            session=lambda database: cast("Session", _Session(self, database or "main")),
            leave=lambda: self.log.append("leave"),
            stopped=lambda: self.stop_before is not None and self.stop_before in self.log,
            current=self.look,
            committed=lambda steps: self.committed.extend(step.target for step in steps),
        )

    def closing(self) -> None:
        self.log.append("entry")

    def look(self) -> None:
        if self.superseded_after is not None and self.superseded_after in self.log:
            raise Epoch("it", 1).superseded(2)


class _Session:
    def __init__(self, recorder: Recorder, name: str) -> None:
        self.recorder = recorder
        self.name = name

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.recorder.log.append(f"begin {self.name}")
        try:
            yield
        except BaseException:
            self.recorder.log.append("rollback")
            raise
        self.recorder.log.append("commit")

    def send(self, statement: Statement) -> None:
        if statement.template in self.recorder.failing:
            raise psycopg.errors.InsufficientPrivilege
        if self.recorder.errors:
            raise self.recorder.errors.pop()
        self.recorder.log.append(statement.template)


def step(name: str, **options: Any) -> Step:
    return Step(Action.ALTER, name, Statement(name), **options)


def test_neighbours_in_one_session_are_one_transaction_and_the_entry_joins_the_last() -> None:
    recorder = Recorder()
    apply(
        [step("a"), step("b"), step("c", database="app"), step("d", transactional=False), step("e")],
        recorder.applying(),
        closing=recorder.closing,
    )
    assert recorder.log == [
        *("begin main", "a", "b", "commit"),
        *("begin app", "c", "commit"),
        *("leave", "d"),
        *("begin main", "e", "entry", "commit"),
    ]
    assert recorder.committed == ["a", "b", "c", "d", "e"]


def test_the_entry_follows_what_is_in_no_transaction_of_its_session() -> None:
    recorder = Recorder()
    apply([step("a", transactional=False)], recorder.applying(), closing=recorder.closing)
    assert recorder.log == ["leave", "a", "entry"]


def test_what_was_committed_is_reported_and_what_was_rolled_back_is_not() -> None:
    recorder = Recorder("c")
    with pytest.raises(DbopsError) as caught:
        apply([step("a", database="x"), step("b"), step("c")], recorder.applying(), closing=recorder.closing)
    assert caught.value.reason is Reason.PRIVILEGE_MISSING
    assert recorder.committed == ["a"]
    assert recorder.log == ["begin x", "a", "commit", "begin main", "b", "rollback"]


def test_what_was_taken_for_a_moment_is_put_back() -> None:
    recorder = Recorder("create")
    steps = [
        step("take", changes=False),
        step("create", transactional=False),
        step("put back", changes=False, cleanup=True),
    ]
    with pytest.raises(DbopsError):
        apply(steps, recorder.applying())
    assert recorder.log == ["begin main", "take", "commit", "leave", "put back"]


def test_a_cancelled_object_puts_back_as_well() -> None:
    recorder = Recorder()
    recorder.stop_before = "take"
    steps = [
        step("take", changes=False),
        step("create", transactional=False),
        step("put back", changes=False, cleanup=True),
    ]
    with pytest.raises(DbopsError) as caught:
        apply(steps, recorder.applying())
    assert caught.value.reason is Reason.CANCELLED
    assert recorder.log == ["begin main", "take", "commit", "leave", "put back"]


@pytest.mark.feature("K04")
def test_after_a_later_epoch_nothing_is_sent_not_even_to_put_back() -> None:
    recorder = Recorder()
    recorder.superseded_after = "take"
    steps = [
        step("take", changes=False),
        step("create", transactional=False),
        step("put back", changes=False, cleanup=True),
    ]
    with pytest.raises(Superseded):
        apply(steps, recorder.applying())
    assert recorder.log == ["begin main", "take", "commit", "leave"]


@pytest.mark.parametrize("error", [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure])
def test_what_may_pass_is_tried_again_as_a_whole(error: type[psycopg.Error]) -> None:
    recorder = Recorder(errors=[error(), error()])
    apply([step("a"), step("b")], recorder.applying(), closing=recorder.closing)
    assert recorder.log[-5:] == ["begin main", "a", "b", "entry", "commit"]
    assert recorder.log.count("rollback") == 2


def test_it_is_given_up_at_last() -> None:
    recorder = Recorder(errors=[psycopg.errors.DeadlockDetected() for _ in range(20)])
    with pytest.raises(DbopsError) as caught:
        apply([step("a")], recorder.applying())
    assert caught.value.reason is Reason.CONFLICT
    assert recorder.committed == []
