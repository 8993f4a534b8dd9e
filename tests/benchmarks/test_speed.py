# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: how fast it is, against what is on the machine; prints the figures and writes docs/performance.md.

The servers are of this run alone. Ratios compare two things in one run; absolute figures are this machine's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from installation import install_crds
from operator_process import OperatorProcess, install_account

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge
from localstack.controlplane import ControlPlane
from localstack.paths import ROOT, kubernetes_version
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls
from localstack.processes import wait_until

PATH = "/apis/dbops.dbprovision.io/v1alpha1/namespaces/bench"
PAGE = ROOT / "docs" / "performance.md"
MARKS = ("<!-- figures: begin -->", "<!-- figures: end -->")
BURST = 200
MANY = 1000


class Bench:
    """A cluster, a server and an operator for the benchmarks, and the figures so far."""

    def __init__(self, cluster: ControlPlane, server: PostgreSQLServer, operator: OperatorProcess) -> None:
        self.cluster = cluster
        self.server = server
        self.operator = operator
        self.figures: list[tuple[str, str]] = []

    def note(self, what: str, figure: str) -> None:
        """Print a figure and keep it for the page."""
        print(f"\n{what}: {figure}", flush=True)
        self.figures.append((what, figure))

    def user(self, name: str) -> dict[str, Any]:
        """A DatabaseUser of the smallest kind."""
        return {
            "apiVersion": "dbops.dbprovision.io/v1alpha1",
            "kind": "DatabaseUser",
            "metadata": {"name": name, "namespace": "bench"},
            "spec": {"instanceRef": {"name": "main"}, "username": name.replace("-", "_")},
        }

    def create(self, name: str) -> None:
        """Create a DatabaseUser."""
        self.cluster.request("POST", f"{PATH}/databaseusers", self.user(name))

    def is_ready(self, name: str) -> bool:
        """Whether a DatabaseUser is Ready."""
        return ready(self.cluster.request("GET", f"{PATH}/databaseusers/{name}"))

    def count_ready(self) -> int:
        """How many DatabaseUsers are Ready."""
        return sum(ready(item) for item in self.cluster.request("GET", f"{PATH}/databaseusers")["items"])

    def apply(self, prefix: str, count: int) -> float:
        """Create COUNT users at once; give the seconds until all are Ready."""
        begin = time.monotonic()
        users = {"apiVersion": "v1", "kind": "List", "items": [self.user(f"{prefix}-{n}") for n in range(count)]}
        self.cluster.kubectl("create", "--filename", "-", stdin=json.dumps(users))
        # kubectl watches: asking again and again would be a load of its own.
        arguments = ("databaseusers", "--all", "--for=condition=Ready", "--timeout=300s")
        self.cluster.kubectl("wait", "--namespace", "bench", *arguments)
        return time.monotonic() - begin


def ready(body: dict[str, Any]) -> bool:
    """Whether the condition Ready of BODY is True."""
    conditions = body.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with ControlPlane() as cluster, PostgreSQLServer(embedded_with_tls()) as server:
        install_crds(cluster)
        with OperatorProcess(install_account(cluster), "--log-level=info") as operator:
            cluster.kubectl("create", "namespace", "bench")
            secret = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "admin", "namespace": "bench"},
                "stringData": {"username": server.admin.user, "password": server.admin.password},
            }
            cluster.request("POST", "/api/v1/namespaces/bench/secrets", secret)
            connection = {
                "host": server.host,
                "port": server.port,
                "database": "postgres",
                "secretRef": {"name": "admin"},
            }
            instance = {
                "apiVersion": "dbops.dbprovision.io/v1alpha1",
                "kind": "DatabaseInstance",
                "metadata": {"name": "main", "namespace": "bench"},
                "spec": {"engine": "postgres", "connection": connection},
            }
            cluster.request("POST", f"{PATH}/databaseinstances", instance)
            cluster.kubectl("wait", "-n", "bench", "--for=condition=Ready", "--timeout=60s", "databaseinstance/main")
            bench = Bench(cluster, server, operator)
            yield bench
            write_page(bench.figures)


