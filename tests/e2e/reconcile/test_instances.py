# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseInstance, reconcile by reconcile: what it says of a server, its Secrets, and its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from reconciling import Operator

from dbops_operator.keys import Key
from dbops_operator.reconcile import common
from dbops_operator.work import Done, Human
from localstack.postgresql import Login, PostgreSQLServer
from localstack.processes import wait_until

IN_USE = "dbops.dbprovision.io/in-use"


async def conditions(operator: Operator, key: Key) -> set[tuple[str, str]]:
    """Status and reason of Ready, Connected and Healthy."""
    found = [await operator.condition(key, type_) for type_ in ("Ready", "Connected", "Healthy")]
    return {one for one in found if one}


async def finalizers(operator: Operator, name: str) -> list[str]:
    return list((await operator.get(operator.key("Secret", name)))["metadata"].get("finalizers") or ())


@pytest.mark.feature("I01")
async def test_ready_with_version_and_identity(operator: Operator, postgres: PostgreSQLServer) -> None:
    key = await operator.instance(postgres)
    status = await operator.status(key)
    assert status["phase"] == "Ready"
    assert status["message"] == "Instance is ready"
    assert status["version"] == postgres.query("SHOW server_version")[0][0]
    identity = postgres.query("SELECT system_identifier::text FROM pg_control_system()")[0][0]
    assert status["serverIdentity"] == identity
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "Connected") == ("True", "ConnectionSuccess")
    assert await operator.condition(key, "Healthy") == ("True", "HealthCheckPassed")
    assert await operator.events(key) == ["Connected"]
    # A quiet server costs no write.
    before = operator.api.writes
    verdict = await operator.run(key)
    assert verdict == Done(after=60.0)
    assert operator.api.writes == before


@pytest.mark.feature("L01")
async def test_a_slow_look_at_what_is_well_takes_nothing_away(
    operator: Operator, postgres: PostgreSQLServer, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    login = unique("u")
    correct = {"driftPolicy": {"mode": "correct"}}
    key = await operator.instance(postgres)
    spec = {"instanceRef": {"name": "main"}, "username": login, "postgres": {}, **correct}
    user = await operator.create("DatabaseUser", "app", spec)
    await operator.run(user)
    # Its status says that the namespace has a user.
    await operator.run(key)
    # Everything takes long now.
    monkeypatch.setattr(common, "PROGRESS_SECONDS", 0.0)
    before = operator.api.writes
    await operator.run(key)
    await operator.run(user)
    assert operator.api.writes == before
    # An edit is news, so that nobody takes what holds for the new declaration.
    await operator.patch(user, {"spec": {"postgres": {"connectionLimit": 3}}})
    await operator.run(user)
    assert operator.api.writes > before + 1
    assert await operator.ready(user) == ("True", "ReconcileSuccess")


@pytest.mark.feature("I11")
async def test_status_says_what_the_admin_cannot_do(operator: Operator, weak_postgres: Login) -> None:
    key = await operator.instance(weak_postgres)
    rows = {one["name"]: one for one in (await operator.status(key))["capabilities"]}
    assert rows["createDatabase"]["available"] is True
    assert rows["superuser"]["available"] is False
    assert rows["superuser"]["message"]


@pytest.mark.feature("I05")
async def test_a_wrong_password_shows_and_a_new_secret_heals(operator: Operator, postgres: PostgreSQLServer) -> None:
    key = await operator.instance(replace(postgres.admin, password="wrong"))
    assert await conditions(operator, key) == {("False", "AuthenticationFailed")}
    assert (await operator.status(key))["phase"] == "Failed"
    assert await operator.condition(key, "Stalled") == ("True", "AuthenticationFailed")
    assert "ConnectionFailed" in await operator.events(key)
    assert operator.key("Secret", "main-admin") in operator.depends
    await operator.edit_secret("main-admin", password=postgres.admin.password)
    await operator.run(key)
    assert (await operator.status(key))["phase"] == "Ready"
    assert await operator.condition(key, "Stalled") is None


@pytest.mark.feature("I07")
async def test_a_server_that_goes_and_comes_back(operator: Operator) -> None:
    with PostgreSQLServer() as server:
        key = await operator.instance(server, healthCheck={"intervalSeconds": 30, "timeoutSeconds": 3})
        assert (await operator.status(key))["phase"] == "Ready"
        before = await operator.status(key)
        server.stop()
        verdict = await operator.run(key)
        assert await conditions(operator, key) == {("False", "ConnectionFailed")}
        assert (await operator.status(key))["phase"] == "Failed"
        assert isinstance(verdict, Done)
        assert verdict.after is not None
        assert verdict.after <= 30
        server.start()
        await operator.run(key)
        status = await operator.status(key)
        assert status["phase"] == "Ready"
        assert status["reconcileID"] == before["reconcileID"]
        assert operator.lanes.targets[-1].connection["connect_timeout"] == 3


@pytest.mark.feature("I07")
async def test_intervals(operator: Operator, postgres: PostgreSQLServer) -> None:
    key = await operator.instance(postgres, healthCheck={"intervalSeconds": 45})
    assert await operator.run(key) == Done(after=45.0)
    await operator.patch(key, {"spec": {"healthCheck": {"enabled": False}}})
    assert await operator.run(key) == Done(after=None)


async def test_a_missing_secret_is_waited_for(operator: Operator, postgres: PostgreSQLServer) -> None:
    connection = {"host": "localhost", "port": 1, "database": "postgres", "secretRef": {"name": "later"}}
    key = await operator.create("DatabaseInstance", "main", {"engine": "postgres", "connection": connection})
    await operator.run(key)
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert (await operator.status(key))["phase"] == "Pending"
    assert not (await operator.get(key))["metadata"].get("finalizers")


async def test_other_engines_are_unsupported(operator: Operator) -> None:
    connection = {"host": "localhost", "port": 9000, "database": "default", "secretRef": {"name": "x"}}
    key = await operator.create("DatabaseInstance", "main", {"engine": "clickhouse", "connection": connection})
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "Unsupported")
    await operator.delete(key)
    assert not await operator.exists(key)


