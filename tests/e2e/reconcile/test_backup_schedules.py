# SPDX-License-Identifier: GPL-3.0-or-later
"""Schedules, look by look against a real API server: times pass when the test says so, and so do backups."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from reconciling import Crash, Operator

from dbops_operator.keys import Key
from dbops_operator.rotation_record import stamp
from dbops_operator.settings import INSTANCE_LABEL
from dbops_operator.work import Done, Human

STORAGE = {"type": "s3", "s3": {"bucket": "backups", "region": "eu-central-1", "secretRef": {"name": "store"}}}
TEMPLATE = {"spec": {"databaseRef": {"name": "orders"}, "storage": STORAGE}}


async def create(operator: Operator, name: str = "nightly", template: Any = None, **spec: Any) -> Key:
    wanted = {"schedule": "0 2 * * *", "template": template or TEMPLATE, "deletionProtection": False, **spec}
    return await operator.create("DatabaseBackupSchedule", name, wanted)


async def until_due(operator: Operator, key: Key) -> str:
    """Look at it when the next backup is due; gives the time as a backup's name has it."""
    due = datetime.fromisoformat((await operator.status(key))["nextBackupTime"])
    operator.later(seconds=(due - operator.now()).total_seconds())
    await run(operator, key)
    return due.strftime("%Y%m%d-%H%M%S")


async def run(operator: Operator, key: Key) -> None:
    verdict = await operator.run(key)
    assert isinstance(verdict, Done), await operator.status(key)
    assert verdict.after is not None
    assert verdict.after <= 600


async def backups(operator: Operator) -> dict[str, Any]:
    found = await operator.api.list("DatabaseBackup", operator.namespace)
    return {one["metadata"]["name"]: one for one in found if not one["metadata"].get("deletionTimestamp")}


async def ended(operator: Operator, name: str, phase: str = "Completed", *, verified: bool = False) -> None:
    """What the backup's own reconciler would write at its end."""
    key = operator.key("DatabaseBackup", name)
    body = await operator.get(key)
    conditions = [_condition("Ready", phase == "Completed")] + [_condition("Verified", True)] * verified
    told = {
        "phase": phase,
        "startedAt": stamp(operator.now() - timedelta(seconds=30)),
        "completedAt": stamp(operator.now()),
        "conditions": conditions,
        **({"backup": {"sizeBytes": 4000, "compressedSizeBytes": 1000}} if phase == "Completed" else {}),
    }
    await operator.api.apply_status({**body, "status": told})


