# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit trail: each statement that changed something on a server, with who caused it: log `dbops_operator.audit`.

Called by the lanes for every result. Statements are masked by the engine before they get here; of a script
that a user wrote the trail has each statement's number, since its text may hold anything. What the engine notes in its
own database `dbops` is no part of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult

logger = logging.getLogger(__name__)


def record(result: ObjectResult, *, server: str, run: str, reconcile: str, editor: str) -> None:
    """Log the statements of a RESULT; EDITOR is the field manager that edited the object last.

    RECONCILE is the look at the object that asked for them.
    """
    for step in result.steps:
        if step.statement:
            fields = {
                "object": result.ref,
                "editor": editor,
                "reconcile": reconcile,
                "run": run,
                "server": server,
                "database": step.database,
            }
            logger.info("%s", step.statement, extra={name: value for name, value in fields.items() if value})


def last_editor(body: Mapping[str, Any], *, but: str) -> str:
    """The field manager that changed an object last, statuses and the manager BUT left out; "" if there is none."""
    entries = [
        (str(one.get("time", "")), number, str(one.get("manager", "")))
        for number, one in enumerate(body["metadata"].get("managedFields") or ())
        if not one.get("subresource") and one.get("manager") != but
    ]
    return max(entries)[2] if entries else ""
