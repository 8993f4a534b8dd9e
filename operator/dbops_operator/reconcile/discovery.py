# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery: what is on a server and managed by no object, from the engine's list to `status.discoveredResources`.

Called by database_instance.py where the instance asks for it. Nothing is taken over: that is what the annotations
adopt-databases, adopt-users and adopt-roles are for, and each name needs an object of its own. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LISTED = 50
"""Entries of each list in status; a count says how many there are."""
_SORTS = ("databases", "users", "roles")


def resources(
    before: Mapping[str, Any] | None, found: Mapping[str, Sequence[str]] | None, *, moment: str
) -> dict[str, Any] | None:
    """Give the status that follows the one BEFORE, from the names FOUND; None where nobody looked.

    A name keeps the time when it was seen first, and the whole moves only when a name comes or goes.
    """
    if found is None:
        return None
    made: dict[str, Any] = {}
    for sort in _SORTS:
        known = {entry["name"]: entry for entry in (before or {}).get(sort) or ()}
        made[sort] = [
            known.get(name, {"name": name, "discovered": moment, "adopted": False}) for name in found[sort][:LISTED]
        ]
        made[f"{sort}Count"] = len(found[sort])
    same = before is not None and all(before.get(name) == value for name, value in made.items())
    return {**made, "lastScan": before["lastScan"] if before and same else moment}
