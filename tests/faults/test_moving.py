# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator away, installed again, restored in another cluster, or a stranger there: no server is touched by it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from installation import install_crds
from integration.postgresql.engine import Engine
from objects import (
    Body,
    all_of,
    annotate,
    apply,
    condition,
    database,
    get,
    instance,
    log_in,
    secret_content,
    user,
    wait_gone,
    wait_ready,
    wait_reason,
)
from operator_process import NAMESPACE as OPERATOR_NAMESPACE
from operator_process import OperatorProcess, install_account
from server_log import SETTINGS, changes

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded
from localstack.processes import wait_until

NAMESPACE = "shop"
TOKEN = "kubernetes.io/service-account-token"
API = "dbops.dbprovision.io/v1alpha1"
# In the order in which they are deleted.
KINDS = {
    "databasegrant": "grant", "databaseuser": "app", "databaserole": "role", "database": "db",
    "databaseinstance": "main",
}  # fmt: skip


class Place:
    """A cluster with our objects in it, and an operator to start."""

    def __init__(self, cluster: ControlPlane, *arguments: str) -> None:
        self.cluster = cluster
        install_crds(cluster)
        self.operator = OperatorProcess(install_account(cluster), "--leader-elect", *arguments)
        cluster.kubectl("create", "namespace", NAMESPACE)

    @property
    def id(self) -> str:
        """What the operator calls the cluster by default."""
        return self.cluster.kubectl("get", "namespace", "kube-system", "--output=jsonpath={.metadata.uid}")

    def wait_ready(self) -> None:
        for kind, name in KINDS.items():
            wait_ready(self.cluster, kind, NAMESPACE, name)

    def taken_along(self) -> list[Body]:
        """What a backup of the cluster has of us: the Secrets that are not made again, and objects without status."""
        found = [get(self.cluster, "secret", NAMESPACE, "main-admin")]
        states = [one for one in all_of(self.cluster, "secret", OPERATOR_NAMESPACE) if one["type"] != TOKEN]
        found += [{**one, "apiVersion": "v1", "kind": "Secret"} for one in states]
        found += [get(self.cluster, kind, NAMESPACE, name) for kind, name in KINDS.items()]
        return [bare(one) for one in found if one]

    def delete_all(self, *kinds: str) -> None:
        for kind in kinds or KINDS:
            self.cluster.kubectl("delete", kind, KINDS[kind], "--namespace", NAMESPACE, "--wait=false")
            wait_gone(self.cluster, kind, NAMESPACE, KINDS[kind])


def bare(body: Body) -> Body:
    """An object as it is restored: identity, content, and what is the cluster's own left out."""
    made = copy.deepcopy(body)
    made.pop("status", None)
    kept = ("name", "namespace", "labels", "annotations", "finalizers")
    made["metadata"] = {name: value for name, value in made["metadata"].items() if name in kept}
    return made


def declared(server: PostgreSQLServer) -> list[Body]:
    on = {"instanceRef": {"name": "main"}}
    grants = {"roles": ["shop_r"], "grants": [{"database": "shop", "privileges": ["CONNECT"]}]}

    def own(kind: str, name: str, spec: Body) -> Body:
        return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}

    return [
        *instance(NAMESPACE, server.admin),
        database(NAMESPACE, "db", "shop", postgres={"schemas": [{"name": "s"}]}, initSQL={"inline": ["SELECT 1"]}),
        own("DatabaseRole", "role", {**on, "roleName": "shop_r", "postgres": {}}),
        user(NAMESPACE, "app", "shop_u"),
        own("DatabaseGrant", "grant", {
            "userRef": {"name": "app"}, "databaseRef": {"name": "db"}, "postgres": grants, "deletionProtection": False,
        }),
    ]  # fmt: skip


@pytest.fixture
def server() -> Iterator[PostgreSQLServer]:
    """A server that writes down all that it is sent."""
    with PostgreSQLServer(embedded(), settings=SETTINGS) as one:
        yield one


class Judge:
    """Says whether the server was touched since it looked."""

    def __init__(self, server: PostgreSQLServer) -> None:
        self.engine, self.server = Engine(server, server.admin), server
        self.engine.inside = ["shop"]
        self.look()

    def look(self) -> None:
        self.before: tuple[list[Any], Counter[str]] = self.engine.snapshot(), changes(self.server)

    def require_untouched(self) -> None:
        assert changes(self.server) - self.before[1] == Counter(), "something was sent"
        assert self.engine.snapshot() == self.before[0]


