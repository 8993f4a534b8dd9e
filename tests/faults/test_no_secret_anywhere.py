# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated and given passwords are searched for wherever they must not be, while the operator works and after.

Sampled: arguments and environments of the operator and all that it starts, and files of runs. Searched afterwards: its
log at level debug, metrics, the database server's log of all statements, the API server's logs, events and statuses,
and the files that are left when it is killed in the middle of work.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from pathlib import Path
from typing import Any, Self

import objects
import psycopg
import pytest
from installation import install_crds
from leaks import disguises
from operator_process import NAMESPACE as OPERATOR_NAMESPACE
from operator_process import OperatorProcess, install_account

from localstack.controlplane import ControlPlane
from localstack.postgresql import Login, PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls
from localstack.processes import free_port, wait_until

NAMESPACE = "secretive"
# Characters that every way of quoting changes.
GIVEN = "given P4ss/of@a 'person' \"100%\" \\ #1"
EDITED = "edited-Passw0rd-by-hand"
WRONG = "wrong-Passw0rd-of-an-admin"
UNREACHABLE = "Passw0rd-for-a-server-that-is-away"
USERS = 6


class Sampler:
    """Keeps what /proc shows of an operator and its runs, and what lies in their folders, until it is stopped."""

    def __init__(self, operator: OperatorProcess) -> None:
        assert operator.process
        self._operator = operator
        self._pid = operator.process.pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.processes: set[bytes] = set()
        self.files: set[bytes] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            for pid in (self._pid, *self._operator.run_processes()):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        self.processes.add(Path(f"/proc/{pid}/{name}").read_bytes())
            self.files |= set(files_of(self._operator).values())


def files_of(operator: OperatorProcess) -> dict[str, bytes]:
    """What lies in the operator's folder for runs and in its home, but for its log."""
    found = {}
    for folder in (operator.run_directory, operator.directory):
        for path in folder.rglob("*"):
            # A file may go while it is looked at.
            with contextlib.suppress(OSError):
                if path.is_file() and path != operator.log:
                    found[str(path)] = path.read_bytes()
    return found


def secret(name: str, **data: str) -> dict[str, Any]:
    """A Secret of a user."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def password_in(cluster: ControlPlane, name: str) -> str:
    """The password that a Secret holds now; "" if there is no such Secret."""
    return objects.secret_content(cluster, NAMESPACE, name).get("password", "")


def work(cluster: ControlPlane, server: PostgreSQLServer) -> list[str]:
    """Have logins made, given a password, edited by hand, broken and deleted; give all passwords that occurred."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    away = Login(server.host, free_port(), "postgres", UNREACHABLE)
    objects.apply(
        cluster,
        *objects.instance(NAMESPACE, server.admin),
        *objects.instance(NAMESPACE, server.login(server.admin.user, WRONG), "wrong"),
        *objects.instance(NAMESPACE, away, "away"),
    )
    given = objects.user(NAMESPACE, "given", "given")
    given["spec"]["existingPasswordSecret"] = {"name": "given-password", "key": "password"}
    broken = objects.user(NAMESPACE, "broken", "broken")
    template = {"DSN": "{{ .Password | noSuchFunction }}"}
    broken["spec"]["passwordSecret"] = {"secretName": "broken", "secretTemplate": {"data": template}}
    names = [f"user-{number}" for number in range(USERS)]
    users = [objects.user(NAMESPACE, name, name.replace("-", "_")) for name in names]
    users.append(objects.database(NAMESPACE, "app", "app", owner="user_0"))
    objects.apply(cluster, secret("given-password", password=GIVEN), given, broken, *users)
    objects.wait_ready(cluster, "databaseuser", NAMESPACE, "given", *names)
    with psycopg.connect(server.login("given", GIVEN).dsn()) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("given",)
    objects.wait_reason(cluster, "databaseinstance", NAMESPACE, "wrong", "AuthenticationFailed")
    objects.wait_reason(cluster, "databaseinstance", NAMESPACE, "away", "ConnectionFailed")
    objects.wait_reason(cluster, "databaseuser", NAMESPACE, "broken", "InvalidSpec")
    passwords = [password_in(cluster, f"user-{number}-credentials") for number in range(USERS)]
    assert all(len(password) == 32 for password in passwords)
    edit = {"data": {"password": base64.b64encode(EDITED.encode()).decode()}}
    objects.patch(cluster, "secret", NAMESPACE, "user-0-credentials", edit)
    cluster.kubectl("delete", "secret", "user-1-credentials", "--namespace", NAMESPACE)
    wait_until(
        lambda: password_in(cluster, "user-1-credentials") not in ("", passwords[1]), what="the Secret comes back"
    )
    passwords.append(password_in(cluster, "user-1-credentials"))
    wait_until(
        lambda: EDITED in objects.secret_content(cluster, NAMESPACE, "user-0-credentials").get("uri", ""),
        what="the edited password is taken",
    )
    objects.wait_ready(cluster, "databaseuser", NAMESPACE, *names)
    cluster.kubectl("delete", "databaseuser", "user-2", "--namespace", NAMESPACE, "--timeout=60s")
    return [*passwords, GIVEN, EDITED, WRONG, UNREACHABLE, server.admin.password]


