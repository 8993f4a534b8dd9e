# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption of dumps with AES-256-GCM in authenticated segments: Tink's streaming AEAD AES256_GCM_HKDF_1MB.

The wire format is https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming: a header (length, salt,
nonce prefix), then segments of 1 MiB, each with a tag over its number and whether it is the last one. The user's 32
bytes are the key from which that of the file is derived (HKDF with SHA-256); there are no associated data.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable
from typing import Any, BinaryIO

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.handover import ChunkWriter
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

SEGMENT = 1 << 20
KEY_SIZE = 32
HEADER_SIZE = 40
"""Of a file: one byte of its own length, a salt of 32 bytes, a nonce prefix of 7. It is the first byte's value."""


def key_of(text: str) -> bytes:
    """Give the 32 bytes that the option `encryption.key` has in base64; raises InvalidSpec."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad_key("is not base64") from error
    if len(key) != KEY_SIZE:
        raise _bad_key(f"has {len(key)} bytes, not {KEY_SIZE}")
    return key


def _bad_key(what: str) -> DbopsError:
    return DbopsError(Reason.INVALID_SPEC, f"encryption.key {what}", field="encryption.key")


class SegmentEncryptor:
    """Encrypts what is written and gives it to a sink."""

    def __init__(self, key: bytes, sink: Callable[[bytes], None]) -> None:
        """Encrypt with KEY of 32 bytes."""
        self._stream = _primitive(key).new_encrypting_stream(ChunkWriter(sink), b"")

    def write(self, data: bytes) -> None:
        """Add DATA. Raises what the sink raised."""
        self._stream.write(data)

    def finish(self) -> None:
        """Write the last segment. Raises what the sink raised."""
        self._stream.close()

    def abort(self) -> None:
        """Stop; what the sink has is of no use."""


def decrypting(source: BinaryIO, key: bytes) -> BinaryIO:
    """Give the plain bytes of SOURCE, each authentic; reading raises NotVerifiable."""
    return io.BufferedReader(_Authentic(_primitive(key).new_decrypting_stream(source, b""), source), SEGMENT)


class _Authentic(io.RawIOBase):
    def __init__(self, plain: Any, source: BinaryIO) -> None:
        super().__init__()
        self._plain = plain
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        import tink

        try:
            data = self._plain.read(len(buffer))
        except tink.TinkError as error:
            # Wrong for the whole file looks like wrong for a segment.
            message = "the backup cannot be authenticated (AES-256-GCM): another key, or it is damaged or cut"
            raise DbopsError(Reason.NOT_VERIFIABLE, message, field="encryption") from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
            super().close()


def _primitive(key: bytes) -> Any:
    try:
        import tink
        from tink import secret_key_access, streaming_aead
        from tink.proto import aes_gcm_hkdf_streaming_pb2, common_pb2, tink_pb2
    except ImportError as error:
        raise DbopsError(Reason.UNSUPPORTED, "AES-256-GCM needs the Python package tink") from error
    streaming_aead.register()
    parameters = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingParams(
        ciphertext_segment_size=SEGMENT, derived_key_size=KEY_SIZE, hkdf_hash_type=common_pb2.SHA256
    )
    value = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(key_value=key, params=parameters)
    data = tink_pb2.KeyData(
        type_url="type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey",
        value=value.SerializeToString(),
        key_material_type=tink_pb2.KeyData.SYMMETRIC,
    )
    # A keyset of one key whose number is nowhere in the file (RAW).
    entry = tink_pb2.Keyset.Key(key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[entry])
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)
