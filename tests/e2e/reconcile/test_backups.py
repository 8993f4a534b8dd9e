# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups, reconcile by reconcile: real servers, real tools, a real store, which are asked what is there."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import secrets
from typing import Any

import psycopg
import pytest
from buckets import Bucket
from reconciling import Crash, Operator

from dbops_operator.keys import Key
from dbops_operator.work import Done, Human, Retry, Wait
from localstack.postgresql import PostgreSQLServer
from localstack.processes import wait_until


async def create(operator: Operator, bucket: Bucket, name: str = "first", **spec: Any) -> Key:
    return await operator.create(
        "DatabaseBackup", name, {"databaseRef": {"name": "shop"}, "storage": bucket.storage(), **spec}
    )


async def finished(operator: Operator, key: Key) -> dict[str, Any]:
    """Have it made; gives its status."""
    verdict = await operator.run(key)
    status = await operator.status(key)
    assert isinstance(verdict, Done), status
    assert status["phase"] == "Completed", status
    return status


@pytest.mark.feature("B05", "B07")
async def test_a_backup_is_made_and_told(
    operator: Operator, shop: Key, bucket: Bucket, name: str, postgres: PostgreSQLServer
) -> None:
    key = await create(operator, bucket, compression={"algorithm": "gzip"}, postgres={"format": "plain"})
    status = await finished(operator, key)
    digits = status["startedAt"].translate(str.maketrans("T", "-", ":-Z"))
    path = f"team/app/{name}-first-{digits}.sql.gz"
    assert sorted(bucket.objects()) == [path, f"{path}.manifest.json"]
    content = bucket.read(path)
    assert b"COPY public.orders" in gzip.decompress(content)
    assert status["backup"] == {
        "path": path,
        "format": "plain",
        "sizeBytes": len(gzip.decompress(content)),
        "compressedSizeBytes": len(content),
        "checksum": hashlib.sha256(content).hexdigest(),
    }
    source = status["source"]
    assert (source["instance"], source["database"], source["engine"]) == ("main", name, "postgres")
    assert source["version"].startswith("17")
    assert source["timestamp"] == status["startedAt"] <= status["completedAt"]
    assert "expiresAt" not in status
    assert await operator.ready(key) == ("True", "BackupCompleted")
    assert await operator.condition(key, "Complete") == ("True", "BackupCompleted")
    assert await operator.condition(key, "Synced") == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "Reconciling") is None
    assert sorted(await operator.events(key)) == ["Completed", "Started"]
    manifest = json.loads(bucket.read(f"{path}.manifest.json"))
    owner = {"cluster": operator.settings.cluster_id, "kind": "DatabaseBackup", "namespace": operator.namespace}
    assert manifest["created_by"] == {**owner, "name": "first"}
    assert manifest["rows"] == {"public.orders": 1000}
    # It is made once, whatever is edited later.
    writes, jobs = operator.api.writes, len(operator.long_lanes.jobs)
    await operator.run(key)
    assert (operator.api.writes, len(operator.long_lanes.jobs)) == (writes, jobs)
    await operator.patch(key, {"spec": {"compression": {"algorithm": "zstd"}}})
    await operator.run(key)
    assert len(operator.long_lanes.jobs) == jobs
    assert (await operator.status(key))["observedGeneration"] == 2


@pytest.mark.feature("B08")
async def test_its_files_go_with_it(operator: Operator, shop: Key, bucket: Bucket) -> None:
    kept = await create(operator, bucket, "kept")
    await finished(operator, kept)
    await operator.annotate(kept, deletion_policy="Retain")
    before = sorted(bucket.objects())
    key = await create(operator, bucket)
    await finished(operator, key)
    # The prefix may be edited: what was written is what is removed.
    await operator.patch(key, {"spec": {"encryption": {"enabled": True, "recipients": ["age1x"]}}})
    for one in (key, kept):
        await operator.delete(one)
        assert isinstance(await operator.run(one), Done)
        assert not await operator.exists(one)
    assert sorted(bucket.objects()) == before


