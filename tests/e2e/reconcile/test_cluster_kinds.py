# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster-scoped kinds: an instance for every namespace, roles and grants of the cluster's administrators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from reconciling import Operator

from dbops_operator.keys import Key
from dbops_operator.work import Done, Human, Wait
from localstack.postgresql import PostgreSQLServer


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """Part of all names on the server and in the cluster."""
    return unique("c")


def object_name(name: str) -> str:
    return name.replace("_", "-")


@pytest_asyncio.fixture
async def instance(operator: Operator, postgres: PostgreSQLServer, name: str) -> AsyncIterator[Key]:
    """A ready ClusterDatabaseInstance, whose Secret is in the operator's namespace."""
    admin = {"username": postgres.admin.user, "password": postgres.admin.password}
    await operator.create_secret("cluster-admin", admin, namespace=operator.settings.operator_namespace)
    connection = {
        "host": postgres.host, "port": postgres.port, "database": "postgres", "secretRef": {"name": "cluster-admin"},
    }  # fmt: skip
    spec = {"engine": "postgres", "connection": connection, "postgres": {}, "deletionProtection": False}
    key = await operator.create("ClusterDatabaseInstance", object_name(name), spec)
    await operator.run(key)
    yield key
    if await operator.exists(key):
        await operator.delete(key)
        await operator.run(key)
        assert not await operator.exists(key)


async def create(operator: Operator, kind: str, called: str, instance: Key, **spec: Any) -> Key:
    body = {"clusterInstanceRef": {"name": instance.name}, **spec}
    key = await operator.create(kind, object_name(called), body)
    await operator.run(key)
    return key


async def remove(operator: Operator, *keys: Key) -> None:
    for key in keys:
        await operator.delete(key)
        await operator.run(key)
        assert not await operator.exists(key), await operator.status(key)


@pytest.mark.feature("I09")
async def test_a_cluster_instance_serves_namespaces(operator: Operator, instance: Key, name: str) -> None:
    status = await operator.status(instance)
    assert (status["phase"], await operator.ready(instance)) == ("Ready", ("True", "ReconcileSuccess"))
    user = await create(operator, "DatabaseUser", name, instance, username=name)
    assert await operator.ready(user) == ("True", "ReconcileSuccess")
    secret = await operator.secret(f"{user.name}-credentials")
    with psycopg.connect(secret["uri"]) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (name,)
    # It is in use, and says by whom before it goes.
    await operator.delete(instance)
    assert isinstance(await operator.run(instance), Human)
    assert f"DatabaseUser/{user.namespace}/{user.name}" in str(await operator.status(instance))
    await remove(operator, user)
    await operator.run(instance)
    assert not await operator.exists(instance)


@pytest.mark.feature("I10")
async def test_other_namespaces_get_nothing_beyond_the_ordinary(operator: Operator, instance: Key, name: str) -> None:
    user = await create(operator, "DatabaseUser", name, instance, username=name, postgres={"superuser": True})
    assert await operator.ready(user) == ("False", "AccessDenied")
    await remove(operator, user)


@pytest.mark.feature("O03", "G07")
async def test_roles_and_grants_of_the_cluster(
    operator: Operator, postgres: PostgreSQLServer, instance: Key, name: str
) -> None:
    role = await create(operator, "ClusterDatabaseRole", f"{name}_r", instance, roleName=f"{name}_r")
    assert await operator.ready(role) == ("True", "ReconcileSuccess")
    assert await operator.condition(role, "RoleReady") == ("True", "ReconcileSuccess")
    assert (await operator.status(role))["role"]["name"] == f"{name}_r"
    user = await create(operator, "DatabaseUser", f"{name}_u", instance, username=f"{name}_u")
    target = {"userRef": {"name": user.name, "namespace": user.namespace}, "deletionProtection": False}
    grant = await create(operator, "ClusterDatabaseGrant", name, instance, **target, postgres={"roles": [f"{name}_r"]})
    status = await operator.status(grant)
    assert await operator.ready(grant) == ("True", "ReconcileSuccess")
    assert await operator.condition(grant, "GrantsApplied") == ("True", "ReconcileSuccess")
    assert status["targetInfo"] == {
        "type": "user", "name": user.name, "namespace": user.namespace, "resolvedUsername": f"{name}_u",
    }  # fmt: skip
    assert (status["appliedGrants"]["applied"], status["appliedGrants"]["roles"]) == (1, [f"{name}_r"])
    member = "SELECT pg_has_role(%s, %s, 'MEMBER')"
    assert postgres.query(member, [f"{name}_u", f"{name}_r"]) == [(True,)]
    before = operator.api.writes
    for key in (role, grant):
        assert isinstance(await operator.run(key), Done)
    assert operator.api.writes == before
    await operator.patch(grant, {"spec": {"postgres": {"roles": []}}})
    await operator.run(grant)
    assert postgres.query(member, [f"{name}_u", f"{name}_r"]) == [(False,)]
    await remove(operator, grant, user, role)
    assert postgres.query("SELECT 1 FROM pg_roles WHERE rolname LIKE %s", [f"{name}%"]) == []


@pytest.mark.feature("G07")
async def test_a_role_of_the_cluster_gets_privileges(
    operator: Operator, postgres: PostgreSQLServer, instance: Key, name: str
) -> None:
    postgres.query(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    role = await create(operator, "ClusterDatabaseRole", f"{name}_r", instance, roleName=f"{name}_r")
    entry = {"database": name, "privileges": ["CREATE"]}
    target = {"roleRef": {"name": role.name}, "deletionProtection": False}
    grant = await create(operator, "ClusterDatabaseGrant", name, instance, **target, postgres={"grants": [entry]})
    assert postgres.query("SELECT has_database_privilege(%s, %s, 'CREATE')", [f"{name}_r", name]) == [(True,)]
    detail = (await operator.status(grant))["appliedGrants"]["details"]
    assert detail == [{"database": name, "privileges": ["CREATE"], "status": "Applied"}]
    await remove(operator, grant, role)


@pytest.mark.feature("G07")
async def test_what_makes_no_sense_is_said(
    operator: Operator, postgres: PostgreSQLServer, instance: Key, name: str
) -> None:
    neither = await create(operator, "ClusterDatabaseGrant", f"{name}_n", instance, deletionProtection=False)
    assert await operator.ready(neither) == ("False", "InvalidSpec")
    missing = {"roleRef": {"name": "nobody"}, "deletionProtection": False}
    waiting = await create(operator, "ClusterDatabaseGrant", f"{name}_w", instance, **missing)
    assert isinstance(await operator.run(waiting), Wait)
    assert await operator.ready(waiting) == ("False", "DependencyNotReady")
    # A user of another server.
    with PostgreSQLServer(postgres.binaries) as other:
        await operator.instance(other, name="other")
        user = await operator.create("DatabaseUser", "elsewhere", {"instanceRef": {"name": "other"}, "username": name})
        await operator.run(user)
        target = {"userRef": {"name": user.name, "namespace": user.namespace}, "deletionProtection": False}
        wrong = await create(operator, "ClusterDatabaseGrant", f"{name}_x", instance, **target)
        assert await operator.ready(wrong) == ("False", "InvalidSpec")
        assert "clusterInstanceRef" in str((await operator.status(wrong))["message"])
        await remove(operator, neither, waiting, wrong)
