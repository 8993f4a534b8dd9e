# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's end of a standby run's socket: frames of a 4-byte length and JSON.

The other end is the collection's action plugin `converge` (plugins/plugin_utils/standby.py, core/protocol.py); a
test holds the two together. Used by run/standby.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

VERSION = 4
MAX_BYTES = 64 * 1024 * 1024


class ProtocolError(Exception):
    """The peer is not who it should be, or what it sent is no message."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Give the frame of MESSAGE. Raises ProtocolError when it is too long."""
    body = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(body) > MAX_BYTES:
        raise ProtocolError(f"a message of {len(body)} bytes is too long")
    return len(body).to_bytes(4, "big") + body


async def read(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """Read the next message; None when the peer is gone. Raises ProtocolError for what is none."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if length > MAX_BYTES:
            raise ProtocolError(f"a message of {length} bytes is too long")
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        message = json.loads(body.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise ProtocolError("a message is not JSON in UTF-8") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ProtocolError("a message has no type")
    return message
