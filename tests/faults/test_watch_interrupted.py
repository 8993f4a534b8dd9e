# SPDX-License-Identifier: GPL-3.0-or-later
"""What vanishes while no watch tells it: the API server died, and remembers only what is there since."""

from __future__ import annotations

import asyncio
from pathlib import Path

import objects
import pytest
from installation import install_crds
from objects import Body
from operator_process import OperatorProcess, install_account
from wire import Wire

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded

NAMESPACE = "default"


def grant(name: str, user: str) -> Body:
    """A membership for a DatabaseUser."""
    return {
        "apiVersion": "dbops.dbprovision.io/v1alpha1",
        "kind": "DatabaseGrant",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"userRef": {"name": user}, "postgres": {"roles": ["pg_monitor"]}, "deletionProtection": False},
    }


def begin(cluster: ControlPlane, server: PostgreSQLServer) -> None:
    """Have a login with a grant."""
    objects.apply(
        cluster,
        *objects.instance(NAMESPACE, server.admin),
        objects.user(NAMESPACE, "app", "app"),
        grant("app-monitors", "app"),
    )
    objects.wait_ready(cluster, "databasegrant", NAMESPACE, "app-monitors")


def let_vanish(cluster: ControlPlane) -> None:
    """Take the grant away, delete its user, and let the API server forget that there was a grant."""
    cluster.kubectl("delete", "databasegrant", "app-monitors", "--namespace", NAMESPACE, "--wait=false")
    objects.patch(cluster, "databasegrant", NAMESPACE, "app-monitors", {"metadata": {"finalizers": None}})
    objects.wait_gone(cluster, "databasegrant", NAMESPACE, "app-monitors")
    cluster.kubectl("delete", "databaseuser", "app", "--namespace", NAMESPACE, "--wait=false")
    cluster.kill_apiserver()
    cluster.start_apiserver()


@pytest.mark.feature("L14")
async def test_what_vanished_unseen_holds_nothing_up(tmp_path: Path) -> None:
    with ControlPlane() as cluster, PostgreSQLServer(embedded()) as server:
        await asyncio.to_thread(install_crds, cluster)
        account = await asyncio.to_thread(install_account, cluster)
        async with Wire(cluster.server) as wire:
            operator = OperatorProcess(wire.kubeconfig(account, tmp_path))
            try:
                await asyncio.to_thread(operator.start)
                await asyncio.to_thread(begin, cluster, server)
                await wire.cut()
                await asyncio.to_thread(let_vanish, cluster)
                wire.mend()
                await asyncio.to_thread(objects.wait_gone, cluster, "databaseuser", NAMESPACE, "app")
                assert server.query("SELECT 1 FROM pg_roles WHERE rolname = 'app'") == []
            finally:
                await asyncio.to_thread(operator.clean_up)
