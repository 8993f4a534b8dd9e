# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped rights are what the operator uses: it lives every kind's life, and the audit log says what it did."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from installation import install_crds
from operator_process import NAMESPACE, OperatorProcess, denied, install_account
from prometheus_client.parser import text_string_to_metric_families
from rights import Right, granted, uncovered, unused, used
from whole_life import Life

from dbops_operator.settings import INSTANCE_LABEL
from localstack.controlplane import ControlPlane
from localstack.paths import ROOT
from localstack.postgresql import PostgreSQLServer

DEPLOY = ROOT / "operator" / "deploy"
# Seen by the API server's admission, which leaves no line in the audit log; see the last test.
_OWNER = Right("dbops.dbprovision.io", "databaseusers/finalizers", "update")
# The flags of the shipped Pod that name its ports and volumes.
_PLACES = ("--run-directory", "--metrics-bind-address", "--health-probe-bind-address")


def arguments(deployment: dict[str, object] | None) -> list[str]:
    """The command line of the shipped container, but for places."""
    assert deployment
    container = deployment["spec"]["template"]["spec"]["containers"][0]  # type: ignore[index]
    return [one for one in container["args"] if not one.startswith(_PLACES)]


@dataclass(frozen=True)
class Lived:
    """What is left of an operator that served every kind through its life."""

    denied: list[str]
    rights: set[Right]
    uses: set[Right]
    metrics: str


@pytest.fixture(scope="module")
def lived(postgres: PostgreSQLServer) -> Lived:
    """The operator as kustomize ships it, through the life of every kind."""
    with ControlPlane() as cluster:
        install_crds(cluster)
        shipped = list(yaml.safe_load_all(cluster.kubectl("kustomize", str(DEPLOY))))
        (deployment,) = [one for one in shipped if one["kind"] == "Deployment"]
        kubeconfig = install_account(cluster)
        with OperatorProcess(kubeconfig, *arguments(deployment), "--metrics-secure=true") as operator:
            cluster.kubectl("create", "namespace", "rights")
            cluster.kubectl("create", "serviceaccount", "scraper", "--namespace", "rights")
            role = "--clusterrole=db-provision-operator-metrics-reader"
            cluster.kubectl("create", "clusterrolebinding", "scraper", role, "--serviceaccount=rights:scraper")
            life = Life(cluster, postgres, "rights", own=NAMESPACE)
            life.namespaced()
            life.backups()
            token = cluster.kubectl("create", "token", "scraper", "--namespace", "rights").strip()
            status, metrics = operator.scrape(token)
            assert status == 200
            life.end_namespaced()
            life.clusterwide()
            assert operator.stop() == 0, operator.end_of_log()
        return Lived(denied(cluster), granted(shipped), used(cluster), metrics)


@pytest.mark.feature("K08")
def test_no_right_is_missing_and_none_is_too_many(lived: Lived) -> None:
    assert lived.denied == []
    assert unused(lived.rights - {_OWNER}, lived.uses) == []
    assert uncovered(lived.rights, lived.uses) == []
    too_many = Right("", "pods", "get")
    assert unused({too_many}, lived.uses) == uncovered(lived.rights, {too_many}) == [too_many]


def expressions() -> Iterator[str]:
    """What the shipped alerts, recording rules and dashboards ask Prometheus for."""
    monitoring = DEPLOY / "monitoring"
    rules = yaml.safe_load((monitoring / "alerts.yaml").read_text(encoding="utf-8"))
    for group in rules["spec"]["groups"]:
        yield from (rule["expr"] for rule in group["rules"])
    for file in monitoring.glob("dashboards/*.json"):
        for panel in json.loads(file.read_text(encoding="utf-8"))["panels"]:
            yield from (target["expr"] for target in panel["targets"])


@pytest.mark.feature("K03")
def test_alerts_and_dashboards_ask_for_metrics_and_labels_that_are_there(lived: Lived) -> None:
    seen: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(lived.metrics):
        for sample in family.samples:
            seen.setdefault(sample.name, set()).update(sample.labels)
    # Nothing differed from what is declared.
    seen["dbops_drift_detected"] = {"resource_type", "name", "namespace"}
    assert "# TYPE dbops_drift_detected gauge" in lived.metrics
    asked = list(expressions())
    for expression in asked:
        names = set(re.findall(r"\b(?:dbops|controller_runtime|process|leader_election)_[a-z_]+", expression))
        assert names, expression
        assert names <= seen.keys(), expression
        labels = {label for found in re.findall(r"by \(([^)]*)\)", expression) for label in found.split(", ")}
        labels |= set(re.findall(r"([a-z_]+)(?:=~?|!=)\"", expression))
        assert labels <= {"le"}.union(*(seen[name] for name in names)), expression
    assert len(asked) > 40
    published = ("dbops_connection_attempts_total", "dbops_instance_healthy", "dbops_user_operations_total",
                 "dbops_role_info", "dbops_grant_info", "dbops_resource_count")  # fmt: skip
    assert set(published) <= seen.keys()
    assert 'dbops_grant_info{database_ref="app",grant="app-reads",namespace="rights",phase="Ready"' in lived.metrics
    assert 'dbops_resource_count{namespace="rights",phase="Ready",resource_type="DatabaseUser"} 1.0' in lived.metrics


@pytest.mark.feature("K08")
def test_whoever_lets_a_secret_block_a_user_needs_the_right_to(
    crds: ControlPlane, operator_kubeconfig: Path, namespace: str
) -> None:
    """Without the right on `databaseusers/finalizers`, the operator's Secrets could not be made on OpenShift."""
    owner = {
        "apiVersion": "dbops.dbprovision.io/v1alpha1",
        "kind": "DatabaseUser",
        "metadata": {
            "name": "app",
            "namespace": namespace,
            "labels": {INSTANCE_LABEL: "nobody"},
        },
        "spec": {"instanceRef": {"name": "none"}, "username": "app"},
    }
    made = yaml.safe_load(crds.kubectl("create", "-f", "-", "-o", "yaml", stdin=yaml.safe_dump(owner)))
    reference = {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": "app", "uid": made["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }  # fmt: skip
    secret = {
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "s", "namespace": namespace, "ownerReferences": [reference]},
    }  # fmt: skip
    text = yaml.safe_dump(secret)
    crds.kubectl("create", "-f", "-", "--dry-run=server", stdin=text, kubeconfig=operator_kubeconfig)
    crds.kubectl("create", "role", "secrets", "--verb=create", "--resource=secrets", "-n", namespace)
    crds.kubectl("create", "rolebinding", "secrets", "--role=secrets", "--user=somebody", "-n", namespace)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        crds.kubectl("create", "-f", "-", "--dry-run=server", "--as=somebody", stdin=text)
    assert "cannot set blockOwnerDeletion" in refused.value.stderr
