# SPDX-License-Identifier: GPL-3.0-or-later
"""How a secret may look where it must not be; used by the tests that search for them."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote


def disguises(password: str) -> set[bytes]:
    """How a password may look in logs, files, connection strings and manifests."""
    encoded = base64.b64encode(password.encode()).decode().rstrip("=")
    texts = {password, encoded, quote(password, safe=""), quote(password), json.dumps(password)[1:-1]}
    return {text.encode() for text in texts | {repr(password)[1:-1], password.encode().hex()}}
