# SPDX-License-Identifier: GPL-3.0-or-later
"""One piece of long work: a backup, its verification, its removal, a restore, or the list of what a store holds.

Called with the options of a module by the modules and action plugins, by the operator's runs, and by Kubernetes Jobs;
all get the same document. Nothing here knows of a database's SQL (engine.py) or of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import backing, listed, restoring
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Progress, Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

Result = dict[str, Any]
Work = Callable[[Mapping[str, Any], bool, Watch], Result]

ACTIONS: Mapping[str, Work] = {
    "backup": backing.back_up,
    "verify": backing.verify,
    "remove": backing.remove,
    "restore": restoring.restore,
    "list": listed.list_backups,
}


def run(
    action: str,
    options: Mapping[str, Any],
    *,
    check: bool = False,
    progress: Progress = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Result:
    """Do one of ACTIONS with checked OPTIONS and give its document; what goes wrong is in it, and not raised.

    `changed`, `failed`, `warnings`, and what the action gives: `backup`, `verification`, `restore` or `backups`; on
    failure `reason`, `message` and `field`. CHECK looks at everything that can be looked at, and changes nothing.
    """
    watch = Watch(progress=progress, cancelled=cancelled, seconds=options.get("deadline"))
    try:
        return {"changed": False, "failed": False, "warnings": [], **ACTIONS[action](options, check, watch)}
    except DbopsError as error:
        return _failed(error)
    except OSError as error:
        # The scratch folder is full or may not be written to; the store and the servers have errors of their own.
        text = f"{error.filename or 'the scratch folder'}: {error.strerror}"
        return _failed(DbopsError(Reason.INTERNAL_ERROR, text, field="scratch_path"))


def _failed(error: DbopsError) -> Result:
    return {
        "changed": False,
        "failed": True,
        "warnings": [],
        "reason": error.reason.value,
        "message": error.message,
        "field": error.field,
    }
