# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action plugin of the module `database_backup`: the same work, in Ansible's own process if possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import module_arguments, task
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import Spec
from ansible_collections.dbprovision.dbops.plugins.plugin_utils.action import EngineAction


class ActionModule(EngineAction):
    """Options and results are those of the module."""

    @staticmethod
    def spec() -> Spec:
        """Give the options."""
        return module_arguments.backup_spec()

    def work(self, parameters: Mapping[str, Any], *, check: bool, diff: bool) -> dict[str, Any]:  # noqa: ARG002
        """Do the work."""
        return task.backed_up(parameters, check)
