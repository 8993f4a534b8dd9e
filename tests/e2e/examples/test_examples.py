# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples as a user applies them, through both doors and in both orders."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import objects
import pytest
from operator_process import OperatorProcess

from localstack.controlplane import ControlPlane
from localstack.examples import EXAMPLES, place_examples
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

NAMESPACE = "shop"
WANTED = {
    "databaseinstance": ("main",),
    "database": ("orders",),
    "databaseuser": ("orders-app", "orders-owner", "orders-reports"),
    "databaserole": ("orders-reader",),
    "databasegrant": ("orders-app",),
}


@pytest.fixture
def server(crds: ControlPlane, operator: OperatorProcess) -> Iterator[PostgreSQLServer]:
    """A server of its own, with the namespace and the Secret that the examples want; all of it goes afterwards."""
    with PostgreSQLServer(embedded_with_tls()) as server:
        crds.kubectl("create", "namespace", NAMESPACE)
        secret = objects.instance(NAMESPACE, server.admin, "postgres")[0]
        objects.apply(crds, secret)
        yield server
        crds.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")


def playbook(server: PostgreSQLServer, folder: Path) -> str:
    """Run the example for ansible-playbook; give its output."""
    connection = folder / "connection.yml"
    connection.touch(mode=0o600)
    variables = {"server_login_port": server.port, "server_login_password": server.admin.password}
    connection.write_text(json.dumps(variables), encoding="utf-8")
    command = [Path(sys.executable).with_name("ansible-playbook"), "dbprovision.dbops.server"]
    declared = ["-e", f"@{EXAMPLES / 'ansible' / 'server.yml'}", "-e", f"@{connection}"]
    done = subprocess.run([str(part) for part in (*command, *declared)], capture_output=True, text=True, check=True)
    return done.stdout


def apply_examples(cluster: ControlPlane, server: PostgreSQLServer, folder: Path) -> None:
    """`kubectl apply -f` of the whole folder."""
    place_examples(folder, host=server.host, port=server.port)
    cluster.kubectl("apply", "--filename", str(folder / "kubernetes"))


def wait_all_ready(cluster: ControlPlane) -> None:
    """All of the examples are Ready."""
    for kind, names in WANTED.items():
        objects.wait_ready(cluster, kind, NAMESPACE, *names)


def changed_on(server: PostgreSQLServer) -> object:
    """What would show a change: the rows of the catalogs with their transactions."""
    roles = server.query("SELECT rolname, xmin::text FROM pg_authid WHERE rolname LIKE 'orders%' ORDER BY 1")
    return roles, server.query("SELECT datname, xmin::text FROM pg_database WHERE datname = 'orders'")


@pytest.mark.feature("A03")
def test_what_kubectl_made_ansible_finds_as_declared(
    crds: ControlPlane, server: PostgreSQLServer, tmp_path: Path
) -> None:
    apply_examples(crds, server, tmp_path)
    wait_all_ready(crds)
    assert "changed=0" in playbook(server, tmp_path)


@pytest.mark.feature("L09")
def test_what_ansible_made_kubectl_takes_over_only_with_consent(
    crds: ControlPlane, server: PostgreSQLServer, tmp_path: Path
) -> None:
    assert "changed=1" in playbook(server, tmp_path)
    apply_examples(crds, server, tmp_path)
    crds.kubectl(
        "wait", "--namespace", NAMESPACE, "--timeout=60s", "database/orders",
        "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=NotAdopted",
    )  # fmt: skip
    before = changed_on(server)[1]  # type: ignore[index]
    adopt = {
        "adopt-users": "orders_owner,orders_app",
        "adopt-databases": "orders",
        "adopt-roles": "orders_reader",
    }
    annotations = [f"dbops.dbprovision.io/{name}={value}" for name, value in adopt.items()]
    crds.kubectl("annotate", "--namespace", NAMESPACE, "databaseinstance/main", *annotations)
    wait_all_ready(crds)
    # The logins have got passwords, which the playbook did not declare; the database is as it was.
    assert changed_on(server)[1] == before  # type: ignore[index]
    assert "changed=0" in playbook(server, tmp_path)
