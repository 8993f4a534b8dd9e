# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL that a new database begins with: which statements there are, and which of them are still to be run; pure.

Called by core.parse, and by core.scripts, which has the engine run what is pending, once per content. The ledger's
entry of the database remembers under `init_sql` the hash of the content, how many statements of it are done, and what
the engine made for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import sql_script
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.content_hash import content_hash
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import InitSQL

MEMORY = "init_sql"
"""Under which key of an entry's `applied` it is remembered."""


@dataclass(frozen=True)
class Progress:
    """How far the run of one content came. `made`: accounts that the engine made for it and that are still there."""

    hash: str
    done: int = 0
    finished: bool = False
    made: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, declared: InitSQL, memory: Mapping[str, Any]) -> Self:
        """Give what MEMORY (an entry's `applied`) says of the content that is DECLARED."""
        known = memory.get(MEMORY) or {}
        now = content_hash(declared.statements, declared.script)
        same = known.get("hash") == now
        return cls(
            now,
            done=int(known.get("done", 0)) if same else 0,
            finished=bool(known.get("finished")) and same,
            made=known.get("made") or {},
        )

    def remembered(self) -> dict[str, Any]:
        """Give it as the ledger keeps it."""
        return {"hash": self.hash, "done": self.done, "finished": self.finished, "made": dict(self.made)}


def in_new_database(memory: Mapping[str, Any]) -> dict[str, Any]:
    """Give what of MEMORY (an entry's `applied`) still holds when its database is made again: nothing has run in it.

    Accounts that were made for scripts are the server's and may still be there.
    """
    made = memory.get(MEMORY, {}).get("made")
    return {MEMORY: {"made": made}} if made else {}


def statements(declared: InitSQL, engine: str) -> tuple[str, ...]:
    """Give what is to be sent, in order. Raises DbopsError with InvalidSpec for a script that does not end.

    Of a list each item is one statement whatever it holds; a script is split as the server's client would.
    """
    if declared.script is None:
        return tuple(one for one in declared.statements if one.strip())
    return tuple(sql_script.split(declared.script, engine))