def _condition(type_: str, holds: bool) -> dict[str, str]:
    return {
        "type": type_,
        "status": str(holds),
        "reason": "Test",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


@pytest.mark.feature("S01", "S04")
async def test_a_due_backup_is_made_from_the_template(operator: Operator) -> None:
    template = {"metadata": {"labels": {"team": "shop"}, "annotations": {"ticket": "42"}}, **TEMPLATE}
    key = await create(operator, template=template)
    await run(operator, key)
    assert await operator.ready(key) == ("True", "Active")
    assert await backups(operator) == {}
    when = await until_due(operator, key)
    (made,) = (await backups(operator)).values()
    assert made["metadata"]["name"] == f"nightly-{when}"
    assert made["metadata"]["labels"] == {
        "team": "shop",
        "dbops.dbprovision.io/schedule": "nightly",
        "dbops.dbprovision.io/scheduled-backup": "true",
        INSTANCE_LABEL: "driven-by-the-test",
    }
    assert made["metadata"]["annotations"]["ticket"] == "42"
    assert made["spec"]["databaseRef"] == {"name": "orders"}
    assert made["spec"]["storage"] == STORAGE
    assert "ownerReferences" not in made["metadata"]
    status = await operator.status(key)
    assert status["phase"] == "Active"
    assert status["lastBackup"] == {"name": made["metadata"]["name"], "status": "Pending"}
    assert status["recentBackups"] == [{"name": made["metadata"]["name"], "status": "Pending"}]
    assert datetime.fromisoformat(status["nextBackupTime"]) > operator.now()
    assert await operator.events(key) == ["BackupTriggered"]


@pytest.mark.feature("S01")
async def test_an_idle_schedule_writes_nothing(operator: Operator) -> None:
    key = await create(operator)
    await run(operator, key)
    writes = operator.api.writes
    operator.later(seconds=30)
    await run(operator, key)
    assert operator.api.writes == writes


@pytest.mark.feature("S01")
async def test_downtime_is_made_up_for_once(operator: Operator) -> None:
    key = await create(operator, schedule="*/5 * * * *")
    await run(operator, key)
    operator.later(days=14)
    await run(operator, key)
    await run(operator, key)
    (made,) = await backups(operator)
    named = datetime.strptime(f"{made}+0000", "nightly-%Y%m%d-%H%M%S%z")
    assert timedelta(0) <= operator.now() - named < timedelta(minutes=5)


@pytest.mark.feature("S01")
async def test_a_crash_at_any_write_makes_no_second_backup(operator: Operator) -> None:
    key = await create(operator)
    await run(operator, key)
    when = datetime.fromisoformat((await operator.status(key))["nextBackupTime"])
    operator.later(seconds=(when - operator.now()).total_seconds())
    for crash_at in (1, 2):
        operator.api.crash_at = operator.api.writes + crash_at
        with pytest.raises(Crash):
            await operator.run(key)
        operator.api.crash_at = None
        operator.later(seconds=1)
    assert len(await backups(operator)) == 1
    await run(operator, key)
    assert len(await backups(operator)) == 1
    assert datetime.fromisoformat((await operator.status(key))["nextBackupTime"]) == when + timedelta(days=1)


@pytest.mark.feature("S01")
async def test_a_second_operator_finds_the_first_ones_backup(operator: Operator) -> None:
    key = await create(operator)
    await run(operator, key)
    due = datetime.fromisoformat((await operator.status(key))["nextBackupTime"])
    operator.later(seconds=(due - operator.now()).total_seconds())
    other = due.strftime("nightly-%Y%m%d-%H%M%S")
    # The other one's backup exists, and no watch has told of it: it has not even the label.
    await operator.create("DatabaseBackup", other, TEMPLATE["spec"])
    await run(operator, key)
    assert list(await backups(operator)) == [other]
    assert datetime.fromisoformat((await operator.status(key))["nextBackupTime"]) > due


@pytest.mark.feature("S02")
async def test_forbid_waits_for_the_last_one(operator: Operator) -> None:
    key = await create(operator)
    await run(operator, key)
    first = f"nightly-{await until_due(operator, key)}"
    await until_due(operator, key)
    assert list(await backups(operator)) == [first]
    assert await operator.ready(key) == ("True", "WaitingForCompletion")
    assert (await operator.status(key))["phase"] == "Active"
    assert operator.key("DatabaseBackup", first) in operator.depends
    await ended(operator, first, "Failed")
    await run(operator, key)
    assert len(await backups(operator)) == 2
    assert await operator.ready(key) == ("True", "Active")


@pytest.mark.feature("S02")
async def test_replace_cancels_and_allow_does_not(operator: Operator) -> None:
    replacing = await create(operator, "replacing", concurrencyPolicy="Replace")
    allowing = await create(operator, "allowing", concurrencyPolicy="Allow")
    for key in (replacing, allowing):
        await run(operator, key)
    when = [(await until_due(operator, replacing), await until_due(operator, allowing))[0] for _ in range(2)]
    names = sorted(await backups(operator))
    assert names == [f"allowing-{when[0]}", f"allowing-{when[1]}", f"replacing-{when[1]}"]
    statistics = (await operator.status(replacing))["statistics"]
    assert statistics["totalBackups"] == 1


@pytest.mark.feature("S02")
async def test_pausing_stops_and_resuming_goes_on_from_now(operator: Operator) -> None:
    key = await create(operator)
    await run(operator, key)
    await operator.patch(key, {"spec": {"paused": True}})
    await run(operator, key)
    status = await operator.status(key)
    assert (status["phase"], status.get("nextBackupTime")) == ("Paused", None)
    assert await operator.ready(key) == ("True", "Paused")
    operator.later(days=3)
    await run(operator, key)
    await operator.patch(key, {"spec": {"paused": False}})
    await run(operator, key)
    assert await backups(operator) == {}
    assert datetime.fromisoformat((await operator.status(key))["nextBackupTime"]) > operator.now()
    assert sorted(await operator.events(key)) == ["Paused", "Resumed"]


@pytest.mark.feature("S03")
async def test_retention_removes_what_no_rule_keeps(operator: Operator) -> None:
    key = await create(operator, retention={"keepLast": 2})
    await run(operator, key)
    made = []
    for number in range(5):
        made.append(f"nightly-{await until_due(operator, key)}")
        await ended(operator, made[-1], "Failed" if number == 1 else "Completed", verified=number == 0)
        await run(operator, key)
    # The newest two, the newest verified one, and the failed one.
    assert sorted(await backups(operator)) == [made[0], made[1], made[3], made[4]]
    status = await operator.status(key)
    assert status["statistics"] == {
        "totalBackups": 4,
        "successfulBackups": 3,
        "failedBackups": 1,
        "averageDurationSeconds": 30,
        "averageSizeBytes": 1000,
        "totalStorageBytes": 3000,
    }
    assert status["lastBackup"]["name"] == made[4]
    assert "RetentionApplied" in await operator.events(key)


@pytest.mark.feature("S03")
async def test_a_backup_that_a_restore_needs_stays(operator: Operator) -> None:
    key = await create(operator, retention={"keepLast": 1})
    await run(operator, key)
    first = f"nightly-{await until_due(operator, key)}"
    await ended(operator, first)
    target = {"instanceRef": {"name": "main"}, "databaseName": "x"}
    restore = await operator.create("DatabaseRestore", "x", {"backupRef": {"name": first}, "target": target})
    second = f"nightly-{await until_due(operator, key)}"
    await ended(operator, second)
    await run(operator, key)
    assert set(await backups(operator)) == {first, second}
    await operator.delete(restore)
    await run(operator, key)
    assert set(await backups(operator)) == {second}


@pytest.mark.feature("S05")
async def test_backups_outlive_their_schedule(operator: Operator) -> None:
    key = await create(operator)
    await run(operator, key)
    name = f"nightly-{await until_due(operator, key)}"
    # As the published operator left it.
    backup, owner = await operator.get(operator.key("DatabaseBackup", name)), await operator.get(key)
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": key.name,
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    await operator.api.patch_owners(backup, [reference])
    await operator.delete(key)
    assert isinstance(await operator.run(key), Done)
    assert not await operator.exists(key)
    assert "ownerReferences" not in (await backups(operator))[name]["metadata"]


@pytest.mark.feature("S05")
async def test_a_protected_schedule_stays(operator: Operator) -> None:
    key = await create(operator, deletionProtection=True)
    await run(operator, key)
    await operator.delete(key)
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "DeletionProtected")
    assert "Deletion blocked by deletion protection" in (await operator.status(key))["message"]
    await operator.annotate(key, force_delete="true")
    await operator.run(key)
    assert not await operator.exists(key)


