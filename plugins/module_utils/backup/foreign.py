# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps without a manifest: those of the published operator, and files that somebody put there by hand.

What a manifest would say is told by the file's name and by its content, tried with the key: `recognised` reads an
encrypted one once whole, so that a wrong key or a damaged file is known before anything is touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import aes_gcm, encryption, one_message
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import compression as compressions
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.pipeline import open_dump
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

_FORMATS = {"sql": "plain", "bak": "plain", "dump": "custom", "dir": "directory", "tar": "tar"}
_EXTENSION = re.compile(r"\.(sql|bak|dump|dir|tar)$")


@dataclass(frozen=True)
class ForeignDump:
    """What is known of a dump without a manifest."""

    path: str
    """Where it really is, below the store's prefix."""
    compression: str
    encryption: str | None
    """A kind that `pipeline.open_dump` takes."""
    format: str | None
    """`plain`, `custom`, `directory` or `tar` by the file's name; None when that does not tell."""


def locate(store: Store, path: str) -> str | None:
    """Give where the dump at PATH is, or nothing: the published operator wrote the store's prefix twice.

    Its status has the prefix once, so a PATH that begins with it is looked for without it as well.
    """
    candidates = [path]
    if store.prefix:
        candidates += [f"{store.prefix}/{path}"]
        if path.startswith(f"{store.prefix}/"):
            candidates += [path.removeprefix(f"{store.prefix}/")]
    return next((one for one in candidates if store.find(one)), None)


def recognised(
    store: Store, path: str, *, compression: str | None = None, decryption: Mapping[str, Any] | None = None
) -> ForeignDump:
    """Tell what the dump at PATH is; raises NotVerifiable when it is not there or cannot be read.

    COMPRESSION, if given, goes before what the name says; DECRYPTION is the option `encryption` of what reads.
    """
    found = locate(store, path)
    if found is None:
        raise DbopsError(Reason.NOT_VERIFIABLE, f"{path}: there is no such object in the store", field="backup")
    bare = found
    asked = (decryption or {}).get("algorithm")
    kinds: tuple[str | None, ...] = (None,)
    if asked == encryption.AGE or found.endswith(".age"):
        bare, kinds = found.removesuffix(".age"), (encryption.AGE,)
    elif asked or found.endswith(".enc"):
        bare = found.removesuffix(".enc")
        authenticated = (encryption.AES_256_GCM, one_message.GCM_MESSAGE)
        kinds = (one_message.CBC,) if asked == one_message.CBC else authenticated
        if asked is None:
            kinds = (*authenticated, one_message.CBC)
    algorithm = compression or compressions.algorithm_of(bare)
    extension = _EXTENSION.search(bare.removesuffix(compressions.SUFFIXES[algorithm]))
    kind = _fitting(store, found, kinds, algorithm, decryption)
    return ForeignDump(found, algorithm, kind, _FORMATS[extension.group(1)] if extension else None)


def _fitting(
    store: Store, path: str, kinds: tuple[str | None, ...], algorithm: str, decryption: Mapping[str, Any] | None
) -> str | None:
    if kinds == (None,):
        return None
    errors = []
    for kind in kinds:
        if kind == encryption.AES_256_GCM and not _has_header(store, path):
            continue
        try:
            _read_whole(store, path, algorithm, kind, decryption)
        except DbopsError as error:
            if error.reason is not Reason.NOT_VERIFIABLE:
                raise
            errors.append(error)
        else:
            return kind
    # The first that was tried is what it most likely is.
    raise errors[0]


def _has_header(store: Store, path: str) -> bool:
    with store.reader(path) as source:
        return source.read(1) == bytes([aes_gcm.HEADER_SIZE])


def _read_whole(
    store: Store, path: str, algorithm: str, kind: str | None, decryption: Mapping[str, Any] | None
) -> None:
    with open_dump(store, path, compression=algorithm, encryption=kind, decryption=decryption) as source:
        while source.read(1 << 20):
            pass