def die_at_work(cluster: ControlPlane, server: PostgreSQLServer, operator: OperatorProcess) -> list[str]:
    """Kill the operator while a run has a password and cannot go on; give the password."""
    server.pause()
    objects.apply(cluster, objects.user(NAMESPACE, "last", "last"))
    objects.wait_in_work(cluster, NAMESPACE, "last")
    states: list[str] = []

    def look() -> bool:
        for one in objects.all_of(cluster, "secret", OPERATOR_NAMESPACE):
            if f"{NAMESPACE}/last" in (one["metadata"].get("annotations") or {}).values():
                states.extend(base64.b64decode(value).decode() for value in one["data"].values())
        return bool(states)

    wait_until(look, what="a password for the last user")
    operator.kill()
    return states


def without_data(secrets: list[dict[str, Any]]) -> bytes:
    """All of Secrets that is not their content, nor what `kubectl apply` notes of those that the test applied."""
    for one in secrets:
        (one["metadata"].get("annotations") or {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return json.dumps([{name: value for name, value in one.items() if name != "data"} for one in secrets]).encode()


@pytest.mark.feature("U10")
def test_no_password_is_found_anywhere() -> None:
    settings = {"log_statement": "all", "log_min_messages": "debug1", "log_connections": "on"}
    with ControlPlane() as cluster, PostgreSQLServer(embedded_with_tls(), settings=settings) as server:
        install_crds(cluster)
        with OperatorProcess(install_account(cluster)) as operator:
            with Sampler(operator) as sampler:
                passwords = work(cluster, server)
            measures = operator.get("/metrics")[1].encode()
            passwords += die_at_work(cluster, server, operator)
            server.resume()
            kinds = "databaseinstances,databases,databaseusers,configmaps,events"
            secrets = json.loads(cluster.kubectl("get", "secrets", "-A", "-o", "json"))["items"]
            places = {
                "the operator's log": operator.log_text().encode(),
                "the database server's log": server.log.read_bytes(),
                "metrics": measures,
                "objects and events": cluster.kubectl("get", kinds, "-A", "-o", "json").encode(),
                "Secrets beside their content": without_data(secrets),
                "processes": b"\n".join(sampler.processes),
                "files while it worked": b"\n".join(sampler.files),
                **{f"{path.name} of the cluster": path.read_bytes() for path in cluster.directory.glob("*.log")},
                # Of an operator that could not tidy up.
                **{f"the file {name}": content for name, content in files_of(operator).items()},
            }
        # The places were looked at while there was something to see.
        assert b"ansible-playbook" in places["processes"]
        assert b"converge_socket" in places["files while it worked"]
        assert b"CREATE ROLE" in places["the database server's log"]
        assert b"CREATE ROLE" in places["the operator's log"]
        assert b'"resource":"secrets"' in places["audit.log of the cluster"]
        assert b"Created user user_0" in places["objects and events"]
        found = {
            place
            for place, content in places.items()
            for password in passwords
            if any(text in content for text in disguises(password))
        }
        assert found == set()
