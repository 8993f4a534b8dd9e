# SPDX-License-Identifier: GPL-3.0-or-later
"""Deletion: the published hashes, the order of the questions, and that doubt never drops anything."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dbops_operator.deletion import Decision, Facts, SecretUse, Step, confirmation_hash, decide, holds_secret

PLAIN = Facts(protected=False, forced=False)
FORCED = Facts(protected=False, forced=True)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Database/orders"], "97bde68e"),
        (["DatabaseUser/app", "Database/orders", "DatabaseRole/ro"], "b4899f2a"),
        (["DatabaseUser/team-b/app", "Database/team-a/orders"], "cfc2c58b"),
        (["DatabaseGrant/g2", "DatabaseGrant/g1"], "b7e9b09e"),
        (["DatabaseGrant/g2"], "70567dff"),
    ],
)
def test_hash_is_the_published_one(names: list[str], expected: str) -> None:
    assert confirmation_hash(names) == expected


@pytest.mark.parametrize(
    ("facts", "step", "reason"),
    [
        (PLAIN, Step.DROP, ""),
        (replace(PLAIN, retain=True), Step.RELEASE, ""),
        (replace(PLAIN, has_outside=False), Step.RELEASE, ""),
        (replace(PLAIN, protected=True), Step.BLOCK, "DeletionProtected"),
        (replace(PLAIN, protected=True, retain=True), Step.BLOCK, "DeletionProtected"),
        (replace(PLAIN, protected=True, dependants=["A/b"]), Step.BLOCK, "DeletionProtected"),
        (replace(PLAIN, dependants=["A/b"]), Step.BLOCK, "DependenciesExist"),
        (replace(PLAIN, dependants=["A/b"], retain=True), Step.BLOCK, "DependenciesExist"),
        (replace(FORCED, protected=True), Step.DROP, ""),
        (replace(FORCED, retain=True), Step.RELEASE, ""),
        (replace(FORCED, dependants=["A/b"]), Step.CONFIRM, "PendingDeletionConfirmation"),
        (replace(FORCED, dependants=["A/b"], confirmation="00000000"), Step.CONFIRM, "PendingDeletionConfirmation"),
    ],
)
def test_order_of_the_questions(facts: Facts, step: Step, reason: str) -> None:
    decision = decide(facts)
    assert (decision.step, decision.reason) == (step, reason)


def confirm(decision: Decision) -> str:
    assert decision.confirmation is not None
    return str(decision.confirmation["hash"])


def test_confirmation_starts_the_cascade_and_a_subset_stays_confirmed() -> None:
    facts = replace(FORCED, dependants=["DatabaseGrant/g1", "DatabaseGrant/g2"])
    asked = decide(facts)
    assert asked.confirmation == {
        "required": True,
        "hash": "b7e9b09e",
        "children": ["DatabaseGrant/g1", "DatabaseGrant/g2"],
        "remainingCount": 2,
        "message": asked.message,
    }
    assert "b7e9b09e" in asked.message
    facts = replace(facts, confirmation="b7e9b09e")
    begun = decide(facts)
    assert begun.step is Step.CASCADE
    assert begun.children == ["DatabaseGrant/g1", "DatabaseGrant/g2"]
    assert begun.confirmation is not None
    assert begun.confirmation["required"] is False
    facts = replace(facts, confirmed_before=begun.confirmation["children"], dependants=["DatabaseGrant/g2"])
    going_on = decide(facts)
    assert going_on.step is Step.CASCADE
    assert confirm(going_on) == "b7e9b09e"
    assert going_on.confirmation is not None
    assert going_on.confirmation["remainingCount"] == 1
    assert decide(replace(facts, dependants=[])).step is Step.DROP


def test_a_new_child_asks_again() -> None:
    facts = replace(
        FORCED,
        confirmation="70567dff",
        confirmed_before=["DatabaseGrant/g2"],
        dependants=["DatabaseGrant/g2", "DatabaseGrant/g1"],
    )
    decision = decide(facts)
    assert decision.step is Step.CONFIRM
    assert confirm(decision) == "b7e9b09e"


def test_taking_the_confirmation_back_stops_the_cascade() -> None:
    facts = replace(FORCED, confirmed_before=["A/b"], dependants=["A/b"])
    assert decide(facts).step is Step.CONFIRM
    assert decide(replace(facts, confirmation="ffffffff")).step is Step.CONFIRM


def test_many_dependants_are_listed_in_part() -> None:
    decision = decide(replace(PLAIN, dependants=[f"Database/d{number:03}" for number in range(200)]))
    assert "200 objects" in decision.message
    assert "180 more" in decision.message
    assert len(decision.message) < 1000


@pytest.mark.parametrize(
    ("deleting", "terminating", "needed", "holds"),
    [
        (False, False, True, True),
        (False, False, False, False),
        (True, False, True, False),
        (True, True, True, True),
        (True, True, False, False),
    ],
)
def test_admin_secret_is_held_for_a_namespace_that_goes(
    deleting: bool, terminating: bool, needed: bool, holds: bool
) -> None:
    assert holds_secret(SecretUse(deleting, terminating, needed)) is holds
