# SPDX-License-Identifier: GPL-3.0-or-later
"""The published hash of a database's init_sql: what has run once does not run again, whoever asks.

Used by core.init_sql, which remembers it, and by the operator, which compares it with status. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_SEPARATOR = "\n---\n"


def content_hash(statements: Sequence[str], script: str | None) -> str:
    """Give SHA-256, lowercase hex, of the STATEMENTS, or of the parts of a SCRIPT, with three hyphens between them."""
    parts = list(statements)
    if script is not None:
        parts = [part.strip() for part in script.split("---") if part.strip()]
    return hashlib.sha256(_SEPARATOR.join(parts).encode()).hexdigest()
