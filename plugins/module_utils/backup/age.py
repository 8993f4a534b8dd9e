# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption of dumps for age recipients (age-encryption.org/v1), through pyrage.

pyrage pulls plain bytes and pushes encrypted ones, so it runs in a thread of its own between a Handover and a sink.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.handover import (
    AbandonedError,
    ChunkReader,
    ChunkWriter,
    Handover,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

_BLOCK = 1 << 16
"""age's own chunks have 64 KiB."""


class AgeEncryptor:
    """Encrypts what is written and gives it to a sink, which is called in another thread."""

    def __init__(self, recipients: Sequence[str], sink: Callable[[bytes], None]) -> None:
        """Encrypt for RECIPIENTS (`age1...`); raises InvalidSpec for one that is none."""
        self._recipients = [_recipient(text) for text in recipients]
        self._sink = sink
        self._handover = Handover()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="age", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Add DATA. Raises what the sink raised."""
        self._handover.put(data)

    def finish(self) -> None:
        """Write the end. Raises what the sink raised."""
        self._handover.end()
        self._thread.join()
        if self._error:
            raise self._error

    def abort(self) -> None:
        """Stop; what the sink has is of no use. The sink must not be blocked for ever."""
        self._handover.fail(AbandonedError())
        self._thread.join()

    def _run(self) -> None:
        import pyrage

        errors: list[BaseException] = []
        source = io.BufferedReader(ChunkReader(_remembering(self._handover.take, errors)), _BLOCK)
        try:
            pyrage.encrypt_io(source, ChunkWriter(_remembering(self._sink, errors)), self._recipients)
        except BaseException as error:  # noqa: BLE001 - told by the thread that writes
            # pyrage wraps what Python raises inside it.
            self._error = errors[0] if errors else error
            self._handover.fail(self._error)


class AgeDecryption:
    """The plain bytes of an age file, as a source of chunks for a ChunkReader."""

    def __init__(self, source: BinaryIO, identities: Sequence[str]) -> None:
        """Decrypt SOURCE with IDENTITIES (`AGE-SECRET-KEY-1...`); raises InvalidSpec for one that is none."""
        self._identities = [_identity(text) for text in identities]
        self._source = source
        self._handover = Handover()
        self._thread = threading.Thread(target=self._run, name="age", daemon=True)
        self._thread.start()

    def take(self) -> bytes:
        """Give the next bytes, which are authentic; nothing at the end. Raises NotVerifiable."""
        return self._handover.take()

    def close(self) -> None:
        """Stop, and close the source."""
        self._handover.fail(AbandonedError())
        self._thread.join()
        self._source.close()

    def _run(self) -> None:
        import pyrage

        errors: list[BaseException] = []
        source = ChunkReader(_remembering(lambda: self._source.read(_BLOCK), errors))
        sink = ChunkWriter(_remembering(self._handover.put, errors), _BLOCK)
        try:
            pyrage.decrypt_io(source, sink, self._identities)
            sink.drain()
            self._handover.end()
        except BaseException as error:  # noqa: BLE001 - told by the thread that reads
            self._handover.fail(errors[0] if errors else _failure(error))


def _failure(error: BaseException) -> DbopsError:
    text = str(error)
    if "No matching keys" in text:
        message = "the backup is encrypted for other age recipients: none of the identities fits"
    elif type(error).__name__ == "DecryptError":
        message = "the backup is no age file, or its beginning is damaged"
    else:
        message = "the backup is damaged or cut: age cannot authenticate it"
    return DbopsError(Reason.NOT_VERIFIABLE, message, field="encryption")


def _remembering(function: Callable[..., Any], errors: list[BaseException]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except BaseException as error:
            errors.append(error)
            raise

    return call


def _recipient(text: str) -> Any:
    pyrage = _pyrage()
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        message = f"encryption.recipients: not an age recipient (age1...): {text[:80]!r}"
        raise DbopsError(Reason.INVALID_SPEC, message, field="encryption.recipients") from error


def _identity(text: str) -> Any:
    pyrage = _pyrage()
    try:
        return pyrage.x25519.Identity.from_str(text.strip())
    except pyrage.IdentityError as error:
        message = "encryption.identities: one is not an age identity (AGE-SECRET-KEY-1...)"
        raise DbopsError(Reason.INVALID_SPEC, message, field="encryption.identities") from error


def _pyrage() -> Any:
    try:
        import pyrage
    except ImportError as error:
        raise DbopsError(Reason.UNSUPPORTED, "age needs the Python package pyrage") from error
    return pyrage