@pytest.mark.feature("B08")
async def test_it_goes_when_its_time_is_over(operator: Operator, shop: Key, bucket: Bucket) -> None:
    key = await create(operator, bucket, ttl="1w")
    status = await finished(operator, key)
    assert status["expiresAt"] > status["completedAt"]
    verdict = await operator.run(key)
    assert isinstance(verdict, Done)
    assert verdict.after
    assert 604700 < verdict.after <= 604800
    operator.later(days=7)
    await operator.run(key)
    await operator.run(key)
    assert not await operator.exists(key)
    assert bucket.objects() == []


@pytest.mark.feature("B04")
async def test_a_key_in_a_secret_encrypts(operator: Operator, shop: Key, bucket: Bucket) -> None:
    key_bytes = secrets.token_bytes(32)
    await operator.api.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "key", "namespace": operator.namespace},
            "data": {"key": base64.b64encode(key_bytes).decode(), "short": base64.b64encode(b"short").decode()},
        }
    )
    wanted = {"enabled": True, "secretRef": {"name": "key", "key": "short"}}
    key = await create(operator, bucket, encryption=wanted, postgres={"format": "plain"})
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "InvalidSpec")
    # Nothing has begun, so it can still be put right.
    await operator.patch(key, {"spec": {"encryption": {"secretRef": {"key": "key"}}}})
    status = await finished(operator, key)
    assert status["backup"]["path"].endswith(".sql.enc")
    assert b"COPY" not in bucket.read(status["backup"]["path"])


@pytest.mark.feature("B08")
async def test_it_waits_for_its_database_and_its_secret(operator: Operator, shop: Key, bucket: Bucket) -> None:
    spec = {"databaseRef": {"name": "later"}, "storage": bucket.storage("later")}
    key = await operator.create("DatabaseBackup", "first", spec)
    assert isinstance(await operator.run(key), Wait)
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert (await operator.status(key))["phase"] == "Pending"
    assert operator.key("Database", "later") in operator.depends
    await operator.patch(key, {"spec": {"databaseRef": {"name": "shop"}}})
    assert isinstance(await operator.run(key), Wait)
    assert operator.key("Secret", "later") in operator.depends
    await operator.create_secret("later", bucket.credentials)
    await finished(operator, key)


@pytest.mark.feature("B06")
async def test_an_operator_that_was_killed_finds_what_it_had_made(
    operator: Operator, shop: Key, bucket: Bucket
) -> None:
    key = await create(operator, bucket)
    operator.long_lanes.crash_after = True
    with pytest.raises(Crash):
        await operator.run(key)
    operator.long_lanes.crash_after = False
    told = await operator.status(key)
    assert told["phase"] == "Running"
    before = sorted(bucket.objects())
    operator.later(seconds=90)
    status = await finished(operator, key)
    assert status["startedAt"] == told["startedAt"]
    assert sorted(bucket.objects()) == before
    assert operator.long_lanes.results[-1]["changed"] is False


@pytest.mark.feature("B06")
@pytest.mark.parametrize("crash_at", [1, 2, 3, 4])
async def test_a_crash_at_any_write_leaves_one_backup(
    operator: Operator, shop: Key, bucket: Bucket, crash_at: int
) -> None:
    key = await create(operator, bucket)
    operator.api.crash_at = operator.api.writes + crash_at
    with pytest.raises(Crash):
        await operator.run(key)
    operator.api.crash_at = None
    status = await finished(operator, key)
    assert sorted(bucket.objects()) == [status["backup"]["path"], status["backup"]["path"] + ".manifest.json"]


@pytest.mark.feature("B08")
async def test_a_deadline_that_has_passed_is_told(operator: Operator, shop: Key, bucket: Bucket) -> None:
    key = await create(operator, bucket, activeDeadlineSeconds=60)
    operator.long_lanes.crash_after = True
    with pytest.raises(Crash):
        await operator.run(key)
    bucket.empty()
    operator.later(seconds=61)
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "DeadlineExceeded")
    assert await operator.condition(key, "Failed") == ("True", "DeadlineExceeded")
    assert (await operator.status(key))["phase"] == "Failed"
    assert "DeadlineExceeded" in await operator.events(key)
    # For good.
    await operator.patch(key, {"spec": {"activeDeadlineSeconds": 3600}})
    await operator.run(key)
    assert (await operator.status(key))["phase"] == "Failed"


