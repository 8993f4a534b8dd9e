# SPDX-License-Identifier: GPL-3.0-or-later
"""Events tell what has become true, once: the whole life of an object of each kind, counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from objects import Body, annotate, apply, database, get, instance, patch, ready, user, wait_gone, wait_ready
from operator_process import OperatorProcess
from psycopg import sql

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.processes import wait_until

API = "dbops.dbprovision.io/v1alpha1"
CORRECT = {"driftPolicy": {"mode": "correct", "interval": "1h"}}


def own(kind: str, namespace: str, name: str, spec: Body) -> Body:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def events(cluster: ControlPlane, namespace: str) -> Counter[tuple[str, str, str]]:
    """How many events there are per object and reason, as events.k8s.io/v1 has them."""
    found = cluster.request("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")["items"]
    ours = [one for one in found if one["regarding"].get("apiVersion") == API]
    assert all(one["reportingController"] == "dbops.dbprovision.io/operator" and one["eventTime"] for one in ours)
    return Counter((one["regarding"]["kind"], one["type"], one["reason"]) for one in ours)


class Life:
    """Five objects that need one another."""

    def __init__(self, cluster: ControlPlane, server: PostgreSQLServer, namespace: str, name: str) -> None:
        self.cluster, self.server, self.namespace, self.name = cluster, server, namespace, name
        self.kinds = {
            "databaseinstance": "main", "database": "db", "databaserole": "role", "databaseuser": "user",
            "databasegrant": "grant",
        }  # fmt: skip

    def begin(self) -> None:
        on = {"instanceRef": {"name": "main"}}
        granted = {"grants": [{"database": self.name, "privileges": ["CONNECT"]}], "roles": [f"{self.name}_r"]}
        grant = {"userRef": {"name": "user"}, "databaseRef": {"name": "db"}, "postgres": granted}
        login = user(self.namespace, "user", f"{self.name}_u")
        login["spec"] |= CORRECT
        apply(
            self.cluster,
            *instance(self.namespace, self.server.admin),
            database(self.namespace, "db", self.name, **CORRECT),
            own(
                "DatabaseRole", self.namespace, "role", {**on, "roleName": f"{self.name}_r", "postgres": {}, **CORRECT}
            ),
            login,
            own("DatabaseGrant", self.namespace, "grant", {**grant, "deletionProtection": False, **CORRECT}),
        )
        self.wait_ready()

    def wait_ready(self) -> None:
        for kind, name in self.kinds.items():
            wait_ready(self.cluster, kind, self.namespace, name)

    def look_again(self, operator: OperatorProcess) -> None:
        """Have everything looked at once more, until the operator has done so."""
        before = looks(operator)
        for kind, name in self.kinds.items():
            annotate(self.cluster, kind, self.namespace, name, **{"reconcile-at": str(before)})
        wait_until(lambda: looks(operator) >= before + len(self.kinds), what="everything was looked at again")
        wait_until(lambda: operator.metric("dbops_queue_working") == 0, what="nothing is in work")

    def end(self) -> None:
        for kind, name in reversed(self.kinds.items()):
            self.cluster.kubectl("delete", kind, name, "--namespace", self.namespace, "--wait=false")
            wait_gone(self.cluster, kind, self.namespace, name)


def looks(operator: OperatorProcess) -> int:
    """How often the operator looked at an object so far."""
    lines = operator.get("/metrics")[1].splitlines()
    return int(sum(float(one.split()[-1]) for one in lines if one.startswith("controller_runtime_reconcile_total{")))


@pytest.mark.feature("K05")
def test_a_whole_life_has_one_event_for_each_thing_that_became_true(
    operator: OperatorProcess,
    crds: ControlPlane,
    postgres: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    name = unique("e")
    life = Life(crds, postgres, namespace, name)
    life.begin()
    expected: Counter[tuple[str, str, str]] = Counter(
        {
            ("DatabaseInstance", "Normal", "Connected"): 1,
            ("Database", "Normal", "Created"): 1,
            ("DatabaseRole", "Normal", "Created"): 1,
            ("DatabaseUser", "Normal", "Created"): 1,
            ("DatabaseGrant", "Normal", "Applied"): 1,
        }
    )
    assert events(crds, namespace) == expected
    for _ in range(3):
        life.look_again(operator)
    assert events(crds, namespace) == expected, "a look at what is as it was tells nothing"

    # Somebody changes the server by hand, and the next look puts it right.
    by_hand = (
        "ALTER ROLE {user} CONNECTION LIMIT 3", "ALTER ROLE {role} CREATEDB", "REVOKE {role} FROM {user}",
        "ALTER DATABASE {db} CONNECTION LIMIT 3",
    )  # fmt: skip
    names = {"user": f"{name}_u", "role": f"{name}_r", "db": name}
    for kind, key in (("database", "db"), ("databaseuser", "user")):
        patch(crds, kind, namespace, key, {"spec": {"postgres": {"connectionLimit": 5}}})
    patch(crds, "databaserole", namespace, "role", {"spec": {"postgres": {"createDB": False}}})
    life.wait_ready()
    assert events(crds, namespace) == expected, "an edit that is applied is no event"
    for statement in by_hand:
        template = sql.SQL(statement)  # type: ignore[arg-type]
        postgres.query(template.format(**{key: sql.Identifier(value) for key, value in names.items()}))
    life.look_again(operator)
    expected += Counter(
        (kind, "Normal", "DriftCorrected") for kind in ("Database", "DatabaseRole", "DatabaseUser", "DatabaseGrant")
    )
    wait_until(lambda: events(crds, namespace) == expected, what="each correction is told once")
    life.look_again(operator)
    assert events(crds, namespace) == expected

    # What cannot be done is told once, however often it is tried.
    patch(crds, "databaseuser", namespace, "user", {"spec": {"postgres": {"inRoles": [f"{name}_none"]}}})
    wait_until(
        lambda: ready(get(crds, "databaseuser", namespace, "user")) == "False", what="the user cannot be made so"
    )
    life.look_again(operator)
    failed = events(crds, namespace) - expected
    assert all(count == 1 for count in failed.values()), failed
    patch(crds, "databaseuser", namespace, "user", {"spec": {"postgres": {"inRoles": None}}})
    life.wait_ready()

    before = events(crds, namespace)
    life.end()
    gone: Counter[tuple[str, str, str]] = Counter(
        {
            ("DatabaseGrant", "Normal", "Revoked"): 1,
            ("DatabaseUser", "Normal", "Deleted"): 1,
            ("DatabaseRole", "Normal", "Deleted"): 1,
            ("Database", "Normal", "Deleted"): 1,
        }
    )
    assert events(crds, namespace) - before == gone


@pytest.mark.feature("K05")
def test_people_see_them(
    operator: OperatorProcess,
    crds: ControlPlane,
    postgres: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    name = unique("e")
    apply(crds, *instance(namespace, postgres.admin), user(namespace, "app", name))
    wait_ready(crds, "databaseuser", namespace, "app")
    assert f"Created user {name}" in crds.kubectl("describe", "databaseuser", "app", "--namespace", namespace)
    shown: dict[str, Any] = json.loads(
        crds.kubectl("events", "--for", "databaseuser/app", "--namespace", namespace, "--output", "json")
    )
    assert [one["reason"] for one in shown["items"]] == ["Created"]
