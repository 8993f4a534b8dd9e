# SPDX-License-Identifier: GPL-3.0-or-later
"""Database, reconcile by reconcile: made, reported, compared, and dropped only when that is what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql
from reconciling import Operator

from dbops_operator.keys import Key
from dbops_operator.settings import DropBrake
from dbops_operator.work import Done, Human, Wait
from localstack.postgresql import PostgreSQLServer

REFERENCE = {"instanceRef": {"name": "main"}}


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """The database's name on the server."""
    return unique("d")


async def create(operator: Operator, name: str, **spec: Any) -> Key:
    body = {**REFERENCE, "name": name, "deletionProtection": False, **spec}
    return await operator.create("Database", name.replace("_", "-"), body)


def exists(postgres: PostgreSQLServer, name: str) -> bool:
    return bool(postgres.query(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"))


@pytest.mark.feature("D08")
async def test_a_database_becomes_ready_and_says_what_it_is(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    block = {"extensions": [{"name": "pgcrypto"}], "schemas": [{"name": "app"}]}
    key = await create(operator, name, postgres=block)
    assert isinstance(await operator.run(key), Done)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "Synced") == ("True", "ReconcileSuccess")
    status = await operator.status(key)
    assert status["phase"] == "Ready"
    assert status["database"]["name"] == name
    assert status["database"]["owner"] == postgres.admin.user
    assert status["database"]["sizeBytes"] > 0
    assert status["postgres"]["encoding"] == "UTF8"
    assert "pgcrypto" in [one["name"] for one in status["postgres"]["installedExtensions"]]
    assert "app" in status["postgres"]["schemas"]
    assert "Created" in await operator.events(key)
    before = operator.api.writes
    await operator.run(key)
    assert operator.api.writes == before
    assert operator.lanes.calls[-1]["check"] is True


async def test_waits_for_its_owner_and_is_woken_by_it(
    operator: Operator, postgres: PostgreSQLServer, name: str, unique: Callable[[str], str]
) -> None:
    await operator.instance(postgres)
    owner = unique("o")
    key = await create(operator, name, owner=owner)
    assert isinstance(await operator.run(key), Wait)
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert (await operator.status(key))["phase"] == "Pending"
    user = await operator.create("DatabaseUser", "owner", {**REFERENCE, "username": owner})
    await operator.run(user)
    assert key in operator.woken
    await operator.run(key)
    assert (await operator.status(key))["database"]["owner"] == owner


@pytest.mark.feature("L02")
async def test_is_woken_by_an_owner_that_was_there_and_is_ready_now(
    operator: Operator, postgres: PostgreSQLServer, name: str, unique: Callable[[str], str]
) -> None:
    owner = unique("o")
    postgres.query(sql.SQL("CREATE ROLE {}").format(sql.Identifier(owner)))
    await operator.instance(postgres)
    user = await operator.create("DatabaseUser", "owner", {**REFERENCE, "username": owner})
    assert isinstance(await operator.run(user), Human)
    key = await create(operator, name, owner=owner)
    assert key not in operator.woken
    await operator.annotate(user, adopt="true")
    await operator.run(user)
    assert key in operator.woken


@pytest.mark.feature("L09")
async def test_a_database_that_existed_is_adopted_by_consent(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    postgres.query(f"CREATE DATABASE {name}")
    instance = await operator.instance(postgres)
    key = await create(operator, name)
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "NotAdopted")
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key)
    assert exists(postgres, name)
    key = await create(operator, name)
    await operator.run(key)
    adoptions = operator.metrics.adoptions.labels("Database", "success", key.namespace)._value
    assert adoptions.get() == 0
    await operator.annotate(instance, adopt_databases=name)
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert adoptions.get() == 1
    await operator.run(key)
    assert adoptions.get() == 1


@pytest.mark.feature("L08")
async def test_the_newer_claim_never_drops(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    first = await create(operator, name)
    await operator.run(first)
    second = await operator.create("Database", "second", {**REFERENCE, "name": name, "deletionProtection": False})
    await operator.run(second)
    assert await operator.ready(second) == ("False", "Conflict")
    await operator.delete(second)
    await operator.run(second)
    assert not await operator.exists(second)
    assert exists(postgres, name)


@pytest.mark.parametrize(("policy", "stays"), [("Delete", False), ("Retain", True)])
async def test_deletion_policies(
    operator: Operator, postgres: PostgreSQLServer, name: str, policy: str, stays: bool
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, deletionPolicy=policy)
    await operator.run(key)
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key)
    assert exists(postgres, name) is stays


async def test_snapshot_is_not_taken_for_retain(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, deletionPolicy="Snapshot")
    await operator.run(key)
    await operator.delete(key)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "Unsupported")
    assert exists(postgres, name)
    await operator.patch(key, {"spec": {"deletionPolicy": "Delete"}})
    await operator.run(key)
    assert not exists(postgres, name)


