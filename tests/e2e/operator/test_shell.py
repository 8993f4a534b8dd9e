# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator as a process: probes, objects on their way, its end, crashes, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import objects
from installation import install_crds
from operator_process import OperatorProcess, install_account

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded
from localstack.processes import wait_until

INSTANCE_LABEL = "dbops.dbprovision.io/operator-instance-id"


def test_probes_and_metrics_answer(operator: OperatorProcess) -> None:
    assert operator.get("/healthz") == (200, "ok")
    assert operator.get("/readyz") == (200, "ok")
    status, text = operator.get("/metrics")
    assert status == 200
    assert 'dbops_watch_age_seconds{kind="Secret",namespace=""}' in text


def test_what_is_applied_becomes_ready_and_what_is_deleted_goes(
    operator: OperatorProcess,
    crds: ControlPlane,
    postgres: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    login = unique("u")
    objects.apply(crds, *objects.instance(namespace, postgres.admin), objects.user(namespace, "app", login))
    objects.wait_ready(crds, "databaseuser", namespace, "app")
    assert login in operator.log_text()
    crds.kubectl("delete", "databaseuser", "app", "--namespace", namespace, "--timeout=60s")


def test_the_audit_trail_names_object_editor_run_and_server(
    operator: OperatorProcess,
    crds: ControlPlane,
    postgres: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    login = unique("u")
    objects.apply(crds, *objects.instance(namespace, postgres.admin), objects.user(namespace, "app", login))
    objects.wait_ready(crds, "databaseuser", namespace, "app")
    lines = [
        line for line in operator.log_lines("dbops_operator.audit") if line["object"] == f"DatabaseUser/{namespace}/app"
    ]
    assert any(login in line["message"] for line in lines)
    for line in lines:
        assert line["editor"] == "kubectl-client-side-apply"
        assert line["server"] == f"postgres://{postgres.admin.host}:{postgres.admin.port}"
        assert line["run"]


def test_an_operator_ends_cleanly_and_at_once_when_it_is_told_to(
    crds: ControlPlane, operator_kubeconfig: Path, namespace: str
) -> None:
    with OperatorProcess(operator_kubeconfig, "--namespace", namespace) as own:
        wait_until(lambda: bool(own.run_processes()), what="runs wait for work")
        assert own.stop() == 0
        assert own.run_processes() == []
        assert own.run_folders() == []


def test_an_operator_that_is_told_to_end_while_it_starts_ends(
    crds: ControlPlane, operator_kubeconfig: Path, namespace: str
) -> None:
    own = OperatorProcess(operator_kubeconfig, "--namespace", namespace)
    try:
        own.start(wait=False)
        wait_until(lambda: bool(own.run_folders()), what="it prepares runs")
        assert own.stop() == 0
        assert own.run_processes() == []
        assert own.run_folders() == []
    finally:
        own.clean_up()


def test_a_crash_leaves_no_process_and_the_next_start_no_folder(
    crds: ControlPlane, operator_kubeconfig: Path, namespace: str
) -> None:
    with OperatorProcess(operator_kubeconfig, "--namespace", namespace) as own:
        wait_until(lambda: bool(own.run_processes()), what="runs wait for work")
        own.kill()
        wait_until(lambda: own.run_processes() == [], what="no process of a run is left", timeout=10)
        (left,) = own.run_folders()
        own.start()
        assert left not in own.run_folders()


def test_a_crash_in_the_middle_of_work_leaves_no_process_and_the_work_is_done_after_it(
    crds: ControlPlane, operator_kubeconfig: Path, namespace: str
) -> None:
    mine = {"labels": {INSTANCE_LABEL: "crash"}}
    arguments = ("--namespace", namespace, "--instance-id", "crash")
    with PostgreSQLServer(embedded()) as server, OperatorProcess(operator_kubeconfig, *arguments) as own:
        objects.apply(crds, *objects.instance(namespace, server.admin, **mine))
        objects.wait_ready(crds, "databaseinstance", namespace, "main")
        server.pause()
        objects.apply(crds, objects.user(namespace, "app", "app", **mine))
        objects.wait_in_work(crds, namespace, "app")
        own.kill()
        # The server does not answer all the while, so no run can end by having done its work.
        wait_until(lambda: own.run_processes() == [], what="no process of a run is left", timeout=15)
        server.resume()
        own.start()
        objects.wait_ready(crds, "databaseuser", namespace, "app")
        assert len(own.run_folders()) == 1


def test_without_standby_runs_everything_works(
    crds: ControlPlane,
    operator_kubeconfig: Path,
    postgres: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    mine = {"labels": {INSTANCE_LABEL: "without"}}
    arguments = ("--namespace", namespace, "--standby-runs", "0", "--instance-id", "without")
    with OperatorProcess(operator_kubeconfig, *arguments) as own:
        assert own.run_processes() == []
        objects.apply(
            crds,
            *objects.instance(namespace, postgres.admin, **mine),
            objects.user(namespace, "app", unique("u"), **mine),
        )
        objects.wait_ready(crds, "databaseuser", namespace, "app")
        assert own.stop() == 0


def test_other_namespaces_are_left_alone(
    crds: ControlPlane, operator_kubeconfig: Path, postgres: PostgreSQLServer, namespace: str
) -> None:
    other = f"{namespace}-other"
    crds.kubectl("create", "namespace", other)
    mine = {"labels": {INSTANCE_LABEL: "limited"}}
    with OperatorProcess(operator_kubeconfig, "--namespace", namespace, "--instance-id", "limited") as own:
        objects.apply(crds, *objects.instance(other, postgres.admin, **mine))
        objects.apply(crds, *objects.instance(namespace, postgres.admin, **mine))
        objects.wait_ready(crds, "databaseinstance", namespace, "main")
        untouched = objects.get(crds, "databaseinstance", other, "main")
        assert untouched
        # What the API server says of an object that no operator has looked at.
        assert untouched["status"] == {"observedGeneration": -1}
        assert "finalizers" not in untouched["metadata"]
        assert own.running()


def test_what_is_in_work_ends_before_the_operator_does(
    crds: ControlPlane, operator_kubeconfig: Path, namespace: str
) -> None:
    arguments = ("--namespace", namespace, "--instance-id", "ending", "--grace-period", "30s")
    mine = {"labels": {INSTANCE_LABEL: "ending"}}
    with PostgreSQLServer(embedded()) as server, OperatorProcess(operator_kubeconfig, *arguments) as own:
        objects.apply(crds, *objects.instance(namespace, server.admin, **mine))
        objects.wait_ready(crds, "databaseinstance", namespace, "main")
        server.pause()
        objects.apply(crds, objects.user(namespace, "app", "app", **mine))
        objects.wait_in_work(crds, namespace, "app")
        own.terminate()
        wait_until(lambda: "ending: finishing" in own.log_text(), what="the operator is ending")
        server.resume()
        assert own.wait(20) == 0
        assert objects.ready(objects.get(crds, "databaseuser", namespace, "app")) == "True"


def test_work_that_does_not_end_does_not_hold_up_the_operator(
    crds: ControlPlane, operator_kubeconfig: Path, namespace: str
) -> None:
    mine = {"labels": {INSTANCE_LABEL: "stuck"}}
    with (
        PostgreSQLServer(embedded()) as server,
        OperatorProcess(operator_kubeconfig, "--namespace", namespace, "--instance-id", "stuck") as own,
    ):
        objects.apply(crds, *objects.instance(namespace, server.admin, **mine))
        objects.wait_ready(crds, "databaseinstance", namespace, "main")
        server.pause()
        objects.apply(crds, objects.user(namespace, "app", "app", **mine))
        objects.wait_in_work(crds, namespace, "app")
        assert own.stop() == 0
        assert own.run_processes() == []
        assert own.run_folders() == []
        server.resume()
        own.start()
        objects.wait_ready(crds, "databaseuser", namespace, "app")


def test_two_servers_are_worked_on_side_by_side(
    operator: OperatorProcess,
    crds: ControlPlane,
    postgres: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
) -> None:
    with PostgreSQLServer(embedded()) as other:
        objects.apply(
            crds,
            *objects.instance(namespace, postgres.admin, "one"),
            *objects.instance(namespace, other.admin, "two"),
        )
        objects.wait_ready(crds, "databaseinstance", namespace, "one", "two")
        # While one of them does not answer, the other one is served.
        other.pause()
        objects.apply(
            crds,
            objects.user(namespace, "second", "app", on="two"),
            objects.user(namespace, "first", unique("u"), on="one"),
        )
        objects.wait_ready(crds, "databaseuser", namespace, "first")
        assert objects.ready(objects.get(crds, "databaseuser", namespace, "second")) != "True"
        other.resume()
        objects.wait_ready(crds, "databaseuser", namespace, "second")
        crds.kubectl("delete", "databaseuser", "first", "second", "--namespace", namespace, "--timeout=60s")
        crds.kubectl("delete", "databaseinstance", "one", "two", "--namespace", namespace, "--timeout=60s")


def test_the_operator_goes_on_after_its_api_server_was_away(
    postgres: PostgreSQLServer, unique: Callable[..., str]
) -> None:
    with ControlPlane() as cluster:
        install_crds(cluster)
        with OperatorProcess(install_account(cluster)) as own:
            objects.apply(cluster, *objects.instance("default", postgres.admin))
            objects.wait_ready(cluster, "databaseinstance", "default", "main")
            cluster.kill_apiserver()
            cluster.start_apiserver()
            objects.apply(cluster, objects.user("default", "app", unique("u")))

            def look() -> bool:
                if not own.running():
                    # A watch that ends for good ends the operator, and a Deployment starts it again.
                    assert own.status() == 1
                    own.start(wait=False)
                return objects.ready(objects.get(cluster, "databaseuser", "default", "app")) == "True"

            wait_until(look, what="the user is Ready", timeout=90)
            assert own.stop() == 0
