# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths of objects in a store, always below the store's prefix.

A path is segments joined by `/`. What comes from users is either checked (`checked`: a path that somebody names) or
made into one segment (`segment`: the name of a database). Pure.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

MAX_PATH = 1024
"""Bytes that a key may have on S3 and Azure; GCS has the same bound."""
MAX_SEGMENT = 240
"""Bytes of one segment: file systems take 255, of which some stay for what a store appends while it writes."""

_UNUSABLE = re.compile(r"[\x00-\x1f\x7f\\]|#\d+$")


def segment(name: str) -> str:
    """Make NAME (of a database, any text) part of a segment: letters, digits and `_.-~` stay, the rest is `%XX`."""
    return quote(name, safe="")


def checked(path: str, *, field: str, empty: bool = False) -> str:
    """Give PATH without slashes around it; raises InvalidSpec naming FIELD if it could leave its prefix.

    Also for what some store cannot keep: control characters, empty segments, a backslash (a slash to Azure), a `#` and
    digits at the end of a segment (object_store's own temporary files), or too long.
    """
    text = path.strip("/")
    if not text and empty:
        return ""
    segments = text.split("/")
    problem = None
    if path.startswith("/") and not empty:
        problem = "is absolute"
    elif any(part in ("", ".", "..") for part in segments):
        problem = "has an empty segment, `.` or `..`"
    elif any(_UNUSABLE.search(part) for part in segments):
        problem = "has a control character, a backslash, or a segment that ends with `#` and digits"
    elif len(text.encode(errors="surrogatepass")) > MAX_PATH or any(_length(part) > MAX_SEGMENT for part in segments):
        problem = f"is longer than {MAX_PATH} bytes, or has a segment longer than {MAX_SEGMENT} bytes"
    elif not text.isprintable():
        problem = "has a character that cannot be printed"
    if problem:
        raise DbopsError(Reason.INVALID_SPEC, f"{field}: the path {problem}: {path[:100]!r}", field=field)
    return text


def joined(prefix: str, path: str) -> str:
    """Put a checked PREFIX, which may be empty, before a checked PATH."""
    return f"{prefix}/{path}" if prefix and path else prefix or path


def _length(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))
