# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects deleted in the wrong order, with their server away, or too many at once: nothing is lost and nothing stuck.

Each of them ends with everything gone that the policy wants gone, and until then a condition says what to do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import objects
import pytest
from operator_process import NAMESPACE as OPERATOR_NAMESPACE
from operator_process import OperatorProcess

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded
from localstack.processes import wait_until

BRAKE = 20
BY_ITSELF = 90.0


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgreSQLServer]:
    """A server that the tests of this file stop, and whose drops they count."""
    with PostgreSQLServer(embedded()) as server:
        yield server


def roles(server: PostgreSQLServer, *names: str) -> set[str]:
    """Which of the roles there are."""
    return {row[0] for row in server.query("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(names)])}


def databases(server: PostgreSQLServer, *names: str) -> set[str]:
    """Which of the databases there are."""
    return {row[0] for row in server.query("SELECT datname FROM pg_database WHERE datname = ANY(%s)", [list(names)])}


def delete(cluster: ControlPlane, kind: str, namespace: str, *names: str) -> None:
    """Ask for the deletion of objects, and do not wait for it."""
    cluster.kubectl("delete", kind, *names, "--namespace", namespace, "--wait=false")


@pytest.mark.feature("L14")
def test_a_namespace_deleted_while_its_server_is_away(
    operator: OperatorProcess,
    crds: ControlPlane,
    own_postgres: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    owner, kept, database = unique("o"), unique("k"), unique("d")
    retained = objects.user(namespace, "kept", kept, annotations={"dbops.dbprovision.io/deletion-policy": "Retain"})
    objects.apply(
        crds,
        *objects.instance(namespace, own_postgres.admin),
        objects.user(namespace, "owner", owner),
        retained,
        objects.database(namespace, "app", database, owner=owner),
    )
    objects.wait_ready(crds, "databaseuser", namespace, "owner", "kept")
    objects.wait_ready(crds, "database", namespace, "app")
    own_postgres.stop()
    try:
        crds.kubectl("delete", "namespace", namespace, "--wait=false")
        # The namespace's Secrets are gone by then, and with them what a careless operator would need.
        wait_until(
            lambda: objects.get(crds, "secret", namespace, f"{owner.replace('_', '-')}-credentials") is None,
            what="the Secrets of the namespace go",
        )
        for kind, name in (("database", "app"), ("databaseuser", "owner")):
            message = objects.wait_reason(crds, kind, namespace, name, "ConnectionFailed")
            assert "dropped as soon as that is put right" in message
    finally:
        own_postgres.start()
    wait_until(
        lambda: not crds.kubectl("get", "namespace", namespace, "--ignore-not-found"),
        what="the namespace is gone",
        timeout=BY_ITSELF,
    )
    assert roles(own_postgres, owner, kept) == {kept}
    assert databases(own_postgres, database) == set()
    states = json.loads(crds.kubectl("get", "secret", "--namespace", OPERATOR_NAMESPACE, "--output", "json"))
    assert [one for one in states["items"] if namespace in json.dumps(one["metadata"].get("annotations", {}))] == []


@pytest.mark.feature("L14")
def test_an_instance_deleted_first_waits_for_what_is_on_it(
    operator: OperatorProcess,
    crds: ControlPlane,
    own_postgres: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    login = unique("u")
    objects.apply(crds, *objects.instance(namespace, own_postgres.admin), objects.user(namespace, "app", login))
    objects.wait_ready(crds, "databaseuser", namespace, "app")
    delete(crds, "databaseinstance", namespace, "main")
    message = objects.wait_reason(crds, "databaseinstance", namespace, "main", "DependenciesExist")
    assert "DatabaseUser/app" in message
    # Its admin Secret too is gone before the login is.
    delete(crds, "secret", namespace, "main-admin")
    objects.wait_gone(crds, "secret", namespace, "main-admin")
    delete(crds, "databaseuser", namespace, "app")
    message = objects.wait_reason(crds, "databaseuser", namespace, "app", "DependencyNotReady")
    assert f"Secret {namespace}/main-admin does not exist" in message
    assert roles(own_postgres, login) == {login}
    secret, _ = objects.instance(namespace, own_postgres.admin)
    objects.apply(crds, secret)
    objects.wait_gone(crds, "databaseuser", namespace, "app")
    objects.wait_gone(crds, "databaseinstance", namespace, "main")
    assert roles(own_postgres, login) == set()


@pytest.mark.feature("L14")
def test_an_instance_that_is_gone_is_waited_for_and_then_used(
    operator: OperatorProcess,
    crds: ControlPlane,
    own_postgres: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    login, database = unique("u"), unique("d")
    instance = objects.instance(namespace, own_postgres.admin)
    objects.apply(
        crds,
        *instance,
        objects.user(namespace, "app", login),
        objects.database(namespace, "app", database, owner=login),
    )
    objects.wait_ready(crds, "database", namespace, "app")
    # Somebody takes the finalizer off by hand, as people do.
    delete(crds, "databaseinstance", namespace, "main")
    objects.patch(crds, "databaseinstance", namespace, "main", {"metadata": {"finalizers": None}})
    objects.wait_gone(crds, "databaseinstance", namespace, "main")
    delete(crds, "databaseuser", namespace, "app")
    delete(crds, "database", namespace, "app")
    for kind in ("databaseuser", "database"):
        message = objects.wait_reason(crds, kind, namespace, "app", "DependencyNotReady")
        assert f"DatabaseInstance {namespace}/main does not exist" in message
        assert "force-delete" in message
    objects.apply(crds, *instance)
    objects.wait_gone(crds, "database", namespace, "app")
    objects.wait_gone(crds, "databaseuser", namespace, "app")
    assert roles(own_postgres, login) == set()
    assert databases(own_postgres, database) == set()


@pytest.mark.feature("L15")
def test_a_mistaken_prune_stops_at_twenty_databases(
    operator: OperatorProcess, crds: ControlPlane, namespace: str
) -> None:
    declared = {f"app-{number}": f"pruned_{number}" for number in range(25)}
    # Drops of other tests would count as well.
    with PostgreSQLServer(embedded()) as server:
        objects.apply(
            crds,
            *objects.instance(namespace, server.admin),
            *(objects.database(namespace, name, database) for name, database in declared.items()),
        )
        objects.wait_ready(crds, "database", namespace, *declared, timeout=BY_ITSELF)
        delete(crds, "database", namespace, *declared)

        def held() -> list[str]:
            conditions = [objects.condition(one) for one in objects.all_of(crds, "database", namespace)]
            return [one["message"] for one in conditions if one.get("reason") == "AcknowledgementNeeded"]

        left = len(declared) - BRAKE
        wait_until(lambda: len(held()) == left, what="the brake holds the rest", timeout=BY_ITSELF)
        assert len(databases(server, *declared.values())) == left
        (token,) = {token for message in held() for token in re.findall(r"drops-[0-9a-f]{8}", message)}
        objects.annotate(crds, "databaseinstance", namespace, "main", acknowledge=token)
        wait_until(
            lambda: objects.all_of(crds, "database", namespace) == [], what="the rest is dropped", timeout=BY_ITSELF
        )
        assert databases(server, *declared.values()) == set()
