# SPDX-License-Identifier: GPL-3.0-or-later
"""Deletion with dependants of other namespaces and of the cluster, confirmed cascades to their end, and ways out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from reconciling import Operator

from dbops_operator.deletion import confirmation_hash
from dbops_operator.keys import Key
from localstack.postgresql import PostgreSQLServer

READY = ("True", "ReconcileSuccess")
HERE = {"instanceRef": {"name": "main"}}


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """Part of all names on the server and in the cluster."""
    return unique("x")


@pytest.fixture
def team(operator: Operator, name: str) -> str:
    """Another namespace."""
    namespace = f"{name}-team".replace("_", "-")
    operator.cluster.kubectl("create", "namespace", namespace)
    return namespace


@pytest_asyncio.fixture
async def cluster_instance(operator: Operator, postgres: PostgreSQLServer, name: str) -> AsyncIterator[Key]:
    """A ready ClusterDatabaseInstance."""
    admin = {"username": postgres.admin.user, "password": postgres.admin.password}
    await operator.create_secret("cluster-admin", admin, namespace=operator.settings.operator_namespace)
    reference = {"name": "cluster-admin"}
    connection = {"host": postgres.host, "port": postgres.port, "database": "postgres", "secretRef": reference}
    spec = {"engine": "postgres", "connection": connection, "postgres": {}, "deletionProtection": False}
    key = await operator.create("ClusterDatabaseInstance", name.replace("_", "-"), spec)
    await operator.run(key)
    yield key
    assert not await operator.exists(key)


async def create(operator: Operator, kind: str, called: str, spec: dict[str, Any], **metadata: Any) -> Key:
    key = await operator.create(kind, called.replace("_", "-"), spec, **metadata)
    await operator.run(key)
    assert await operator.ready(key) == READY, await operator.status(key)
    return key


async def is_gone(operator: Operator, key: Key) -> bool:
    """Whether the object is gone after one more reconcile."""
    await operator.run(key)
    return not await operator.exists(key)


async def confirm(operator: Operator, key: Key) -> list[str]:
    """Force the deletion of KEY and confirm what it asks for; gives the names that it would take."""
    await operator.annotate(key, force_delete="true")
    await operator.run(key)
    assert await operator.ready(key) == ("False", "PendingDeletionConfirmation")
    confirmation = (await operator.status(key))["deletionConfirmation"]
    assert confirmation["hash"] == confirmation_hash(confirmation["children"])
    await operator.annotate(key, confirm_force_delete=confirmation["hash"])
    await operator.run(key)
    assert await operator.ready(key) == ("False", "CascadeDeleting")
    children: list[str] = confirmation["children"]
    return children


def roles(server: PostgreSQLServer, *names: str) -> set[str]:
    return {row[0] for row in server.query("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(names)])}


@pytest.mark.feature("L05")
async def test_grants_of_other_namespaces_and_of_the_cluster_hold_a_user(
    operator: Operator, postgres: PostgreSQLServer, cluster_instance: Key, name: str, team: str
) -> None:
    login = f"{name}_u"
    reference = {"clusterInstanceRef": {"name": cluster_instance.name}}
    user = await create(operator, "DatabaseUser", "app", {**reference, "username": login})
    await operator.annotate(user, allow_from=team)
    target = {"userRef": {"name": "app", "namespace": operator.namespace}}
    near = await create(operator, "DatabaseGrant", "near", {"userRef": {"name": "app"}})
    far = await create(operator, "DatabaseGrant", "far", target, namespace=team)
    wide = await create(operator, "ClusterDatabaseGrant", f"{name}-wide", {**reference, **target})
    await operator.delete(user)
    await operator.run(user)
    assert await operator.ready(user) == ("False", "DependenciesExist")
    message = (await operator.status(user))["message"]
    names = [f"ClusterDatabaseGrant/{wide.name}", "DatabaseGrant/near", f"DatabaseGrant/{team}/far"]
    assert all(one in message for one in names)
    assert "cannot delete" in message
    assert await confirm(operator, user) == sorted(names)
    for grant in (near, far, wide):
        assert await is_gone(operator, grant)
    assert await is_gone(operator, user)
    assert roles(postgres, login) == set()
    assert "CascadeDeleteComplete" in await operator.events(user)
    await operator.delete(cluster_instance)
    assert await is_gone(operator, cluster_instance)


@pytest.mark.feature("L05")
async def test_a_cascade_from_an_instance_takes_everything_on_it_in_an_order_that_works(
    operator: Operator, postgres: PostgreSQLServer, cluster_instance: Key, name: str, team: str
) -> None:
    login, role, database = f"{name}_u", f"{name}_r", f"{name}_d"
    reference = {"clusterInstanceRef": {"name": cluster_instance.name}}
    user = await create(operator, "DatabaseUser", "app", {**reference, "username": login}, namespace=team)
    owned = await create(operator, "Database", "app", {**reference, "name": database, "owner": login}, namespace=team)
    wide_role = await create(operator, "ClusterDatabaseRole", role, {**reference, "roleName": role})
    entry = {"database": database, "privileges": ["CONNECT"]}
    grant_spec = {"userRef": {"name": "app"}, "databaseRef": {"name": "app"}, "postgres": {"grants": [entry]}}
    grant = await create(operator, "DatabaseGrant", "app", grant_spec, namespace=team)
    await operator.delete(cluster_instance)
    await operator.run(cluster_instance)
    assert await operator.ready(cluster_instance) == ("False", "DependenciesExist")
    children = await confirm(operator, cluster_instance)
    assert children == sorted(
        [f"ClusterDatabaseRole/{wide_role.name}", f"Database/{team}/app", f"DatabaseUser/{team}/app"]
    )
    # Protected as it is by default, and held by a grant: who confirmed the one meant the other. The login owns it.
    assert (await operator.get(owned))["metadata"].get("deletionTimestamp")
    assert not (await operator.get(user))["metadata"].get("deletionTimestamp")
    await operator.run(owned)
    assert await operator.ready(owned) == ("False", "CascadeDeleting")
    assert await is_gone(operator, grant)
    assert await is_gone(operator, owned)
    await operator.run(cluster_instance)
    assert (await operator.status(cluster_instance))["deletionConfirmation"]["remainingCount"] == 2
    for key in (user, wide_role, cluster_instance):
        assert await is_gone(operator, key)
    assert roles(postgres, login, role) == set()
    assert not postgres.query("SELECT 1 FROM pg_database WHERE datname = %s", [database])
    assert "DeleteFailed" not in await operator.events(user)


@pytest.mark.feature("L05")
async def test_a_cascade_respects_the_policy_of_each(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    instance = await operator.instance(postgres, deletionProtection=False)
    kept, gone, login = f"{name}_k", f"{name}_g", f"{name}_u"
    keys = [
        await create(operator, "Database", "kept", {**HERE, "name": kept, "deletionPolicy": "Retain"}),
        await create(operator, "Database", "gone", {**HERE, "name": gone}),
        await create(operator, "DatabaseUser", "app", {**HERE, "username": login}),
    ]
    await operator.annotate(keys[2], deletion_policy="Retain")
    await operator.delete(instance)
    await confirm(operator, instance)
    for key in keys[:2]:
        assert await is_gone(operator, key)
    await operator.run(instance)
    assert await is_gone(operator, keys[2])
    assert await is_gone(operator, instance)
    names = [kept, gone]
    left = postgres.query("SELECT datname FROM pg_database WHERE datname = ANY(%s)", [names])
    assert left == [(kept,)]
    assert roles(postgres, login) == {login}


@pytest.mark.feature("L14")
async def test_wrong_credentials_hold_the_object_and_name_the_way_out(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    user = await create(operator, "DatabaseUser", "app", {**HERE, "username": name})
    await operator.edit_secret("main-admin", password="wrong")
    await operator.delete(user)
    await operator.run(user)
    assert await operator.ready(user) == ("False", "AuthenticationFailed")
    assert "force-delete" in (await operator.status(user))["message"]
    assert (await operator.get(user))["metadata"]["finalizers"]
    assert roles(postgres, name) == {name}
    await operator.edit_secret("main-admin", password=postgres.admin.password)
    assert await is_gone(operator, user)
    assert roles(postgres, name) == set()
