# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores, reconcile by reconcile: what is on the server afterwards is asked from the server itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from buckets import Bucket
from reconciling import Crash, Operator

from dbops_operator.keys import Key
from dbops_operator.work import Done, Human
from localstack.postgresql import PostgreSQLServer

ACKNOWLEDGED = {"acknowledgeDataLoss": "I-UNDERSTAND-DATA-LOSS"}
IN_PLACE = {"inPlace": True, "databaseRef": {"name": "shop"}}


async def backup(operator: Operator, bucket: Bucket, name: str = "first", **spec: Any) -> Key:
    wanted = {"databaseRef": {"name": "shop"}, "storage": bucket.storage(), **spec}
    key = await operator.create("DatabaseBackup", name, wanted)
    await operator.run(key)
    assert (await operator.status(key))["phase"] == "Completed", await operator.status(key)
    return key


async def restore(operator: Operator, target: dict[str, Any], name: str = "back", **spec: Any) -> Key:
    wanted = {"target": target, **({} if "fromPath" in spec else {"backupRef": {"name": "first"}}), **spec}
    return await operator.create("DatabaseRestore", name, wanted)


def new(name: str) -> dict[str, Any]:
    return {"instanceRef": {"name": "main"}, "databaseName": f"{name}_new"}


async def finished(operator: Operator, key: Key) -> dict[str, Any]:
    verdict = await operator.run(key)
    status = await operator.status(key)
    assert isinstance(verdict, Done), status
    assert status["phase"] == "Completed", status
    return status


async def refused(operator: Operator, key: Key, reason: str) -> str:
    """It failed for good before anything was touched; gives the message."""
    assert isinstance(await operator.run(key), Human)
    status = await operator.status(key)
    assert status["phase"] == "Failed", status
    assert await operator.ready(key) == ("False", reason), status
    assert await operator.condition(key, "Failed") == ("True", reason)
    return str(status["message"])


def orders(postgres: PostgreSQLServer, database: str) -> list[tuple[Any, ...]]:
    return postgres.query("SELECT count(*), sum(id), min(code) FROM orders", dbname=database)


@pytest.mark.feature("T01", "T06")
async def test_into_a_new_database(
    operator: Operator, shop: Key, bucket: Bucket, name: str, postgres: PostgreSQLServer
) -> None:
    await backup(operator, bucket)
    key = await restore(operator, new(name))
    status = await finished(operator, key)
    assert orders(postgres, f"{name}_new") == orders(postgres, name)
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"
    assert postgres.query(owner, [f"{name}_new"]) != [(postgres.admin.user,)]
    assert status["restore"] == {
        "sourceBackup": "first",
        "targetInstance": "main",
        "targetDatabase": f"{name}_new",
    }
    assert status["progress"] == {
        "percentage": 100,
        "currentPhase": "Completed",
        "tablesRestored": 1,
        "tablesTotal": 1,
    }
    assert await operator.ready(key) == ("True", "RestoreCompleted")
    assert sorted(await operator.events(key)) == ["Completed", "Started"]
    # Once.
    jobs = len(operator.long_lanes.jobs)
    await operator.patch(key, {"spec": {"activeDeadlineSeconds": 60}})
    await operator.run(key)
    assert len(operator.long_lanes.jobs) == jobs
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key)
    assert orders(postgres, f"{name}_new") == orders(postgres, name)


@pytest.mark.feature("T01", "T04")
async def test_in_place_with_consent_only(
    operator: Operator, shop: Key, bucket: Bucket, name: str, postgres: PostgreSQLServer
) -> None:
    await backup(operator, bucket)
    before = orders(postgres, name)
    postgres.query("DELETE FROM orders WHERE id > 10", dbname=name)
    spoilt = orders(postgres, name)
    key = await restore(operator, IN_PLACE)
    assert "I-UNDERSTAND-DATA-LOSS" in await refused(operator, key, "AcknowledgementNeeded")
    assert await operator.events(key) == ["ValidationFailed"]
    # A consent that comes later is for another one.
    await operator.patch(key, {"spec": {"confirmation": ACKNOWLEDGED}})
    await operator.run(key)
    assert orders(postgres, name) == spoilt
    await operator.patch(shop, {"spec": {"deletionProtection": True}})
    await operator.run(shop)
    protected = await restore(operator, IN_PLACE, "protected", confirmation=ACKNOWLEDGED)
    assert "deletionProtection" in await refused(operator, protected, "Blocked")
    await operator.patch(shop, {"spec": {"deletionProtection": False}})
    await operator.run(shop)
    status = await finished(operator, await restore(operator, IN_PLACE, "agreed", confirmation=ACKNOWLEDGED))
    assert orders(postgres, name) == before
    kept = postgres.query("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{name}_before_%"])
    assert len(kept) == 1
    assert kept[0][0] in status["message"]
    assert await operator.ready(shop) == ("True", "ReconcileSuccess")


@pytest.mark.feature("T04")
async def test_a_restore_that_may_have_ended_is_not_done_twice(
    operator: Operator, shop: Key, bucket: Bucket, name: str, postgres: PostgreSQLServer
) -> None:
    await backup(operator, bucket)
    key = await restore(operator, IN_PLACE, confirmation=ACKNOWLEDGED)
    operator.long_lanes.crash_after = True
    with pytest.raises(Crash):
        await operator.run(key)
    operator.long_lanes.crash_after = False
    # Somebody works with what was restored already.
    postgres.query("INSERT INTO orders VALUES (5000, 'new')", dbname=name)
    now = orders(postgres, name)
    assert "_before_" in await refused(operator, key, "NotVerifiable")
    assert orders(postgres, name) == now


