# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption of dumps before they leave: for age recipients (age.py) or with a key, AES-256-GCM (aes_gcm.py)."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import aes_gcm, age, one_message
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.handover import ChunkReader
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

AGE = "age"
AES_256_GCM = "aes-256-gcm"
SUFFIXES = {None: "", AGE: ".age", AES_256_GCM: ".enc"}
"""What a file's name ends with, by kind of encryption."""


class Encryptor(Protocol):
    """Encrypts what is written and gives it to a sink. Exactly one of `finish` and `abort` ends it."""

    def write(self, data: bytes) -> None:
        """Add DATA; raises what the sink raised."""

    def finish(self) -> None:
        """Write the end; raises what the sink raised."""

    def abort(self) -> None:
        """Stop."""


def kind_of(encryption: Mapping[str, Any] | None) -> str | None:
    """Tell which kind of encryption the option `encryption` of what writes asks for; raises InvalidSpec for both."""
    recipients = (encryption or {}).get("recipients")
    key = (encryption or {}).get("key")
    if recipients and key:
        message = "encryption has recipients and key: one of them"
        raise DbopsError(Reason.INVALID_SPEC, message, field="encryption")
    if encryption and not recipients and not key:
        # Somebody wanted encryption: a backup in the clear is not it.
        raise DbopsError(Reason.INVALID_SPEC, "encryption has neither recipients nor key", field="encryption")
    return AGE if recipients else AES_256_GCM if key else None


def encryptor(encryption: Mapping[str, Any] | None, sink: Callable[[bytes], None]) -> Encryptor:
    """Give what encrypts into SINK as the option `encryption` says. Raises InvalidSpec, and Unsupported."""
    kind = kind_of(encryption)
    if not encryption or not kind:
        return _Clear(sink)
    if kind == AGE:
        return age.AgeEncryptor(encryption["recipients"], sink)
    return aes_gcm.SegmentEncryptor(aes_gcm.key_of(encryption["key"]), sink)


def decrypting(source: BinaryIO, kind: str | None, decryption: Mapping[str, Any] | None) -> BinaryIO:
    """Give the plain bytes of SOURCE, encrypted as KIND says, with what the option `encryption` of what reads has.

    Raises NotVerifiable when that cannot open it, here or on reading.
    """
    given = decryption or {}
    if kind is None:
        return source
    if kind == AGE:
        if not given.get("identities"):
            raise _missing("for age recipients: encryption.identities is missing")
        plain = age.AgeDecryption(source, given["identities"])
        return io.BufferedReader(ChunkReader(plain.take, plain.close), 1 << 18)
    if not given.get("key"):
        raise _missing("with AES-256: encryption.key is missing")
    key = aes_gcm.key_of(given["key"])
    if kind in (one_message.GCM_MESSAGE, one_message.CBC):
        message = one_message.OneMessage(source, kind, key)
        return io.BufferedReader(ChunkReader(message.take, message.close), 1 << 18)
    return aes_gcm.decrypting(source, key)


def _missing(what: str) -> DbopsError:
    return DbopsError(Reason.NOT_VERIFIABLE, f"the backup is encrypted {what}", field="encryption")


class _Clear:
    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink

    def write(self, data: bytes) -> None:
        self._sink(data)

    def finish(self) -> None:
        """Nothing is held back."""

    def abort(self) -> None:
        """Nothing is held back."""
