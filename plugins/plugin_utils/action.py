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

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import Spec

DRIVERS = {"postgres": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
_LOCAL = ("local", "ansible.builtin.local", "ansible.legacy.local")


class EngineAction(ActionBase):  # type: ignore[misc] # ansible-core has no types
    """An action plugin over the engine. `spec` gives its options, `work` runs the engine with valid ones."""

    TRANSFERS_FILES = False
    spec: Callable[[], Spec]
    supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Give the task's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = plain(self._task.args)
        if not self._here(arguments):
            handed_over: dict[str, Any] = self._execute_module(
                module_args=arguments, task_vars=task_vars, wrap_async=self._task.async_val
            )
            return result | handed_over
        parameters = validated(type(self).spec(), arguments)
        return result | self.work(parameters, check=self._task.check_mode, diff=self._task.diff)

    def work(self, parameters: Mapping[str, Any], *, check: bool, diff: bool) -> dict[str, Any]:
        """Run the engine."""
        raise NotImplementedError

    def _here(self, arguments: Mapping[str, Any]) -> bool:
        environment = self._task.environment or []
        return (
            self._connection.transport in _LOCAL
            and not self._connection.become
            and not any(environment if isinstance(environment, list) else [environment])
            and not self._task.async_val
            and importlib.util.find_spec(DRIVERS.get(str(arguments.get("engine", "postgres")), "psycopg")) is not None
        )


def plain(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Give a task's arguments as plain data, without Ansible's tags on them: what comes from outside stays data."""
    content: dict[str, Any] = json.loads(json.dumps(arguments, default=str))
    return content


def validated(spec: Spec, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Check ARGUMENTS and fill in defaults, as a module does. Raises AnsibleActionFail."""
    checked = ArgumentSpecValidator(spec).validate(dict(arguments))
    if checked.error_messages:
        raise AnsibleActionFail(" ".join(_masked(text, spec, arguments) for text in checked.error_messages))
    parameters: dict[str, Any] = checked.validated_parameters
    return parameters


def _masked(message: str, spec: Spec, arguments: Mapping[str, Any]) -> str:
    """Keep values of secret options out of a message of the validator."""
    for name, one in spec.items():
        if one.get("no_log") and any(name in (option, *one.get("aliases", ())) for option in arguments):
            if name in message:
                return f"the value of {name} is not valid"
    return message
