# SPDX-License-Identifier: GPL-3.0-or-later
"""What the operator remembers of a user's rotation, as it lies in the user's state Secret; pure.

rotation.py decides from it and gives the next one; user_secrets.py reads and writes it together with the passwords,
so that both always fit together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self


class How(StrEnum):
    """How a password is replaced."""

    TWIN = "twin"
    """By a new login beside the old one, both members of the service role."""
    DUAL = "dual"
    """By a second password of the same login; the old one works for a while."""
    PLAIN = "plain"
    """By another password of the same login; the old one ends at once."""


class Fate(StrEnum):
    """What became of a login that was replaced."""

    PENDING = "pending"
    """It works until its grace period ends."""
    BLOCKED = "blocked"
    """It could not be dropped."""
    DELETED = "deleted"
    DISABLED = "disabled"
    RETAINED = "retained"


@dataclass(frozen=True)
class Retired:
    """A login that was replaced."""

    user: str
    deprecated_at: datetime
    delete_after: datetime | None
    """End of the grace period; None: it is kept for good."""
    fate: Fate = Fate.PENDING
    finding: Mapping[str, Any] = field(default_factory=dict)
    """Why it is blocked: blockedReason, ownedObjects, resolution as status has them."""


@dataclass(frozen=True)
class Record:
    """The rotation of one user."""

    login: str
    """The login whose password the consumer's Secret has."""
    rotated_at: datetime
    """When that was put there, or when rotation was switched on."""
    schedule: str = ""
    since: datetime | None = None
    """When `schedule` was first seen: what it named before is not made up for."""
    under_way: How | None = None
    """A rotation that has begun; the state's `next` is the new password."""
    next_login: str = ""
    """With a twin under way: its login."""
    requested: str = ""
    """The value of the annotation `rotate-at` that was carried out last."""
    retained_until: datetime | None = None
    """Until when an old password of `login` works beside the new one."""
    service_role: str = ""
    """The group role of all logins, once there is one."""
    makes_role: bool = False
    """Whether that role is made and kept for this user alone (autoCreate)."""
    first_acts: bool = False
    """Whether the user's first login acts as the service role: it was made together with it, so it owns nothing."""
    retired: tuple[Retired, ...] = ()

    @property
    def target(self) -> str:
        """The login that the server is to have with the newest password."""
        return self.next_login or self.login

    @property
    def logins(self) -> list[str]:
        """All logins that may be on the server."""
        gone = [one.user for one in self.retired if one.fate is not Fate.DELETED]
        return [*dict.fromkeys([*gone, self.login, *([self.next_login] if self.next_login else [])])]

    def with_retired(self, changed: Retired) -> Self:
        """The record with another word about one of the logins that were replaced."""
        return replace(self, retired=tuple(changed if one.user == changed.user else one for one in self.retired))


def to_text(record: Record) -> str:
    """The record as the state Secret has it."""
    return json.dumps(_plain(record), sort_keys=True, separators=(",", ":"))


def from_text(text: str) -> Record:
    """Read what `to_text` wrote."""
    values = json.loads(text)
    retired = tuple(
        Retired(
            **{
                **one,
                "deprecated_at": moment(one["deprecated_at"]),
                "delete_after": optional_moment(one.get("delete_after")),
                "fate": Fate(one["fate"]),
            }
        )
        for one in values.pop("retired", ())
    )
    return Record(
        **{
            **values,
            "rotated_at": moment(values["rotated_at"]),
            "since": optional_moment(values.get("since")),
            "retained_until": optional_moment(values.get("retained_until")),
            "under_way": How(values["under_way"]) if values.get("under_way") else None,
            "retired": retired,
        }
    )


def _plain(value: Record | Retired) -> dict[str, Any]:
    """Fields that say something, in words of JSON."""
    made: dict[str, Any] = {}
    for name, one in vars(value).items():
        if isinstance(one, datetime):
            made[name] = stamp(one)
        elif isinstance(one, tuple):
            made[name] = [_plain(entry) for entry in one]
        elif one:
            made[name] = one if isinstance(one, bool | dict) else str(one)
    return made


def from_status(status: Mapping[str, Any]) -> Record | None:
    """What `status.rotation` still tells when the state Secret is lost; the passwords are not in it."""
    if not status.get("activeUser") or not status.get("lastRotatedAt"):
        return None
    retired = tuple(
        Retired(
            user=str(one["user"]),
            deprecated_at=moment(one["deprecatedAt"]),
            delete_after=optional_moment(one.get("deleteAfter")),
            fate=Fate(one.get("status") or "pending"),
        )
        for one in status.get("pendingDeletion") or ()
    )
    return Record(
        login=str(status["activeUser"]),
        rotated_at=moment(status["lastRotatedAt"]),
        service_role=str(status.get("serviceRole") or ""),
        # Where it is somebody else's, the ledger on the server says so.
        makes_role=bool(status.get("serviceRole")),
        retired=retired,
    )


def stamp(value: datetime) -> str:
    """A time as Kubernetes writes it."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Read what `stamp` wrote, or another time of RFC 3339. Raises ValueError."""
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return read.astimezone(UTC)


def optional_moment(text: str | None) -> datetime | None:
    """Read a time that need not be there."""
    return moment(text) if text else None
