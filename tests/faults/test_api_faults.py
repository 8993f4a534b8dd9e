# SPDX-License-Identifier: GPL-3.0-or-later
"""The API underneath the operator: its server dies, others write at the same time, objects vanish and come back.

What is in work while something happens is held there by a database server that hangs.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from typing import Any, Self

import objects
import pytest
from installation import install_crds
from operator_process import OperatorProcess, install_account

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded
from localstack.processes import wait_until

FOREIGN = "example.com/keep"
BY_ITSELF = 90.0


@pytest.fixture
def server() -> Iterator[PostgreSQLServer]:
    """A server of the test's own, which it lets hang."""
    with PostgreSQLServer(embedded()) as server:
        yield server


def roles(server: PostgreSQLServer, *names: str) -> dict[str, int]:
    """Those of the roles that there are, with their connection limits."""
    query = "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname = ANY(%s)"
    return dict(server.query(query, [list(names)]))


def take_away(cluster: ControlPlane, namespace: str, name: str) -> None:
    """Delete a DatabaseUser and strip its finalizers, as people do."""
    cluster.kubectl("delete", "databaseuser", name, "--namespace", namespace, "--wait=false")
    objects.patch(cluster, "databaseuser", namespace, name, {"metadata": {"finalizers": None}})
    objects.wait_gone(cluster, "databaseuser", namespace, name)


@pytest.mark.feature("L14")
def test_the_api_server_dies_again_and_again_while_objects_come_and_go() -> None:
    with ControlPlane() as cluster, PostgreSQLServer(embedded()) as server:
        install_crds(cluster)
        with OperatorProcess(install_account(cluster)) as own:
            objects.apply(cluster, *objects.instance("default", server.admin))
            objects.wait_ready(cluster, "databaseinstance", "default", "main")
            numbers = itertools.count()
            for _ in range(3):
                names = [f"user-{next(numbers)}" for _ in range(10)]
                objects.apply(cluster, *(objects.user("default", name, name.replace("-", "_")) for name in names))
                cluster.kubectl("delete", "databaseuser", names[0], "--namespace", "default", "--wait=false")
                cluster.kill_apiserver()
                cluster.start_apiserver()

            def look() -> bool:
                if not own.running():
                    # A watch that ends for good ends the operator, and a Deployment starts it again.
                    own.start(wait=False)
                users = objects.all_of(cluster, "databaseuser", "default")
                return len(users) == 27 and all(objects.ready(one) == "True" for one in users)

            wait_until(look, what="all that is declared is Ready, and the rest gone", timeout=BY_ITSELF)
            declared = {one["spec"]["username"] for one in objects.all_of(cluster, "databaseuser", "default")}
            assert {row[0] for row in server.query("SELECT rolname FROM pg_roles WHERE rolname ~ '^user_'")} == declared
            for login in declared:
                content = objects.secret_content(cluster, "default", f"{login.replace('_', '-')}-credentials")
                assert objects.log_in(content) == login


def test_a_run_of_an_old_object_writes_nothing_onto_a_new_one(
    operator: OperatorProcess, crds: ControlPlane, server: PostgreSQLServer, namespace: str
) -> None:
    objects.apply(crds, *objects.instance(namespace, server.admin))
    objects.wait_ready(crds, "databaseinstance", namespace, "main")
    server.pause()
    try:
        objects.apply(crds, objects.user(namespace, "app", "old_login"))
        objects.wait_in_work(crds, namespace, "app")
        take_away(crds, namespace, "app")
        objects.apply(crds, objects.user(namespace, "app", "new_login"))
    finally:
        server.resume()
    objects.wait_ready(crds, "databaseuser", namespace, "app", timeout=BY_ITSELF)
    body = objects.get(crds, "databaseuser", namespace, "app") or {}
    assert body["status"]["user"]["username"] == "new_login"
    assert body["status"]["secret"]["name"] == "new-login-credentials"
    secret = objects.get(crds, "secret", namespace, "new-login-credentials") or {}
    assert [one["uid"] for one in secret["metadata"]["ownerReferences"]] == [body["metadata"]["uid"]]
    assert objects.log_in(objects.secret_content(crds, namespace, "new-login-credentials")) == "new_login"
    objects.wait_gone(crds, "secret", namespace, "old-login-credentials")


