# SPDX-License-Identifier: GPL-3.0-or-later
"""How messages of a standby run travel over its socket: a length of 4 bytes, big-endian, then JSON in UTF-8.

Used by the action plugin `converge`, which waits on the socket for work and answers object by object. Pure:
bytes in, messages out; the plugin does the reading and writing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

VERSION = 4
MAX_BYTES = 64 * 1024 * 1024
"""Longer frames are refused: they can only be garbage."""
_PREFIX = 4


class ProtocolError(Exception):
    """What came over the socket is no message."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Give the frame of MESSAGE. Raises ProtocolError when it is too long."""
    body = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(body) > MAX_BYTES:
        raise ProtocolError(f"a message of {len(body)} bytes is too long")
    return len(body).to_bytes(_PREFIX, "big") + body


class Decoder:
    """Collects bytes in pieces of any size and gives the messages that are complete."""

    def __init__(self) -> None:
        """Start with nothing received."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Take DATA; give each message that it completes. Raises ProtocolError for what is none."""
        self._buffer += data
        while len(self._buffer) >= _PREFIX:
            length = int.from_bytes(self._buffer[:_PREFIX], "big")
            if length > MAX_BYTES:
                raise ProtocolError(f"a message of {length} bytes is too long")
            if len(self._buffer) < _PREFIX + length:
                return
            body = bytes(self._buffer[_PREFIX : _PREFIX + length])
            del self._buffer[: _PREFIX + length]
            yield _message(body)

    @property
    def pending(self) -> bool:
        """Whether a message has begun and is not complete."""
        return bool(self._buffer)


def _message(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise ProtocolError("a message is not JSON in UTF-8") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a message has no type")
    return message
