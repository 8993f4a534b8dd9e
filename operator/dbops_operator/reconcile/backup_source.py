# SPDX-License-Identifier: GPL-3.0-or-later
"""The Database that a backup or a restore names, and its server, if it may be used for that.

Called by database_backup.py and database_restore.py. Who may name a Database of another namespace is for its owner to
say; whether its server may be used at all for the one of the instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import access, annotation, moved, resolve
from dbops_operator.api.common import ObjectRef
from dbops_operator.api.database import DATABASE, DatabaseSpec
from dbops_operator.api.model import parse
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile.common import Body, owner, settled
from dbops_operator.resolve import Server

FINAL = "dbops.dbprovision.io/final-backup-of"
"""Annotation of a backup that is made before its Database is dropped: the uid of that."""


@dataclass(frozen=True)
class Source:
    """A Database as it is on its server."""

    key: Key
    body: Mapping[str, Any] = field(repr=False)
    spec: DatabaseSpec
    server: Server
    owner: Mapping[str, str]
    """Who declares it, as the ledger has it."""


async def find(context: Context, body: Body, reference: ObjectRef) -> Source:
    """Find the Database that the object BODY names, ready to be used. Raises DbopsError."""
    namespace = body["metadata"]["namespace"]
    key = Key("Database", reference.namespace or namespace, reference.name)
    context.depends(key)
    found = context.store.get(key)
    if found is None:
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Database {key.namespace}/{key.name} does not exist")
    access.check_reference(dict(found), reader=namespace, settings=context.settings)
    spec = parse(DATABASE, found)
    instance = resolve.find_instance(context, resolve.instance_key(spec, key.namespace))
    resolve.check_consent(context, instance, body["kind"], key.namespace)
    resolve.require_ready(instance)
    server = await resolve.server(context, instance)
    _require_usable(body, found, key, server)
    return Source(key, found, spec, server, owner(context, dict(found)))


def _require_usable(body: Body, found: Mapping[str, Any], key: Key, server: Server) -> None:
    if found["metadata"].get("deletionTimestamp"):
        # Its generation moves when it is deleted, so it is not settled any more.
        final = annotation.text(body, FINAL) == found["metadata"]["uid"]
        if final and moved.is_applied(dict(found), server):
            return
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Database {key.namespace}/{key.name} is being deleted")
    if not settled(dict(found)):
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Database {key.namespace}/{key.name} is not ready yet")
