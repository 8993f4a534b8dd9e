# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups that the published operator wrote can be read; made here by other means than what reads them."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import foreign
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.foreign import ForeignDump
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.pipeline import DumpWriter, open_dump
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store, open_store
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

KEY = os.urandom(32)
OPTION = {"key": base64.b64encode(KEY).decode()}
WRONG = {"key": base64.b64encode(bytes(32)).decode()}
SQL = b"".join(b"INSERT INTO t VALUES (%d);\n" % number for number in range(60_000))


def gcm(data: bytes) -> bytes:
    """One message, as Go's cipher.AEAD seals it after a nonce."""
    nonce = os.urandom(12)
    return nonce + AESGCM(KEY).encrypt(nonce, data, None)


def cbc(data: bytes) -> bytes:
    """The same in CBC mode, by openssl."""
    vector = os.urandom(16)
    command = ["openssl", "enc", "-aes-256-cbc", "-K", KEY.hex(), "-iv", vector.hex()]
    return vector + subprocess.run(command, input=data, capture_output=True, check=True).stdout


def read(store: Store, dump: ForeignDump, decryption: dict[str, Any] | None = None) -> bytes:
    """Read a dump as recognised."""
    with open_dump(
        store, dump.path, compression=dump.compression, encryption=dump.encryption, decryption=decryption
    ) as source:
        return source.read()


@pytest.mark.feature("T01", "T02")
@pytest.mark.parametrize("asked", [None, "told"])
@pytest.mark.parametrize("data", [SQL, b"", b"0123456789abcdef", SQL[:16_777]])
@pytest.mark.parametrize(("kind", "encrypt"), [("aes-256-gcm-message", gcm), ("aes-256-cbc", cbc)])
def test_files_encrypted_as_one_message(
    files: Store, directory: Path, kind: str, encrypt: Any, data: bytes, asked: str | None
) -> None:
    name = "app-nightly-20250101-020000.sql.gz.enc"
    files.write(name, encrypt(gzip.compress(data)))
    decryption = OPTION | ({"algorithm": kind.removesuffix("-message")} if asked else {})
    found = foreign.recognised(files, name, decryption=decryption)
    assert found == ForeignDump(name, "gzip", kind, "plain")
    assert read(files, found, decryption) == data


@pytest.mark.feature("T03")
@pytest.mark.parametrize("encrypt", [gcm, cbc])
@pytest.mark.parametrize("damage", ["wrong key", "bit", "cut", "short", "empty"])
def test_damage_is_known_before_anything_is_used(files: Store, encrypt: Any, damage: str) -> None:
    name = "app-nightly-20250101-020000.sql.gz.enc"
    stored = bytearray(encrypt(gzip.compress(SQL)))
    if damage == "bit":
        stored[len(stored) // 2] ^= 1
    stored = {"cut": stored[:-17], "short": stored[:9], "empty": bytearray()}.get(damage, stored)
    files.write(name, bytes(stored))
    with pytest.raises(DbopsError) as caught:
        foreign.recognised(files, name, decryption=WRONG if damage == "wrong key" else OPTION)
    assert caught.value.reason is Reason.NOT_VERIFIABLE


def test_our_own_files_are_recognised_without_their_manifest(files: Store) -> None:
    identity = pyrage.x25519.Identity.generate()
    for name, encryption, decryption, kind in (
        ("a.dump.zst.age", {"recipients": [str(identity.to_public())]}, {"identities": [str(identity)]}, "age"),
        ("a.dump.zst.enc", OPTION, OPTION, "aes-256-gcm"),
        ("a.dump.zst", None, None, None),
    ):
        writer = DumpWriter(files, name, compression={"algorithm": "zstd"}, encryption=encryption)
        writer.write(SQL)
        writer.finish()
        found = foreign.recognised(files, name, decryption=decryption)
        assert found == ForeignDump(name, "zstd", kind, "custom")
        assert read(files, found, decryption) == SQL


@pytest.mark.feature("T01")
@pytest.mark.parametrize("asked", ["x.sql", "team/app/x.sql"])
def test_a_prefix_that_was_written_twice_is_found(files: Store, directory: Path, asked: str) -> None:
    twice = directory / "team/app/team/app"
    twice.mkdir(parents=True)
    (twice / "x.sql").write_bytes(SQL)
    found = foreign.recognised(files, asked)
    assert found == ForeignDump("team/app/x.sql", "none", None, "plain")
    assert read(files, found) == SQL


def test_a_path_with_its_prefix_is_found(files: Store) -> None:
    files.write("x.bak.lz4", b"x")
    assert foreign.locate(files, "team/app/x.bak.lz4") == "x.bak.lz4"
    assert foreign.locate(files, "x.bak.lz4") == "x.bak.lz4"
    assert foreign.locate(files, "y.bak") is None


def test_without_a_prefix_there_is_one_place(directory: Path) -> None:
    store = open_store({"type": "file", "file": {"path": str(directory)}})
    with pytest.raises(DbopsError, match="no such object"):
        foreign.recognised(store, "x.sql")
