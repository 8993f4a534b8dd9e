# SPDX-License-Identifier: GPL-3.0-or-later
"""What pg_dump's and pg_restore's messages mean, as reasons.

Called wherever one of them ended. They tell no SQLSTATE, so their own English texts decide (they run with LC_ALL=C);
what the server says in another language ends as InternalError, with its text.
"""

from __future__ import annotations

import re

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.processes import Ended, last_lines
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

_MEANINGS: tuple[tuple[str, Reason, str], ...] = (
    (r"password authentication failed|no password supplied", Reason.AUTHENTICATION_FAILED, "check user and password"),
    (r"SSL|certificate", Reason.TLS_FAILED, "check ssl_mode and the certificates"),
    (r"row-level security", Reason.PRIVILEGE_MISSING, "row-level security hides rows; dump as a role with BYPASSRLS"),
    (r"permission denied|must be owner", Reason.PRIVILEGE_MISSING, "the account may not read all of it"),
    (r"lock timeout|canceling statement due to statement timeout", Reason.TIMEOUT, "a table was locked for too long"),
    (r"no matching (?:schemas|tables|extensions)", Reason.INVALID_SPEC, "nothing is called like that"),
    (r"server version mismatch|unsupported version .* in file header", Reason.UNSUPPORTED, "wrong version of the tool"),
    (r"too many clients|remaining connection slots", Reason.CONNECTION_FAILED, "the server has no connection left"),
    (r"could not connect|connection to server|server closed the connection|terminating connection|lost synchronization",
     Reason.CONNECTION_FAILED, "the connection was lost; it is tried again"),
    (r"No space left on device|could not write", Reason.INTERNAL_ERROR, "the scratch space is full"),
    (r"end of file|input file .* too short|not appear to be a valid archive|corrupt|unexpected", Reason.NOT_VERIFIABLE,
     "this is no whole dump"),
)  # fmt: skip


def require_dumped(ended: Ended) -> None:
    """Raise DbopsError unless pg_dump ended well."""
    _require("pg_dump", ended)


def require_restored(ended: Ended) -> None:
    """Raise DbopsError unless pg_restore ended well."""
    _require("pg_restore", ended)


def _require(name: str, ended: Ended) -> None:
    if ended.status == 0:
        return
    if ended.status < 0:
        raise DbopsError(Reason.INTERNAL_ERROR, f"{name} was ended by signal {-ended.status}")
    for pattern, reason, remedy in _MEANINGS:
        if re.search(pattern, ended.messages):
            raise DbopsError(reason, f"{name}: {remedy} ({last_lines(ended.messages)})")
    raise DbopsError(Reason.INTERNAL_ERROR, f"{name} ended with status {ended.status}: {last_lines(ended.messages)}")
