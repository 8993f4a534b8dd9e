# SPDX-License-Identifier: GPL-3.0-or-later
"""The one document that comes out of the engine: what was found, what was done, what failed, per object.

Made by core.converge, returned by every module, sent object by object over a standby run's socket, and the
only thing that the operator reads. Versioned; secrets are in it never, since statements are rendered masked
and nothing here is made from a secret option. Pure: also imported by the operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# A field named `field` hides the import from pylint.
from dataclasses import asdict, dataclass, field  # pylint: disable=unused-import
from typing import Any, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason

VERSION = 1


@dataclass(frozen=True)
class Difference:
    """One field that is not as declared. Values are text as the API's `status.drift.diffs` has it."""

    field: str
    expected: str
    actual: str
    destructive: bool = False
    immutable: bool = False


@dataclass(frozen=True)
class StepResult:
    """One step of a plan as people see it: `create database app`, the statement with secrets masked."""

    action: str
    target: str
    statement: str
    before: Any = None
    after: Any = None
    destructive: bool = False
    database: str | None = None


@dataclass
class ObjectResult:
    """What became of one declared object.

    `observed` holds the facts of its kind (see the modules' RETURN blocks); `credentials` is only there for a
    user whose login was asked to be tried: `{"status": "True"|"False"|"Unknown", "reason": ..., "message": ...}`.
    """

    ref: str
    changed: bool = False
    steps: list[StepResult] = field(default_factory=list)
    observed: dict[str, Any] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    credentials: dict[str, str] | None = None
    failed: bool = False
    reason: Reason | None = None
    message: str = ""
    field: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give plain data for JSON."""
        return {**asdict(self), "reason": self.reason.value if self.reason else None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave. Raises KeyError, TypeError or ValueError for anything else."""
        reason = data["reason"]
        return cls(
            ref=str(data["ref"]),
            changed=bool(data["changed"]),
            steps=[StepResult(**step) for step in data["steps"]],
            observed=dict(data["observed"]),
            differences=[Difference(**difference) for difference in data["differences"]],
            warnings=[str(warning) for warning in data["warnings"]],
            credentials=dict(data["credentials"]) if data["credentials"] is not None else None,
            failed=bool(data["failed"]),
            reason=Reason(reason) if reason else None,
            message=str(data["message"]),
            field=data["field"],
        )


def document(objects: Sequence[ObjectResult], server: Mapping[str, Any]) -> dict[str, Any]:
    """Assemble the result of a run on one server: facts of the SERVER and the OBJECTS in their declared order."""
    return {
        "version": VERSION,
        "changed": any(one.changed for one in objects),
        "failed": any(one.failed for one in objects),
        "server": dict(server),
        "objects": [one.to_dict() for one in objects],
    }
