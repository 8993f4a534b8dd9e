# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator as a process: probes, its end, crashes, and what it leaves behind."""

from __future__ import annotations

from operator_process import OperatorProcess


def test_probes_and_metrics_answer(operator: OperatorProcess) -> None:
    assert operator.get("/healthz") == (200, "ok")
    assert operator.get("/readyz") == (200, "ok")
    status, text = operator.get("/metrics")
    assert status == 200
    assert "dbops_watch_age_seconds{" in text
