# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes from one thread to another, in bounded memory.

Libraries that pull their input (uploads, age) run in a thread of their own; what has bytes puts them in and waits
while there are too many. Either end may fail: the other one then gets that error at its next call instead of
waiting for ever.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

LIMIT = 4 << 20
"""Bytes that may wait between two threads."""


class AbandonedError(Exception):
    """The other end gave up without an error of its own."""


class Handover:
    """A bounded queue of chunks with an end, for one thread that puts and one that takes."""

    def __init__(self, limit: int = LIMIT) -> None:
        """Hold at most LIMIT bytes, or one chunk if that is longer."""
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def put(self, chunk: bytes) -> None:
        """Add CHUNK; waits for room. Raises the error of the taking end."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or not self._waiting or self._waiting < self._limit)
            if self._error:
                raise self._error
            if chunk:
                self._chunks.append(chunk)
                self._waiting += len(chunk)
                self._changed.notify_all()

    def end(self) -> None:
        """Say that no more comes."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """Give up, from either end: the other one gets ERROR; what waits is dropped."""
        with self._changed:
            if self._error is None:
                self._error = error
            self._chunks.clear()
            self._waiting = 0
            self._changed.notify_all()

    def take(self) -> bytes:
        """Give the next chunk, or nothing at the end; waits for it. Raises the error of the putting end."""
        with self._changed:
            self._changed.wait_for(lambda: self._error or self._chunks or self._ended)
            if self._error:
                raise self._error
            if not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            self._waiting -= len(chunk)
            self._changed.notify_all()
            return chunk

    def __iter__(self) -> Iterator[bytes]:
        """Take all chunks."""
        return iter(self.take, b"")


class ReadAhead:
    """Reads a source in a thread of its own, a bounded piece ahead of who takes."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        """Take from READ, which gives nothing at the end."""
        self._read = read
        self._handover = Handover()
        self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)
        self._thread.start()

    def take(self) -> bytes:
        """Give the next chunk, or nothing at the end. Raises what reading raised."""
        return self._handover.take()

    def close(self) -> None:
        """Stop reading; the source may be closed afterwards."""
        self._handover.fail(AbandonedError())
        self._thread.join()

    def _run(self) -> None:
        try:
            while chunk := self._read():
                self._handover.put(chunk)
            self._handover.end()
        except BaseException as error:  # noqa: BLE001 - told by the thread that takes
            self._handover.fail(error)


class ChunkReader(io.RawIOBase):
    """The bytes of a source of chunks as a file for reading; an empty chunk is the end."""

    def __init__(self, take: Callable[[], bytes], close: Callable[[], None] = lambda: None) -> None:
        """Read what TAKE gives; CLOSE is called once when the file is closed."""
        super().__init__()
        self._take = take
        self._close = close
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill BUFFER with what the next chunk has."""
        if not self._rest:
            self._rest = memoryview(self._take())
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Let the source go."""
        if not self.closed:
            try:
                self._close()
            finally:
                super().close()


class ChunkWriter(io.RawIOBase):
    """A file for writing that gives what is written to a function, in chunks of at least a block."""

    def __init__(self, put: Callable[[bytes], None], block: int = 1) -> None:
        """Give what is written to PUT as soon as there are BLOCK bytes of it; the rest by `drain`."""
        super().__init__()
        self._put = put
        self._block = block
        self._gathered = bytearray()

    def writable(self) -> bool:
        """Say that this can be written to."""
        return True

    def write(self, data: ReadableBuffer) -> int:
        """Take a copy of DATA: its owner may use the memory again."""
        count = len(memoryview(data).cast("B"))
        self._gathered += data
        if len(self._gathered) >= self._block:
            self.drain()
        return count

    def drain(self) -> None:
        """Give away what was gathered."""
        if self._gathered:
            chunk = bytes(self._gathered)
            self._gathered.clear()
            self._put(chunk)
