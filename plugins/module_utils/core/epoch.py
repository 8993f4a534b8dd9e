# SPDX-License-Identifier: GPL-3.0-or-later
"""The epoch of a run (a fencing token): of two that work for the same operator, the later one wins.

A lease says who may begin work, but cannot stop somebody who was paused and goes on when it is somebody else's. So
each run carries the number under which its operator took over, the ledger of each server remembers the latest, and
an earlier one stops there. The engine's own epochs.py reads and writes it; this part is pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

_MARK = re.compile(r"dbops:([0-9a-f]{8}):(\d+)(?::|$)")
LONGEST_MARK = len("dbops:01234567:") + 19


class Superseded(DbopsError):  # noqa: N818 (what became of the run)
    """A later epoch works on this server: nothing more may be sent, not even to tidy up."""


@dataclass(frozen=True)
class Epoch:
    """The NUMBER under which somebody took over what is named NAME; later ones are larger."""

    name: str
    number: int

    @classmethod
    def from_options(cls, value: Mapping[str, Any] | None) -> Self | None:
        """Read the option `dbops_epoch`. Raises DbopsError."""
        if not value:
            return None
        name, number = str(value.get("name") or ""), value.get("number")
        if not name or not isinstance(number, int) or not 0 < number < 2**63:
            raise DbopsError(Reason.INVALID_SPEC, "dbops_epoch needs a name and a number", field="dbops_epoch")
        return cls(name, number)

    @property
    def mark(self) -> str:
        """What sessions of this epoch are known by."""
        return f"{self._prefix}{self.number}"

    @property
    def _prefix(self) -> str:
        return f"dbops:{hashlib.sha256(self.name.encode()).hexdigest()[:8]}:"

    def is_earlier(self, text: str) -> bool:
        """Whether TEXT, which a session is known by, has the mark of an earlier epoch of the same name."""
        found = _MARK.search(text)
        return found is not None and found[0].startswith(self._prefix) and int(found[2]) < self.number

    def superseded(self, latest: int) -> Superseded:
        """Give the error for a run that meets a later epoch."""
        return Superseded(
            Reason.CONFLICT,
            f"another operator took over {self.name} (epoch {latest}, this run has {self.number}) and works on this "
            "server; if both are meant to live, give them different cluster or instance ids",
        )

    def require_ended(self, left: Iterable[str]) -> None:
        """Refuse to go on while sessions of an earlier epoch are open that could still send something."""
        sessions = ", ".join(sorted(left))
        if sessions:
            text = f"sessions of the operator that worked here before cannot be ended: {sessions}; end them"
            raise DbopsError(Reason.IN_USE, text)
