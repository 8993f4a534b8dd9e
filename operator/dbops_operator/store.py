# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watches saw last of every object, and what a new sight of it means.

The watches put bodies in; the controller learns from the `Change` whom to wake; reconcilers look things up here
when an answer that is a moment old will do (dependants, names taken), and read from the API what they act on.
Of Secrets, ConfigMaps and Namespaces only metadata is here. Pure: no I/O.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import IntFlag
from typing import Any

from dbops_operator.audit import last_editor
from dbops_operator.keys import Key
from dbops_operator.resources import FIELD_MANAGER, OWN_KINDS, SCHEDULE_LABEL

Body = Mapping[str, Any]
# A name of its own, since `list` in the class below is a method.
Bodies = list[Body]


Named = tuple[str, str]
"""What is named, `role` or `database` and its name on a server, or `schedule` and its namespace and name."""


class Change(IntFlag):
    """What differs between two sights of an object."""

    NONE = 0
    APPEARED = 1
    SPEC = 2
    """`metadata.generation`; for kinds without one, anything at all (resourceVersion)."""
    DELETION = 4
    """A deletionTimestamp was set."""
    METADATA = 8
    """Labels or annotations."""
    READINESS = 16
    """The condition Ready, or the generation that it was observed at."""
    VANISHED = 32
    RECREATED = 64
    """Another object of the same name (uid)."""

    @property
    def concerns_itself(self) -> bool:
        """Whether the object must be looked at again. Not for what only its own status says."""
        return bool(self & ~Change.READINESS)

    @property
    def supersedes(self) -> bool:
        """Whether work in progress for the object is out of date: edited, being deleted, another one, gone."""
        return bool(self & (Change.SPEC | Change.DELETION | Change.RECREATED | Change.VANISHED))


Changes = list[tuple[Key, Change]]


class Store:
    """Bodies by key. Of managedFields only the last editor's name is kept: they are half of a body."""

    def __init__(self) -> None:
        """Start empty."""
        self._kinds: dict[str, dict[Key, Body]] = {}
        self._editors: dict[Key, str] = {}
        self._names: dict[Key, frozenset[Named]] = {}
        self._naming: defaultdict[Named, set[Key]] = defaultdict(set)

    def get(self, key: Key) -> Body | None:
        """The last sight of an object; None if there is none."""
        return self._kinds.get(key.kind, {}).get(key)

    def editor(self, key: Key) -> str:
        """Who edited an object of ours last, by field manager; "" if that is not known."""
        return self._editors.get(key, "")

    def list(self, kind: str, namespace: str | None = None) -> Bodies:
        """All objects of a KIND, in one NAMESPACE or in all."""
        bodies = self._kinds.get(kind, {})
        return [body for key, body in bodies.items() if namespace is None or key.namespace == namespace]

    def naming(self, thing: str, name: str) -> Bodies:
        """Objects that name a THING of a server (`role`, `database`), or a `schedule` that made them: see Named."""
        return [self._kinds[key.kind][key] for key in self._naming.get((thing, name), ())]

    def keys(self, kind: str) -> Iterator[Key]:
        """Keys of all objects of a KIND."""
        return iter(tuple(self._kinds.get(kind, {})))

    def count(self, kind: str) -> int:
        """How many objects of a KIND are known."""
        return len(self._kinds.get(kind, {}))

    def phases(self) -> Iterator[tuple[str, str, str]]:
        """Kind, phase and namespace of each object of ours, for counting; before its first status it is Pending."""
        for kind in OWN_KINDS:
            for key, body in tuple(self._kinds.get(kind, {}).items()):
                yield kind, (body.get("status") or {}).get("phase") or "Pending", key.namespace

    def put(self, body: Body) -> Change:
        """Take a new sight of an object; an older one than the last is not taken (NONE)."""
        key = Key.of(body)
        known = self._kinds.setdefault(key.kind, {})
        old = known.get(key)
        if old is not None and _is_older(body, old):
            return Change.NONE
        if key.kind in OWN_KINDS and (editor := last_editor(body, but=FIELD_MANAGER)):
            self._editors[key] = sys.intern(editor)
        known[key] = {
            **body,
            "metadata": {name: value for name, value in body["metadata"].items() if name != "managedFields"},
        }
        self._index(key, _named(body))
        return compare(old, body)

    def _index(self, key: Key, names: frozenset[Named]) -> None:
        """Note what an object names now, so that whoever waits for it is found without a search."""
        former = self._names.pop(key, frozenset())
        for name in former - names:
            self._naming[name].discard(key)
            if not self._naming[name]:
                del self._naming[name]
        for name in names - former:
            self._naming[name].add(key)
        if names:
            self._names[key] = names

    def remove(self, key: Key) -> Change:
        """Forget an object that is gone."""
        self._editors.pop(key, None)
        self._index(key, frozenset())
        return Change.NONE if self._kinds.get(key.kind, {}).pop(key, None) is None else Change.VANISHED

    def replace(self, kind: str, bodies: Iterable[Body], *, version: str, namespace: str = "") -> Changes:
        """Take a complete list of a KIND (in one NAMESPACE, or in all), of resourceVersion VERSION.

        Gives what changed, the vanished included.
        """
        changes = {Key.of(body): self.put(body) for body in bodies}
        vanished = self.retain(kind, changes.keys(), version=version, namespace=namespace)
        return [*((key, change) for key, change in changes.items() if change), *vanished]

    def retain(self, kind: str, there: Collection[Key], *, version: str, namespace: str = "") -> Changes:
        """Forget what is not THERE any more, by a complete list like that of `replace`; gives what vanished.

        What was seen later than the list is not the list's to judge.
        """
        gone = [
            key
            for key, body in self._kinds.get(kind, {}).items()
            if key not in there and (not namespace or key.namespace == namespace)
            if not _is_older_than(version, body)
        ]
        return [(key, self.remove(key)) for key in gone]


