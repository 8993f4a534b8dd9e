# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups a store holds, and the order of writes that keeps that true whatever is killed when.

A backup is a dump and its manifest. Before a dump is written a marker says so (`begin`); the manifest comes last, and
the marker goes after it (`complete`). Removing puts the marker back first, then takes the manifest, then the dump
(`remove`). So what is half done has a marker and no manifest at any moment: it is no backup, and it can be told from
files of others in the same place, which nobody here removes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import manifest as manifests
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.store_errors import ObjectMissingError
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store, StoredObject
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

MARKER = ".incomplete.json"
_READERS = 8
"""Manifests that are read at the same time."""


@dataclass(frozen=True)
class Broken:
    """Something with a manifest that is no backup: the dump's path, and why."""

    path: str
    message: str


@dataclass(frozen=True)
class Unfinished:
    """A dump that was begun, or whose removal was: its path, and since when."""

    path: str
    since: datetime


@dataclass(frozen=True)
class Listing:
    """What a store holds below a prefix."""

    backups: list[Manifest]
    """Oldest first."""
    broken: list[Broken]
    unfinished: list[Unfinished]


def listing(store: Store, prefix: str = "") -> Listing:
    """Read which backups there are in the folder PREFIX and below."""
    objects = {one.path: one for one in store.list(prefix)}
    named = [path.removesuffix(manifests.SUFFIX) for path in objects if path.endswith(manifests.SUFFIX)]
    with ThreadPoolExecutor(_READERS) as pool:
        read = list(pool.map(lambda path: _judged(store, path, objects), named))
    backups = sorted((one for one in read if isinstance(one, Manifest)), key=lambda one: (one.started, one.path))
    broken = [one for one in read if isinstance(one, Broken)]
    unfinished = [
        Unfinished(path, one.modified)
        for one in objects.values()
        if one.path.endswith(MARKER) and manifests.path_of(path := one.path.removesuffix(MARKER)) not in objects
    ]
    return Listing(backups, sorted(broken, key=lambda one: one.path), sorted(unfinished, key=lambda one: one.path))


def _judged(store: Store, path: str, objects: Mapping[str, StoredObject]) -> Manifest | Broken | None:
    try:
        manifest = find(store, path)
    except DbopsError as error:
        if error.reason is not Reason.NOT_VERIFIABLE:
            raise
        return Broken(path, error.message)
    if manifest is None:
        # Removed since the list was read.
        return None
    dump = objects.get(path)
    if dump is None:
        return Broken(path, f"{path}: the dump is gone, its manifest is there")
    if dump.size != manifest.stream.stored_bytes:
        size = manifest.stream.stored_bytes
        return Broken(path, f"{path}: the object has {dump.size} bytes, its manifest says {size}")
    return manifest


def list_backups(store: Store, prefix: str = "") -> list[Manifest]:
    """Give the backups in the folder PREFIX and below, oldest first."""
    return listing(store, prefix).backups


def find(store: Store, path: str) -> Manifest | None:
    """Give the manifest of the dump at PATH, or nothing if it has none. Raises NotVerifiable for one that is wrong."""
    try:
        content = store.read(manifests.path_of(path))
    except ObjectMissingError:
        return None
    return manifests.from_json(content, path)


def begin(store: Store, path: str, *, started: datetime, created_by: Mapping[str, str] | None = None) -> None:
    """Say in the store that a dump will be written to PATH, before it is."""
    note = {"started": manifests.timestamp(started), "created_by": dict(created_by) if created_by else None}
    store.write(path + MARKER, json.dumps(note, sort_keys=True).encode() + b"\n")


def complete(store: Store, manifest: Manifest) -> None:
    """Make a dump that is there, whole and checked, a backup."""
    store.write(manifest.manifest_path, manifests.to_json(manifest))
    store.remove(manifest.path + MARKER)


def remove(store: Store, path: str, *, now: datetime) -> None:
    """Remove the backup, or what is there of one, at PATH; nothing happens if there is none. May be repeated."""
    if store.find(manifests.path_of(path)):
        begin(store, path, started=now)
        store.remove(manifests.path_of(path))
    store.remove(path)
    store.remove_parts(path)
    store.remove(path + MARKER)


def remove_unfinished(store: Store, prefix: str = "", *, now: datetime, grace: timedelta) -> list[str]:
    """Remove what was begun more than GRACE ago and has no manifest, in the folder PREFIX; give the dumps' paths."""
    old = [one.path for one in listing(store, prefix).unfinished if now - one.since > grace]
    for path in old:
        remove(store, path, now=now)
    return old
