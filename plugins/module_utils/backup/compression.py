# SPDX-License-Identifier: GPL-3.0-or-later
"""Compression of dumps: gzip (RFC 1952), lz4 frames and zstd (RFC 8878), as their command line tools have them.

zstd and lz4 frames carry a checksum of the content, as the tools write them.
"""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO, Protocol, cast

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

SUFFIXES = {"none": "", "gzip": ".gz", "lz4": ".lz4", "zstd": ".zst"}
"""What a file's name ends with, before the suffix of its encryption."""


class Compressor(Protocol):
    """Takes bytes and gives compressed ones, as many as are ready."""

    def compress(self, data: bytes, /) -> bytes:
        """Add DATA."""

    def flush(self) -> bytes:
        """End; nothing may be added afterwards."""


def compressor(compression: Mapping[str, Any] | None) -> Compressor:
    """Give a compressor for the option `compression` (none: gzip, 6). Raises Unsupported for a missing package."""
    options = compression or {}
    algorithm, level = options.get("algorithm") or "gzip", int(options.get("level") or 6)
    if algorithm == "none":
        return _Nothing()
    if algorithm == "gzip":
        return cast("Compressor", zlib.compressobj(level, zlib.DEFLATED, 16 + zlib.MAX_WBITS))
    if algorithm == "lz4":
        return _LZ4(level)
    return _zstd_compressor(level)


def decompressing(source: BinaryIO, algorithm: str) -> BinaryIO:
    """Give the plain bytes of SOURCE; reading raises NotVerifiable for what is damaged or cut.

    In bounded memory, however much a few bytes become.
    """
    if algorithm == "none":
        return source
    if algorithm == "gzip":
        plain: Any = gzip.GzipFile(fileobj=source)
    elif algorithm == "lz4":
        plain = _frames().LZ4FrameFile(source)
    else:
        plain = _zstd().ZstdFile(source)
    return io.BufferedReader(_Checked(plain, algorithm, source), 1 << 18)


def algorithm_of(name: str) -> str:
    """Tell by the end of a file's NAME, without the suffix of its encryption, how it is compressed."""
    return next((algorithm for algorithm, suffix in SUFFIXES.items() if suffix and name.endswith(suffix)), "none")


class _Nothing:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


class _LZ4:
    def __init__(self, level: int) -> None:
        frames = _frames()
        self._frame = frames.LZ4FrameCompressor(
            block_size=frames.BLOCKSIZE_MAX4MB, content_checksum=True, compression_level=level
        )
        self._begin: bytes = self._frame.begin()

    def compress(self, data: bytes, /) -> bytes:
        begin, self._begin = self._begin, b""
        return begin + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        begin, self._begin = self._begin, b""
        return begin + bytes(self._frame.flush())


class _Checked(io.RawIOBase):
    """Turns what the libraries raise for damaged data into one error."""

    def __init__(self, plain: Any, algorithm: str, source: BinaryIO) -> None:
        super().__init__()
        self._plain = plain
        self._algorithm = algorithm
        self._errors: tuple[type[Exception], ...] = (
            OSError,
            RuntimeError,
            ValueError,
            zlib.error,
            *_zstd_errors(algorithm),
        )
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            # `read1` of the lz4 package reads to the end.
            data = self._plain.read(len(buffer))
        except EOFError as error:
            raise _damaged(self._algorithm, "ends too early") from error
        except self._errors as error:
            raise _damaged(self._algorithm, "is damaged, or not compressed like that") from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._source.close()
            super().close()


def _damaged(algorithm: str, what: str) -> DbopsError:
    return DbopsError(Reason.NOT_VERIFIABLE, f"the backup {what} ({algorithm})")


def _zstd_compressor(level: int) -> Compressor:
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    # A worker of its own: reading and hashing go on meanwhile, as they do before a process of zstd.
    options = {parameter.compression_level: level, parameter.checksum_flag: 1, parameter.nb_workers: 1}
    return cast("Compressor", zstd.ZstdCompressor(options=options))


def _zstd_errors(algorithm: str) -> tuple[type[Exception], ...]:
    if algorithm != "zstd":
        return ()
    error: type[Exception] = _zstd().ZstdError
    return (error,)


def _zstd() -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as error:
        raise DbopsError(Reason.UNSUPPORTED, "zstd needs the Python package backports.zstd") from error
    return zstd


def _frames() -> Any:
    try:
        import lz4.frame
    except ImportError as error:
        raise DbopsError(Reason.UNSUPPORTED, "lz4 needs the Python package lz4") from error
    return lz4.frame
