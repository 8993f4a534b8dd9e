# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator as people run it: a process of its own, under the account that is shipped.

`install_account` puts the shipped namespace, account and rights into a test's cluster and gives a kubeconfig for
them; OperatorProcess starts, ends and kills `dbops operator run` with it. A test that ends with its operator still
running, even by a crash of the test run, takes the operator with it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import yaml

from localstack.controlplane import ControlPlane
from localstack.paths import ROOT
from localstack.processes import free_port, wait_until

NAMESPACE = "db-provision-operator-system"
ACCOUNT = "db-provision-operator-controller-manager"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
GRACE_SECONDS = 10.0
_NOT_HERE = ("Deployment", "Service", "CustomResourceDefinition")


def install_account(cluster: ControlPlane) -> Path:
    """Apply what `operator/deploy` ships but for CRDs and Pods; give a kubeconfig of the operator's account."""
    rendered = cluster.kubectl("kustomize", str(ROOT / "operator" / "deploy"))
    wanted = [one for one in yaml.safe_load_all(rendered) if one["kind"] not in _NOT_HERE]
    cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=yaml.safe_dump_all(wanted))
    return cluster.service_account_kubeconfig(NAMESPACE, ACCOUNT)


def denied(cluster: ControlPlane, user: str = USER) -> list[str]:
    """What the API server denied USER for lack of rights, as `verb path`."""
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in cluster.audit_events(user=user)
        if event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
    ]


class OperatorProcess:
    """One operator. Its log is JSON at level debug in the file `log`, its runs are in `run_directory`."""

    def __init__(self, kubeconfig: Path, *arguments: str) -> None:
        """Prepare; ARGUMENTS are added to the command line and win over the defaults of tests."""
        self.kubeconfig = kubeconfig
        self.arguments = arguments
        self.directory = Path(tempfile.mkdtemp(prefix="dbops-operator-"))
        self.run_directory = Path(tempfile.mkdtemp(prefix="dbops-test-", dir="/dev/shm"))
        self.log = self.directory / "operator.log"
        self.probes = f"127.0.0.1:{free_port()}"
        self.measures = f"127.0.0.1:{free_port()}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it is ready."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it and remove its folders."""
        self.clean_up()

    def start(self, *, wait: bool = True) -> None:
        """Start the process, again after its end too; with WAIT, return when it says that it is ready."""
        command = [str(Path(sys.executable).with_name("dbops")), "operator", "run"]
        options = {
            "run-directory": self.run_directory,
            "health-probe-bind-address": self.probes,
            "metrics-bind-address": self.measures,
            "metrics-secure": "false",
            "operator-namespace": NAMESPACE,
            "grace-period": f"{GRACE_SECONDS:.0f}s",
            "log-level": "debug",
            "log-format": "json",
        }
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                # The kernel ends the operator with the test run, however that ends.
                ["setpriv", "--pdeathsig", "KILL", *command, *_flags(options), *self.arguments],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "KUBECONFIG": str(self.kubeconfig)},
            )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return when /readyz says so."""

        def look() -> bool:
            assert self.running(), f"the operator ended with {self.status()}\n{self.end_of_log()}"
            return self.get("/readyz")[0] == 200

        wait_until(look, what="the operator is ready", timeout=timeout)

    def stop(self) -> int:
        """End it by SIGTERM; give its exit status. Raises subprocess.TimeoutExpired after the grace period."""
        self.terminate()
        return self.wait(GRACE_SECONDS + 2)

    def terminate(self) -> None:
        """Send SIGTERM."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Wait for the end; give the exit status. Raises subprocess.TimeoutExpired after SECONDS."""
        assert self.process
        return self.process.wait(timeout=seconds)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process
        self.process.kill()
        self.process.wait(timeout=10)

    def running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    def status(self) -> int | None:
        """The exit status, or None while it runs."""
        return self.process.poll() if self.process else None

    def clean_up(self) -> None:
        """End it if it still runs, and remove its folders."""
        if self.running():
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.run_directory, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of an HTTP request to the probes, or of /metrics; (0, "") without an answer."""
        place = self.measures if path == "/metrics" else self.probes
        try:
            with urllib.request.urlopen(f"http://{place}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def scrape(self, token: str = "", path: str = "/metrics") -> tuple[int, str]:
        """Status and text of a request as Prometheus sends it to an operator with `--metrics-secure`."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"https://{self.measures}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str) -> float | None:
        """The present value of a metric without labels; None if it is not there."""
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(f"{name} "):
                return float(line.removeprefix(f"{name} "))
        return None

    def log_text(self) -> str:
        """The whole log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def log_lines(self, logger: str = "") -> list[dict[str, Any]]:
        """The log's entries, of all loggers or of one."""
        lines = [json.loads(line) for line in self.log_text().splitlines() if line.startswith("{")]
        return [line for line in lines if not logger or line["logger"] == logger]

    def end_of_log(self, lines: int = 20) -> str:
        """The last LINES of the log."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def run_processes(self) -> list[int]:
        """Process ids of all that names this operator's folder for runs, but for the operator itself."""
        own = self.process.pid if self.process else 0
        return [pid for pid in _processes_naming(self.run_directory) if pid != own]

    def run_folders(self) -> list[Path]:
        """What lies in the folder for runs."""
        return sorted(self.run_directory.iterdir())


def _flags(options: dict[str, Any]) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]


def _processes_naming(folder: Path) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(folder) in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found
