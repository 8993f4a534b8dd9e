# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ends of a restore: which stored backup, and which database on which server. Checked for consent.

Called by database_restore.py, before a job begins and again when it has its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import access
from dbops_operator.api import backup_variables
from dbops_operator.api.common import InstanceReferences
from dbops_operator.api.database_backup import DATABASE_BACKUP
from dbops_operator.api.database_restore import DatabaseRestoreSpec, FromPath
from dbops_operator.api.model import parse
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import backup_source, on_server, removal, stores
from dbops_operator.reconcile.common import Body, owner, settled
from dbops_operator.resolve import Server


@dataclass(frozen=True)
class Origin:
    """What is restored. `database` is the name that it had; empty: its manifest tells."""

    name: str
    options: Mapping[str, Any] = field(repr=False)
    """Where it is stored and how it is decrypted, secrets included."""
    database: str = ""


@dataclass(frozen=True)
class Target:
    """Where it is restored to. `database` empty: under the name that it had."""

    server: Server
    database: str
    in_place: bool
    owner: Mapping[str, str] | None
    """Who declares the database, as the ledger has it; None: nobody yet."""


async def origin(context: Context, body: Body, spec: DatabaseRestoreSpec) -> Origin:
    """Find the backup. Raises DependencyNotReady while it is being made, InvalidSpec when it failed."""
    home = body["metadata"]["namespace"]
    if spec.from_path:
        return await _from_path(context, spec.from_path, home=home)
    assert spec.backup_ref
    key = Key("DatabaseBackup", spec.backup_ref.namespace or home, spec.backup_ref.name)
    context.depends(key)
    backup = context.store.get(key)
    named = f"DatabaseBackup {key.namespace}/{key.name}"
    if backup is None:
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"{named} does not exist")
    access.check_reference(dict(backup), reader=home, settings=context.settings)
    told = backup.get("status") or {}
    if told.get("phase") == "Failed" and told.get("completedAt"):
        raise DbopsError(Reason.INVALID_SPEC, f"{named} failed: there is nothing to restore", field="spec.backupRef")
    if backup["metadata"].get("deletionTimestamp") or told.get("phase") != "Completed":
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"{named} is not completed yet")
    made = parse(DATABASE_BACKUP, backup)
    options: dict[str, Any] = {
        "backup": str(told["backup"]["path"]).removeprefix(stores.prefix(made.storage)),
        "storage": await stores.storage(context, made.storage, home=key.namespace),
    }
    if spec.decryption:
        reference = spec.decryption.secret_ref
        secret = await stores.secret_at(context, reference.namespace, reference.name, home=home)
        options["encryption"] = backup_variables.identities(secret, reference.key)
    elif found := await stores.reading(context, made.encryption, home=key.namespace, root="spec.encryption"):
        options["encryption"] = found
    database = str((told.get("source") or {}).get("database", ""))
    return Origin(key.name if key.namespace == home else f"{key.namespace}/{key.name}", options, database)


async def _from_path(context: Context, block: FromPath, *, home: str) -> Origin:
    root = "spec.fromPath"
    options: dict[str, Any] = {
        "backup": block.backup_path,
        "storage": await stores.storage(context, block.storage, home=home, root=f"{root}.storage"),
        # Of a backup with a manifest that says what holds.
        "compression": {"algorithm": backup_variables.compression(block.compression)["algorithm"]},
    }
    if found := await stores.reading(context, block.encryption, home=home, root=f"{root}.encryption"):
        options["encryption"] = found
    return Origin(block.backup_path, options)


async def target(context: Context, body: Body, spec: DatabaseRestoreSpec) -> Target:
    """Find where to restore to. Raises DbopsError, Blocked for a Database that is protected."""
    wanted = spec.target
    if wanted.in_place or wanted.database_ref:
        return await _in_place(context, body, spec)
    if not (wanted.instance_ref or wanted.cluster_instance_ref):
        text = "spec.target needs an instanceRef or clusterInstanceRef, or inPlace with a databaseRef"
        raise DbopsError(Reason.INVALID_SPEC, text, field="spec.target")
    if wanted.cluster_instance_ref:
        references = InstanceReferences(cluster_instance_ref=wanted.cluster_instance_ref)
    else:
        references = InstanceReferences(instance_ref=wanted.instance_ref)
    reached = await on_server.reach(context, body, references)
    server, name = reached.server, wanted.database_name or ""
    if reached.limits:
        access.check_restore(spec, reached.limits)
    declared = _declared(context, server, name, namespace=body["metadata"]["namespace"])
    if declared is None:
        return Target(server, name, in_place=False, owner=None)
    if backup_variables.drops_existing(spec, server.spec.engine):
        _require_unprotected(declared)
    return Target(server, name, in_place=False, owner=owner(context, dict(declared)))


async def _in_place(context: Context, body: Body, spec: DatabaseRestoreSpec) -> Target:
    wanted = spec.target
    if not (wanted.in_place and wanted.database_ref):
        text = "spec.target.inPlace and spec.target.databaseRef go together"
        raise DbopsError(Reason.INVALID_SPEC, text, field="spec.target.inPlace")
    if wanted.instance_ref or wanted.cluster_instance_ref or wanted.database_name:
        text = "with spec.target.inPlace the databaseRef says which database on which instance"
        raise DbopsError(Reason.INVALID_SPEC, text, field="spec.target")
    source = await backup_source.find(context, body, wanted.database_ref)
    _require_unprotected(source.body)
    return Target(source.server, source.spec.name, in_place=True, owner=source.owner)


def _declared(context: Context, server: Server, name: str, *, namespace: str) -> Mapping[str, Any] | None:
    """The Database of NAMESPACE that declares the database NAME of this server."""
    for one in context.store.list("Database", namespace):
        if name and one["spec"].get("name") == name and removal.refers(one, server.key) and settled(dict(one)):
            context.depends(Key.of(one))
            return one
    return None


def _require_unprotected(database: Mapping[str, Any]) -> None:
    if database["spec"].get("deletionProtection", True):
        metadata = database["metadata"]
        raise DbopsError(
            Reason.BLOCKED,
            f"Database {metadata['namespace']}/{metadata['name']} is protected, and what is in it would be replaced: "
            "set its spec.deletionProtection to false first",
            field="spec.target.databaseRef",
        )
