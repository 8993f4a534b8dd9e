# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator and a small playbook on PostgreSQL: how long from apply to Ready, bursts, memory.

The cluster and the server are of this run alone. Ratios compare two things in one run; absolute figures are this
machine's.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import objects
import psycopg
import pytest
from benchmarks.measures import Connection, Figures, Watch, cpu_seconds, resident, spread
from installation import install_crds
from operator_process import OperatorProcess, install_account

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge
from dbops_operator.settings import Settings
from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls
from localstack.processes import wait_until

NAMESPACE = "bench"
SINGLE = 30
BURST = 200
BURSTS = 3
MANY = 1000


class Bench:
    """A cluster, a server and an idle operator for the benchmarks."""

    def __init__(
        self, cluster: ControlPlane, server: PostgreSQLServer, operator: OperatorProcess, figures: Figures
    ) -> None:
        self.cluster = cluster
        self.server = server
        self.operator = operator
        self.connection = Connection(cluster)
        self.watch = Watch(cluster, NAMESPACE)
        self.note = figures.note
        self._numbers = itertools.count()

    def users(self, count: int) -> list[objects.Body]:
        """DatabaseUsers of the smallest kind that were not there before."""
        numbers = itertools.islice(self._numbers, count)
        return [objects.user(NAMESPACE, f"user-{number}", f"user_{number}") for number in numbers]

    def wait_idle(self) -> None:
        """Return when the operator has all its runs waiting and nothing to do."""
        runs = Settings(cluster_id="").standby_runs

        def look() -> bool:
            metric = self.operator.metric
            return metric("dbops_standby_runs") == runs and metric("dbops_queue_working") == 0

        wait_until(look, what="the operator is idle", timeout=60)

    def burst(self, count: int) -> float:
        """Have COUNT users created by kubectl from one file; give the seconds until the last one is Ready."""
        users = self.users(count)
        begin = time.monotonic()
        objects_list = {"apiVersion": "v1", "kind": "List", "items": users}
        self.cluster.kubectl("create", "--filename", "-", stdin=json.dumps(objects_list))
        return self.watch.wait(*(user["metadata"]["name"] for user in users)) - begin


@pytest.fixture(scope="module")
def bench(figures: Figures) -> Iterator[Bench]:
    with ControlPlane() as cluster, PostgreSQLServer(embedded_with_tls()) as server:
        install_crds(cluster)
        with OperatorProcess(install_account(cluster), "--log-level=info") as operator:
            cluster.kubectl("create", "namespace", NAMESPACE)
            objects.apply(cluster, *objects.instance(NAMESPACE, server.admin))
            objects.wait_ready(cluster, "databaseinstance", NAMESPACE, "main")
            yield Bench(cluster, server, operator, figures)


def milliseconds(work: Callable[[], object]) -> float:
    """How long WORK takes."""
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def test_playbook_with_nothing_to_change_against_bare_psycopg(bench: Bench, tmp_path: Path) -> None:
    owner, database = {"name": "bench_owner"}, {"name": "bench", "owner": "bench_owner"}
    variables = {
        "server_login_port": bench.server.port,
        "server_login_password": bench.server.admin.password,
        "server_users": [owner],
        "server_databases": [database],
    }
    file = tmp_path / "variables.yml"
    file.touch(mode=0o600)
    file.write_text(json.dumps(variables), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "dbprovision.dbops.server", "-e", f"@{file}"]

    def playbook() -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def engine() -> None:
        request = {
            "connection": bench.server.admin.options(),
            "objects": [{"kind": "database_user", **owner}, {"kind": "database", **database}],
            "check": False,
        }
        assert not converge(request)["changed"]

    def bare() -> None:
        with psycopg.connect(bench.server.admin_dsn) as connection:
            connection.execute("SELECT * FROM pg_roles WHERE rolname = 'bench_owner'").fetchall()
            connection.execute("SELECT * FROM pg_database WHERE datname = 'bench'").fetchall()

    playbook()
    assert "changed=0" in playbook()
    bench.wait_idle()
    runs = statistics.median(milliseconds(playbook) for _ in range(7))
    calls = statistics.median(milliseconds(engine) for _ in range(20))
    floor = statistics.median(milliseconds(bare) for _ in range(20))
    text = f"{runs:.0f} ms: {runs / floor:.0f} times a look at the two by bare psycopg ({floor:.0f} ms), of which "
    bench.note(
        "(a) `ansible-playbook` for one database and one login, nothing to change", f"{text}the engine {calls:.0f} ms"
    )


def test_apply_to_ready_of_one_user_on_an_idle_operator(bench: Bench) -> None:
    times = []
    for user in bench.users(SINGLE):
        bench.wait_idle()
        begin = time.monotonic()
        bench.connection.create(objects.path("databaseuser", NAMESPACE), user)
        times.append((bench.watch.wait(user["metadata"]["name"]) - begin) * 1000)
    bench.wait_idle()
    direct = []
    for number in range(SINGLE):
        owner = {"cluster": "bench", "kind": "DatabaseUser", "namespace": "bench", "name": f"direct-{number}"}
        one = {"kind": "database_user", "name": f"direct_{number}", "password": f"pw{number}" * 8, "verify_login": True}
        # As the operator connects for an instance that says nothing about TLS.
        options = {**bench.server.admin.options(), "ssl_mode": "disable"}
        request = {"connection": options, "objects": [{**one, "dbops_owner": owner}], "check": False}
        direct.append(milliseconds(lambda request=request: converge(request)))
    ratio = statistics.median(times) / statistics.median(direct)
    bench.note(f"(b) apply to Ready of one DatabaseUser, idle operator, {SINGLE} times", spread(times))
    bench.note("(b) the same engine call made directly", f"{spread(direct)}; apply to Ready is {ratio:.1f} times that")


def test_two_hundred_users_at_once(bench: Bench) -> None:
    seconds = []
    used: dict[str, float] = {}
    for _ in range(BURSTS):
        bench.wait_idle()
        before = cpu_seconds()
        seconds.append(bench.burst(BURST))
        bench.wait_idle()
        for name, after in cpu_seconds().items():
            used[name] = used.get(name, 0) + (after - before[name]) / BURSTS
    rates = sorted(BURST / one for one in seconds)
    rate = statistics.median(rates)
    text = f"{rate:.0f} per second ({BURST / rate:.1f} s; {rates[0]:.0f} to {rates[-1]:.0f} in {BURSTS} bursts)"
    bench.note(f"(c) {BURST} DatabaseUsers by one `kubectl create`, until the last is Ready", text)
    parts = ", ".join(f"{name} {spent:.1f}" for name, spent in sorted(used.items(), key=lambda item: -item[1]))
    bench.note("(c) CPU seconds of that, until the operator is idle again", f"{sum(used.values()):.1f}: {parts}")


def test_memory_with_a_thousand_objects(bench: Bench) -> None:
    present = len(objects.all_of(bench.cluster, "databaseuser", NAMESPACE))
    while present < MANY:
        bench.burst(min(BURST, MANY - present))
        present += BURST
    bench.wait_idle()
    assert bench.operator.process
    operator = resident(bench.operator.process.pid)
    runs = sum(resident(pid) for pid in bench.operator.run_processes())
    waiting = Settings(cluster_id="").standby_runs
    bench.note(f"(d) memory of the operator with {MANY} DatabaseUsers (PSS)", f"{operator:.0f} MiB")
    bench.note(f"(d) memory of its {waiting} standby runs", f"{runs:.0f} MiB")