def compare(old: Body | None, new: Body) -> Change:
    """What differs between two sights of an object."""
    if old is None:
        return Change.APPEARED
    before, after = old["metadata"], new["metadata"]
    change = Change.NONE
    if before.get("uid") != after.get("uid"):
        change |= Change.RECREATED
    if new["kind"] in OWN_KINDS:
        if before.get("generation") != after.get("generation"):
            change |= Change.SPEC
        if readiness(old) != readiness(new):
            change |= Change.READINESS
    elif before.get("resourceVersion") != after.get("resourceVersion"):
        change |= Change.SPEC
    if not before.get("deletionTimestamp") and after.get("deletionTimestamp"):
        change |= Change.DELETION
    if any((before.get(name) or {}) != (after.get(name) or {}) for name in ("labels", "annotations")):
        change |= Change.METADATA
    return change


def readiness(body: Body) -> tuple[str, bool]:
    """Status of the condition Ready, and whether it was observed at the present generation."""
    for condition in body.get("status", {}).get("conditions") or ():
        if condition["type"] == "Ready":
            current = condition.get("observedGeneration") == body["metadata"].get("generation")
            return str(condition["status"]), current
    return "Unknown", False


_NAMING = frozenset(
    {"Database", "DatabaseUser", "DatabaseRole", "ClusterDatabaseRole", "DatabaseGrant", "ClusterDatabaseGrant"}
)


def _named(body: Body) -> frozenset[Named]:
    if body["kind"] == "DatabaseBackup":
        label = (body["metadata"].get("labels") or {}).get(SCHEDULE_LABEL)
        return frozenset({("schedule", f"{body['metadata']['namespace']}/{label}")} if label else ())
    if body["kind"] not in _NAMING:
        return frozenset()
    spec = body.get("spec") or {}
    block = spec.get("postgres") or {}
    defaults = block.get("defaultPrivileges") or ()
    roles = [
        spec.get("owner"),
        *(spec.get("roles") or ()),
        *(block.get("inRoles") or ()),
        *(block.get("roles") or ()),
        block.get("defaultRole"),
        *(one.get("owner") for one in block.get("schemas") or ()),
        *(one.get(who) for one in defaults for who in ("role", "grantedBy")),
    ]
    databases = [one.get("database") for one in (*(block.get("grants") or ()), *defaults)]
    return frozenset(
        (thing, name) for thing, names in (("role", roles), ("database", databases)) for name in names if name
    )


def _is_older(new: Body, old: Body) -> bool:
    return _is_older_than(new["metadata"].get("resourceVersion", ""), old)


def _is_older_than(version: str, body: Body) -> bool:
    # Since Kubernetes 1.35 resourceVersions are documented to be comparable numbers; where they are not, the
    # order of arrival decides.
    try:
        return int(version) < int(body["metadata"]["resourceVersion"])
    except (KeyError, ValueError):
        return False
