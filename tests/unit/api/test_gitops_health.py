# SPDX-License-Identifier: GPL-3.0-or-later
"""Argo CD's health check, run by a real Lua on the statuses that the operator writes."""

from __future__ import annotations

from typing import Any

import pytest
from lupa import LuaRuntime

from dbops_operator import status
from dbops_operator.status import Condition, Report
from localstack.paths import ROOT

SCRIPT = (ROOT / "operator" / "deploy" / "argocd" / "health.lua").read_text(encoding="utf-8")
READY = Condition("Ready", "True", "ReconcileSuccess", "All is well")


def waits(type_: str) -> tuple[Condition, Condition]:
    return Condition("Ready", "False", "X", "Not yet"), Condition(type_, "True", "X", "Why")


def health(generation: int, conditions: tuple[Condition, ...] | None) -> tuple[str, str]:
    body: dict[str, Any] = {"metadata": {"generation": generation}}
    if conditions is not None:
        report = Report(phase="Ready", message="", conditions=conditions)
        body["status"] = status.build({}, report, generation=2, moment=status.now())
    lua = LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(body, recursive=True)
    answer = lua.execute(SCRIPT)
    return str(answer["status"]), str(answer["message"])


@pytest.mark.feature("K06")
@pytest.mark.parametrize(
    ("generation", "conditions", "expected"),
    [
        (2, None, ("Progressing", "Waiting for the operator")),
        (2, (READY,), ("Healthy", "All is well")),
        (3, (READY,), ("Progressing", "The newest spec was not looked at yet")),
        (2, waits("Reconciling"), ("Progressing", "Not yet")),
        (2, waits("Stalled"), ("Degraded", "Why")),
        (2, (READY, Condition("Synced", "False", "DriftDetected", "It differs")), ("Healthy", "All is well")),
    ],
)
def test_argo_cd_sees_what_the_conditions_say(
    generation: int, conditions: tuple[Condition, ...] | None, expected: tuple[str, str]
) -> None:
    assert health(generation, conditions) == expected
