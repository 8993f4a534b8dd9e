# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes one object of a store as a stream: what is written is uploaded in parts by a thread of its own.

obstore pulls from an iterator and aborts the upload when that raises, or a part fails. One part is on its way at a
time: a part that is still coming in when the upload is aborted may stay for ever (so the manual of S3's
AbortMultipartUpload). The next part gathers meanwhile, so the memory is about three parts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.handover import AbandonedError, Handover
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.store_errors import error_of, told
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PART = 8 << 20
_LONGEST_PART = 64 << 20
_PARTS = 9_000
"""S3 and GCS take 10,000 parts; a dump may become longer than expected."""
_ABORT = 150.0
"""Seconds for an upload to be aborted, retries (stores._retry) included."""


class StoreWriter:
    """A stream to a new object. Exactly one of `commit` and `abort` ends it; until `commit` nothing is visible."""

    def __init__(
        self, backend: ObjectStore, path: str, *, expected_size: int, flush: Callable[[], None] = lambda: None
    ) -> None:
        """Write to PATH of BACKEND; FLUSH is called when the object is there."""
        self._backend = backend
        self._path = path
        self._part = _part_size(expected_size)
        self._flush = flush
        self._handover = Handover(self._part)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._upload, name=f"upload of {path}", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Add DATA; waits while the store is slower. Raises DbopsError when the upload has failed."""
        self._handover.put(data)

    def commit(self) -> None:
        """Finish the upload and have the object appear. Raises DbopsError; then nothing is there."""
        self._handover.end()
        self._thread.join()
        if self._error:
            raise error_of(self._what, self._error) from self._error
        with told(self._what):
            self._flush()

    def abort(self) -> None:
        """Give the upload up; nothing of it stays. Raises Timeout if the store does not take that."""
        self._handover.fail(AbandonedError())
        self._thread.join(_ABORT)
        if self._thread.is_alive():
            message = f"{self._what}: the upload could not be aborted; the store may keep parts of it"
            raise DbopsError(Reason.TIMEOUT, message, field="storage")

    @property
    def _what(self) -> str:
        return f"writing {self._path}"

    def _upload(self) -> None:
        import obstore

        try:
            obstore.put(
                self._backend,
                self._path,
                iter(self._handover),
                use_multipart=True,
                chunk_size=self._part,
                max_concurrency=1,
            )
        except AbandonedError:
            pass
        except Exception as error:  # noqa: BLE001 - told by the thread that writes
            self._error = error
            self._handover.fail(error_of(self._what, error))


def _part_size(expected: int) -> int:
    whole = -(-expected // _PARTS)
    return min(max(_PART, -(-whole >> 20) << 20), _LONGEST_PART)
