# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules share: they run on the target where the action plugin of the same name cannot do the work.

Options in, one call into the engine, the result out as Ansible's modules give it. Targets may have any Python that
Ansible serves: what needs a newer one, or the driver, is imported after that has been looked at.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import (
    DRIVERS,
    Spec,
    spec_of,
    spec_of_export,
    spec_of_list,
    without_secrets,
)

PYTHON = (3, 11)


def run_single(ansible_module: type[AnsibleModule], kind: str) -> None:
    """Run the module for one object of a KIND; ANSIBLE_MODULE is the class AnsibleModule."""
    spec = spec_of(kind)
    module = ansible_module(argument_spec=spec, supports_check_mode=True)
    require(module)
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core import task

    leave(module, spec, task.single(kind, module.params, check=module.check_mode, diff=module._diff))


def run_many(ansible_module: type[AnsibleModule]) -> None:
    """Run the module `converge`."""
    spec = spec_of_list()
    module = ansible_module(argument_spec=spec, supports_check_mode=True)
    if module.params["socket"]:
        module.fail_json(msg="socket works with a local connection only, without become, environment and async")
    require(module)
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core import task

    leave(module, spec, task.many(module.params, check=module.check_mode, diff=module._diff))


def run_export(ansible_module: type[AnsibleModule]) -> None:
    """Run the module `database_export`."""
    spec = spec_of_export()
    module = ansible_module(argument_spec=spec, supports_check_mode=True)
    require(module)
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core import task

    leave(module, spec, task.exported(module.params))


def require(module: AnsibleModule) -> None:
    """End with a message where the target lacks what the engine is made of."""
    if sys.version_info < PYTHON:
        found = ".".join(str(part) for part in sys.version_info[:2])
        wanted = ".".join(str(part) for part in PYTHON)
        module.fail_json(msg=f"Python {wanted} or newer is needed on the target; {sys.executable} is {found}")
    # What only reads a store has no engine.
    driver = DRIVERS[module.params["engine"]] if "engine" in module.params else "obstore"
    if importlib.util.find_spec(driver) is None:
        module.fail_json(msg=missing_required_lib(driver))


def leave(module: AnsibleModule, spec: Spec, result: Mapping[str, Any]) -> None:
    """End the module with RESULT."""
    for warning in result["warnings"]:
        module.warn(warning)
    content = {name: value for name, value in result.items() if name not in ("warnings", "failed")}
    content["invocation"] = {"module_args": without_secrets(spec, module.params)}
    # Ansible would replace every occurrence of a secret's text: the password `app` would destroy `database/app`.
    # The engine's results hold no secret, and the options are masked above.
    module.no_log_values.clear()
    if result.get("failed"):
        module.fail_json(**{"msg": "failed", **content})
    module.exit_json(**content)
