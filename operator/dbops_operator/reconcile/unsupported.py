# SPDX-License-Identifier: GPL-3.0-or-later
"""Kinds of the API that nothing is done for yet: they say so instead of staying silent.

No finalizer, nothing outside; looked at again when the object changes.
"""

from __future__ import annotations

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import results, status
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile.common import Body, has_finalizer, level, remove_finalizer
from dbops_operator.work import Done, Human, Verdict


async def reconcile(context: Context, key: Key) -> Verdict:
    """Report Ready=False, Unsupported."""
    return await level(context, key, _reconcile)


async def _reconcile(context: Context, body: Body) -> Verdict:
    kind = body["kind"]
    if body["metadata"].get("deletionTimestamp"):
        if not has_finalizer(body):
            return Done()
        if not status.condition(body, "Ready"):
            # Nothing was ever done for it here, so there is nothing to keep it for.
            await remove_finalizer(context, body)
            return Done()
    error = DbopsError(
        Reason.UNSUPPORTED,
        f"{kind} is not served by this version of the operator, which makes no backups yet. "
        "Nothing was done for this object",
    )
    await status.write(context, body, results.failure(error, phase="Failed"))
    return Human(Reason.UNSUPPORTED)
