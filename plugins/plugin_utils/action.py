# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins share: run the engine in Ansible's own process, or hand over to the module.

A local task needs no second Python process that unzips and imports: that is five times faster. Whatever an action
plugin does not get applied to it (become, environment, async), a connection that is not local, and a driver that
this Python lacks go to the module of the same name.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import task
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import DRIVERS, Spec
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

_LOCAL = ("local", "ansible.builtin.local", "ansible.legacy.local")


class EngineAction(ActionBase):  # type: ignore[misc] # ansible-core has no types
    """An action plugin over the engine. `spec` gives its options, `work` runs the engine with valid ones."""

    TRANSFERS_FILES = False
    # Async tasks go to the module, which Ansible then wraps.
    _supports_async = True
    spec: Callable[[], Spec]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give the task's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = plain(self._task.args)
        try:
            # Also for what is handed over: a module that refuses an option shows all of them, a misspelt `passwort`
            # included, in its invocation.
            parameters = validated(type(self).spec(), arguments)
        except DbopsError as error:
            return result | task.failure(error)
        if not self._here(parameters.get("engine")):
            handed_over: dict[str, Any] = self._execute_module(
                module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
            )
            return result | handed_over
        return result | self.work(parameters, check=self._task.check_mode, diff=self._task.diff)

    def work(self, parameters: Mapping[str, Any], *, check: bool, diff: bool) -> dict[str, Any]:
        """Run the engine."""
        raise NotImplementedError

    def _here(self, engine: str | None) -> bool:
        environment = self._task.environment or []
        return (
            self._connection.transport in _LOCAL
            and not self._connection.become
            and not any(environment if isinstance(environment, list) else [environment])
            and not self._task.async_val
            and importlib.util.find_spec(DRIVERS[engine] if engine else "obstore") is not None
        )


def plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Give a task's arguments as plain data, without Ansible's tags on them: what comes from outside stays data."""
    content: dict[str, Any] = json.loads(json.dumps(arguments, default=str))
    return content


def validated(spec: Spec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Check ARGUMENTS and fill in defaults, as a module does. Raises DbopsError.

    Messages of Ansible's validator name options and types; values only of options with choices and of numbers,
    which no secret option is.
    """
    checked = ArgumentSpecValidator(spec).validate(dict(arguments))
    if checked.error_messages:
        raise DbopsError(Reason.INVALID_SPEC, " ".join(checked.error_messages))
    parameters: dict[str, Any] = checked.validated_parameters
    return parameters
