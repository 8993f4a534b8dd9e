# SPDX-License-Identifier: GPL-3.0-or-later
"""The Helm chart: the same objects as kustomize, accepted by a real API server, upgraded and removed by real helm."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm import CHART, RELEASE, helm, rendered
from installation import install_crds
from operator_process import NAMESPACE, OperatorProcess, denied
from rights import Right, granted, uncovered, unused, used
from whole_life import Life

from localstack.controlplane import ControlPlane
from localstack.paths import ROOT
from localstack.postgresql import PostgreSQLServer

DEPLOY = ROOT / "operator" / "deploy"
Body = dict[str, Any]
# What only one of the two says about an object, or says of itself.
_OWN_LABELS = (
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
)
_OWNER = Right("dbops.dbprovision.io", "databaseusers/finalizers", "update")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Helm's files."""
    return tmp_path_factory.mktemp("helm")


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A cluster with nothing in it but a namespace for restricted Pods."""
    with ControlPlane() as one:
        one.kubectl("create", "namespace", NAMESPACE)
        one.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
        yield one


def comparable(bodies: list[Body]) -> dict[tuple[str, str], Body]:
    """Objects by kind and name, without what either of the two tools says of itself."""
    found = {}
    for body in copy.deepcopy(bodies):
        if body["kind"] == "Namespace":
            continue
        (body["metadata"].get("annotations") or {}).pop("helm.sh/resource-policy", None)
        body["metadata"] = {name: value for name, value in body["metadata"].items() if value}
        found[body["kind"], body["metadata"]["name"]] = _without_own(body)
    return found


def _without_own(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_own(one) for name, one in value.items() if name not in _OWN_LABELS}
    return [_without_own(one) for one in value] if isinstance(value, list) else value


@pytest.mark.feature("K01")
def test_it_makes_what_kustomize_makes(crds: ControlPlane, home: Path) -> None:
    by_kustomize = comparable(list(yaml.safe_load_all(crds.kubectl("kustomize", str(DEPLOY)))))
    by_helm = comparable(rendered(home, NAMESPACE))
    assert by_helm.keys() == by_kustomize.keys()
    for key, body in by_kustomize.items():
        assert by_helm[key] == body, key


@pytest.mark.feature("K01", "K03")
def test_it_monitors_as_kustomize_does(crds: ControlPlane, home: Path) -> None:
    by_kustomize = comparable(list(yaml.safe_load_all(crds.kubectl("kustomize", str(DEPLOY / "monitoring")))))
    switched_on = {
        "metrics": {"serviceMonitor": {"enabled": True}},
        "prometheusRule": {"enabled": True},
        "grafanaDashboards": {"enabled": True},
    }
    by_helm = comparable(rendered(home, NAMESPACE, switched_on))
    assert {kind for kind, _ in by_kustomize} == {"ServiceMonitor", "PrometheusRule", "ConfigMap"}
    for key, body in by_kustomize.items():
        assert by_helm[key] == body, key
    (monitor,) = [body for body in by_kustomize.values() if body["kind"] == "ServiceMonitor"]
    (service,) = [body for body in by_helm.values() if body["kind"] == "Service"]
    assert {one["port"] for one in monitor["spec"]["endpoints"]} <= {one["name"] for one in service["spec"]["ports"]}
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()


@pytest.mark.feature("K01")
def test_it_is_installed_upgraded_with_its_crds_and_removed_without_them(
    cluster: ControlPlane, home: Path, tmp_path: Path
) -> None:
    former = tmp_path / "former"
    shutil.copytree(CHART, former)
    file = former / "files" / "crds" / "databases.yaml"
    definition = yaml.safe_load(file.read_text(encoding="utf-8"))
    columns = definition["spec"]["versions"][0]["additionalPrinterColumns"]
    definition["spec"]["versions"][0]["additionalPrinterColumns"] = columns[:1]
    file.write_text(yaml.safe_dump(definition), encoding="utf-8")
    place = {"home": home, "kubeconfig": cluster.kubeconfig}

    def shown() -> int:
        text = cluster.kubectl("get", "crd", "databases.dbops.dbprovision.io", "--output=json")
        return len(json.loads(text)["spec"]["versions"][0]["additionalPrinterColumns"])

    helm("install", RELEASE, str(former), "--namespace", NAMESPACE, **place)
    assert shown() == 1
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/databases.dbops.dbprovision.io")
    helm("upgrade", RELEASE, str(CHART), "--namespace", NAMESPACE, **place)
    assert shown() == len(columns)
    assert cluster.kubectl("--namespace", NAMESPACE, "get", "deployment", "--output=name").strip()
    helm("uninstall", RELEASE, "--namespace", NAMESPACE, **place)
    assert shown() == len(columns)
    assert not cluster.kubectl("--namespace", NAMESPACE, "get", "deployment", "--output=name").strip()
    # The same release takes them back.
    helm("install", RELEASE, str(CHART), "--namespace", NAMESPACE, **place)
    helm("uninstall", RELEASE, "--namespace", NAMESPACE, **place)


_VALUES: dict[str, Body] = {
    "defaults": {},
    "some namespaces": {"watchNamespaces": ["team-a", "team-b"], "instanceId": "teams", "fullnameOverride": "ops"},
    "everything": {
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "x", "operator": "Exists"}],
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
        ],
        "priorityClassName": "system-cluster-critical",
        "metrics": {"certificateSecret": "metrics-tls", "service": {"annotations": {"e": "f"}}},
        "networkPolicy": {
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
        "extraArgs": ["--standby-runs=1"],
        "serviceAccount": {"annotations": {"g": "h"}},
    },
    "no metrics": {"metrics": {"enabled": False}, "networkPolicy": {"enabled": False}},
}


@pytest.mark.feature("K01")
@pytest.mark.parametrize("values", _VALUES.values(), ids=_VALUES)
def test_the_api_server_takes_it_where_only_restricted_pods_are(
    cluster: ControlPlane, home: Path, values: Body
) -> None:
    for name in values.get("watchNamespaces", ()):
        cluster.kubectl("create", "namespace", name)
    shipped = rendered(home, NAMESPACE, values)
    text = yaml.safe_dump_all(shipped)
    cluster.kubectl("apply", "--server-side", "--dry-run=server", "--filename", "-", stdin=text)
    (deployment,) = [one for one in shipped if one["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try", "namespace": NAMESPACE}}
    # Who makes Pods of a Deployment is not asked for the account, which is not there in a dry run.
    pod["spec"] = {**template["spec"], "serviceAccountName": "default"}
    cluster.kubectl("create", "--dry-run=server", "--filename", "-", stdin=json.dumps(pod))
    container = template["spec"]["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    volumes = {one["name"]: one for one in template["spec"]["volumes"]}
    (mount,) = [one for one in container["volumeMounts"] if one["mountPath"] == "/run/dbops"]
    assert volumes[mount["name"]]["emptyDir"]["medium"] == "Memory"


@pytest.mark.feature("K01")
@pytest.mark.parametrize(
    "values",
    [
        {"replicaCount": "many"},
        {"crossNamespace": "ask"},
        {"watchNamespaces": "team-a"},
        {"watchNamespaces": ["Team A"]},
        {"metrics": {"enabled": "yes"}},
        {"no_such_value": 1},
        {"metrics": {"no_such_value": 1}},
        {"logLevel": "loud"},
    ],
    ids=str,
)
def test_wrong_values_are_refused(home: Path, values: Body) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered(home, NAMESPACE, values)
    assert "values don't meet the specifications of the schema" in refused.value.stderr


@pytest.mark.feature("K01", "K08")
def test_for_some_namespaces_it_needs_and_has_rights_in_those_only(
    cluster: ControlPlane, home: Path, postgres: PostgreSQLServer
) -> None:
    own, namespace = "tenant-operator", "tenant"
    for name in (own, namespace):
        cluster.kubectl("create", "namespace", name)
    # One release has the CRDs, of all that are in the cluster.
    install_crds(cluster)
    values = {"watchNamespaces": [namespace], "fullnameOverride": "tenant", "crds": {"install": False}}
    helm("install", "tenant", str(CHART), "--namespace", own, home=home, kubeconfig=cluster.kubeconfig, values=values)
    shipped = rendered(home, own, values, release="tenant")
    account, user = "tenant-controller-manager", f"system:serviceaccount:{own}:tenant-controller-manager"
    (deployment,) = [one for one in shipped if one["kind"] == "Deployment"]
    places = ("--run-directory", "--metrics-bind-address", "--health-probe-bind-address")
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    kubeconfig = cluster.service_account_kubeconfig(own, account)
    options = [one for one in arguments if not one.startswith(places)]
    with OperatorProcess(kubeconfig, *options, f"--operator-namespace={own}", "--metrics-secure=true") as operator:
        life = Life(cluster, postgres, namespace, own=own)
        life.namespaced()
        life.backups()
        life.end_namespaced()
        token = cluster.kubectl("create", "token", account, "--namespace", own).strip()
        assert operator.scrape(token)[0] == 403
        assert operator.stop() == 0, operator.end_of_log()
    assert denied(cluster, user) == []
    rights, uses = granted(shipped, account), used(cluster, user)
    assert unused(rights - {_OWNER, Right(_OWNER.group, _OWNER.resource, _OWNER.verb, namespace)}, uses) == []
    assert uncovered(rights, uses) == []
