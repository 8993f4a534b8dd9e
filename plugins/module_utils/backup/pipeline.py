# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a dump's bytes: compressed, then encrypted, into a store; and back.

`DumpWriter` takes what a dump tool writes, `open_dump` gives a restore tool what it reads. Memory is bounded whatever
the size: each stage waits for the next one. Reading checks what it can as it goes, and holds the last bytes back until
everything was right.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import compression as compressions
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import encryption as encryptions
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.facts import StreamFacts
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.handover import ChunkReader, ReadAhead
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

Observe = Callable[[int], None]
"""Called with the plain bytes so far, often."""

_BLOCK = 1 << 18


class _Counted:
    """Bytes, and their SHA-256."""

    def __init__(self) -> None:
        self.count = 0
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        self.count += len(data)
        self._hash.update(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class DumpWriter:
    """Writes a dump into a store. Exactly one of `finish` and `abort` ends it; until `finish` nothing is visible."""

    def __init__(
        self,
        store: Store,
        path: str,
        *,
        compression: Mapping[str, Any] | None = None,
        encryption: Mapping[str, Any] | None = None,
        observe: Observe = lambda _: None,
        expected_size: int = 0,
    ) -> None:
        """Write to PATH of STORE, with the options of store_arguments. EXPECTED_SIZE: about how many plain bytes."""
        self._observe = observe
        self._plain = _Counted()
        self._stored = _Counted()
        self._compressor = compressions.compressor(compression)
        self._encryptor = encryptions.encryptor(encryption, self._store)
        self._writer = store.writer(path, expected_size=expected_size)

    def write(self, data: bytes) -> None:
        """Add DATA of the dump; waits while the store is slower. Raises DbopsError; `abort` is still to be called."""
        self._plain.add(data)
        compressed = self._compressor.compress(data)
        if compressed:
            self._encryptor.write(compressed)
        self._observe(self._plain.count)

    def finish(self) -> StreamFacts:
        """End the dump and have the object appear. Raises DbopsError; `abort` is still to be called."""
        self._encryptor.write(self._compressor.flush())
        self._encryptor.finish()
        self._writer.commit()
        return StreamFacts(self._plain.count, self._plain.sha256, self._stored.count, self._stored.sha256)

    def abort(self) -> None:
        """Give up: nothing stays in the store, as far as that still answers (else raises Timeout)."""
        try:
            # First, since the encryptor may be waiting for it.
            self._writer.abort()
        finally:
            self._encryptor.abort()

    def _store(self, data: bytes) -> None:
        self._stored.add(data)
        self._writer.write(data)


def open_dump(
    store: Store,
    path: str,
    *,
    compression: str = "none",
    encryption: str | None = None,
    decryption: Mapping[str, Any] | None = None,
    expected: StreamFacts | None = None,
    observe: Observe = lambda _: None,
) -> BinaryIO:
    """Give the plain bytes of the dump at PATH, streamed.

    COMPRESSION is the algorithm and ENCRYPTION the kind that the manifest (or the file's name) tells; DECRYPTION the
    option `encryption` of what reads. Reading raises NotVerifiable for what is damaged, cut, or not as EXPECTED, before
    the last bytes are given.
    """
    check_size(store, path, expected)
    stored, plain = _Counted(), _Counted()
    raw = store.reader(path)

    def take_stored() -> bytes:
        data = raw.read1(_BLOCK)  # type: ignore[attr-defined]
        stored.add(data)
        return bytes(data)

    source: BinaryIO = io.BufferedReader(ChunkReader(take_stored, raw.close), _BLOCK)
    source = encryptions.decrypting(source, encryption, decryption)
    source = compressions.decompressing(source, compression)
    # Decompressing goes on while the last chunk is hashed and used, as it would in a process of its own.
    ahead = ReadAhead(lambda: bytes(source.read1(_BLOCK)))  # type: ignore[attr-defined]
    held = _HoldBack(ahead.take, plain, observe, lambda ended: _compare(path, plain, stored, expected, ended=ended))

    def close() -> None:
        ahead.close()
        source.close()

    return io.BufferedReader(ChunkReader(held.take, close), _BLOCK)


def check_stored(store: Store, path: str, expected: StreamFacts, observe: Observe = lambda _: None) -> None:
    """Read the object at PATH whole and compare it with EXPECTED; raises NotVerifiable. Needs no key."""
    check_size(store, path, expected)
    stored = _Counted()
    with store.reader(path) as source:
        while data := source.read1(_BLOCK):  # type: ignore[attr-defined]
            stored.add(data)
            observe(stored.count)
    _same(path, "stored bytes", stored, expected.stored_bytes, expected.stored_sha256)


def check_size(store: Store, path: str, expected: StreamFacts | None) -> None:
    """Raise NotVerifiable if there is no object at PATH, or not one as long as EXPECTED."""
    found = store.find(path)
    if found is None:
        raise DbopsError(Reason.NOT_VERIFIABLE, f"{path}: there is no such object in the store", field="backup")
    if expected and found.size != expected.stored_bytes:
        message = f"{path}: the object has {found.size} bytes, its manifest says {expected.stored_bytes}"
        raise DbopsError(Reason.NOT_VERIFIABLE, message, field="backup")


class _HoldBack:
    """Gives chunks one late, so that the last one is only given when the whole was right."""

    def __init__(
        self, read: Callable[[], bytes], plain: _Counted, observe: Observe, check: Callable[[bool], None]
    ) -> None:
        self._read = read
        self._plain = plain
        self._observe = observe
        self._check = check
        self._held: bytes | None = None

    def take(self) -> bytes:
        if self._held is None:
            self._held = self._next()
        given = self._held
        if given:
            self._held = self._next()
        return given

    def _next(self) -> bytes:
        data = self._read()
        self._plain.add(data)
        self._check(not data)
        self._observe(self._plain.count)
        return data


def _compare(path: str, plain: _Counted, stored: _Counted, expected: StreamFacts | None, *, ended: bool) -> None:
    if expected and (ended or plain.count > expected.plain_bytes):
        _same(path, "stored bytes", stored, expected.stored_bytes, expected.stored_sha256)
        _same(path, "plain bytes", plain, expected.plain_bytes, expected.plain_sha256)


def _same(path: str, what: str, found: _Counted, count: int, sha256: str) -> None:
    if found.count != count or found.sha256 != sha256:
        message = f"{path}: the {what} ({found.count}) are not those of the manifest ({count}): the object was changed"
        raise DbopsError(Reason.NOT_VERIFIABLE, message, field="backup")