@pytest.mark.feature("L04")
async def test_protection_is_the_default(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await operator.create("Database", "app", {**REFERENCE, "name": name})
    await operator.run(key)
    await operator.delete(key)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "DeletionProtected")
    assert exists(postgres, name)
    await operator.annotate(key, force_delete="true")
    await operator.run(key)
    assert not await operator.exists(key)
    assert not exists(postgres, name)


@pytest.mark.feature("D11")
async def test_sessions_are_ended_before_the_drop(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    with psycopg.connect(postgres.admin.dsn(name)):
        await operator.delete(key)
        await operator.run(key)
        assert not await operator.exists(key)
    assert not exists(postgres, name)


async def test_grants_hold_a_database_until_confirmed(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    grant = await operator.create(
        "DatabaseGrant", "g1", {"userRef": {"name": "app"}, "databaseRef": {"name": key.name}}
    )
    await operator.delete(key)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "DependenciesExist")
    assert grant in operator.depends
    await operator.delete(grant)
    await operator.run(key)
    assert not await operator.exists(key)


async def test_the_server_being_away_holds_the_object_and_says_so(operator: Operator, name: str) -> None:
    with PostgreSQLServer() as server:
        await operator.instance(server)
        key = await create(operator, name)
        await operator.run(key)
        server.stop()
        await operator.delete(key)
        await operator.run(key)
        assert await operator.ready(key) == ("False", "ConnectionFailed")
        assert "force-delete" in (await operator.status(key))["message"]
        server.start()
        await operator.run(key)
        assert not await operator.exists(key)
        assert not exists(server, name)


@pytest.mark.feature("L15")
async def test_the_brake_on_drops_waits_for_an_acknowledgement(
    operator: Operator, unique: Callable[[str], str]
) -> None:
    operator.brake(DropBrake(drops=2, seconds=600))
    with PostgreSQLServer() as server:
        instance = await operator.instance(server)
        keys = [await create(operator, unique("d")) for _ in range(3)]
        for key in keys:
            await operator.run(key)
            await operator.delete(key)
            await operator.run(key)
        assert [await operator.exists(key) for key in keys] == [False, False, True]
        assert await operator.ready(keys[2]) == ("False", "AcknowledgementNeeded")
        message = (await operator.status(keys[2]))["message"]
        token = next(word.strip(".,:;") for word in message.replace("=", " ").split() if word.startswith("drops-"))
        assert instance in operator.depends
        await operator.annotate(instance, acknowledge=token)
        await operator.run(keys[2])
        assert not await operator.exists(keys[2])


async def test_drift_is_reported_and_not_repaired(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, postgres={"connectionLimit": 5})
    await operator.run(key)
    before = (await operator.status(key))["reconcileID"]
    postgres.query(f"ALTER DATABASE {name} CONNECTION LIMIT 9")
    await operator.run(key)
    status = await operator.status(key)
    assert status["drift"]["detected"] is True
    assert [(one["field"], one["expected"], one["actual"]) for one in status["drift"]["diffs"]] == [
        ("connectionLimit", "5", "9")
    ]
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "Synced") == ("False", "DriftDetected")
    assert status["reconcileID"] == before
    await operator.patch(key, {"spec": {"driftPolicy": {"mode": "correct", "interval": "10s"}}})
    assert await operator.run(key) == Done(after=10.0)
    status = await operator.status(key)
    assert status["drift"]["detected"] is False
    assert status["reconcileID"] != before
    assert postgres.query(f"SELECT datconnlimit FROM pg_database WHERE datname = '{name}'") == [(5,)]


@pytest.mark.feature("D03")
async def test_what_cannot_change_stalls(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, postgres={"encoding": "UTF8"})
    await operator.run(key)
    await operator.patch(key, {"spec": {"postgres": {"encoding": "LATIN1"}}})
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "ImmutableField")
    assert await operator.condition(key, "Stalled") == ("True", "ImmutableField")


async def test_an_instance_of_another_namespace_needs_consent(
    operator: Operator, postgres: PostgreSQLServer, name: str, unique: Callable[[str], str]
) -> None:
    instance = await operator.instance(postgres)
    team = unique("t").replace("_", "-")
    operator.cluster.kubectl("create", "namespace", team)
    reference = {"instanceRef": {"name": "main", "namespace": operator.namespace}}
    spec = {**reference, "name": name, "deletionProtection": False, "owner": "postgres"}
    key = await operator.create("Database", "app", spec, namespace=team)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "AccessDenied")
    await operator.patch(instance, {"spec": {"accessPolicy": {"namespaces": {"names": [team]}}}})
    await operator.run(instance)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "AccessDenied")
    assert "postgres" in (await operator.status(key))["message"]
    await operator.patch(key, {"spec": {"owner": None}})
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    # Access withdrawn: nothing more is changed, cleaning up still works.
    await operator.patch(instance, {"spec": {"accessPolicy": None}})
    await operator.run(instance)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "AccessDenied")
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key)
    assert not exists(postgres, name)
