# SPDX-License-Identifier: GPL-3.0-or-later
"""From specs of backups and restores to the options of the modules; those options must be the modules' own."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.module_arguments import backup_spec, restore_spec
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator.api import backup_variables
from dbops_operator.api.database_backup import DATABASE_BACKUP, DatabaseBackupSpec
from dbops_operator.api.database_restore import DATABASE_RESTORE, DatabaseRestoreSpec
from dbops_operator.api.model import parse
from dbops_operator.api.storage import Storage

S3 = {"bucket": "b", "region": "r", "secretRef": {"name": "s"}}
STARTED = datetime(2026, 11, 30, 2, tzinfo=UTC)


def secret(**data: str | bytes) -> dict[str, Any]:
    encoded = {
        key: base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
        for key, value in data.items()
    }
    return {"metadata": {"namespace": "team", "name": "s"}, "data": encoded}


AWS = secret(AWS_ACCESS_KEY_ID="id\n", AWS_SECRET_ACCESS_KEY="secret\n")


def backup_of(**spec: Any) -> DatabaseBackupSpec:
    wanted = {"databaseRef": {"name": "d"}, "storage": {"type": "s3", "s3": S3}, **spec}
    return parse(DATABASE_BACKUP, {"kind": "DatabaseBackup", "metadata": {}, "spec": wanted})


def restore_of(**spec: Any) -> DatabaseRestoreSpec:
    wanted = {"target": {"instanceRef": {"name": "main"}}, **spec}
    return parse(DATABASE_RESTORE, {"kind": "DatabaseRestore", "metadata": {}, "spec": wanted})


def stored(type_: str, content: dict[str, Any], **block: Any) -> dict[str, Any]:
    return backup_variables.storage(
        Storage.model_validate({"type": type_, type_: block}, by_alias=True), content, root="spec.storage"
    )


def options(spec: DatabaseBackupSpec, engine: str = "postgres") -> dict[str, Any]:
    made = backup_variables.backup(spec, engine, database="shop", name="first", started=STARTED)
    known = ArgumentSpecValidator(backup_spec()).validate(
        {**made, "engine": engine, "storage": stored("s3", AWS, **S3)}
    )
    assert known.error_messages == []
    return made


@pytest.mark.feature("B05")
def test_each_kind_of_store() -> None:
    assert stored("s3", AWS, **S3, prefix="p", endpoint="https://minio", forcePathStyle=True) == {
        "type": "s3",
        "prefix": "p",
        "s3": {
            "bucket": "b",
            "region": "r",
            "endpoint": "https://minio",
            "force_path_style": True,
            "access_key": "id",
            "secret_key": "secret",
        },
    }
    renamed = {**S3, "secretRef": {"name": "s", "keys": {"accessKey": "a", "secretKey": "b"}}}
    assert stored("s3", secret(a="x", b="y"), **renamed)["s3"]["secret_key"] == "y"
    gcs = stored("gcs", secret(json="{}"), bucket="b", secretRef={"name": "s", "key": "json"})
    assert gcs == {"type": "gcs", "prefix": "", "gcs": {"bucket": "b", "credentials": "{}"}}
    for key in ("AZURE_STORAGE_ACCOUNT_KEY", "accountKey", "storageAccountKey", "key"):
        azure = stored("azure", secret(**{key: "k"}), container="c", storageAccount="a", secretRef={"name": "s"})
        assert azure == {"type": "azure", "prefix": "", "azure": {"container": "c", "account": "a", "key": "k"}}


@pytest.mark.feature("B05")
def test_what_is_missing_in_a_secret_is_waited_for() -> None:
    for type_, block in (("s3", S3), ("azure", {"container": "c", "storageAccount": "a", "secretRef": {"name": "s"}})):
        with pytest.raises(DbopsError) as error:
            stored(type_, secret(), **block)
        assert error.value.reason is Reason.DEPENDENCY_NOT_READY


@pytest.mark.feature("B01", "B02")
def test_blocks_that_are_absent_mean_what_they_mean_in_the_published_api() -> None:
    assert options(backup_of())["postgresql"] == {"format": "custom", "blobs": True}
    assert options(backup_of())["compression"] == {"algorithm": "none"}
    assert options(backup_of(), "mysql")["mysql"] == {"events": False, "extended_insert": False}
    whole = options(backup_of(mysql={}, compression={}), "mariadb")
    assert whole["mysql"]["events"] is whole["mysql"]["extended_insert"] is True
    assert whole["mysql"]["set_gtid_purged"] == "AUTO"
    assert whole["compression"] == {"algorithm": "gzip", "level": 6}


@pytest.mark.feature("B02")
def test_options_of_pg_dump_by_name() -> None:
    block = {"format": "directory", "jobs": 4, "schemas": ["a"], "excludeTables": ["b"], "dataOnly": False}
    made = options(backup_of(postgres={**block, "lockWaitTimeout": "2min", "noOwner": True}))["postgresql"]
    assert made == {
        "format": "directory",
        "jobs": 4,
        "data_only": False,
        "blobs": True,
        "no_owner": True,
        "schemas": ["a"],
        "exclude_tables": ["b"],
        "lock_wait_timeout": 120,
    }
    assert options(backup_of(postgres={"jobs": 4}))["postgresql"]["jobs"] == 1


@pytest.mark.feature("B02")
@pytest.mark.parametrize(
    ("spec", "engine"),
    [
        ({"postgres": {"method": "pg_basebackup"}}, "postgres"),
        ({"mysql": {"method": "xtrabackup"}}, "mysql"),
        ({"mysql": {"databases": ["shop", "other"]}}, "mysql"),
    ],
)
def test_what_is_not_served_says_so(spec: dict[str, Any], engine: str) -> None:
    with pytest.raises(DbopsError) as error:
        options(backup_of(**spec), engine)
    assert error.value.reason is Reason.UNSUPPORTED
    assert options(backup_of(mysql={"databases": ["shop"]}), "mysql")


@pytest.mark.feature("B04")
def test_encryption_with_a_key_or_for_recipients() -> None:
    def written(content: dict[str, Any] | None, **block: Any) -> Any:
        return backup_variables.encryption(backup_of(encryption=block).encryption, content, root="spec.encryption")

    reference = {"name": "s", "key": "k"}
    raw = bytes(range(32))
    assert written(secret(k=raw), enabled=True, secretRef=reference) == {"key": base64.b64encode(raw).decode()}
    assert written(None, recipients=["age1x"]) == {"recipients": ["age1x"]}
    assert written(secret(k=raw), secretRef=reference) is None
    assert written(None, enabled=False, recipients=["age1x"]) is None
    for content in (secret(k=b"short"), secret(k=raw + b"\n")):
        with pytest.raises(DbopsError, match="32"):
            written(content, enabled=True, secretRef=reference)


@pytest.mark.feature("B04")
def test_decryption_by_what_the_secret_holds() -> None:
    def read(content: dict[str, Any], **block: Any) -> Any:
        spec = backup_of(encryption={"enabled": True, "secretRef": {"name": "s", "key": "k"}, **block})
        return backup_variables.decryption(spec.encryption, content, root="spec.encryption")

    raw = bytes(range(32))
    assert read(secret(k=raw), algorithm="aes-256-cbc")["algorithm"] == "aes-256-cbc"
    assert read(secret(k="AGE-SECRET-KEY-1X\n")) == {"identities": ["AGE-SECRET-KEY-1X"], "algorithm": "age"}
    keygen = "# created: 2026\n# public key: age1x\nAGE-SECRET-KEY-1X\n"
    assert backup_variables.identities(secret(k=keygen), "k") == {"identities": ["AGE-SECRET-KEY-1X"]}


@pytest.mark.feature("T02", "T05")
def test_options_of_restores_are_the_modules_own() -> None:
    full = {
        "postgres": {
            "jobs": 2, "schemas": ["a"], "tables": ["t"], "roleMapping": {"a": "b"}, "dropExisting": True,
            "schemaOnly": True, "noPrivileges": True, "disableTriggers": True, "analyze": False,
        },
        "mysql": {"dropExisting": True, "events": False},
    }  # fmt: skip
    validator = ArgumentSpecValidator(restore_spec())
    for engine in ("postgres", "mysql", "mariadb"):
        for spec in (restore_of(), restore_of(postgres={}, mysql={}), restore_of(**full)):
            made = backup_variables.restore(spec, engine)
            given = {**made, "engine": engine, "backup": "x", "storage": stored("s3", AWS, **S3)}
            assert validator.validate(given).error_messages == []
    made = backup_variables.restore(restore_of(**full), "postgres")
    assert made["role_mapping"] == {"a": "b"}
    assert made["no_owner"] is made["drop_existing"] is True
    assert backup_variables.restore(restore_of(), "postgres") == {"no_owner": True}


@pytest.mark.feature("B08")
def test_a_ttl_in_days_and_weeks() -> None:
    assert backup_variables.ttl(None) is None
    assert [backup_variables.ttl(one) for one in ("168h", "7d", "1w", "1h30m")] == [604800, 604800, 604800, 5400]
    for text in ("soon", "7", "9" * 40 + "h"):
        with pytest.raises(DbopsError, match=r"spec\.ttl"):
            backup_variables.ttl(text)