@pytest.mark.parametrize(
    ("host", "reason"), [("169.254.169.254", "AccessDenied"), ("/tmp", "InvalidSpec"), ("a,b", "InvalidSpec")]
)
async def test_hosts_that_are_refused(operator: Operator, postgres: PostgreSQLServer, host: str, reason: str) -> None:
    key = await operator.instance(replace(postgres.admin, host=host))
    assert await operator.ready(key) == ("False", reason)
    assert operator.lanes.calls == []


async def test_the_api_server_is_no_database(operator: Operator, postgres: PostgreSQLServer) -> None:
    host, _, port = operator.settings.api_server.removeprefix("https://").rpartition(":")
    key = await operator.instance(replace(postgres.admin, host=host, port=int(port)))
    assert await operator.ready(key) == ("False", "AccessDenied")


async def test_a_secret_of_another_namespace_needs_consent(
    operator: Operator, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    vault = unique("v").replace("_", "-")
    operator.cluster.kubectl("create", "namespace", vault)
    admin = postgres.admin
    secret = await operator.create_secret(
        "admin", {"username": admin.user, "password": admin.password}, namespace=vault
    )
    connection = {
        "host": admin.host,
        "port": admin.port,
        "database": "postgres",
        "secretRef": {"name": "admin", "namespace": vault},
    }
    key = await operator.create(
        "DatabaseInstance", "main", {"engine": "postgres", "connection": connection, "postgres": {}}
    )
    await operator.run(key)
    assert await operator.ready(key) == ("False", "AccessDenied")
    await operator.annotate(secret, allow_from=f"{operator.namespace}@elsewhere")
    await operator.run(key)
    assert await operator.ready(key) == ("False", "AccessDenied")
    await operator.annotate(secret, allow_from=f"{operator.namespace}@{admin.host}")
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")


@pytest.mark.feature("L04")
async def test_protection_blocks_until_forced(operator: Operator, postgres: PostgreSQLServer) -> None:
    key = await operator.instance(postgres)
    await operator.delete(key)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "DeletionProtected")
    assert (await operator.status(key))["phase"] == "Failed"
    await operator.annotate(key, force_delete="true")
    await operator.run(key)
    assert not await operator.exists(key)
    assert await finalizers(operator, "main-admin") == []


