# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules share: they run on the target where the action plugin of the same name cannot do the work.

Options in, one call into the engine, the result out as Ansible's modules give it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import task
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import Spec


def run_single(ansible_module: Any, kind: str) -> None:
    """Run the module for one object of a KIND; ANSIBLE_MODULE is the class AnsibleModule."""
    spec = task.spec_of(kind)
    module = ansible_module(argument_spec=spec, supports_check_mode=True)
    result = task.single(kind, module.params, check=module.check_mode, diff=module._diff)
    _exit(module, spec, result)


def run_many(ansible_module: Any) -> None:
    """Run the module `converge`."""
    spec = task.spec_of_list()
    module = ansible_module(argument_spec=spec, supports_check_mode=True)
    if module.params["socket"]:
        module.fail_json(msg="socket works with a local connection only, without become, environment and async")
    _exit(module, spec, task.many(module.params, check=module.check_mode, diff=module._diff))


def _exit(module: Any, spec: Spec, result: Mapping[str, Any]) -> None:
    for warning in result["warnings"]:
        module.warn(warning)
    content = {name: value for name, value in result.items() if name not in ("warnings", "failed")}
    content["invocation"] = {"module_args": task.without_secrets(spec, module.params)}
    # Ansible would replace every occurrence of a secret's text: the password `app` would destroy `database/app`.
    # The engine's results hold no secret, and the options are masked above.
    module.no_log_values.clear()
    if result.get("failed"):
        module.fail_json(**{"msg": "failed", **content})
    module.exit_json(**content)