@pytest.fixture
def home(server: PostgreSQLServer) -> Iterator[Place]:
    """A cluster whose objects are all Ready, and whose operator runs."""
    with ControlPlane() as cluster:
        place = Place(cluster)
        try:
            place.operator.start()
            apply(cluster, *declared(server))
            place.wait_ready()
            yield place
        finally:
            place.operator.clean_up()


@pytest.mark.feature("K11", "L14")
def test_an_operator_that_was_away_touches_nothing_and_then_catches_up(home: Place, server: PostgreSQLServer) -> None:
    judge = Judge(server)
    assert home.operator.stop() == 0
    judge.require_untouched()
    home.operator.start()
    look_again(home)
    judge.require_untouched()

    assert home.operator.stop() == 0
    # Deleted and edited while nobody looks: both are done afterwards, and not before.
    home.cluster.kubectl("delete", "databasegrant", "grant", "--namespace", NAMESPACE, "--wait=false")
    home.cluster.kubectl("delete", "databaserole", "role", "--namespace", NAMESPACE, "--wait=false")
    assert (get(home.cluster, "databaserole", NAMESPACE, "role") or {})["metadata"]["deletionTimestamp"]
    judge.require_untouched()
    home.operator.start()
    for kind in ("databasegrant", "databaserole"):
        wait_gone(home.cluster, kind, NAMESPACE, KINDS[kind])
    assert server.query("SELECT rolname FROM pg_roles WHERE rolname IN ('shop_r', 'shop_u')") == [("shop_u",)]


def look_again(place: Place) -> None:
    """Have each object looked at by the operator that runs now."""
    mark = len(place.operator.log_text())
    for kind, name in KINDS.items():
        annotate(place.cluster, kind, NAMESPACE, name, **{"reconcile-at": str(mark)})
    wait_until(
        lambda: (place.operator.metric("dbops_queue_working") == 0) and looks(place) >= len(KINDS),
        what="everything was looked at",
    )
    place.wait_ready()


def looks(place: Place) -> int:
    lines = place.operator.get("/metrics")[1].splitlines()
    return int(sum(float(one.split()[-1]) for one in lines if one.startswith("controller_runtime_reconcile_total{")))


@pytest.mark.feature("K11")
def test_detached_objects_leave_everything_on_the_server(home: Place, server: PostgreSQLServer) -> None:
    judge = Judge(server)
    for kind, name in KINDS.items():
        annotate(home.cluster, kind, NAMESPACE, name, **{"deletion-policy": "Retain"})
    home.delete_all()
    assert home.operator.stop() == 0
    crds = home.cluster.kubectl("get", "customresourcedefinitions", "--output=name").split()
    home.cluster.kubectl("delete", "--timeout=60s", *(one for one in crds if one.endswith("dbops.dbprovision.io")))
    judge.require_untouched()


@pytest.mark.feature("K11", "L08")
def test_another_cluster_of_the_same_id_goes_on_and_one_of_another_id_touches_nothing(
    home: Place, server: PostgreSQLServer
) -> None:
    password = secret_content(home.cluster, NAMESPACE, "shop-u-credentials")["password"]
    taken = home.taken_along()
    assert home.operator.stop() == 0
    judge = Judge(server)
    with ControlPlane() as cluster:
        stranger = Place(cluster)
        try:
            apply(cluster, *taken)
            stranger.operator.start()
            for kind in ("database", "databaserole", "databaseuser"):
                wait_reason(cluster, kind, NAMESPACE, KINDS[kind], "Conflict")
                told = condition(get(cluster, kind, NAMESPACE, KINDS[kind]))["message"]
                assert f"(cluster {home.id})" in told
            judge.require_untouched()
            stranger.delete_all("databasegrant", "databaseuser", "databaserole", "database")
            judge.require_untouched()
            assert stranger.operator.stop() == 0

            restored = stranger
            restored.operator.arguments += (f"--cluster-id={home.id}",)
            apply(cluster, *taken)
            restored.operator.start()
            restored.wait_ready()
            judge.require_untouched()
            content = secret_content(cluster, NAMESPACE, "shop-u-credentials")
            assert content["password"] == password
            assert log_in(content) == "shop_u"
        finally:
            stranger.operator.clean_up()
