# SPDX-License-Identifier: GPL-3.0-or-later
"""Another server where one was before, and objects that are pointed at another instance: nothing by accident."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reconciling import Operator

from dbops_operator.keys import Key
from dbops_operator.work import Done, Wait
from localstack.postgresql import PostgreSQLServer

READY = ("True", "ReconcileSuccess")
STOPPED = ("False", "AcknowledgementNeeded")


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """Part of all names on the servers."""
    return unique("m")


@pytest.fixture(scope="module")
def other() -> Iterator[PostgreSQLServer]:
    """A server beside the session's."""
    with PostgreSQLServer() as server:
        yield server


async def create(operator: Operator, kind: str, called: str, spec: dict[str, Any], on: str = "main") -> Key:
    key = await operator.create(kind, called.replace("_", "-"), {"instanceRef": {"name": on}, **spec})
    await operator.run(key)
    assert await operator.ready(key) == READY, await operator.status(key)
    return key


async def point(operator: Operator, instance: Key, server: PostgreSQLServer) -> None:
    """Have the instance's address lead to another server."""
    await operator.edit_secret(
        f"{instance.name}-admin", username=server.admin.user, password=server.admin.password or "x"
    )
    connection = {"host": server.admin.host, "port": server.admin.port}
    await operator.patch(instance, {"spec": {"connection": connection}})


async def token_of(operator: Operator, key: Key) -> str:
    message = (await operator.status(key))["message"]
    return next(word.strip(".,:;") for word in message.split() if word.startswith("server-"))


def roles(server: PostgreSQLServer, name: str) -> bool:
    return bool(server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]))


def databases(server: PostgreSQLServer, name: str) -> bool:
    return bool(server.query("SELECT 1 FROM pg_database WHERE datname = %s", [name]))


@pytest.mark.feature("L16")
async def test_everything_on_another_server_waits_for_an_acknowledgement(
    operator: Operator, postgres: PostgreSQLServer, other: PostgreSQLServer, name: str
) -> None:
    instance = await operator.instance(postgres)
    identity = (await operator.status(instance))["serverIdentity"]
    user = await create(operator, "DatabaseUser", "app", {"username": name})
    database = await create(operator, "Database", "app", {"name": name, "owner": name, "deletionProtection": False})
    grant = await operator.create("DatabaseGrant", "app", {"userRef": {"name": "app"}, "deletionProtection": False})
    await operator.run(grant)
    await point(operator, instance, other)
    await operator.run(instance)
    assert await operator.ready(instance) == STOPPED
    assert await operator.condition(instance, "Connected") == ("True", "ConnectionSuccess")
    assert (await operator.status(instance))["serverIdentity"] == identity
    assert "ServerChanged" in await operator.events(instance)
    for key in (user, database, grant):
        assert isinstance(await operator.run(key), Wait)
        assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert "AcknowledgementNeeded" in (await operator.status(user))["message"]
    # What is deleted now stays until somebody has said what this server is.
    await operator.delete(grant)
    await operator.run(grant)
    assert await operator.ready(grant) == STOPPED
    assert "force-delete" in (await operator.status(grant))["message"]
    assert not roles(other, name)
    writes = operator.api.writes
    await operator.run(instance)
    assert operator.api.writes == writes
    await operator.annotate(instance, acknowledge="server-00000000")
    await operator.run(instance)
    assert await operator.ready(instance) == STOPPED
    await operator.annotate(instance, acknowledge=await token_of(operator, instance))
    await operator.run(instance)
    assert await operator.ready(instance) == READY
    assert (await operator.status(instance))["serverIdentity"] != identity
    assert {user, database} <= set(operator.woken)
    # It is empty, so what had been applied before is applied again.
    for key in (user, database):
        assert isinstance(await operator.run(key), Done)
        assert await operator.ready(key) == READY
    assert roles(other, name)
    assert databases(other, name)
    writes = operator.api.writes
    for key in (instance, user, database):
        await operator.run(key)
    assert operator.api.writes == writes
    await operator.annotate(instance, acknowledge=None)
    await operator.run(instance)
    assert await operator.ready(instance) == READY


@pytest.mark.feature("L16")
async def test_the_server_of_before_needs_no_acknowledgement(
    operator: Operator, postgres: PostgreSQLServer, other: PostgreSQLServer, name: str
) -> None:
    instance = await operator.instance(postgres)
    user = await create(operator, "DatabaseUser", "app", {"username": name})
    await point(operator, instance, other)
    await operator.run(instance)
    await operator.run(user)
    await point(operator, instance, postgres)
    await operator.run(instance)
    assert await operator.ready(instance) == READY
    await operator.run(user)
    assert await operator.ready(user) == READY
    assert operator.lanes.calls[-1]["check"] is True


