# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords that are replaced every few seconds while the operator is killed: whatever a Secret says logs in.

The seed is printed and can be given by DBOPS_SEED, so that a run can be repeated.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Self

import psycopg
import pytest
from installation import install_crds
from objects import Body, all_of, apply, condition, get, instance, log_in, secret_content, user, wait_ready
from operator_process import NAMESPACE as OPERATOR_NAMESPACE
from operator_process import OperatorProcess, install_account

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls
from localstack.processes import wait_until

NAMESPACE = "rotating"
USERS = 6


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """An API of this file's own."""
    with ControlPlane() as cluster:
        install_crds(cluster)
        cluster.kubectl("create", "namespace", NAMESPACE)
        yield cluster


@pytest.fixture
def server() -> Iterator[PostgreSQLServer]:
    with PostgreSQLServer(embedded_with_tls()) as server:
        yield server


def rotating(number: int, **rotation: object) -> Body:
    """A user whose password lives for a few seconds, and whose old logins end at once."""
    body = user(NAMESPACE, f"user-{number}", f"login_{number}")
    body["spec"]["passwordRotation"] = {"enabled": True, "oldUserPolicy": {"gracePeriodDays": 0}, **rotation}
    return body


class Watching:
    """Reads Secrets and logs in with them, all the time; an old login may end between the two, a new Secret may not."""

    def __init__(self, cluster: ControlPlane) -> None:
        self.cluster = cluster
        self.logins = 0
        self.seen: set[str] = set()
        self.failed: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=60)

    def _look(self) -> None:
        while not self._over.is_set():
            for number in range(USERS):
                self._one(number)

    def _one(self, number: int) -> None:
        name = f"login-{number}-credentials"
        content = secret_content(self.cluster, NAMESPACE, name)
        try:
            log_in(content)
        except psycopg.OperationalError as error:
            if secret_content(self.cluster, NAMESPACE, name) == content:
                self.failed.append(f"{content['username']}: {error}")
        else:
            self.logins += 1
            self.seen.add(content["username"])
        tried = condition(get(self.cluster, "databaseuser", NAMESPACE, f"user-{number}"), "CredentialsReady")
        if tried and tried["status"] != "True":
            self.failed.append(f"{content['username']}: {tried}")


def traces(cluster: ControlPlane, server: PostgreSQLServer) -> dict[str, Callable[[], object]]:
    """What each step of a rotation leaves behind."""

    def versions(kind: str, namespace: str, word: str) -> list[str]:
        found = all_of(cluster, kind, namespace)
        return sorted(one["metadata"]["resourceVersion"] for one in found if word in one["metadata"]["name"])

    return {
        "the state Secret": lambda: versions("secret", OPERATOR_NAMESPACE, "dbops-user-"),
        "the server": lambda: server.query("SELECT rolname, rolcanlogin FROM pg_roles ORDER BY 1"),
        "the Secret": lambda: versions("secret", NAMESPACE, "login-"),
        "status": lambda: versions("databaseuser", NAMESPACE, ""),
    }


def kill_while_rotating(cluster: ControlPlane, server: PostgreSQLServer, rounds: int) -> None:
    """Kill the operator right after each step of a rotation, ROUNDS times each, and once more while it starts."""
    seed = int(os.environ.get("DBOPS_SEED") or secrets.randbelow(2**32))
    print(f"DBOPS_SEED={seed}")
    moments, pause = random.Random(seed), threading.Event()
    apply(cluster, *instance(NAMESPACE, server.admin))
    operator = OperatorProcess(install_account(cluster))
    names = [f"user-{number}" for number in range(USERS)]
    try:
        operator.start()
        apply(cluster, *(rotating(number, maxAge="2s") for number in range(USERS)))
        wait_ready(cluster, "databaseuser", NAMESPACE, *names)
        with Watching(cluster) as watching:
            for what, trace in traces(cluster, server).items():
                for _ in range(rounds):
                    before = trace()
                    wait_until(lambda now=trace, before=before: now() != before, what=f"{what} changes", timeout=120)
                    pause.wait(moments.uniform(0.0, 0.05))
                    operator.kill()
                    operator.start(wait=False)
            operator.wait_ready()
        print(f"{watching.logins} logins as {len(watching.seen)} users")
        assert watching.failed == []
        assert len(watching.seen) > USERS
        # No rotation for a while: what is left are the logins in use.
        apply(cluster, *(rotating(number, schedule="0 0 1 1 *") for number in range(USERS)))
        wait_ready(cluster, "databaseuser", NAMESPACE, *names, timeout=120)
        count = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'login%' AND rolcanlogin"
        wait_until(lambda: server.query(count) == [(USERS,)], what="old logins are gone", timeout=120)
        for number in range(USERS):
            assert log_in(secret_content(cluster, NAMESPACE, f"login-{number}-credentials")) == f"svc_login_{number}"
        cluster.kubectl("delete", "databaseuser", "--all", "--namespace", NAMESPACE)
        assert server.query("SELECT rolname FROM pg_roles WHERE rolname LIKE '%login\\_%'") == []
        states = [one["metadata"].get("annotations") or {} for one in all_of(cluster, "secret", OPERATOR_NAMESPACE)]
        assert not [one for one in states if f"{NAMESPACE}/" in str(one)]
        assert operator.stop() == 0
    finally:
        operator.clean_up()


@pytest.mark.feature("R04")
def test_every_secret_logs_in_while_the_operator_is_killed(cluster: ControlPlane, server: PostgreSQLServer) -> None:
    kill_while_rotating(cluster, server, 1)


@pytest.mark.slow
@pytest.mark.feature("R04")
@pytest.mark.timeout(1800)
def test_every_secret_logs_in_through_many_kills(cluster: ControlPlane, server: PostgreSQLServer) -> None:
    kill_while_rotating(cluster, server, 12)
