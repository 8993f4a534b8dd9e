# SPDX-License-Identifier: GPL-3.0-or-later
"""The circuit breaker of a lane."""

from __future__ import annotations

from dbops_operator.breaker import FIRST_PAUSE, LONGEST_PAUSE, RECENT, Breaker


def steady() -> Breaker:
    """A breaker whose pauses are exact."""
    return Breaker(_jitter=lambda: 0.5)


def test_a_new_server_is_tried_and_doubtful() -> None:
    breaker = steady()
    assert not breaker.refuses(0)
    assert breaker.doubtful(0)


def test_an_answer_makes_a_server_trusted_for_a_while() -> None:
    breaker = steady()
    breaker.reached(10)
    assert not breaker.doubtful(10 + RECENT)
    assert breaker.doubtful(11 + RECENT)


def test_a_miss_refuses_until_the_pause_is_over_and_then_lets_one_try() -> None:
    breaker = steady()
    breaker.begin()
    breaker.missed(100, "no route")
    assert breaker.is_open
    assert breaker.refuses(100 + FIRST_PAUSE - 0.01)
    assert not breaker.refuses(100 + FIRST_PAUSE)
    breaker.begin()
    assert breaker.refuses(1000)
    breaker.reached(1000)
    assert not breaker.refuses(1000)
    assert not breaker.is_open
    assert breaker.message == ""


def test_pauses_grow_up_to_a_cap_and_begin_anew_after_an_answer() -> None:
    breaker, pauses = steady(), []
    for _ in range(10):
        breaker.missed(0, "no route")
        pauses.append(breaker.until)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    breaker.reached(0)
    breaker.missed(0, "no route")
    assert breaker.until == FIRST_PAUSE


def test_a_try_that_ends_without_a_word_about_the_server_lets_another_one_try() -> None:
    breaker = steady()
    breaker.missed(0, "no route")
    breaker.begin()
    assert breaker.refuses(1000)
    breaker.abandoned()
    assert not breaker.refuses(1000)
    assert breaker.is_open
