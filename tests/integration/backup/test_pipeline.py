# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of a dump into a store and back: equal, checked, and nothing left over when it fails."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pyrage
import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.facts import StreamFacts
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.pipeline import (
    DumpWriter,
    check_stored,
    open_dump,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

ALGORITHMS = ["none", "gzip", "lz4", "zstd"]
IDENTITY = pyrage.x25519.Identity.generate()
KEY = base64.b64encode(os.urandom(32)).decode()
# What writes, the kind, and what reads.
ENCRYPTIONS: dict[str, tuple[dict[str, Any] | None, str | None, dict[str, Any] | None]] = {
    "clear": (None, None, None),
    "age": ({"recipients": [str(IDENTITY.to_public())]}, "age", {"identities": [str(IDENTITY)]}),
    "aes-256-gcm": ({"key": KEY}, "aes-256-gcm", {"key": KEY}),
}
PATH = "app-nightly-20260101-020000.dump"


@functools.cache
def content(size: int) -> bytes:
    """Give bytes that compress to about a half."""
    source = random.Random(7)
    return b"".join(source.randbytes(512) + b"0123456789abcdef" * 32 for _ in range(size // 1024))


def write(store: Store, data: bytes, compression: str, encryption: str, path: str = PATH) -> StreamFacts:
    """Write DATA in uneven pieces."""
    writer = DumpWriter(store, path, compression={"algorithm": compression}, encryption=ENCRYPTIONS[encryption][0])
    view, step = memoryview(data), 77_777
    for start in range(0, len(data), step):
        writer.write(bytes(view[start : start + step]))
    return writer.finish()


def read(store: Store, facts: StreamFacts | None, compression: str, encryption: str, path: str = PATH) -> bytes:
    """Read all of a dump."""
    _, kind, decryption = ENCRYPTIONS[encryption]
    source = open_dump(store, path, compression=compression, encryption=kind, decryption=decryption, expected=facts)
    with source:
        return source.read()


def drain(store: Store, facts: StreamFacts, compression: str, encryption: str, got: list[int]) -> None:
    """Read a dump as a tool would, noting in GOT how much came."""
    _, kind, decryption = ENCRYPTIONS[encryption]
    with open_dump(
        store, PATH, compression=compression, encryption=kind, decryption=decryption, expected=facts
    ) as source:
        while chunk := source.read1(1 << 20):  # type: ignore[attr-defined]
            got.append(len(chunk))


@pytest.mark.feature("B03", "B04", "B06")
@pytest.mark.parametrize("size", [0, 1024, 3 << 20])
@pytest.mark.parametrize("encryption", ENCRYPTIONS)
@pytest.mark.parametrize("compression", ALGORITHMS)
def test_what_is_written_is_read(files: Store, directory: Path, compression: str, encryption: str, size: int) -> None:
    data = content(size)
    facts = write(files, data, compression, encryption)
    stored = (directory / "team/app" / PATH).read_bytes()
    assert facts.plain_bytes == len(data)
    assert facts.plain_sha256 == hashlib.sha256(data).hexdigest()
    assert facts.stored_bytes == len(stored)
    assert facts.stored_sha256 == hashlib.sha256(stored).hexdigest()
    assert read(files, facts, compression, encryption) == data
    check_stored(files, PATH, facts)
    if compression != "none" and size > 1024:
        assert len(stored) < len(data) * 0.6
    if encryption != "clear" and size:
        assert data[:64] not in stored


@pytest.mark.feature("B03")
def test_files_are_those_of_the_command_line_tools(files: Store, directory: Path) -> None:
    data = content(1 << 20)
    write(files, data, "gzip", "clear", "x.gz")
    write(files, data, "zstd", "clear", "x.zst")
    assert gzip.decompress((directory / "team/app/x.gz").read_bytes()) == data
    unpacked = subprocess.run(["zstd", "-dc", directory / "team/app/x.zst"], capture_output=True, check=True).stdout
    assert unpacked == data


@pytest.mark.feature("B06")
@pytest.mark.parametrize("encryption", ENCRYPTIONS)
def test_nothing_is_left_of_a_dump_that_is_given_up(files: Store, directory: Path, encryption: str) -> None:
    writer = DumpWriter(files, PATH, compression={"algorithm": "none"}, encryption=ENCRYPTIONS[encryption][0])
    for _ in range(20):
        writer.write(os.urandom(1 << 20))
    writer.abort()
    assert [path for path in directory.rglob("*") if path.is_file()] == []


@pytest.mark.feature("B06")
@pytest.mark.parametrize("encryption", ENCRYPTIONS)
@pytest.mark.parametrize("compression", ALGORITHMS)
@pytest.mark.parametrize("damage", ["bit", "cut", "cut at the end", "longer", "swapped"])
def test_damage_is_told_before_the_last_bytes_are_given(
    files: Store, directory: Path, compression: str, encryption: str, damage: str
) -> None:
    data = content(5 << 20)
    facts = write(files, data, compression, encryption)
    file = directory / "team/app" / PATH
    stored = bytearray(file.read_bytes())
    if damage == "bit":
        stored[len(stored) // 2] ^= 4
    elif damage == "cut":
        del stored[len(stored) // 2 :]
    elif damage == "cut at the end":
        del stored[-1:]
    elif damage == "longer":
        stored += b"x"
    else:
        first, second = stored[100_000:165_536], stored[500_000:565_536]
        stored[100_000:165_536], stored[500_000:565_536] = second, first
    file.write_bytes(stored)
    # As long as the manifest says, as somebody would make it who changes things on purpose.
    forged = StreamFacts(facts.plain_bytes, facts.plain_sha256, len(stored), facts.stored_sha256)
    for expected in (facts, forged):
        got: list[int] = []
        with pytest.raises(DbopsError) as caught:
            drain(files, expected, compression, encryption, got)
        assert caught.value.reason is Reason.NOT_VERIFIABLE
        assert sum(got) < len(data)
        with pytest.raises(DbopsError, match="object"):
            check_stored(files, PATH, expected)


@pytest.mark.feature("B04")
@pytest.mark.parametrize(
    ("encryption", "decryption", "told"),
    [
        ("age", {"identities": [str(pyrage.x25519.Identity.generate())]}, "none of the identities fits"),
        ("age", None, "encryption.identities is missing"),
        ("aes-256-gcm", {"key": base64.b64encode(bytes(32)).decode()}, "another key"),
        ("aes-256-gcm", None, "encryption.key is missing"),
    ],
)
def test_a_wrong_key_gives_nothing(files: Store, encryption: str, decryption: dict[str, Any], told: str) -> None:
    facts = write(files, content(3 << 20), "zstd", encryption)
    with pytest.raises(DbopsError, match=told) as caught:
        open_dump(files, PATH, compression="zstd", encryption=encryption, decryption=decryption, expected=facts).read(1)
    assert caught.value.reason is Reason.NOT_VERIFIABLE


@pytest.mark.parametrize(
    ("encryption", "field"),
    [
        ({"recipients": ["age1wrong"]}, "encryption.recipients"),
        ({"key": "short"}, "encryption.key"),
        ({"key": base64.b64encode(bytes(16)).decode()}, "encryption.key"),
        ({"key": KEY, "recipients": [str(IDENTITY.to_public())]}, "encryption"),
        ({"recipients": []}, "encryption"),
    ],
)
def test_encryption_that_cannot_be_is_refused(files: Store, encryption: dict[str, Any], field: str) -> None:
    with pytest.raises(DbopsError) as caught:
        DumpWriter(files, PATH, encryption=encryption)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.field == field
    assert KEY not in caught.value.message


def test_a_reader_may_stop_early(files: Store) -> None:
    facts = write(files, content(8 << 20), "zstd", "age")
    _, kind, decryption = ENCRYPTIONS["age"]
    source = open_dump(files, PATH, compression="zstd", encryption=kind, decryption=decryption, expected=facts)
    assert len(source.read(1000)) == 1000
    source.close()


def test_an_object_that_is_not_there_is_told(files: Store) -> None:
    with pytest.raises(DbopsError, match="no such object") as caught:
        open_dump(files, "nothing.sql")
    assert caught.value.reason is Reason.NOT_VERIFIABLE