def write_page(figures: list[tuple[str, str]]) -> None:
    """Put the FIGURES into the page, between its marks."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 2**20
    machine = (
        f"Measured by `make bench` on {time.strftime('%Y-%m-%d')}: {len(os.sched_getaffinity(0))} cores "
        f"({cpu.partition(':')[2].strip()}), {memory} GiB, Python {sys.version.split()[0]}, "
        f"Kubernetes {kubernetes_version()}, PostgreSQL 17."
    )
    rows = "\n".join(f"| {what} | {figure} |" for what, figure in figures)
    table = f"{MARKS[0]}\n{machine}\n\n| what | figure |\n| --- | --- |\n{rows}\n{MARKS[1]}"
    text = PAGE.read_text(encoding="utf-8")
    begin, end = text.index(MARKS[0]), text.index(MARKS[1]) + len(MARKS[1])
    PAGE.write_text(text[:begin] + table + text[end:], encoding="utf-8")


def milliseconds(work: Callable[[], object]) -> float:
    """How long WORK takes."""
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def quartiles(values: list[float]) -> str:
    """Median and 95th percentile for people."""
    return f"median {statistics.median(values):.0f} ms, p95 {statistics.quantiles(values, n=20)[-1]:.0f} ms"


def test_playbook_with_nothing_to_change_against_bare_psycopg(bench: Bench, tmp_path: Path) -> None:
    variables = {
        "server_login_port": bench.server.port,
        "server_login_password": bench.server.admin.password,
        "server_users": [{"name": "bench_owner"}],
        "server_databases": [{"name": "bench", "owner": "bench_owner"}],
    }
    file = tmp_path / "variables.yml"
    file.touch(mode=0o600)
    file.write_text(json.dumps(variables), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "dbprovision.dbops.server", "-e", f"@{file}"]

    def playbook() -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def bare() -> None:
        with psycopg.connect(bench.server.admin_dsn) as connection:
            connection.execute("SELECT * FROM pg_roles WHERE rolname = 'bench_owner'").fetchall()
            connection.execute("SELECT * FROM pg_database WHERE datname = 'bench'").fetchall()

    playbook()
    assert "changed=0" in playbook()
    runs = [milliseconds(playbook) for _ in range(5)]
    floor = [milliseconds(bare) for _ in range(20)]
    ratio = statistics.median(runs) / statistics.median(floor)
    text = f"{statistics.median(runs):.0f} ms, {ratio:.0f} times the same look by bare psycopg"
    bench.note("a playbook for one database and one login, nothing to change", text)


def test_apply_to_ready_of_one_user_on_an_idle_operator(bench: Bench) -> None:
    times = []
    for number in range(30):
        wait_until(lambda: (bench.operator.metric("dbops_standby_runs") or 0) >= 2, what="runs wait for work")
        name = f"single-{number}"

        def apply(name: str = name) -> None:
            bench.create(name)
            wait_until(lambda: bench.is_ready(name), what="the user is Ready", interval=0.003)

        times.append(milliseconds(apply))
    connection = bench.server.admin.options()
    direct = []
    for number in range(30):
        owner = {"cluster": "bench", "kind": "DatabaseUser", "namespace": "bench", "name": f"direct-{number}"}
        one = {"kind": "database_user", "name": f"direct_{number}", "password": f"pw{number}" * 8}
        request = {
            "connection": connection,
            "objects": [{**one, "verify_login": True, "dbops_owner": owner}],
            "check": False,
        }
        direct.append(milliseconds(lambda request=request: converge(request)))
    ratio = statistics.median(times) / statistics.median(direct)
    bench.note("apply to Ready of one DatabaseUser, idle operator, 30 times", quartiles(times))
    bench.note("the same engine call made directly", f"{quartiles(direct)}; apply to Ready is {ratio:.1f} times that")


def test_two_hundred_users_at_once(bench: Bench) -> None:
    before = cpu_seconds()
    seconds = bench.apply("burst", BURST)
    after = cpu_seconds()
    used = ", ".join(f"{name} {after[name] - before.get(name, 0):.1f}" for name in sorted(after))
    bench.note(f"{BURST} DatabaseUsers applied at once", f"{seconds:.1f} s, {BURST / seconds:.0f} per second")
    bench.note("CPU seconds of that, by process", used)


def test_memory_with_a_thousand_objects(bench: Bench) -> None:
    bench.apply("many", MANY - bench.count_ready())
    assert bench.operator.process
    operator = resident(bench.operator.process.pid)
    runs = sum(resident(pid) for pid in bench.operator.run_processes())
    text = f"operator {operator:.0f} MiB, its standby runs {runs:.0f} MiB"
    bench.note(f"resident memory with {MANY} DatabaseUsers", text)


def resident(pid: int) -> float:
    """Resident memory of a process in MiB, pages shared with others divided among them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


_NAMES = {
    "kube-apiserver": "API server",
    "etcd": "etcd",
    "ansible-playbook": "operator with its runs",
    "postgres": "PostgreSQL",
    "operator\0run": "operator with its runs",
}


def cpu_seconds() -> dict[str, float]:
    """CPU seconds so far by kind of process, with those of their ended children."""
    ticks = os.sysconf("SC_CLK_TCK")
    used: dict[str, float] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text(encoding="utf-8", errors="replace")
            fields = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        for word, name in _NAMES.items():
            if word in command:
                used[name] = used.get(name, 0) + sum(int(field) for field in fields[11:15]) / ticks
                break
    return used
