# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of AES-256-GCM are in Tink's documented format: read here with nothing but HKDF and AES-GCM."""

from __future__ import annotations

import io
import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.aes_gcm import SegmentEncryptor, decrypting

SEGMENT = 1 << 20
TAG = 16
KEY = bytes(range(32))


def encrypted(data: bytes) -> bytes:
    """Encrypt with what the product uses."""
    chunks: list[bytes] = []
    encryptor = SegmentEncryptor(KEY, chunks.append)
    encryptor.write(data)
    encryptor.finish()
    return b"".join(chunks)


def by_the_document(stored: bytes) -> bytes:
    """Decrypt as https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming says."""
    size, salt, prefix = stored[0], stored[1:33], stored[33:40]
    assert size == 40
    cipher = AESGCM(HKDF(SHA256(), 32, salt, b"").derive(KEY))
    plain, number, position = b"", 0, size
    while True:
        end = min(len(stored), (number + 1) * SEGMENT)
        last = end == len(stored)
        nonce = prefix + number.to_bytes(4, "big") + bytes([last])
        plain += cipher.decrypt(nonce, stored[position:end], None)
        if last:
            return plain
        number, position = number + 1, end


def by_the_document_encrypted(data: bytes, salt: bytes, prefix: bytes) -> bytes:
    """Encrypt by the same document."""
    cipher = AESGCM(HKDF(SHA256(), 32, salt, b"").derive(KEY))
    stored, number, position = bytes([40]) + salt + prefix, 0, 0
    while True:
        end = min(len(data), position + SEGMENT - TAG - (40 if number == 0 else 0))
        last = end == len(data)
        nonce = prefix + number.to_bytes(4, "big") + bytes([last])
        stored += cipher.encrypt(nonce, data[position:end], None)
        if last:
            return stored
        number, position = number + 1, end


@pytest.mark.feature("B04")
@pytest.mark.parametrize("size", [0, 1, SEGMENT - TAG - 40, SEGMENT, (3 << 20) + 7])
def test_both_ways(size: int) -> None:
    data = os.urandom(size)
    assert by_the_document(encrypted(data)) == data
    stored = by_the_document_encrypted(data, os.urandom(32), os.urandom(7))
    assert decrypting(io.BytesIO(stored), KEY).read() == data


def test_a_fixed_file() -> None:
    stored = bytes.fromhex("28000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526")
    made = by_the_document_encrypted(b"dump", bytes(range(32)), bytes(range(32, 39)))
    assert made.startswith(stored)
    assert decrypting(io.BytesIO(made), KEY).read() == b"dump"
