# SPDX-License-Identifier: GPL-3.0-or-later
"""Two operators of one id: one works, the other takes over, and one that was paused does no harm when it goes on."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from objects import Body, apply, get, instance, log_in, ready, secret_content, user, wait_gone, wait_ready
from operator_process import NAMESPACE as OPERATOR_NAMESPACE
from operator_process import OperatorProcess

from dbops_operator.settings import INSTANCE_LABEL, Settings
from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded
from localstack.processes import wait_until

pytestmark = pytest.mark.feature("K04")


class Pair:
    """Two operators of one id, `leader` being the one that works."""

    def __init__(self, cluster: ControlPlane, kubeconfig: Path, id_: str) -> None:
        self.cluster, self.id = cluster, id_
        self.lease = Settings(cluster_id="", instance_id=id_).lease
        arguments = ("--leader-elect", f"--instance-id={id_}", "--standby-runs=1")
        self.both = [OperatorProcess(kubeconfig, *arguments) for _ in range(2)]
        self.leader: OperatorProcess
        self.other: OperatorProcess

    def start(self) -> None:
        """Start both, the leader first."""
        self.leader, self.other = self.both
        self.leader.start()
        wait_until(lambda: self.leads(self.leader), what="the first one leads")
        self.other.start()

    def leads(self, one: OperatorProcess) -> bool:
        """Whether it says that it leads."""
        return f'leader_election_master_status{{name="{self.lease}"}} 1.0' in one.get("/metrics")[1]

    def holder(self) -> Body:
        """The Lease."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{OPERATOR_NAMESPACE}/leases/{self.lease}"
        return self.cluster.request("GET", path)

    def mine(self, bodies: list[Body]) -> list[Body]:
        """Give BODIES with the label of these operators."""
        for body in bodies:
            if body["kind"] != "Secret":
                body["metadata"]["labels"] = {INSTANCE_LABEL: self.id}
        return bodies

    def apply(self, *bodies: Body) -> None:
        """Apply objects for these operators."""
        apply(self.cluster, *self.mine(list(bodies)))


@pytest.fixture
def pair(crds: ControlPlane, operator_kubeconfig: Path, namespace: str) -> Iterator[Pair]:
    """Two operators that look after objects with their own label."""
    made = Pair(crds, operator_kubeconfig, namespace)
    try:
        made.start()
        yield made
    finally:
        for one in made.both:
            with contextlib.suppress(ProcessLookupError):
                resume(one)
            one.clean_up()


def all_processes(one: OperatorProcess) -> list[int]:
    assert one.process
    return [one.process.pid, *one.run_processes()]


def pause(one: OperatorProcess) -> None:
    """Stop the operator and its runs, as when their machine hangs."""
    for pid in all_processes(one):
        os.kill(pid, signal.SIGSTOP)


