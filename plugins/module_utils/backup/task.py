# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an Ansible task become work, and the worker's document the task's result.

Shared by the modules and by the action plugins of the same names, so that both give the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import worker


def backed_up(parameters: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """Bring a backup into the declared state and give the task's result."""
    if parameters["state"] == "absent":
        return _result(worker.run("remove", parameters, check=check))
    done = worker.run("backup", parameters, check=check)
    if parameters["state"] == "present" or done["failed"] or (check and done["changed"]):
        return _result(done)
    # The moment is part of the name: without `started` it is the one of the backup that was just made.
    found = worker.run("verify", {**parameters, "backup": done["backup"]["path"]}, check=check)
    return _result({**found, "changed": done["changed"], "warnings": [*done["warnings"], *found["warnings"]]})


def restored(parameters: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """Restore, and give the task's result."""
    return _result(worker.run("restore", parameters, check=check))


def listed(parameters: Mapping[str, Any], check: bool) -> dict[str, Any]:
    """List a store, and give the task's result."""
    return _result(worker.run("list", parameters, check=check))


def _result(document: Mapping[str, Any]) -> dict[str, Any]:
    result = {name: value for name, value in document.items() if name not in ("failed", "message")}
    if document["failed"]:
        result |= {"failed": True, "msg": f"{document['message']} [{document['reason']}]"}
    return result
