# SPDX-License-Identifier: GPL-3.0-or-later
"""The stores and keys that backups and restores name: read, checked for consent, turned into options.

Called by database_backup.py and database_restore.py just before a job begins; nothing is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import access, resolve
from dbops_operator.api import backup_variables
from dbops_operator.api.storage import Encryption, Storage
from dbops_operator.client import NotFound
from dbops_operator.context import Context
from dbops_operator.keys import Key

Options = dict[str, Any]


async def storage(context: Context, block: Storage, *, home: str, root: str = "spec.storage") -> Options:
    """Read how a store is reached that an object of namespace HOME names. Raises DbopsError."""
    if block.type == "pvc":
        text = "backups on a PersistentVolumeClaim need a Job in its namespace, which this version does not start"
        raise DbopsError(Reason.UNSUPPORTED, text, field=f"{root}.type")
    host = ""
    if block.s3 and block.s3.endpoint:
        host = await _check_endpoint(context, block.s3.endpoint, field=f"{root}.s3.endpoint")
    references = {"s3": block.s3, "gcs": block.gcs, "azure": block.azure}
    chosen = references[block.type]
    if chosen is None:
        raise backup_variables.missing_block(block, root)
    namespace = getattr(chosen.secret_ref, "namespace", None) or home
    secret = await _secret(context, Key("Secret", namespace, chosen.secret_ref.name), home=home, host=host)
    return backup_variables.storage(block, secret, root=root)


def prefix(block: Storage) -> str:
    """The folder in the store, with a slash at its end; empty: there is none."""
    of_type = {"s3": block.s3, "gcs": block.gcs, "azure": block.azure}.get(block.type)
    folder = (of_type.prefix if of_type else None) or ""
    return f"{folder.strip('/')}/" if folder.strip("/") else ""


async def _check_endpoint(context: Context, endpoint: str, *, field: str) -> str:
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        text = f"{field} is the URL of a store, such as https://minio.example.com"
        raise DbopsError(Reason.INVALID_SPEC, text, field=field)
    await resolve.check_addresses(context, host, port or (443 if parts.scheme == "https" else 80), field=field)
    return host


async def key_secret(context: Context, block: Encryption | None, *, home: str) -> Mapping[str, Any] | None:
    """Read the Secret with the key that an object of namespace HOME names; None: it names none."""
    if block is None or block.secret_ref is None:
        return None
    reference = block.secret_ref
    return await _secret(context, Key("Secret", reference.namespace or home, reference.name), home=home, host="")


async def writing(
    context: Context, block: Encryption | None, *, home: str, root: str = "spec.encryption"
) -> Options | None:
    """How a backup is encrypted; what age encrypts needs no Secret. Raises DbopsError."""
    if not backup_variables.is_encrypted(block):
        return None
    secret = None if block and block.recipients else await key_secret(context, block, home=home)
    return backup_variables.encryption(block, secret, root=root)


async def reading(context: Context, block: Encryption | None, *, home: str, root: str) -> Options | None:
    """How a backup is decrypted, as far as its own Secret says. Raises DbopsError."""
    if not backup_variables.is_encrypted(block):
        return None
    secret = await key_secret(context, block, home=home)
    return backup_variables.decryption(block, secret, root=root)


async def secret_at(context: Context, namespace: str | None, name: str, *, home: str) -> Mapping[str, Any]:
    """Read a Secret with a key. Raises DbopsError."""
    return await _secret(context, Key("Secret", namespace or home, name), home=home, host="")


async def _secret(context: Context, key: Key, *, home: str, host: str) -> Mapping[str, Any]:
    context.depends(key)
    try:
        secret = await context.api.get(key)
    except NotFound as error:
        text = f"Secret {key.namespace}/{key.name} does not exist"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text) from error
    access.check_used_secret(secret, reader=home, host=host, settings=context.settings)
    return secret
