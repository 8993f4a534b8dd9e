# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server is the one that it was before: what the caller saw last, what the ledger says, what there is now.

Called by core.converge once per run, if the caller asks for it. A name that suddenly leads to a clone, or to an empty
server in the place of the one before, must not become a hundred drops or a hundred empty databases; pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason


def changed(
    *, expected: str, recorded: str | None, actual: str | None, acknowledged: Collection[str]
) -> DbopsError | None:
    """Give the stop for a server that is ACTUALly another than EXPECTED, or than RECORDED in its ledger.

    Nothing expected or nothing recorded is no difference, and neither is a change that was ACKNOWLEDGED.
    """
    before = expected if expected and expected != actual else recorded
    if not before or before == actual:
        return None
    token = f"server-{hashlib.sha256(f'{before} {actual}'.encode()).hexdigest()[:8]}"
    if token in acknowledged:
        return None
    found = f"{actual} now" if actual else "one that has no identity yet now"
    return DbopsError(
        Reason.ACKNOWLEDGEMENT_NEEDED,
        f"this is another server than before ({before} then, {found}): a copy, or one in its place. Nothing is done "
        f"there; if that is meant, acknowledge it with {token}",
    )
