# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of backups share: options in, one call of the worker, the result out.

They run on the target where the action plugin of the same name cannot do the work. What needs more than Ansible is
imported after that has been looked at (core.module).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import module_arguments
from ansible_collections.dbprovision.dbops.plugins.module_utils.core import module as modules
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import Spec


def run_backup(ansible_module: type[AnsibleModule]) -> None:
    """Run the module `database_backup`; ANSIBLE_MODULE is the class AnsibleModule."""
    _run(ansible_module, module_arguments.backup_spec(), "backup")


def run_restore(ansible_module: type[AnsibleModule]) -> None:
    """Run the module `database_restore`."""
    _run(ansible_module, module_arguments.restore_spec(), "restore")


def run_info(ansible_module: type[AnsibleModule]) -> None:
    """Run the module `database_backup_info`."""
    _run(ansible_module, module_arguments.info_spec(), "info")


def _run(ansible_module: type[AnsibleModule], spec: Spec, name: str) -> None:
    module = ansible_module(argument_spec=spec, supports_check_mode=True)
    modules.require(module)
    from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import task

    works: dict[str, Callable[[Mapping[str, Any], bool], dict[str, Any]]] = {
        "backup": task.backed_up,
        "restore": task.restored,
        "info": task.listed,
    }
    modules.leave(module, spec, works[name](module.params, module.check_mode))