@pytest.mark.feature("T04")
async def test_a_crash_before_the_end_is_noted_restores_anew(
    operator: Operator, shop: Key, bucket: Bucket, name: str, postgres: PostgreSQLServer
) -> None:
    await backup(operator, bucket)
    key = await restore(operator, new(name))
    for crash_at in (1, 2, 3):
        operator.api.crash_at = operator.api.writes + crash_at
        with pytest.raises(Crash):
            await operator.run(key)
        operator.api.crash_at = None
    await finished(operator, key)
    assert orders(postgres, f"{name}_new") == orders(postgres, name)


@pytest.mark.feature("T06")
async def test_it_waits_for_a_backup_that_is_being_made(
    operator: Operator, shop: Key, bucket: Bucket, name: str
) -> None:
    key = await restore(operator, new(name))
    verdict = await operator.run(key)
    assert isinstance(verdict, Done)
    assert verdict.after
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert (await operator.status(key))["phase"] == "Pending"
    assert operator.key("DatabaseBackup", "first") in operator.depends
    await backup(operator, bucket)
    await finished(operator, key)


@pytest.mark.feature("T06")
async def test_a_backup_that_never_comes_is_waited_for_until_the_deadline(
    operator: Operator, shop: Key, bucket: Bucket, name: str
) -> None:
    key = await restore(operator, new(name), activeDeadlineSeconds=600)
    await operator.run(key)
    operator.later(seconds=601)
    await refused(operator, key, "DeadlineExceeded")
    assert await operator.events(key) == ["DeadlineExceeded"]


@pytest.mark.feature("T03")
async def test_a_flipped_bit_touches_nothing(
    operator: Operator, shop: Key, bucket: Bucket, name: str, postgres: PostgreSQLServer
) -> None:
    await backup(operator, bucket)
    (path,) = (one for one in bucket.objects() if one.endswith(".dump"))
    content = bytearray(bucket.read(path))
    content[len(content) // 2] ^= 1
    bucket.write(path, bytes(content))
    before = orders(postgres, name)
    key = await restore(operator, IN_PLACE, confirmation=ACKNOWLEDGED)
    for _ in range(6):
        await operator.run(key)
    assert (await operator.status(key))["phase"] == "Failed"
    assert await operator.ready(key) == ("False", "NotVerifiable")
    assert orders(postgres, name) == before
    left = "SELECT datname FROM pg_database WHERE datname LIKE 'dbops_restore_%%'"
    assert postgres.query(left) == []


@pytest.mark.feature("T01")
async def test_from_a_path(
    operator: Operator, shop: Key, bucket: Bucket, name: str, postgres: PostgreSQLServer
) -> None:
    made = await backup(operator, bucket, compression={})
    path = (await operator.status(made))["backup"]["path"].removeprefix("team/app/")
    source = {"storage": bucket.storage(), "backupPath": path}
    status = await finished(operator, await restore(operator, new(name), fromPath=source))
    assert status["restore"]["sourceBackup"] == path
    assert orders(postgres, f"{name}_new") == orders(postgres, name)
    leaving = await restore(
        operator, new(f"{name}_x"), "leaving", fromPath={**source, "backupPath": "../../etc/passwd"}
    )
    await refused(operator, leaving, "InvalidSpec")


@pytest.mark.feature("T03")
@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"target": {"databaseName": "x"}}, "InvalidSpec"),
        ({"target": {"inPlace": True, "instanceRef": {"name": "main"}}}, "InvalidSpec"),
        ({"target": {"databaseRef": {"name": "shop"}}}, "InvalidSpec"),
        ({"target": {"instanceRef": {"name": "main"}}, "backupRef": None}, "InvalidSpec"),
        ({"target": {"instanceRef": {"name": "main"}}, "postgres": {"dropExisting": True}}, "AcknowledgementNeeded"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    operator: Operator, shop: Key, spec: dict[str, Any], reason: str
) -> None:
    wanted = {"backupRef": {"name": "first"}, **spec}
    given = {name: value for name, value in wanted.items() if value is not None}
    key = await operator.create("DatabaseRestore", "back", given)
    await refused(operator, key, reason)
    assert operator.long_lanes.jobs == []
    operator.ahead += timedelta(days=1)
    assert isinstance(await operator.run(key), Done)


@pytest.mark.feature("T06")
async def test_a_failed_backup_is_not_waited_for(operator: Operator, shop: Key, bucket: Bucket, name: str) -> None:
    source = await operator.create(
        "DatabaseBackup",
        "first",
        {"databaseRef": {"name": "shop"}, "storage": bucket.storage(endpoint="http://127.0.0.1:1")},
    )
    for _ in range(6):
        await operator.run(source)
    await refused(operator, await restore(operator, new(name)), "InvalidSpec")


@pytest.mark.feature("B08")
async def test_a_backup_that_is_read_is_not_removed(operator: Operator, shop: Key, bucket: Bucket, name: str) -> None:
    source = await backup(operator, bucket)
    key = await restore(operator, new(name))
    await operator.delete(source)
    assert isinstance(await operator.run(source), Human)
    assert await operator.ready(source) == ("False", "DependenciesExist")
    await operator.delete(key)
    await operator.run(key)
    await operator.run(source)
    assert not await operator.exists(source)
    assert bucket.objects() == []