@pytest.mark.feature("L16")
async def test_a_copy_with_another_identity_is_told_by_its_ledger(operator: Operator, name: str) -> None:
    with PostgreSQLServer() as server:
        await operator.instance(server, "first")
        await create(operator, "DatabaseUser", "app", {"username": name}, on="first")
        # What a copy by dump and restore looks like.
        server.query("UPDATE dbops.about SET system_identifier = '7000000000000000001'", dbname="dbops")
        instance = await operator.instance(server)
        assert await operator.ready(instance) == STOPPED
        assert "7000000000000000001" in (await operator.status(instance))["message"]
        await operator.annotate(instance, acknowledge=await token_of(operator, instance))
        await operator.run(instance)
        assert await operator.ready(instance) == READY
        recorded = server.query("SELECT system_identifier FROM dbops.about", dbname="dbops")
        assert recorded == [((await operator.status(instance))["serverIdentity"],)]


@pytest.mark.feature("L16")
async def test_a_changed_reference_leaves_the_old_server_by_each_policy(
    operator: Operator, postgres: PostgreSQLServer, other: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    await operator.instance(other, "other")
    user = await create(operator, "DatabaseUser", "app", {"username": f"{name}_u"})
    kept = await create(operator, "DatabaseUser", "kept", {"username": f"{name}_k"})
    await operator.annotate(kept, deletion_policy="Retain")
    role = await create(operator, "DatabaseRole", "app", {"roleName": f"{name}_r"})
    gone = await create(operator, "Database", "gone", {"name": f"{name}_g", "deletionProtection": False})
    protected = await create(operator, "Database", "protected", {"name": f"{name}_p"})
    retained = await create(
        operator,
        "Database",
        "retained",
        {"name": f"{name}_t", "deletionProtection": False, "deletionPolicy": "Retain"},
    )
    grant_spec = {"userRef": {"name": "app"}, "postgres": {"roles": [f"{name}_r"]}, "deletionProtection": False}
    grant = await operator.create("DatabaseGrant", "app", grant_spec)
    await operator.run(grant)
    keys = (role, user, kept, gone, protected, retained)
    for key in keys:
        await operator.patch(key, {"spec": {"instanceRef": {"name": "other"}}})
        assert isinstance(await operator.run(key), Done), await operator.status(key)
        assert await operator.ready(key) == READY
        assert "leftOn" not in await operator.status(key)
    await operator.run(grant)
    assert await operator.ready(grant) == READY
    member = "SELECT 1 FROM pg_auth_members WHERE member::regrole::text = %s AND roleid::regrole::text = %s"
    assert other.query(member, [f"{name}_u", f"{name}_r"])
    assert [roles(other, f"{name}_{letter}") for letter in "ukr"] == [True, True, True]
    assert [roles(postgres, f"{name}_{letter}") for letter in "ukr"] == [False, True, False]
    assert [databases(other, f"{name}_{letter}") for letter in "gpt"] == [True, True, True]
    assert [databases(postgres, f"{name}_{letter}") for letter in "gpt"] == [False, True, True]
    assert "Moved" in await operator.events(gone)
    writes = operator.api.writes
    for key in keys:
        await operator.run(key)
    assert operator.api.writes == writes


@pytest.mark.feature("L16")
async def test_the_same_server_by_another_instance_is_no_move(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    await operator.instance(postgres, "again")
    database = await create(operator, "Database", "app", {"name": name, "deletionProtection": False})
    oid = postgres.query("SELECT oid FROM pg_database WHERE datname = %s", [name])
    await operator.patch(database, {"spec": {"instanceRef": {"name": "again"}}})
    await operator.run(database)
    assert await operator.ready(database) == READY
    assert postgres.query("SELECT oid FROM pg_database WHERE datname = %s", [name]) == oid


@pytest.mark.feature("L16", "L14")
async def test_an_old_server_that_is_away_is_not_forgotten(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    with PostgreSQLServer() as old:
        instance = await operator.instance(old, "old", deletionProtection=False)
        await operator.instance(postgres)
        user = await create(operator, "DatabaseUser", "app", {"username": name}, on="old")
        old.stop()
        await operator.patch(user, {"spec": {"instanceRef": {"name": "main"}}})
        await operator.run(user)
        assert await operator.ready(user) == READY
        assert await operator.condition(user, "Synced") == ("False", "ConnectionFailed")
        # Neither end is let go of as long as the login is there.
        await operator.delete(instance)
        await operator.run(instance)
        assert await operator.ready(instance) == ("False", "DependenciesExist")
        await operator.delete(user)
        await operator.run(user)
        assert await operator.exists(user)
        assert not roles(postgres, name)
        old.start()
        await operator.run(user)
        assert not await operator.exists(user)
        assert not roles(old, name)
        await operator.run(instance)
        assert not await operator.exists(instance)
