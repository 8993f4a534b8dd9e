# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an object was applied, and where it was before: from its status and the instances' to what is to be done.

An object whose reference leads to another server, or whose instance has another server now, is applied anew; the old
one is left as its deletion policy says. The reconcilers ask; reconcile/leaving.py does the dropping. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dbops_operator.connection import lane
from dbops_operator.keys import Key
from dbops_operator.resolve import Server

Body = Mapping[str, Any]

_POLICIES = ("driftPolicy", "deletionPolicy", "deletionProtection")


@dataclass(frozen=True)
class Place:
    """An instance, and which server that was at the time."""

    instance: Key
    address: str = ""
    identity: str = ""
    server_changed_at: str = ""

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Place:
        """Read a place from status."""
        kind, *namespace, name = str(entry["instance"]).split("/")
        return cls(
            Key(kind, "".join(namespace), name),
            str(entry.get("address", "")),
            str(entry.get("identity", "")),
            str(entry.get("serverChangedAt", "")),
        )

    @classmethod
    def of(cls, server: Server) -> Place:
        """The place that a SERVER is now."""
        status = server.body.get("status") or {}
        return cls(
            server.key,
            lane(server.spec),
            str(status.get("serverIdentity") or ""),
            str(status.get("serverChangedAt") or ""),
        )

    def entry(self) -> dict[str, str]:
        """The place as it stands in status."""
        key = self.instance
        texts = {
            "instance": "/".join(part for part in (key.kind, key.namespace, key.name) if part),
            "address": self.address,
            "identity": self.identity,
            "serverChangedAt": self.server_changed_at,
        }
        return {name: text for name, text in texts.items() if text}

    def is_same_server(self, other: Place) -> bool:
        """Whether both are one server, by whatever instance."""
        return self.address == other.address or bool(self.identity and self.identity == other.identity)


def applied_to(body: Body) -> Place | None:
    """Where the object was applied last, if that is known."""
    entry = (body.get("status") or {}).get("appliedTo")
    return Place.read(entry) if entry else None


def left_on(body: Body) -> list[Place]:
    """Where the object was before, and must still be dropped."""
    return [Place.read(entry) for entry in (body.get("status") or {}).get("leftOn") or ()]


def is_applied(body: Body, server: Server) -> bool:
    """Whether what is declared now was applied to this very server, whatever hindered a look at it since."""
    before, now = applied_to(body), Place.of(server)
    if before is None or not _is_applied(body):
        return False
    if before.instance == now.instance:
        # The instance itself watches over a change of its server, and it was acknowledged.
        return before.server_changed_at == now.server_changed_at
    return before.is_same_server(now)


def _is_applied(body: Body) -> bool:
    applied = body["status"]["appliedTo"]
    return bool(
        applied.get("generation") == body["metadata"]["generation"] or applied.get("specHash") == _spec_hash(body)
    )


def _spec_hash(body: Body) -> str:
    """A hash of what a server is told of a spec: policies say what is to become of that, and when."""
    told = {name: value for name, value in body["spec"].items() if name not in _POLICIES}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def fields(body: Body, server: Server, *, drops: bool = True) -> dict[str, Any]:
    """Status fields of an object that was just applied to SERVER; DROPS: what is left elsewhere must be dropped."""
    before, now = applied_to(body), Place.of(server)
    left = [place for place in left_on(body) if not place.is_same_server(now)]
    if drops and before and before.instance != now.instance and not before.is_same_server(now):
        left.append(before)
    applied = {**now.entry(), "generation": body["metadata"]["generation"], "specHash": _spec_hash(body)}
    return {"appliedTo": applied, "leftOn": [place.entry() for place in left] or None}


def elsewhere(body: Body, instance: Key) -> list[Place]:
    """Where the object is or was beside INSTANCE: a deletion has to look there as well."""
    places = [*left_on(body), *(place for place in (applied_to(body),) if place)]
    return list({place.instance: place for place in places if place.instance != instance}.values())
