# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Kubernetes API on loopback: etcd, kube-apiserver and kube-controller-manager, without a kubelet.

What works for real: CRDs, server-side apply, watches, RBAC, tokens, the audit log, garbage collection and the
deletion of namespaces; Pods are never run. Each instance has its own folder, ports, certificates and
kubeconfig, and never looks at the user's. Used by the tests, the demo, the benchmarks and `make up`.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import urllib3
import yaml

from localstack import binaries
from localstack.certificates import Authority, KeyPair, new_key
from localstack.paths import etcd_binary, kubernetes_binary
from localstack.processes import Server, ServerError, free_port, wait_until

# Metadata of every request, so that a test can see who asked for what and what was denied, and no content:
# the log stays free of Secrets.
_AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
"""

_CONTROLLERS = (
    "namespace",
    "serviceaccount",
    "serviceaccount-token",
    "root-ca-certificate-publisher",
    "garbage-collector",
    "job",
    "cronjob",
    "ttl-after-finished",
    "clusterrole-aggregation",
    "resourcequota",
)


class ApiError(Exception):
    """The API server refused a request: its HTTP status, and its message as the text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ControlPlane:
    """One cluster. `kubeconfig` is the administrator's; `server` the URL; `audit_log` the log's path."""

    def __init__(self, directory: Path | None = None) -> None:
        """Prepare a cluster in DIRECTORY, or in a temporary one that is removed at the end."""
        self.directory = directory or Path(tempfile.mkdtemp(prefix="dbops-cluster-"))
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.port = free_port()
        self.server = f"https://127.0.0.1:{self.port}"
        self.kubeconfig = self.directory / "admin.kubeconfig"
        self.audit_log = self.directory / "audit.log"
        self._authority = Authority(self.directory / "certificates")
        self.ca_certificate = self._authority.certificate
        self._administrator = self._authority.client(
            "admin", common_name="dbops-administrator", organization="system:masters"
        )
        self._service_account_key = self._authority.directory / "service-accounts.key"
        new_key(self._service_account_key)
        self._api_certificate = self._authority.server(
            "apiserver", hosts=("localhost", "127.0.0.1", "kubernetes.default.svc")
        )
        self._etcd: Server | None = None
        self._apiserver: Server | None = None
        self._controllers: Server | None = None

    def __enter__(self) -> Self:
        """Start the cluster."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it and remove its data."""
        self.stop()

    def start(self) -> None:
        """Start all three programs and return when the API is ready for use.

        Builds missing programs first. Raises ServerError when one of them does not come up.
        """
        binaries.build(print)
        try:
            self._start_etcd()
            self.start_apiserver()
            self._write_kubeconfig(self.kubeconfig, client=self._administrator)
            self._start_controllers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop all three, in the order in which nobody misses another, and remove the cluster's data."""
        for server in (self._controllers, self._apiserver, self._etcd):
            if server:
                # Nothing is kept, so nothing need be flushed.
                server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill_apiserver(self) -> None:
        """End the API server as a crash would; watches and requests break."""
        assert self._apiserver
        self._apiserver.kill()

    def pause_apiserver(self) -> None:
        """Let the API server hang: it accepts connections and answers nothing."""
        assert self._apiserver
        self._apiserver.pause()

    def resume_apiserver(self) -> None:
        """End `pause_apiserver`."""
        assert self._apiserver
        self._apiserver.resume()

    def start_apiserver(self) -> None:
        """Start the API server, also again after `kill_apiserver`, on the same port with the same data."""
        certificates = self._authority.directory
        policy = self.directory / "audit-policy.yaml"
        policy.write_text(_AUDIT_POLICY, encoding="utf-8")
        options = {
            "etcd-servers": self._etcd_url,
            "bind-address": "127.0.0.1",
            "secure-port": self.port,
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",
            "tls-cert-file": self._api_certificate.certificate,
            "tls-private-key-file": self._api_certificate.key,
            "client-ca-file": self.ca_certificate,
            "cert-dir": certificates,
            "service-cluster-ip-range": "10.0.0.0/24",
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self._service_account_key,
            "service-account-signing-key-file": self._service_account_key,
            "anonymous-auth": "false",
            # As on OpenShift: who lets an object block the deletion of another must have the right to.
            "enable-admission-plugins": "OwnerReferencesPermissionEnforcement",
            "audit-policy-file": policy,
            "audit-log-path": self.audit_log,
            "profiling": "false",
        }
        self._apiserver = self._start("kube-apiserver", kubernetes_binary("kube-apiserver"), options)
        self._wait_ready(self._apiserver, self._is_ready)

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True, kubeconfig: Path | None = None
    ) -> str:
        """Run kubectl as the administrator, or with another KUBECONFIG; give its standard output.

        Raises subprocess.CalledProcessError, with standard error in its notes, when it fails and CHECK is set.
        """
        done = subprocess.run(
            [str(kubernetes_binary("kubectl")), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "KUBECONFIG": str(kubeconfig or self.kubeconfig)},
        )
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr)
            error.add_note(done.stderr.strip())
            raise error
        return done.stdout

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send one API request as the administrator and give the answer's object.

        Asks again when the server wants it, as all clients do. Raises ApiError for any status of 400 or above.
        """
        # Only where nothing was done: a server that has just started has no list of our kinds yet.
        asked_to_wait = urllib3.Retry(
            connect=0, read=0, other=0, status=30, status_forcelist=[429], allowed_methods=None, raise_on_status=False
        )
        with urllib3.PoolManager(ssl_context=self._tls(), timeout=30, retries=asked_to_wait) as client:
            answer = client.request(method, f"{self.server}{path}", json=body, headers={"Accept": "application/json"})
        content: dict[str, Any] = answer.json()
        if answer.status >= 400:
            raise ApiError(answer.status, str(content.get("message", answer.reason)))
        return content

    def service_account_kubeconfig(self, namespace: str, name: str, *, lifetime: int = 24 * 3600) -> Path:
        """Mint a token of LIFETIME seconds for an existing ServiceAccount and write a kubeconfig with it."""
        token = self.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": lifetime},
            },
        )["status"]["token"]
        path = self.directory / f"{namespace}-{name}.kubeconfig"
        self._write_kubeconfig(path, token=token, namespace=namespace)
        return path

    def audit_events(self, *, user: str | None = None) -> Iterator[dict[str, Any]]:
        """Read the audit log's events so far, of one USER (such as `system:serviceaccount:NS:NAME`) or of all."""
        with self.audit_log.open(encoding="utf-8") as log:
            for line in log:
                # The last line may be in the making.
                if line.endswith("\n"):
                    event = json.loads(line)
                    if user is None or event["user"]["username"] == user:
                        yield event

    def _start_etcd(self) -> None:
        # Sockets instead of ports: nobody else on the machine can read the Secrets in there.
        self._etcd_url = f"unix://{self.directory / 'etcd.sock'}"
        peers = f"unix://{self.directory / 'peer.sock'}"
        self._etcd = self._start(
            "etcd",
            etcd_binary(),
            {
                "data-dir": self.directory / "etcd",
                "listen-client-urls": self._etcd_url,
                "advertise-client-urls": self._etcd_url,
                "listen-peer-urls": peers,
                "initial-advertise-peer-urls": peers,
                "initial-cluster": f"default={peers}",
                "unsafe-no-fsync": "true",
                "log-level": "warn",
            },
        )

    def _start_controllers(self) -> None:
        kubeconfig = self.directory / "controller-manager.kubeconfig"
        client = self._authority.client("controller-manager", common_name="system:kube-controller-manager")
        self._write_kubeconfig(kubeconfig, client=client)
        self._controllers = self._start(
            "kube-controller-manager",
            kubernetes_binary("kube-controller-manager"),
            {
                "kubeconfig": kubeconfig,
                "use-service-account-credentials": "true",
                "service-account-private-key-file": self._service_account_key,
                "root-ca-file": self.ca_certificate,
                "leader-elect": "false",
                "secure-port": "0",
                "controllers": ",".join(f"{name}-controller" for name in _CONTROLLERS),
            },
        )
        # The default ServiceAccount is made by a controller: when it is there, they work.
        self._wait_ready(self._controllers, self._has_default_service_account)

    def _start(self, name: str, program: Path, options: Mapping[str, object]) -> Server:
        command: list[str | Path] = [program, *(f"--{option}={value}" for option, value in options.items())]
        return Server(
            name, command, log=self.directory / f"{name}.log", directory=self.directory, remove=self.directory
        )

    def _wait_ready(self, server: Server, ready: Any) -> None:
        def look() -> bool:
            server.require_running()
            return bool(ready())

        try:
            wait_until(look, what=f"{server.name} is ready", timeout=90)
        except TimeoutError as error:
            raise ServerError(f"{error}\n{server.end_of_log()}") from error

    def _is_ready(self) -> bool:
        try:
            with urllib3.PoolManager(ssl_context=self._tls(), timeout=5, retries=False) as client:
                return client.request("GET", f"{self.server}/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _has_default_service_account(self) -> bool:
        try:
            self.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        except ApiError as error:
            if error.status != 404:
                raise
            return False
        return True

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca_certificate))
        context.load_cert_chain(self._administrator.certificate, self._administrator.key)
        return context

    def _write_kubeconfig(
        self, path: Path, *, client: KeyPair | None = None, token: str | None = None, namespace: str = "default"
    ) -> None:
        def inline(file: Path) -> str:
            return base64.b64encode(file.read_bytes()).decode()

        user: dict[str, str] = {"token": token} if token else {}
        if client:
            user = {"client-certificate-data": inline(client.certificate), "client-key-data": inline(client.key)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "local",
                    "cluster": {"server": self.server, "certificate-authority-data": inline(self.ca_certificate)},
                }
            ],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": "user", "namespace": namespace}}],
            "current-context": "local",
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