@pytest.mark.feature("B08")
async def test_deletion_cancels_and_leaves_nothing(
    operator: Operator, shop: Key, bucket: Bucket, postgres: PostgreSQLServer, name: str
) -> None:
    # The dump waits for a lock, as long as this session holds it.
    login = postgres.admin
    with psycopg.connect(
        host=login.host, port=login.port, user=login.user, password=login.password, dbname=name
    ) as holder:
        holder.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        key = await create(operator, bucket)
        work = asyncio.ensure_future(operator.run(key))
        await operator.long_lanes.begun.wait()
        waiting = "SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database WHERE NOT granted AND datname = %s"
        await asyncio.to_thread(wait_until, lambda: postgres.query(waiting, [name]) != [], what="the dump waits")
        await operator.delete(key)
        operator.store.put(await operator.get(key))
        operator.cancel.set()
        assert isinstance(await asyncio.wait_for(work, 10), Wait)
    assert operator.long_lanes.results[-1]["reason"] == "Cancelled"
    await operator.run(key)
    assert not await operator.exists(key)
    assert bucket.objects() == []
    assert bucket.uploads() == []
    assert postgres.query("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name]) == [(0,)]


@pytest.mark.feature("B06")
async def test_what_may_pass_is_tried_again_and_not_for_ever(operator: Operator, shop: Key, bucket: Bucket) -> None:
    key = await create(operator, bucket)
    storage = bucket.storage(endpoint="http://127.0.0.1:1")
    await operator.patch(key, {"spec": {"storage": storage}})
    for number in range(1, 6):
        assert isinstance(await operator.run(key), Retry)
        status = await operator.status(key)
        assert (status["phase"], status["attempts"]) == ("Pending", number)
    assert isinstance(await operator.run(key), Human)
    assert (await operator.status(key))["phase"] == "Failed"
    assert await operator.condition(key, "Failed") == ("True", "ConnectionFailed")


@pytest.mark.feature("B08")
@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"storage": {"type": "pvc", "pvc": {"claimName": "x"}}}, "Unsupported"),
        ({"storage": {"type": "s3"}}, "InvalidSpec"),
        ({"ttl": "soon"}, "InvalidSpec"),
        ({"postgres": {"method": "pg_basebackup"}}, "Unsupported"),
        ({"encryption": {"enabled": True, "algorithm": "aes-256-cbc"}}, "Unsupported"),
        ({"encryption": {"enabled": True}}, "InvalidSpec"),
        ({"encryption": {"enabled": True, "algorithm": "age"}}, "InvalidSpec"),
    ],
)
async def test_what_cannot_be_done_is_refused_before_it_begins(
    operator: Operator, shop: Key, bucket: Bucket, spec: dict[str, Any], reason: str
) -> None:
    key = await create(operator, bucket, **spec)
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", reason)
    assert operator.long_lanes.jobs == []
    assert not (await operator.get(key))["metadata"].get("finalizers")


@pytest.mark.feature("B08")
@pytest.mark.parametrize("endpoint", ["http://169.254.169.254", "ftp://127.0.0.1", "http://a:b@127.0.0.1", "nonsense"])
async def test_a_store_is_no_way_to_other_places(operator: Operator, shop: Key, bucket: Bucket, endpoint: str) -> None:
    key = await create(operator, bucket, storage=bucket.storage(endpoint=endpoint))
    assert isinstance(await operator.run(key), Human)
    assert "spec.storage.s3.endpoint" in (await operator.status(key))["message"]


@pytest.mark.feature("B08")
async def test_a_database_of_another_namespace_needs_consent(operator: Operator, shop: Key, bucket: Bucket) -> None:
    other = f"{operator.namespace}-other"
    operator.cluster.kubectl("create", "namespace", other)
    await operator.create_secret("store", bucket.credentials, namespace=other)
    reference = {"name": "shop", "namespace": operator.namespace}
    spec = {"databaseRef": reference, "storage": bucket.storage()}
    key = await operator.create("DatabaseBackup", "first", spec, namespace=other)
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "AccessDenied")
    await operator.annotate(shop, allow_from=other)
    await finished(operator, key)
