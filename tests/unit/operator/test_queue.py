# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue: what goes first, nothing in work twice, nothing lost, and pauses that grow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from dbops_operator.keys import Key
from dbops_operator.queue import FIRST_HUMAN, FIRST_RETRY, LONGEST_RETRY, WAIT_LOOK, Queue
from dbops_operator.work import Done, Human, Priority, Retry, Verdict, Wait

A, B, C = (Key("DatabaseUser", "team", name) for name in "abc")
FAILED = Retry(Reason.CONNECTION_FAILED)


def steady() -> Queue:
    """A queue whose pauses are exact."""
    return Queue(jitter=lambda: 0.5)


def taken(queue: Queue, now: float = 0.0) -> list[Key]:
    """All that can be taken now."""
    keys = []
    while entry := queue.take(now=now):
        keys.append(entry[0])
    return keys


def test_the_most_urgent_goes_first_and_else_the_first() -> None:
    queue = steady()
    queue.add(A, Priority.RETRY, now=0)
    queue.add(B, Priority.CHANGE, now=1)
    queue.add(C, Priority.CHANGE, now=2)
    assert taken(queue, 3) == [B, C, A]


def test_a_more_urgent_reason_moves_a_key_up_and_a_lesser_one_does_not_move_it_down() -> None:
    queue = steady()
    queue.add(A, Priority.PERIODIC, now=0)
    queue.add(B, Priority.CHANGE, now=0)
    queue.add(A, Priority.DELETE, now=0)
    queue.add(B, Priority.PERIODIC, now=0)
    assert queue.take(now=5) == (A, Priority.DELETE, 5)
    assert queue.take(now=5) == (B, Priority.CHANGE, 5)
    assert queue.take(now=5) is None


def test_a_key_in_work_is_not_taken_again_before_it_is_done() -> None:
    queue = steady()
    queue.add(A, Priority.CHANGE, now=0)
    assert taken(queue) == [A]
    queue.add(A, Priority.DELETE, now=1)
    queue.add(A, Priority.PERIODIC, now=1)
    assert queue.take(now=2) is None
    queue.done(A, Done(), now=3)
    assert queue.take(now=3) == (A, Priority.DELETE, 0)


@pytest.mark.parametrize(
    ("verdict", "seconds"),
    [
        (Done(after=30), 30),
        (FAILED, FIRST_RETRY),
        (Retry(Reason.INTERNAL_ERROR, after=20), 20),
        (Wait(Reason.DEPENDENCY_NOT_READY), WAIT_LOOK),
        (Human(Reason.INVALID_SPEC), FIRST_HUMAN),
    ],
)
def test_a_verdict_says_when_a_key_is_looked_at_again(verdict: Verdict, seconds: float) -> None:
    queue = steady()
    queue.add(A, Priority.CHANGE, now=0)
    taken(queue)
    queue.done(A, verdict, now=100)
    assert queue.next_time() == 100 + seconds
    assert queue.take(now=100 + seconds - 0.01) is None
    assert taken(queue, 100 + seconds) == [A]


def test_done_for_good_comes_back_on_events_only() -> None:
    queue = steady()
    queue.add(A, Priority.CHANGE, now=0)
    taken(queue)
    queue.done(A, Done(), now=0)
    assert queue.next_time() is None


def pauses(queue: Queue, count: int) -> list[float]:
    """Fail COUNT times; give the pauses."""
    found, now = [], 0.0
    for _ in range(count):
        queue.add(A, Priority.RETRY, now=now)
        taken(queue, now)
        queue.done(A, FAILED, now=now)
        at = queue.next_time()
        assert at is not None
        found.append(at - now)
        now = at
    return found


def test_pauses_between_retries_double_up_to_a_cap() -> None:
    found = pauses(steady(), 12)
    assert found[:4] == [1, 2, 4, 8]
    assert found[-1] == LONGEST_RETRY


def test_pauses_are_spread() -> None:
    assert pauses(Queue(jitter=lambda: 0.0), 1)[0] < FIRST_RETRY < pauses(Queue(jitter=lambda: 1.0), 1)[0]


@pytest.mark.parametrize("forgiven", ["success", "edit"])
def test_after_a_success_or_an_edit_pauses_begin_anew(forgiven: str) -> None:
    queue = steady()
    pauses(queue, 5)
    if forgiven == "success":
        queue.add(A, Priority.CHANGE, now=1000)
        taken(queue, 1000)
        queue.done(A, Done(), now=1000)
    else:
        queue.fresh(A)
    assert pauses(queue, 1) == [FIRST_RETRY]


def test_an_event_during_work_comes_before_the_pause() -> None:
    queue = steady()
    queue.add(A, Priority.CHANGE, now=0)
    taken(queue)
    queue.add(A, Priority.CHANGE, now=1)
    queue.done(A, Human(Reason.INVALID_SPEC), now=2)
    assert taken(queue, 2) == [A]


def test_an_object_that_is_gone_is_not_looked_at() -> None:
    queue = steady()
    queue.add(A, Priority.CHANGE, now=0)
    queue.after(B, 5, now=0, priority=Priority.RETRY)
    queue.forget(A)
    queue.forget(B)
    assert taken(queue, 100) == []
    assert queue.next_time() is None


def test_the_depth_is_told_by_priority() -> None:
    queue = steady()
    queue.add(A, Priority.CHANGE, now=0)
    queue.add(B, Priority.CHANGE, now=0)
    queue.take(now=0)
    assert queue.depth()[Priority.CHANGE] == 1
    assert queue.in_work() == 1


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.sampled_from(Priority) | st.none()), max_size=40))
def test_whatever_happens_every_key_is_taken_after_it_was_added(
    events: list[tuple[Key, Priority | None]],
) -> None:
    """An event without a priority: take a key, or be done with one."""
    queue, due, working = steady(), set(), []
    for key, priority in events:
        if priority is not None:
            queue.add(key, priority, now=0)
            due.add(key)
        else:
            entry = queue.take(now=0)
            if entry:
                assert entry[0] not in working
                working.append(entry[0])
                due.discard(entry[0])
            elif working:
                queue.done(working.pop(), Done(), now=0)
    for key in working:
        queue.done(key, Done(), now=0)
    rest = taken(queue)
    assert sorted(rest) == sorted(due)