async def test_dependants_block_and_a_confirmed_cascade_takes_them(
    operator: Operator, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    key = await operator.instance(postgres, deletionProtection=False)
    name = unique("u")
    user = await operator.create("DatabaseUser", "app", {"instanceRef": {"name": "main"}, "username": name})
    await operator.run(user)
    await operator.delete(key)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "DependenciesExist")
    assert "DatabaseUser/app" in (await operator.status(key))["message"]
    assert user in operator.depends
    await operator.annotate(key, force_delete="true")
    await operator.run(key)
    status = await operator.status(key)
    assert status["phase"] == "PendingDeletion"
    confirmation = status["deletionConfirmation"]
    assert confirmation["required"] is True
    assert confirmation["children"] == ["DatabaseUser/app"]
    events = await operator.api.list("Event", operator.namespace)
    assert confirmation["hash"] not in json.dumps(events)
    await operator.annotate(key, confirm_force_delete="00000000")
    await operator.run(key)
    assert (await operator.status(key))["phase"] == "PendingDeletion"
    await operator.annotate(key, confirm_force_delete=confirmation["hash"])
    await operator.run(key)
    assert await operator.ready(key) == ("False", "CascadeDeleting")
    assert (await operator.status(key))["deletionConfirmation"]["required"] is False
    await operator.run(user)
    assert not await operator.exists(user)
    assert postgres.query(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'") == []
    await operator.run(key)
    assert not await operator.exists(key)
    assert "CascadeDeleteComplete" in await operator.events(key)


async def test_the_admin_secret_outlives_its_namespace_but_not_its_own_deletion(
    operator: Operator, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    key = await operator.instance(postgres, deletionProtection=False)
    name = unique("u")
    user = await operator.create("DatabaseUser", "app", {"instanceRef": {"name": "main"}, "username": name})
    await operator.run(user)
    await operator.run(key)
    assert await finalizers(operator, "main-admin") == [IN_USE]
    operator.cluster.kubectl("delete", "namespace", operator.namespace, "--wait=false")

    def all_are_going() -> bool:
        listed = json.loads(operator.cluster.kubectl("get", "secret,dbi,dbu", "-n", operator.namespace, "-o", "json"))
        names = {one["metadata"]["name"] for one in listed["items"] if "deletionTimestamp" in one["metadata"]}
        return {"main-admin", "main", "app"} <= names

    wait_until(all_are_going, what="the namespace controller deletes everything")
    await operator.run(key)
    assert await finalizers(operator, "main-admin") == [IN_USE]
    await operator.run(user)
    assert postgres.query(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'") == []
    await operator.run(key)
    wait_until(lambda: not _namespace_exists(operator), what="the namespace goes")


def _namespace_exists(operator: Operator) -> bool:
    return bool(operator.cluster.kubectl("get", "namespace", operator.namespace, "--ignore-not-found"))


async def test_deleting_the_admin_secret_alone_is_not_held_up(operator: Operator, postgres: PostgreSQLServer) -> None:
    key = await operator.instance(postgres)
    await operator.run(key)
    secret = operator.key("Secret", "main-admin")
    assert await finalizers(operator, "main-admin") == [IN_USE]
    await operator.delete(secret)
    assert await operator.exists(secret)
    await operator.run(key)
    assert not await operator.exists(secret)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "DependencyNotReady")


async def test_a_secret_that_is_not_referred_to_any_more_is_let_go(
    operator: Operator, postgres: PostgreSQLServer
) -> None:
    key = await operator.instance(postgres)
    await operator.run(key)
    admin: Mapping[str, Any] = {"username": postgres.admin.user, "password": postgres.admin.password}
    await operator.create_secret("other-admin", admin)
    await operator.patch(key, {"spec": {"connection": {"secretRef": {"name": "other-admin"}}}})
    await operator.run(key)
    assert await finalizers(operator, "main-admin") == []
    assert await finalizers(operator, "other-admin") == [IN_USE]
