# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints each task's result as one line of JSON for tests/ansible_runs.py."""

from __future__ import annotations

import json
from typing import Any

from ansible.plugins.callback import CallbackBase

MARK = "dbops-test-result "


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "test_results"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result: Any) -> None:
        self._tell(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002 (called by name)
        self._tell(result, "failed")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._tell(result, "unreachable")

    def _tell(self, result: Any, status: str) -> None:
        content = {"task": result._task.get_name(), "status": status, "result": result._result}
        self._display.display(MARK + json.dumps(content, default=str))
