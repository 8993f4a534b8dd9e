# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action plugin of the module `database_access_info`: the same engine, in Ansible's own process if possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import argument_specs, task
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import Spec
from ansible_collections.dbprovision.dbops.plugins.plugin_utils.action import EngineAction


class ActionModule(EngineAction):
    """Options and results are those of the module."""

    @staticmethod
    def spec() -> Spec:
        """Give the options."""
        return argument_specs.spec_of("database_access")

    def work(self, parameters: Mapping[str, Any], *, check: bool, diff: bool) -> dict[str, Any]:
        """Converge the one object."""
        return task.single("database_access", parameters, check=check, diff=diff)
