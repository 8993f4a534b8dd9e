# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the published operator encrypted: a whole dump as one message of AES-256-GCM, or AES-256 in CBC mode.

GCM: a nonce of 12 bytes, the ciphertext, its tag of 16. CBC: an initialization vector of 16 bytes, the ciphertext with
PKCS#7 padding, nothing that authenticates it. Nothing is written in these formats. Whether a message of GCM is
authentic shows at its end only, so `foreign` reads it once before anything of it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

GCM_MESSAGE = "aes-256-gcm-message"
CBC = "aes-256-cbc"

_NONCE = 12
_TAG = 16
_VECTOR = 16
_BLOCK = 1 << 18


class _Cipher(Protocol):
    def update(self, data: bytes, /) -> bytes: ...


class OneMessage:
    """The plain bytes of such a file, as a source of chunks for a ChunkReader. Raises NotVerifiable."""

    def __init__(self, source: BinaryIO, kind: str, key: bytes) -> None:
        """Decrypt SOURCE, encrypted as KIND says, with KEY of 32 bytes."""
        self._source = source
        self._open = {GCM_MESSAGE: _gcm, CBC: _cbc}[kind]
        self._key = key
        self._cipher: _Cipher | None = None
        self._end: Callable[[bytes], bytes] | None = None
        self._held = b""
        self._ended = False

    def take(self) -> bytes:
        """Give the next bytes; nothing at the end, which is given only if it was right."""
        if self._cipher is None:
            self._cipher, self._end = self._open(self._source, self._key)
        if self._end is None:
            raise AssertionError("it comes with the cipher")
        while not self._ended:
            data = self._source.read(_BLOCK)
            self._ended = not data
            if self._ended:
                return self._end(self._held)
            # The tag is the last of it; the same bytes are held back where there is none.
            data = self._held + data
            data, self._held = data[:-_TAG], data[-_TAG:]
            if plain := self._cipher.update(data):
                return plain
        return b""

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def _gcm(source: BinaryIO, key: bytes) -> tuple[_Cipher, Callable[[bytes], bytes]]:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    decryptor = Cipher(algorithms.AES256(key), modes.GCM(_whole(source, _NONCE))).decryptor()

    def end(tag: bytes) -> bytes:
        try:
            return decryptor.finalize_with_tag(tag)
        except (InvalidTag, ValueError) as error:
            raise _wrong("another key, or it is damaged or cut") from error

    return decryptor, end


def _cbc(source: BinaryIO, key: bytes) -> tuple[_Cipher, Callable[[bytes], bytes]]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    decryptor = Cipher(algorithms.AES256(key), modes.CBC(_whole(source, _VECTOR))).decryptor()
    padding = PKCS7(128).unpadder()

    class Unpadded:
        def update(self, data: bytes, /) -> bytes:
            return padding.update(decryptor.update(data))

    def end(rest: bytes) -> bytes:
        try:
            return padding.update(decryptor.update(rest) + decryptor.finalize()) + padding.finalize()
        except ValueError as error:
            raise _wrong("another key, or it is damaged or cut (CBC)") from error

    return Unpadded(), end


def _whole(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise _wrong("it is cut")
    return data


def _wrong(what: str) -> DbopsError:
    message = f"the backup, encrypted with AES-256 as one message, cannot be read: {what}"
    return DbopsError(Reason.NOT_VERIFIABLE, message, field="encryption")
