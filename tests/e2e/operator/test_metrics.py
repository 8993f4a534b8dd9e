# SPDX-License-Identifier: GPL-3.0-or-later
"""/metrics as it is shipped: over HTTPS, for accounts that the API server lets read it; and what the health sees."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from operator_process import ACCOUNT, NAMESPACE, OperatorProcess

from localstack.certificates import Authority
from localstack.controlplane import ControlPlane
from localstack.processes import wait_until


@pytest.fixture(scope="module")
def secure(crds: ControlPlane, operator_kubeconfig: Path) -> Iterator[OperatorProcess]:
    """An operator of its own, whose /metrics is as it is by default."""
    options = ("--metrics-secure", "--instance-id=metrics", "--standby-runs=0")
    with OperatorProcess(operator_kubeconfig, *options) as process:
        yield process


def token(cluster: ControlPlane, namespace: str, account: str) -> str:
    """A token of a ServiceAccount."""
    kubeconfig = yaml.safe_load(cluster.service_account_kubeconfig(namespace, account).read_text(encoding="utf-8"))
    return str(kubeconfig["users"][0]["user"]["token"])


def bind(cluster: ControlPlane, namespace: str, account: str) -> None:
    """Let the account read metrics, as the documentation says."""
    role = "db-provision-operator-metrics-reader"
    subject = f"--serviceaccount={namespace}:{account}"
    cluster.kubectl("create", "clusterrolebinding", f"metrics-{namespace}", f"--clusterrole={role}", subject)


@pytest.mark.feature("K03")
def test_only_accounts_with_the_right_to_read_metrics_do(
    secure: OperatorProcess, crds: ControlPlane, namespace: str
) -> None:
    assert secure.scrape()[0] == 401
    assert secure.scrape("no-token-of-this-cluster")[0] == 401
    crds.kubectl("create", "serviceaccount", "prometheus", "--namespace", namespace)
    shown = token(crds, namespace, "prometheus")
    assert secure.scrape(shown)[0] == 403
    bind(crds, namespace, "prometheus")
    # The API server's authorizer learns of the binding a moment later.
    wait_until(lambda: secure.scrape(shown)[0] == 200, what="the account reads metrics")
    assert secure.scrape(shown, "/healthz")[0] == 404
    assert shown not in secure.log_text()


@pytest.mark.feature("K03")
def test_the_operators_own_account_reads_them_once_it_is_bound(secure: OperatorProcess, crds: ControlPlane) -> None:
    shown = token(crds, NAMESPACE, ACCOUNT)
    assert secure.scrape(shown)[0] == 403
    bind(crds, NAMESPACE, ACCOUNT)
    wait_until(lambda: secure.scrape(shown)[0] == 200, what="the operator's account reads metrics")
    instance = {
        "apiVersion": "dbops.dbprovision.io/v1alpha1",
        "kind": "DatabaseInstance",
        "metadata": {
            "name": "metrics",
            "namespace": "default",
            "labels": {"dbops.dbprovision.io/operator-instance-id": "metrics"},
        },
        "spec": {
            "engine": "postgres",
            "connection": {"host": "localhost", "port": 1, "database": "x", "secretRef": {"name": "missing"}},
            "postgres": {},
        },
    }
    crds.kubectl("apply", "--filename", "-", stdin=json.dumps(instance))
    wait_until(
        lambda: 'controller_runtime_reconcile_total{controller="databaseinstance"' in secure.scrape(shown)[1],
        what="looks at objects are counted",
    )


@pytest.mark.feature("K03")
def test_a_mounted_certificate_is_used_and_its_renewal_noticed(
    crds: ControlPlane, operator_kubeconfig: Path, tmp_path: Path
) -> None:
    def issue() -> None:
        made = Authority(tmp_path / "authority").server("metrics", hosts=("localhost", "127.0.0.1"))
        for name, content in (("tls.crt", made.certificate), ("tls.key", made.key)):
            (tmp_path / name).write_bytes(content.read_bytes())

    def shown() -> str:
        host, _, port = process.measures.rpartition(":")
        return ssl.get_server_certificate((host, int(port))).strip()

    issue()
    options = ("--metrics-secure=true", f"--metrics-cert-path={tmp_path}", "--instance-id=metrics", "--standby-runs=0")
    with OperatorProcess(operator_kubeconfig, *options) as process:
        first = (tmp_path / "tls.crt").read_text(encoding="utf-8").strip()
        assert shown() == first
        issue()
        # Noticed with the next request, in force for the one after it.
        assert process.scrape()[0] == 401
        assert shown() == (tmp_path / "tls.crt").read_text(encoding="utf-8").strip() != first