def test_an_object_that_vanishes_in_work_is_not_written_back(
    operator: OperatorProcess, crds: ControlPlane, server: PostgreSQLServer, namespace: str
) -> None:
    objects.apply(crds, *objects.instance(namespace, server.admin))
    objects.wait_ready(crds, "databaseinstance", namespace, "main")
    server.pause()
    try:
        objects.apply(crds, objects.user(namespace, "ghost", "ghost"))
        objects.wait_in_work(crds, namespace, "ghost")
        take_away(crds, namespace, "ghost")
    finally:
        server.resume()
    # What comes after it on the same server is done: so the ghost's work is over.
    objects.apply(crds, objects.user(namespace, "next", "next"))
    objects.wait_ready(crds, "databaseuser", namespace, "next", timeout=BY_ITSELF)
    wait_until(lambda: operator.metric("dbops_queue_working") == 0, what="nothing is in work")
    assert objects.get(crds, "databaseuser", namespace, "ghost") is None
    # A Secret whose owner is gone goes by garbage collection, should it have been written at all.
    objects.wait_gone(crds, "secret", namespace, "ghost-credentials")


class Writer:
    """Somebody who writes labels, annotations and the spec of an object all the time."""

    def __init__(self, cluster: ControlPlane, namespace: str, name: str) -> None:
        self._cluster = cluster
        self._place = (namespace, name)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            count = self.written + 1
            metadata = {"labels": {"count": str(count)}, "annotations": {"example.com/count": str(count)}}
            change: dict[str, Any] = {"metadata": metadata, "spec": {"postgres": {"connectionLimit": count}}}
            objects.patch(self._cluster, "databaseuser", *self._place, change)
            self.written = count


@pytest.mark.feature("L11")
def test_somebody_writes_the_object_all_the_time(
    operator: OperatorProcess, crds: ControlPlane, server: PostgreSQLServer, namespace: str
) -> None:
    objects.apply(crds, *objects.instance(namespace, server.admin), objects.user(namespace, "app", "app"))
    with Writer(crds, namespace, "app") as writer:
        wait_until(lambda: writer.written >= 15, what="fifteen writes")
        # It is not starved by the writes.
        wait_until(lambda: roles(server, "app").get("app", -1) > 0, what="the server follows")
    objects.wait_ready(crds, "databaseuser", namespace, "app")
    body = objects.get(crds, "databaseuser", namespace, "app") or {}
    assert body["metadata"]["labels"]["count"] == body["metadata"]["annotations"]["example.com/count"]
    assert body["metadata"]["labels"]["count"] == str(writer.written)
    assert roles(server, "app") == {"app": writer.written}
    assert objects.log_in(objects.secret_content(crds, namespace, "app-credentials")) == "app"


def test_finalizers_of_others_stay(
    operator: OperatorProcess, crds: ControlPlane, server: PostgreSQLServer, namespace: str
) -> None:
    theirs = objects.user(namespace, "app", "app", finalizers=[FOREIGN])
    objects.apply(crds, *objects.instance(namespace, server.admin), theirs)
    objects.wait_ready(crds, "databaseuser", namespace, "app")
    body = objects.get(crds, "databaseuser", namespace, "app") or {}
    ours = set(body["metadata"]["finalizers"]) - {FOREIGN}
    assert len(ours) == 1
    # Who applies the object with its own finalizer only takes none of ours.
    crds.kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=other", "--filename", "-",
        stdin=json.dumps(theirs),
    )  # fmt: skip
    body = objects.get(crds, "databaseuser", namespace, "app") or {}
    assert set(body["metadata"]["finalizers"]) == {FOREIGN, *ours}
    crds.kubectl("delete", "databaseuser", "app", "--namespace", namespace, "--wait=false")

    def finalizers() -> list[str]:
        return (objects.get(crds, "databaseuser", namespace, "app") or {"metadata": {}})["metadata"].get(
            "finalizers", []
        )

    wait_until(lambda: finalizers() == [FOREIGN], what="the login is dropped and the object let go")
    assert roles(server, "app") == {}
    objects.patch(crds, "databaseuser", namespace, "app", {"metadata": {"finalizers": None}})
    objects.wait_gone(crds, "databaseuser", namespace, "app")
