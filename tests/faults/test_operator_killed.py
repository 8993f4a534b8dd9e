# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator killed again and again while objects come, change and go: in the end all is as declared.

The seed is printed and can be given by DBOPS_SEED, so that a run can be repeated.
"""

from __future__ import annotations

import base64
import os
import random
import secrets
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from installation import install_crds
from objects import Body, apply, instance, user
from operator_process import OperatorProcess, install_account

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls
from localstack.processes import wait_until

NAMESPACE = "killed"
KINDS = ("databaseusers", "databases")
PATH = f"/apis/dbops.dbprovision.io/v1alpha1/namespaces/{NAMESPACE}"


def database(number: int, limit: int) -> Body:
    """A Database that is dropped with its object."""
    spec = {
        "instanceRef": {"name": "main"},
        "name": f"db_{number}",
        "owner": f"login_{number}",
        "deletionProtection": False,
        "postgres": {"connectionLimit": limit},
    }
    metadata = {"name": f"db-{number}", "namespace": NAMESPACE}
    return {"apiVersion": "dbops.dbprovision.io/v1alpha1", "kind": "Database", "metadata": metadata, "spec": spec}


class Changes:
    """A random stream of applies, edits and deletes, and what is declared in the end."""

    def __init__(self, cluster: ControlPlane, seed: int, *, users: int, databases: int) -> None:
        self.cluster = cluster
        self.random = random.Random(seed)
        self.users: dict[int, int] = {}
        self.databases: dict[int, int] = {}
        self._counts = (users, databases)
        self._over = threading.Event()

    def user(self, number: int, limit: int) -> Body:
        """A DatabaseUser with one attribute that changes."""
        body = user(NAMESPACE, f"user-{number}", f"login_{number}")
        body["spec"]["postgres"] = {"connectionLimit": limit}
        return body

    def one(self) -> None:
        """Do one random thing: create or change one object, or delete one that no database needs."""
        number = self.random.randrange(self._counts[0])
        limit = self.random.randint(1, 50)
        owns = number < self._counts[1]
        if number in self.users and self.random.random() < 0.2:
            if owns and number in self.databases:
                self._delete("databases", f"db-{number}")
                del self.databases[number]
            else:
                self._delete("databaseusers", f"user-{number}")
                del self.users[number]
            return
        self.users[number] = limit
        bodies = [self.user(number, limit)]
        if owns:
            self.databases[number] = limit
            bodies.append(database(number, limit))
        apply(self.cluster, *bodies)

    def _delete(self, plural: str, name: str) -> None:
        # Waits for the end: an object that is being deleted cannot be declared anew under the same name.
        self.cluster.kubectl("delete", plural, name, "--namespace", NAMESPACE, "--timeout=120s")

    def go_on(self) -> None:
        """Do random things until `end`."""
        while not self._over.is_set():
            self.one()

    def end(self) -> None:
        """Let the stream end after what it does now."""
        self._over.set()


def items(cluster: ControlPlane, plural: str) -> list[dict[str, Any]]:
    """All objects of a kind."""
    return list(cluster.request("GET", f"{PATH}/{plural}")["items"])


def settled(cluster: ControlPlane) -> bool:
    """Whether every object is Ready at its present generation."""
    for plural in KINDS:
        for item in items(cluster, plural):
            conditions = item.get("status", {}).get("conditions", [])
            now = item["metadata"]["generation"]
            if not any(
                one["type"] == "Ready" and one["status"] == "True" and one["observedGeneration"] == now
                for one in conditions
            ):
                return False
    return True


def require_as_declared(cluster: ControlPlane, server: PostgreSQLServer, changes: Changes) -> None:
    """The server has exactly what is declared, and every Secret logs in."""
    roles = dict(server.query("SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname LIKE 'login\\_%'"))
    assert roles == {f"login_{number}": limit for number, limit in changes.users.items()}
    databases = server.query(
        "SELECT datname, datconnlimit, pg_get_userbyid(datdba) FROM pg_database WHERE datname LIKE 'db\\_%'"
    )
    assert {row[0]: row[1:] for row in databases} == {
        f"db_{number}": (limit, f"login_{number}") for number, limit in changes.databases.items()
    }
    for number in changes.users:
        secret = cluster.request("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets/login-{number}-credentials")
        content = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        with psycopg.connect(server.login(content["username"], content["password"]).dsn()) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (f"login_{number}",)


def kill_again_and_again(kills: int, *, users: int, databases: int) -> None:
    """Kill the operator KILLS times at random moments of a random stream of changes; then look."""
    seed = int(os.environ.get("DBOPS_SEED") or secrets.randbelow(2**32))
    print(f"DBOPS_SEED={seed}")
    moments = random.Random(seed + 1)
    with ControlPlane() as cluster, PostgreSQLServer(embedded_with_tls()) as server:
        install_crds(cluster)
        kubeconfig: Path = install_account(cluster)
        cluster.kubectl("create", "namespace", NAMESPACE)
        apply(cluster, *instance(NAMESPACE, server.admin))
        changes = Changes(cluster, seed, users=users, databases=databases)
        # The brake on drops is another test's: here they are meant.
        operator = OperatorProcess(kubeconfig, "--drop-brake=0")
        try:
            operator.start()
            stream = threading.Thread(target=changes.go_on)
            stream.start()
            waiting = threading.Event()
            for _ in range(kills):
                waiting.wait(moments.uniform(0.05, 2.5))
                operator.kill()
                operator.start(wait=moments.random() < 0.7)
            changes.end()
            stream.join(timeout=180)
            assert not stream.is_alive(), f"the stream of changes hangs\n{operator.end_of_log()}"
            if not operator.running():
                operator.start()
            wait_until(lambda: settled(cluster), what="every object is Ready", timeout=180)
            require_as_declared(cluster, server, changes)
            assert operator.stop() == 0
            wait_until(lambda: not operator.run_processes(), what="no process of a run is left")
            assert operator.run_folders() == []
            left = (
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'postgres' AND application_name <> 'localstack'"
            )
            wait_until(lambda: server.query(left + " AND backend_type = 'client backend'") == [(0,)], what="no session")
        finally:
            operator.clean_up()


def test_killed_operator_leaves_everything_as_declared() -> None:
    kill_again_and_again(6, users=12, databases=5)


@pytest.mark.slow
def test_operator_killed_at_fifty_moments() -> None:
    kill_again_and_again(50, users=50, databases=20)
