# SPDX-License-Identifier: GPL-3.0-or-later
"""From the typed specs of backups and restores to the options of the modules `database_backup` and `database_restore`.

The reconcilers read the Secrets and give their content. Pure.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import connection
from dbops_operator.api.database_backup import DatabaseBackupSpec, MySQLBackup, PostgresBackup
from dbops_operator.api.database_restore import DatabaseRestoreSpec
from dbops_operator.api.storage import Compression, Encryption, Storage
from dbops_operator.api.variables import given
from dbops_operator.settings import parse_duration

Options = dict[str, Any]
Body = Mapping[str, Any]

ACKNOWLEDGED = "I-UNDERSTAND-DATA-LOSS"
_KEY_BYTES = 32
_AZURE_KEYS = ("AZURE_STORAGE_ACCOUNT_KEY", "accountKey", "storageAccountKey", "key")


def storage(block: Storage, secret: Body, *, root: str) -> Options:
    """Where backups are kept, with the credentials in SECRET. ROOT is the block's place in the spec."""
    if block.type == "s3" and block.s3:
        s3, keys = block.s3, block.s3.secret_ref.keys
        of_s3 = {
            "bucket": s3.bucket,
            "region": s3.region,
            "endpoint": s3.endpoint or None,
            "force_path_style": bool(s3.force_path_style),
            "access_key": connection.required_text(secret, keys.access_key if keys else "AWS_ACCESS_KEY_ID").strip(),
            "secret_key": connection.required_text(
                secret, keys.secret_key if keys else "AWS_SECRET_ACCESS_KEY"
            ).strip(),
        }
        return {"type": "s3", "prefix": s3.prefix or "", "s3": given(of_s3)}
    if block.type == "gcs" and block.gcs:
        credentials = connection.required_text(secret, block.gcs.secret_ref.key)
        return {
            "type": "gcs",
            "prefix": block.gcs.prefix or "",
            "gcs": {"bucket": block.gcs.bucket, "credentials": credentials},
        }
    if block.type == "azure" and block.azure:
        found = [text for name in _AZURE_KEYS if (text := connection.secret_text(secret, name))]
        if not found:
            connection.required_text(secret, _AZURE_KEYS[0])
        azure = {
            "container": block.azure.container,
            "account": block.azure.storage_account,
            "key": found[0].strip(),
        }
        return {"type": "azure", "prefix": block.azure.prefix or "", "azure": azure}
    raise missing_block(block, root)


def missing_block(block: Storage, root: str) -> DbopsError:
    """The error of a storage without the block that its type names."""
    field = f"{root}.{block.type}"
    return DbopsError(Reason.INVALID_SPEC, f"{field} is needed with type {block.type}", field=field)


def compression(block: Compression | None) -> Options:
    """How a backup is compressed."""
    if block is None or not block.enabled:
        return {"algorithm": "none"}
    return {"algorithm": block.algorithm, "level": block.level}


def is_encrypted(block: Encryption | None) -> bool:
    """Whether a backup is encrypted."""
    return block is not None and (bool(block.recipients) if block.enabled is None else block.enabled)


def encryption(block: Encryption | None, secret: Body | None, *, root: str) -> Options | None:
    """How a backup is written: for recipients, or with the key in SECRET."""
    if block is None or not is_encrypted(block):
        return None
    if block.recipients:
        return {"recipients": list(block.recipients)}
    if block.algorithm == "age":
        field = f"{root}.recipients"
        raise DbopsError(Reason.INVALID_SPEC, f"{field} names the public keys that age encrypts for", field=field)
    if block.algorithm == "aes-256-cbc":
        text = "aes-256-cbc cannot tell when somebody changed a backup: aes-256-gcm or age can, and are written"
        raise DbopsError(Reason.UNSUPPORTED, text, field=f"{root}.algorithm")
    return {"key": _key(block, secret, root)}


def decryption(block: Encryption | None, secret: Body | None, *, root: str) -> Options | None:
    """How a backup is read that BLOCK describes; None: as its manifest says, or without a key."""
    if block is None or block.secret_ref is None or secret is None:
        return None
    raw = _content(secret, block.secret_ref.key)
    if raw.lstrip().startswith(b"AGE-SECRET-KEY-"):
        return {"identities": raw.decode("ascii", "replace").split(), "algorithm": "age"}
    return {"key": _key(block, secret, root), "algorithm": block.algorithm}


def identities(secret: Body, key: str) -> Options:
    """How a backup is read that was encrypted for recipients of age."""
    lines = connection.required_text(secret, key).splitlines()
    # age-keygen writes comments beside the key.
    return {"identities": [line.strip() for line in lines if line.strip() and not line.startswith("#")]}


def _key(block: Encryption, secret: Body | None, root: str) -> str:
    if block.secret_ref is None or secret is None:
        field = f"{root}.secretRef"
        raise DbopsError(Reason.INVALID_SPEC, f"{field} names the Secret with the key", field=field)
    raw = _content(secret, block.secret_ref.key)
    if len(raw) != _KEY_BYTES:
        metadata = secret["metadata"]
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"key {block.secret_ref.key} of Secret {metadata['namespace']}/{metadata['name']} has {len(raw)} bytes: "
            f"an AES key has {_KEY_BYTES}",
        )
    return base64.b64encode(raw).decode()


