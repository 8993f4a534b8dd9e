# SPDX-License-Identifier: GPL-3.0-or-later
"""What PostgreSQL takes as a name, and how messages show one.

Called by the planners before anything is planned. Nothing is forbidden that the server can hold: a name is
quoted, never inspected. A longer one than the server keeps would be cut off silently, so it is refused.
"""

from __future__ import annotations

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

MAX_BYTES = 63
"""NAMEDATALEN - 1; bytes of the server's encoding, which we take to be UTF-8."""


def check_name(name: str, *, field: str, what: str | None = None) -> None:
    """Refuse with InvalidSpec what no object on the server can be called; WHAT names it where FIELD does not."""
    what = what or field
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise DbopsError(Reason.INVALID_SPEC, f"{what} is not valid text", field=field) from None
    if not name:
        raise DbopsError(Reason.INVALID_SPEC, f"{what} is empty", field=field)
    if "\0" in name:
        raise DbopsError(Reason.INVALID_SPEC, f"{what} contains a NUL character", field=field)
    if length > MAX_BYTES:
        text = f"{what} {name[:20]!r}... is {length} bytes long; PostgreSQL keeps {MAX_BYTES}"
        raise DbopsError(Reason.INVALID_SPEC, text, field=field)


def quoted(name: str) -> str:
    """Show a name inside of SQL that a message proposes."""
    return '"' + name.replace('"', '""') + '"'


def role_beside(database: str) -> str:
    """Give the name of the role that stands for the owner of a DATABASE, within the server's 63 bytes."""
    room = 63 - len(b"db__owner")
    return f"db_{database.encode()[:room].decode(errors='ignore')}_owner"