@pytest.mark.feature("S01")
@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"schedule": "61 * * * *"}, "spec.schedule"),
        ({"schedule": "0 2 * * * *"}, "spec.schedule"),
        ({"timezone": "Mars/Olympus"}, "spec.timezone"),
        ({"timezone": "../../etc/passwd"}, "spec.timezone"),
        ({"retention": {"minAge": "soon"}}, "spec.retention.minAge"),
        ({"retention": {"minAge": "99999999999999999h"}}, "spec.retention.minAge"),
        ({"template": {"metadata": {"labels": {"a b": "c"}}, **TEMPLATE}, "schedule": "* * * * *"}, "a b"),
    ],
)
async def test_what_cannot_be_meant_is_refused(operator: Operator, spec: dict[str, Any], field: str) -> None:
    key = await create(operator, **spec)
    await operator.run(key)
    operator.later(minutes=1)
    verdict = await operator.run(key)
    assert isinstance(verdict, Human)
    assert await operator.ready(key) == ("False", "InvalidSpec")
    status = await operator.status(key)
    assert field in status["message"]
    assert (status["phase"], status.get("nextBackupTime")) == ("Active", None)
    assert await backups(operator) == {}
    # Once it is corrected it goes on.
    fixed = {"schedule": "0 2 * * *", "timezone": "Europe/Berlin", "retention": None, "template": {"metadata": None}}
    await operator.patch(key, {"spec": fixed})
    await run(operator, key)
    assert await operator.ready(key) == ("True", "Active")
