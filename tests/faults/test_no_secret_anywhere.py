# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated and given passwords are searched for wherever they must not be, while the operator works and after.

Sampled: arguments and environments of the operator and all that it starts. Searched afterwards: its log at level
debug, the database server's log of all statements, the API server's audit log, events and statuses, files of runs.
"""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any, Self

import objects
import pytest
from installation import install_crds
from operator_process import OperatorProcess, install_account

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls
from localstack.processes import wait_until

NAMESPACE = "secretive"
GIVEN = "given-Passw0rd-of-a-person"
EDITED = "edited-Passw0rd-by-hand"
WRONG = "wrong-Passw0rd-of-an-admin"
USERS = 6


class Sampler:
    """Keeps what /proc shows of an operator and its runs, again and again until it is stopped."""

    def __init__(self, operator: OperatorProcess) -> None:
        assert operator.process
        self._operator = operator
        self._pid = operator.process.pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seen: set[bytes] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            for pid in (self._pid, *self._operator.run_processes()):
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.add(Path(f"/proc/{pid}/{name}").read_bytes())
                    except OSError:
                        continue


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
    body = objects.get(cluster, "secret", NAMESPACE, name)
    return base64.b64decode(body["data"]["password"]).decode() if body and body["data"].get("password") else ""


def work(cluster: ControlPlane, server: PostgreSQLServer) -> list[str]:
    """Have logins made, given a password, edited by hand, broken and deleted; give all passwords that occurred."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    objects.apply(cluster, *objects.instance(NAMESPACE, server.admin))
    wrong = objects.instance(NAMESPACE, server.login(server.admin.user, WRONG), "wrong")
    given = objects.user(NAMESPACE, "given", "given")
    given["spec"]["existingPasswordSecret"] = {"name": "given-password", "key": "password"}
    broken = objects.user(NAMESPACE, "broken", "broken")
    template = {"DSN": "{{ .Password | noSuchFunction }}"}
    broken["spec"]["passwordSecret"] = {"secretName": "broken", "secretTemplate": {"data": template}}
    names = [f"user-{number}" for number in range(USERS)]
    users = [objects.user(NAMESPACE, name, name.replace("-", "_")) for name in names]
    objects.apply(cluster, secret("given-password", password=GIVEN), *wrong, given, broken, *users)
    objects.wait_ready(cluster, "databaseuser", NAMESPACE, "given", *names)
    for kind, name in (("databaseinstance", "wrong"), ("databaseuser", "broken")):
        wait_until(
            lambda kind=kind, name=name: objects.ready(objects.get(cluster, kind, NAMESPACE, name)) == "False",
            what=f"{name} is refused",
        )
    passwords = [password_in(cluster, f"user-{number}-credentials") for number in range(USERS)]
    assert all(len(password) == 32 for password in passwords)
    edit = json.dumps({"data": {"password": base64.b64encode(EDITED.encode()).decode()}})
    cluster.kubectl("patch", "secret", "user-0-credentials", "--namespace", NAMESPACE, "--patch", edit)
    cluster.kubectl("delete", "secret", "user-1-credentials", "--namespace", NAMESPACE)
    wait_until(
        lambda: password_in(cluster, "user-1-credentials") not in ("", passwords[1]), what="the Secret comes back"
    )
    passwords.append(password_in(cluster, "user-1-credentials"))
    objects.wait_ready(cluster, "databaseuser", NAMESPACE, *names)
    cluster.kubectl("delete", "databaseuser", "user-2", "--namespace", NAMESPACE, "--timeout=60s")
    return [*passwords, GIVEN, EDITED, WRONG, server.admin.password]


@pytest.mark.feature("U10")
def test_no_password_is_found_anywhere() -> None:
    with (
        ControlPlane() as cluster,
        PostgreSQLServer(
            embedded_with_tls(), settings={"log_statement": "all", "log_min_messages": "debug1"}
        ) as server,
    ):
        install_crds(cluster)
        with OperatorProcess(install_account(cluster)) as operator:
            with Sampler(operator) as sampler:
                passwords = work(cluster, server)
            objects_seen = cluster.kubectl("get", "databaseinstances,databaseusers,events", "-A", "-o", "yaml")
            files = [path for path in operator.run_directory.rglob("*") if path.is_file() and path.stat().st_size]
            places = {
                "the operator's log": operator.log_text().encode(),
                "the database server's log": server.log.read_bytes(),
                "the audit log": cluster.audit_log.read_bytes(),
                "objects and events": objects_seen.encode(),
                "processes": b"\n".join(sampler.seen),
                **{f"the file {path.name}": path.read_bytes() for path in files},
            }
        assert b"ansible-playbook" in places["processes"]
        assert b"CREATE ROLE" in places["the database server's log"]
        found = [place for place, content in places.items() for text in passwords if text.encode() in content]
        assert found == []
