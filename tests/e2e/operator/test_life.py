# SPDX-License-Identifier: GPL-3.0-or-later
"""Lives of objects under the running operator: what wakes them, and that nothing is lost or left."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from operator_process import NAMESPACE as OPERATOR_NAMESPACE
from operator_process import OperatorProcess

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.processes import wait_until

API = "dbops.dbprovision.io/v1alpha1"
GROUP = "dbops.dbprovision.io"


class Namespace:
    """One namespace as its user sees it."""

    def __init__(self, operator: OperatorProcess, cluster: ControlPlane, name: str, server: PostgreSQLServer) -> None:
        self.operator = operator
        self.cluster = cluster
        self.name = name
        self.server = server

    def apply(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": self.name}
        body = {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}
        self.cluster.kubectl("apply", "--filename", "-", stdin=json.dumps(body))

    def instance(self, **spec: Any) -> None:
        connection = {
            "host": self.server.admin.host,
            "port": self.server.admin.port,
            "database": "postgres",
            "secretRef": {"name": "admin"},
        }
        self.apply("DatabaseInstance", "main", {"engine": "postgres", "connection": connection, "postgres": {}, **spec})

    def admin_secret(self, password: str | None = None) -> None:
        data = {"username": self.server.admin.user, "password": password or self.server.admin.password}
        metadata = {"name": "admin", "namespace": self.name}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
        self.cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(body))

    def user(self, name: str, username: str, **spec: Any) -> None:
        self.apply("DatabaseUser", name, {"instanceRef": {"name": "main"}, "username": username, **spec})

    def database(self, name: str, database: str, **spec: Any) -> None:
        self.apply("Database", name, {"instanceRef": {"name": "main"}, "name": database, **spec})

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl("--namespace", self.name, *arguments)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        found = self.kubectl("get", kind, name, "--ignore-not-found", "--output", "json")
        body: dict[str, Any] | None = json.loads(found) if found else None
        return body

    def condition(self, kind: str, name: str, type_: str = "Ready") -> tuple[str, str] | None:
        body = self.get(kind, name) or {}
        for one in body.get("status", {}).get("conditions", []):
            if one["type"] == type_:
                return one["status"], one["reason"]
        return None

    def wait_for(self, kind: str, name: str, reason: str, *, timeout: float = 30.0) -> None:
        wait_until(
            lambda: (self.condition(kind, name) or ("", ""))[1] == reason,
            what=f"{kind} {name} says {reason}",
            timeout=timeout,
        )

    def wait_gone(self, kind: str, name: str) -> None:
        wait_until(lambda: self.get(kind, name) is None, what=f"{kind} {name} is gone")

    def secret(self, name: str) -> dict[str, str]:
        body = self.get("secret", name)
        return {key: base64.b64decode(value).decode() for key, value in (body or {}).get("data", {}).items()}

    def logs_in(self, name: str) -> bool:
        secret = self.secret(name)
        if not secret.get("password"):
            return False
        try:
            psycopg.connect(
                host=secret["host"],
                port=int(secret["port"]),
                user=secret["username"],
                password=secret["password"],
                dbname=secret["database"],
            ).close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture
def place(operator: OperatorProcess, crds: ControlPlane, namespace: str, postgres: PostgreSQLServer) -> Namespace:
    """A namespace of the test's own, with the session's operator and server."""
    return Namespace(operator, crds, namespace, postgres)


@pytest.mark.feature("L02", "I05", "I01", "I07", "U07", "L01")
def test_the_wrong_order_comes_right_by_itself(place: Namespace, unique: Callable[[str], str]) -> None:
    username, database = unique("u"), unique("d")
    place.database("app", database, owner=username, deletionProtection=False)
    place.user("app", username)
    place.wait_for("database", "app", "DependencyNotReady")
    place.wait_for("databaseuser", "app", "DependencyNotReady")
    assert (place.get("database", "app") or {})["status"]["phase"] == "Pending"
    place.instance(deletionProtection=False)
    place.wait_for("databaseinstance", "main", "DependencyNotReady")
    place.admin_secret("wrong")
    place.wait_for("databaseinstance", "main", "AuthenticationFailed")
    wait_until(
        lambda: "AuthenticationFailed" in (place.get("database", "app") or {})["status"]["message"],
        what="the database says what it waits for",
    )
    place.admin_secret()
    for kind, name in (("databaseinstance", "main"), ("databaseuser", "app"), ("database", "app")):
        place.kubectl("wait", "--for=condition=Ready", "--timeout=30s", f"{kind}/{name}")
        body = place.get(kind, name)
        assert body
        assert body["status"]["observedGeneration"] == body["metadata"]["generation"]
        types = {one["type"] for one in body["status"]["conditions"]}
        assert not types & {"Reconciling", "Stalled"}
        assert all(one["observedGeneration"] == body["metadata"]["generation"] for one in body["status"]["conditions"])
    assert place.condition("databaseuser", "app", "CredentialsReady") == ("True", "LoginSucceeded")
    assert place.logs_in(f"{username.replace('_', '-')}-credentials")
    owner = place.server.query(f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{database}'")
    assert owner == [(username,)]


@pytest.mark.feature("U06")
def test_the_consumers_secret_is_watched(place: Namespace, unique: Callable[[str], str]) -> None:
    username = unique("u")
    place.admin_secret()
    place.instance()
    place.user("app", username, passwordSecret={"secretName": "login"})
    place.wait_for("databaseuser", "app", "ReconcileSuccess")
    old = place.secret("login")["password"]
    place.kubectl("delete", "secret", "login")
    wait_until(lambda: place.logs_in("login") and place.secret("login")["password"] != old, what="a new password")
    encoded = base64.b64encode(b"chosen-by-hand").decode()
    place.kubectl("patch", "secret", "login", "--patch", json.dumps({"data": {"password": encoded}}))
    wait_until(lambda: place.logs_in("login"), what="the edited password works")
    assert place.secret("login")["password"] == "chosen-by-hand"
    wait_until(lambda: "chosen-by-hand" in place.secret("login")["uri"], what="the whole Secret follows")


@pytest.mark.feature("L04", "L06")
def test_annotations_are_acted_on_at_once(place: Namespace, unique: Callable[[str], str]) -> None:
    database = unique("d")
    place.admin_secret()
    place.instance()
    place.database("app", database)
    place.wait_for("database", "app", "ReconcileSuccess")
    place.kubectl("delete", "database", "app", "--wait=false")
    place.wait_for("database", "app", "DeletionProtected")
    place.kubectl("annotate", "database", "app", f"{GROUP}/skip-reconcile=true", f"{GROUP}/force-delete=true")
    place.kubectl("annotate", "database", "app", f"{GROUP}/skip-reconcile-")
    place.wait_gone("database", "app")
    assert place.server.query(f"SELECT 1 FROM pg_database WHERE datname = '{database}'") == []


@pytest.mark.feature("L09")
def test_consent_on_the_instance_wakes_what_was_not_adopted(place: Namespace, unique: Callable[[str], str]) -> None:
    username = unique("u")
    place.server.query(f"CREATE ROLE {username} LOGIN")
    place.admin_secret()
    place.instance()
    place.user("app", username)
    place.wait_for("databaseuser", "app", "NotAdopted")
    place.kubectl("annotate", "databaseinstance", "main", f"{GROUP}/adopt-users={username}")
    place.wait_for("databaseuser", "app", "ReconcileSuccess")


def test_an_idle_operator_writes_nothing(place: Namespace, unique: Callable[[str], str]) -> None:
    username = unique("u")
    place.admin_secret()
    place.instance(healthCheck={"intervalSeconds": 5})
    place.user("app", username)
    place.wait_for("databaseuser", "app", "ReconcileSuccess")
    place.kubectl("label", "databaseuser", "app", "team=x")
    checked = _series("dbops_connection_attempts_total", place)
    wait_until(lambda: _series("dbops_connection_attempts_total", place) >= checked + 1, what="a health check")
    before = [place.get("databaseuser", "app"), place.get("databaseinstance", "main")]
    wait_until(lambda: _series("dbops_connection_attempts_total", place) >= checked + 2, what="another health check")
    assert [place.get("databaseuser", "app"), place.get("databaseinstance", "main")] == before


def _series(name: str, place: Namespace) -> float:
    text = place.operator.get("/metrics")[1]
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith(f"{name}{{") and f'namespace="{place.name}"' in line
    )


def test_a_namespace_goes_as_a_whole_and_leaves_nothing(place: Namespace, unique: Callable[[str], str]) -> None:
    users = [unique("u") for _ in range(5)]
    database = unique("d")
    place.admin_secret()
    place.instance(deletionProtection=False)
    for number, username in enumerate(users):
        place.user(f"app{number}", username)
    place.database("app", database, owner=users[0], deletionProtection=False)
    for number in range(len(users)):
        place.wait_for("databaseuser", f"app{number}", "ReconcileSuccess")
    place.wait_for("database", "app", "ReconcileSuccess")
    place.cluster.kubectl("delete", "namespace", place.name, "--wait=false")
    wait_until(
        lambda: not place.cluster.kubectl("get", "namespace", place.name, "--ignore-not-found"),
        what="the namespace is gone",
        timeout=120,
    )
    assert place.server.query(f"SELECT 1 FROM pg_roles WHERE rolname IN {tuple(users)}") == []
    assert place.server.query(f"SELECT 1 FROM pg_database WHERE datname = '{database}'") == []
    states = json.loads(place.cluster.kubectl("--namespace", OPERATOR_NAMESPACE, "get", "secret", "--output", "json"))
    left = [one for one in states["items"] if place.name in json.dumps(one["metadata"].get("annotations", {}))]
    assert left == []


@pytest.mark.feature("L04", "L14")
def test_a_namespace_waits_for_protection_and_then_goes_by_each_policy(
    place: Namespace, unique: Callable[[str], str]
) -> None:
    kept, protected, login, role = unique("k"), unique("p"), unique("u"), unique("r")
    place.admin_secret()
    place.instance(deletionProtection=False)
    place.user("app", login)
    place.apply("DatabaseRole", "app", {"instanceRef": {"name": "main"}, "roleName": role})
    place.database("kept", kept, deletionProtection=False, deletionPolicy="Retain")
    place.database("protected", protected, owner=login)
    block = {"roles": [role], "grants": [{"database": protected, "privileges": ["CONNECT"]}]}
    target = {"userRef": {"name": "app"}, "databaseRef": {"name": "protected"}, "deletionProtection": False}
    place.apply("DatabaseGrant", "app", {**target, "postgres": block})
    for kind, name in (("database", "kept"), ("database", "protected"), ("databasegrant", "app")):
        place.wait_for(kind, name, "ReconcileSuccess")
    place.cluster.kubectl("delete", "namespace", place.name, "--wait=false")
    place.wait_for("database", "protected", "DeletionProtected")
    wait_until(lambda: place.get("secret", f"{login}-credentials".replace("_", "-")) is None, what="Secrets are gone")
    place.wait_for("databaseuser", "app", "OwnershipBlocks")
    place.kubectl("patch", "database", "protected", "--type=merge", "--patch", '{"spec":{"deletionProtection":false}}')
    wait_until(
        lambda: not place.cluster.kubectl("get", "namespace", place.name, "--ignore-not-found"),
        what="the namespace is gone",
        timeout=120,
    )
    found = place.server.query("SELECT datname FROM pg_database WHERE datname = ANY(%s)", [[kept, protected]])
    assert found == [(kept,)]
    assert place.server.query("SELECT 1 FROM pg_roles WHERE rolname = ANY(%s)", [[login, role]]) == []


@pytest.mark.feature("I04")
def test_engine_is_immutable(place: Namespace) -> None:
    place.instance()
    with pytest.raises(subprocess.CalledProcessError) as failure:
        place.instance(engine="mysql")
    assert "engine is immutable" in failure.value.stderr


@pytest.mark.feature("I04")
def test_another_host_is_picked_up(place: Namespace) -> None:
    place.admin_secret()
    place.instance()
    place.wait_for("databaseinstance", "main", "ReconcileSuccess")
    patch = {"spec": {"connection": {"port": 1}}}
    place.kubectl("patch", "databaseinstance", "main", "--type=merge", "--patch", json.dumps(patch))
    place.wait_for("databaseinstance", "main", "ConnectionFailed")
    patch = {"spec": {"connection": {"port": place.server.admin.port}}}
    place.kubectl("patch", "databaseinstance", "main", "--type=merge", "--patch", json.dumps(patch))
    place.wait_for("databaseinstance", "main", "ReconcileSuccess")
