# SPDX-License-Identifier: GPL-3.0-or-later
"""The local stack's Kubernetes API does what the other tests rely on, and ends with the run that started it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from localstack.controlplane import ControlPlane
from localstack.processes import wait_until

RUN = """
import signal, time
# Whoever runs the tests in the background of a shell has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from localstack.controlplane import ControlPlane
with ControlPlane() as cluster:
    servers = (cluster._etcd, cluster._apiserver, cluster._controllers)
    print(cluster.directory, *(server.pid for server in servers), flush=True)
    # Not signal.pause: a signal that comes just before it would be slept over.
    while True:
        time.sleep(0.05)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_no_process_and_no_file_outlives_the_run(end: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout
        directory, *pids = run.stdout.readline().split()
        processes = [Path(f"/proc/{pid}") for pid in pids]
        assert len(processes) == 3
        assert all(process.exists() for process in processes)
        run.send_signal(end)
    wait_until(lambda: not any(process.exists() for process in processes), what="all processes are gone")
    wait_until(lambda: not Path(directory).exists(), what="the folder is gone")


def test_service_account_is_held_to_its_rights_and_seen_in_the_audit_log(
    control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.kubectl("create", "serviceaccount", "visitor", "--namespace", namespace)
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "visitor")
    with pytest.raises(subprocess.CalledProcessError) as failure:
        control_plane.kubectl("get", "secrets", kubeconfig=kubeconfig)
    assert "forbidden" in failure.value.stderr.lower()
    events = list(control_plane.audit_events(user=f"system:serviceaccount:{namespace}:visitor"))
    assert [event["responseStatus"]["code"] for event in events if "secrets" in event["requestURI"]] == [403]


def test_api_server_comes_back_after_a_crash_with_its_data() -> None:
    with ControlPlane() as cluster:
        cluster.kubectl("create", "configmap", "kept")
        cluster.kill_apiserver()
        with pytest.raises(urllib3.exceptions.HTTPError, match="refused"):
            cluster.request("GET", "/readyz")
        cluster.start_apiserver()
        assert "kept" in cluster.kubectl("get", "configmaps", "--output", "name")


def test_namespace_and_its_objects_are_deleted(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "secret", "generic", "gone", "--namespace", namespace)
    control_plane.kubectl("delete", "namespace", namespace, "--wait=true", "--timeout=60s")
    assert namespace not in control_plane.kubectl("get", "namespaces", "--output", "name")
