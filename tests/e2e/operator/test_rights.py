# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped rights are what the operator uses: it lives every kind's life, and the audit log says what it did."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from installation import install_crds
from operator_process import ACCOUNT, NAMESPACE, OperatorProcess, denied, install_account
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


@pytest.mark.feature("K08")
def test_no_right_is_missing_and_none_is_too_many(postgres: PostgreSQLServer) -> None:
    with ControlPlane() as cluster:
        install_crds(cluster)
        shipped = list(yaml.safe_load_all(cluster.kubectl("kustomize", str(DEPLOY))))
        (deployment,) = [one for one in shipped if one["kind"] == "Deployment"]
        kubeconfig = install_account(cluster)
        with OperatorProcess(kubeconfig, *arguments(deployment), "--metrics-secure=true") as operator:
            cluster.kubectl("create", "namespace", "rights")
            life = Life(cluster, postgres, "rights", own=NAMESPACE)
            life.namespaced()
            life.backups()
            life.end_namespaced()
            life.clusterwide()
            token = cluster.kubectl("create", "token", ACCOUNT, "--namespace", NAMESPACE).strip()
            assert operator.scrape(token)[0] == 403
            assert operator.stop() == 0, operator.end_of_log()
        assert denied(cluster) == []
        rights, uses = granted(shipped), used(cluster)
        assert unused(rights - {_OWNER}, uses) == []
        assert uncovered(rights, uses) == []
        too_many = Right("", "pods", "get")
        assert unused({too_many}, uses) == uncovered(rights, {too_many}) == [too_many]


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