def _content(secret: Body, key: str) -> bytes:
    try:
        raw = base64.b64decode((secret.get("data") or {}).get(key) or "", validate=True)
    except binascii.Error:
        raw = b""
    if not raw:
        metadata = secret["metadata"]
        text = f"Secret {metadata['namespace']}/{metadata['name']} has no key {key}"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text)
    return raw


def backup(spec: DatabaseBackupSpec, engine: str, *, database: str, name: str, started: datetime) -> Options:
    """What is backed up, and how the tool is called; without connection, storage and keys."""
    options: Options = {
        "database": database,
        "backup_name": name,
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "compression": compression(spec.compression),
    }
    if engine == "postgres":
        return options | {"postgresql": _pg_dump(spec.postgres)}
    return options | {"mysql": _mysqldump(spec.mysql, database)}


def _pg_dump(block: PostgresBackup | None) -> Options:
    if block is None:
        return {"format": "custom", "blobs": True}
    if block.method != "pg_dump":
        text = f"spec.postgres.method {block.method} is not served; pg_dump is"
        raise DbopsError(Reason.UNSUPPORTED, text, field="spec.postgres.method")
    return given(
        {
            "format": block.format,
            # Other formats have one stream.
            "jobs": block.jobs if block.format == "directory" else 1,
            "data_only": block.data_only,
            "schema_only": block.schema_only,
            "blobs": block.blobs,
            "no_owner": block.no_owner,
            "no_privileges": block.no_privileges,
            "schemas": block.schemas,
            "exclude_schemas": block.exclude_schemas,
            "tables": block.tables,
            "exclude_tables": block.exclude_tables,
            "lock_wait_timeout": connection.statement_timeout(block.lock_wait_timeout),
        }
    )


def _mysqldump(block: MySQLBackup | None, database: str) -> Options:
    if block is None:
        # What the published operator does without the block.
        return {"events": False, "extended_insert": False}
    if block.method != "mysqldump":
        text = f"spec.mysql.method {block.method} is not served; mysqldump is (mariadb-dump on MariaDB)"
        raise DbopsError(Reason.UNSUPPORTED, text, field="spec.mysql.method")
    if block.databases is not None and set(block.databases) - {database}:
        text = "spec.mysql.databases: a backup is of the one database that databaseRef names; make one for each"
        raise DbopsError(Reason.UNSUPPORTED, text, field="spec.mysql.databases")
    return given(
        {
            "tables": block.tables,
            "exclude_tables": block.exclude_tables,
            "routines": block.routines,
            "triggers": block.triggers,
            "events": block.events,
            "single_transaction": block.single_transaction,
            "lock_tables": block.lock_tables,
            "quick": block.quick,
            "extended_insert": block.extended_insert,
            "set_gtid_purged": block.set_gtid_purged,
        }
    )


def restore(spec: DatabaseRestoreSpec, engine: str) -> Options:
    """What of a backup is restored, and how; without source, target, connection, storage and keys."""
    if engine != "postgres":
        block = spec.mysql
        if block is None:
            return {}
        return {
            "create_database": block.create_database,
            "drop_existing": bool(block.drop_existing),
            "mysql": {
                "routines": block.routines,
                "triggers": block.triggers,
                "events": block.events,
                "disable_foreign_key_checks": block.disable_foreign_key_checks,
                "disable_binlog": block.disable_binlog,
            },
        }
    block_pg = spec.postgres
    if block_pg is None:
        return {"no_owner": True}
    return given(
        {
            "create_database": block_pg.create_database,
            "drop_existing": bool(block_pg.drop_existing),
            "jobs": block_pg.jobs,
            "data_only": block_pg.data_only,
            "schema_only": block_pg.schema_only,
            "no_owner": block_pg.no_owner,
            "no_privileges": block_pg.no_privileges,
            "disable_triggers": block_pg.disable_triggers,
            "analyze": block_pg.analyze,
            "schemas": block_pg.schemas,
            "tables": block_pg.tables,
            "role_mapping": block_pg.role_mapping,
        }
    )


def drops_existing(spec: DatabaseRestoreSpec, engine: str) -> bool:
    """Whether a database that is there already is replaced."""
    block = spec.postgres if engine == "postgres" else spec.mysql
    return bool(block and block.drop_existing)


def ttl(text: str | None) -> float | None:
    """Seconds that a backup is kept after its end; None: for good."""
    if not text:
        return None
    try:
        seconds = parse_duration(text)
        if not math.isfinite(seconds) or seconds > 1e10:
            raise ValueError
    except ValueError as error:
        raise DbopsError(
            Reason.INVALID_SPEC, "spec.ttl is a duration such as 168h, 7d or 4w", field="spec.ttl"
        ) from error
    return seconds
