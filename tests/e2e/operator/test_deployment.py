# SPDX-License-Identifier: GPL-3.0-or-later
"""What `operator/deploy` ships: accepted by a real API server, in a namespace that demands restricted Pods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from operator_process import ACCOUNT, NAMESPACE, USER

from dbops_operator import application
from dbops_operator.api.crd import files
from dbops_operator.cli.main import main
from localstack.controlplane import ControlPlane
from localstack.paths import ROOT

DEPLOY = ROOT / "operator" / "deploy"


@pytest.fixture(scope="module")
def shipped(control_plane: ControlPlane) -> list[dict[str, Any]]:
    """All objects of the installation."""
    return list(yaml.safe_load_all(control_plane.kubectl("kustomize", str(DEPLOY))))


def one(shipped: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [body for body in shipped if body["kind"] == kind]
    return found


def test_all_of_it_is_accepted(crds: ControlPlane, operator_kubeconfig: Path) -> None:
    crds.kubectl("apply", "--server-side", "--dry-run=server", "--force-conflicts", "-k", str(DEPLOY))


def test_every_crd_is_part_of_it(shipped: list[dict[str, Any]]) -> None:
    assert sum(body["kind"] == "CustomResourceDefinition" for body in shipped) == len(files())


def test_the_pod_is_admitted_where_only_restricted_ones_are(
    crds: ControlPlane, operator_kubeconfig: Path, shipped: list[dict[str, Any]]
) -> None:
    template = one(shipped, "Deployment")["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "try", "namespace": NAMESPACE, "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    }
    crds.kubectl("create", "--dry-run=server", "--filename", "-", stdin=json.dumps(pod))
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    refused = crds.kubectl("create", "--dry-run=server", "--filename", "-", stdin=json.dumps(pod), check=False)
    assert refused == ""


def test_names_selectors_and_ports_fit_together(shipped: list[dict[str, Any]]) -> None:
    deployment, service = one(shipped, "Deployment"), one(shipped, "Service")
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert service["spec"]["selector"].items() <= labels
    assert template["spec"]["serviceAccountName"] == ACCOUNT
    ports = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_the_command_line_is_understood(shipped: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(*_: Any, **__: Any) -> None:
        """Start nothing."""

    monkeypatch.setattr(application, "run", run)
    container = one(shipped, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    here = [argument.replace("=/run/dbops", "=/dev/shm") for argument in container["args"]]
    done = CliRunner().invoke(main, [*container["command"][1:], *here])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "allowed"),
    [
        ("get", "secrets", "default", True),
        ("delete", "secrets", "default", False),
        ("delete", "secrets", NAMESPACE, True),
        ("update", "configmaps", "default", False),
        ("create", "databases.dbops.dbprovision.io", "default", False),
        ("update", "databases.dbops.dbprovision.io", "default", False),
        ("delete", "databaseinstances.dbops.dbprovision.io", "default", False),
        ("create", "pods", NAMESPACE, False),
        ("get", "nodes", "", False),
        ("escalate", "clusterroles.rbac.authorization.k8s.io", "", False),
        ("create", "serviceaccounts/token", NAMESPACE, False),
    ],
)
def test_the_account_may_do_its_work_and_nothing_else(
    crds: ControlPlane, operator_kubeconfig: Path, verb: str, resource: str, namespace: str, *, allowed: bool
) -> None:
    place = ["--namespace", namespace] if namespace else []
    answer = crds.kubectl("auth", "can-i", verb, resource, "--as", USER, *place, check=False)
    assert answer.strip() == ("yes" if allowed else "no")