def resume(one: OperatorProcess) -> None:
    for pid in all_processes(one):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_the_second_takes_over_from_one_that_was_killed_and_from_one_that_ends(
    pair: Pair, namespace: str, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    first, second, third = (unique("u") for _ in range(3))
    pair.apply(*instance(namespace, postgres.admin), user(namespace, "a", first))
    wait_ready(pair.cluster, "DatabaseUser", namespace, "a")
    lease = pair.holder()
    assert pair.other.get("/readyz")[0] == 200, "one that waits is ready to take over"
    assert pair.other.run_processes() == []
    assert pair.other.log_lines("dbops_operator.audit") == []
    assert not pair.leads(pair.other)

    pair.leader.kill()
    begin = time.monotonic()
    pair.apply(user(namespace, "b", second))
    wait_until(lambda: pair.leads(pair.other), what="the second one leads", timeout=15)
    print(f"leading {time.monotonic() - begin:.1f} s after kill -9")
    wait_ready(pair.cluster, "DatabaseUser", namespace, "b", timeout=10)
    assert log_in(secret_content(pair.cluster, namespace, f"{second.replace('_', '-')}-credentials")) == second
    now = pair.holder()
    assert now["spec"]["holderIdentity"] != lease["spec"]["holderIdentity"]
    assert now["spec"]["leaseTransitions"] == lease["spec"]["leaseTransitions"] + 1
    created = [one for one in pair.other.log_lines("dbops_operator.audit") if "CREATE ROLE" in one["message"]]
    assert [one["object"] for one in created] == [f"DatabaseUser/{namespace}/b"], "nothing is done twice"

    pair.leader.start()
    assert pair.other.stop() == 0
    begin = time.monotonic()
    wait_until(lambda: pair.leads(pair.leader), what="the first one leads again", timeout=4)
    print(f"leading {time.monotonic() - begin:.1f} s after the end of the other")
    pair.apply(user(namespace, "c", third))
    wait_ready(pair.cluster, "DatabaseUser", namespace, "c")


@pytest.fixture
def logging_server() -> Iterator[PostgreSQLServer]:
    """A server that writes down each statement, and whose session sent it."""
    settings = {"log_statement": "all", "log_line_prefix": "%m [%p] <%a> "}
    with PostgreSQLServer(embedded(), settings=settings) as server:
        yield server


_LINE = re.compile(r"^(\S+ \S+ \S+) \[\d+\] <(.*?)> LOG:  (?:statement|execute [^:]*): (.*)")


def statements(server: PostgreSQLServer) -> list[tuple[str, str, str]]:
    """Time, application_name and text of each statement that the server got, in its order."""
    text = server.log.read_text(encoding="utf-8", errors="replace")
    return [(found[1], found[2], found[3]) for line in text.splitlines() if (found := _LINE.match(line))]


def sent_by(server: PostgreSQLServer, epoch: str) -> list[str]:
    return [text for _time, name, text in statements(server) if name.endswith(f":{epoch}")]


def epoch_of(pair: Pair) -> str:
    return str(pair.holder()["metadata"]["annotations"]["dbops.dbprovision.io/epoch"])


def test_a_leader_that_was_paused_in_its_work_sends_nothing_when_it_goes_on(
    pair: Pair, namespace: str, logging_server: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    server, name, begun = logging_server, unique("u"), unique("begun")
    pair.apply(*instance(namespace, server.admin), user(namespace, "first", begun))
    wait_ready(pair.cluster, "DatabaseUser", namespace, "first")
    old = epoch_of(pair)
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE %s"
    with psycopg.connect(server.admin.dsn(), autocommit=False) as holding:
        holding.execute("LOCK TABLE pg_authid IN SHARE MODE")
        pair.apply(user(namespace, "app", name))
        wait_until(lambda: bool(server.query(waits, [f"%:{old}"])), what="the leader's run is within its work")
        pause(pair.leader)
        wait_until(lambda: pair.leads(pair.other), what="the second one leads", timeout=15)
        new = epoch_of(pair)
        recorded = "SELECT number FROM dbops.epoch WHERE name LIKE %s"
        wait_until(
            lambda: server.query(recorded, [f"%/{namespace}"], dbname="dbops") == [(int(new),)],
            what="the new epoch is in force on the server",
        )
        before = len(sent_by(server, old))
        assert not server.query("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE %s", [f"%:{old}"])
        holding.rollback()
    wait_ready(pair.cluster, "DatabaseUser", namespace, "app")
    pair.cluster.kubectl("delete", "databaseuser", "app", "--namespace", namespace, "--wait=false")
    wait_gone(pair.cluster, "DatabaseUser", namespace, "app")
    resume(pair.leader)
    assert pair.leader.wait(10) == 1, pair.leader.end_of_log()
    assert "the operator ends and must be started again" in pair.leader.log_text()
    wait_until(lambda: not pair.leader.run_processes(), what="its runs have ended")
    assert len(sent_by(server, old)) == before, sent_by(server, old)[before:]
    assert server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]) == []
    assert get(pair.cluster, "DatabaseUser", namespace, "app") is None
    done = [text for text in sent_by(server, new) if text.startswith(f'CREATE ROLE "{name}"')]
    assert len(done) == 1, "nothing is done twice"
    assert ready(get(pair.cluster, "DatabaseUser", namespace, "first")) == "True"
