# SPDX-License-Identifier: GPL-3.0-or-later
"""A run whose processes stand still, with a server that is well: its objects do not wait for the run's deadline."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import objects
import pytest
from operator_process import OperatorProcess

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded

BY_ITSELF = 120.0
"""A run that hangs is ended after 30 seconds; one that is only slow may take 180."""


@pytest.mark.feature("L10")
def test_a_run_that_hangs_holds_nothing_up(crds: ControlPlane, operator_kubeconfig: Path, namespace: str) -> None:
    mine = {"labels": {"dbops.dbprovision.io/operator-instance-id": "hangs"}}
    # With no run but that which has work.
    with (
        PostgreSQLServer(embedded()) as server,
        OperatorProcess(operator_kubeconfig, "--instance-id=hangs", "--standby-runs=0") as own,
    ):
        objects.apply(crds, *objects.instance(namespace, server.admin, **mine))
        objects.wait_ready(crds, "databaseinstance", namespace, "main")
        server.pause()
        try:
            objects.apply(crds, objects.user(namespace, "app", "app", **mine))
            objects.wait_in_work(crds, namespace, "app")
            hanging = own.run_processes()
            for pid in hanging:
                os.kill(pid, signal.SIGSTOP)
        finally:
            server.resume()
        objects.wait_ready(crds, "databaseuser", namespace, "app", timeout=BY_ITSELF)
        assert not set(hanging) & set(own.run_processes())
