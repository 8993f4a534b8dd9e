# SPDX-License-Identifier: GPL-3.0-or-later
"""Status: times and ids move only when something happened, and conditions follow what kstatus expects."""

from __future__ import annotations

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, ErrorClass, Reason
from dbops_operator import results, status
from dbops_operator.status import Condition, Report

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
READY = results.success("Database is ready", changed=True)


def built(report: Report, previous: dict[str, object] | None = None, moment: str = EARLY) -> dict[str, object]:
    return status.build(previous or {}, report, generation=3, moment=moment)


def types(made: dict[str, object]) -> set[str]:
    conditions = made["conditions"]
    assert isinstance(conditions, list)
    return {one["type"] for one in conditions}


def test_nothing_new_is_the_same() -> None:
    first = built(READY)
    again = built(results.success("Database is ready"), first, LATE)
    assert status.says_the_same(first, again)
    assert again["reconcileID"] == first["reconcileID"]
    assert first["observedGeneration"] == 3


def test_a_change_makes_a_new_id() -> None:
    first = built(READY)
    again = built(READY, first, LATE)
    assert again["reconcileID"] != first["reconcileID"]
    assert again["lastReconcileTime"] == LATE
    assert len(str(again["reconcileID"])) == 8


def test_first_ready_has_an_id_though_nothing_was_changed() -> None:
    assert "reconcileID" in built(results.success("ready"))
    assert "reconcileID" not in built(results.failure(DbopsError(Reason.CONFLICT, "x")))


def test_transition_time_moves_only_with_status() -> None:
    def report(value: str, reason: str) -> Report:
        return Report("Ready", "", [Condition("Ready", value, reason, "m")])

    first = built(report("False", "Conflict"))
    other_reason = built(report("False", "Timeout"), first, LATE)
    flipped = built(report("True", "ReconcileSuccess"), other_reason, LATE)
    assert other_reason["conditions"][0]["lastTransitionTime"] == EARLY  # type: ignore[index]
    assert flipped["conditions"][0]["lastTransitionTime"] == LATE  # type: ignore[index]


def test_fields_are_kept_set_and_taken_away() -> None:
    first = built(Report("Ready", "", [], {"secret": {"name": "x"}, "drift": {"detected": True}}))
    second = built(Report("Ready", "", [], {"drift": None}), first)
    assert second["secret"] == {"name": "x"}
    assert "drift" not in second


def test_what_moves_all_the_time_is_not_news() -> None:
    first = built(Report("Ready", "", [], {"database": {"name": "a", "sizeBytes": 1}}))
    second = built(Report("Ready", "", [], {"database": {"name": "a", "sizeBytes": 2}}), first, LATE)
    third = built(Report("Ready", "", [], {"database": {"name": "a", "owner": "b", "sizeBytes": 2}}), first, LATE)
    assert status.says_the_same(first, second)
    assert not status.says_the_same(first, third)


def test_long_messages_are_cut_at_a_character() -> None:
    made = status.shorten("ä" * 600)
    assert len(made.encode()) <= status.MESSAGE_BYTES
    assert made.endswith("ä...")
    assert status.shorten("short") == "short"


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_reads_right_for_kstatus(reason: Reason) -> None:
    made = built(results.failure(DbopsError(reason, "why"), operation="create database"))
    human = reason.error_class is ErrorClass.HUMAN
    assert ("Stalled" in types(made)) is human
    assert ("Reconciling" in types(made)) is not human
    assert made["phase"] == ("Pending" if reason.error_class is ErrorClass.WAIT else "Failed")
    ready = status.condition({"status": made}, "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"], ready["observedGeneration"]) == ("False", reason.value, 3)


def test_success_leaves_no_trouble_behind() -> None:
    failed = built(results.failure(DbopsError(Reason.CONFLICT, "why")))
    assert types(built(READY, failed)) == {"Ready", "Synced", "DependenciesReady"}


def test_progress_keeps_what_else_is_known() -> None:
    body = {"status": built(results.success("x", conditions=[Condition("CredentialsReady", "True", "A", "b")]))}
    made = built(results.progress(body, phase="Creating", message="Creating user"))
    assert types(made) == {"Ready", "Reconciling", "Synced", "DependenciesReady", "CredentialsReady"}


def test_what_sums_up_the_others_is_the_first_condition() -> None:
    failed = results.failure(
        DbopsError(Reason.AUTHENTICATION_FAILED, "x"), conditions=[Condition("Connected", "False", "x", "x")]
    )
    made = built(failed)["conditions"]
    assert isinstance(made, list)
    assert [one["type"] for one in made] == ["Ready", "Stalled", "Connected"]
