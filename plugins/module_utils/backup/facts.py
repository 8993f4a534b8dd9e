# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of the bytes of one dump. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamFacts:
    """What went through: bytes of the dump and of the object in the store, and the SHA-256 (hex) of both."""

    plain_bytes: int
    plain_sha256: str
    stored_bytes: int
    stored_sha256: str
