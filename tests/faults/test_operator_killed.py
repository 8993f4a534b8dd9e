# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator killed again and again while objects come, change and go: in the end all is as declared.

The seed is printed and can be given by DBOPS_SEED, so that a run can be repeated.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
from typing import Any

import pytest
from installation import install_crds
from objects import Body, all_of, apply, database, get, instance, log_in, ready, secret_content, user
from operator_process import NAMESPACE as OPERATOR_NAMESPACE
from operator_process import OperatorProcess, install_account

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls
from localstack.processes import wait_until

NAMESPACE = "killed"
KINDS = ("databaseuser", "database")
RETAIN = {"dbops.dbprovision.io/deletion-policy": "Retain"}


class Thing:
    """A login, or a login and a database that it owns, and what is declared of it at present."""

    def __init__(self, number: int, *, with_database: bool) -> None:
        self.number = number
        self.with_database = with_database
        # What its policy leaves on the server is nobody's afterwards, so every life of it has names of its own.
        self.retained = number % 4 == 3
        self.life = 0
        self.limit: int | None = None

    @property
    def id(self) -> str:
        """The part of all names in this life."""
        return f"{self.number}_{self.life}" if self.retained else str(self.number)

    @property
    def login(self) -> str:
        """The account."""
        return f"login_{self.id}"

    @property
    def database(self) -> str:
        """The database, if it has one."""
        return f"db_{self.id}"

    @property
    def objects(self) -> list[tuple[str, str]]:
        """Kind and name of its objects, in the order in which they are deleted."""
        name = self.id.replace("_", "-")
        return [("database", f"db-{name}")] * self.with_database + [("databaseuser", f"user-{name}")]

    def bodies(self, limit: int) -> list[Body]:
        """Its manifests with one value that changes."""
        annotations = RETAIN if self.retained else {}
        name = self.id.replace("_", "-")
        login = user(NAMESPACE, f"user-{name}", self.login, annotations=annotations)
        login["spec"]["postgres"] = {"connectionLimit": limit, "createDB": bool(limit % 2)}
        if not self.with_database:
            return [login]
        policy = "Retain" if self.retained else "Delete"
        settings = {"connectionLimit": limit}
        declared = database(
            NAMESPACE, f"db-{name}", self.database, owner=self.login, deletionPolicy=policy, postgres=settings
        )
        return [declared, login]


class Changes:
    """A random stream of applies, edits and deletes, and what must be there in the end."""

    def __init__(
        self, cluster: ControlPlane, server: PostgreSQLServer, seed: int, *, users: int, databases: int
    ) -> None:
        self.cluster = cluster
        self.server = server
        self.random = random.Random(seed)
        self.things = [Thing(number, with_database=number < databases) for number in range(users)]
        self.must_stay: set[str] = set()
        self.may_stay: set[str] = set()
        self.counts = {"applied": 0, "changed": 0, "deleted": 0}
        self._going: dict[int, list[tuple[str, str]]] = {}
        self._over = threading.Event()

    def all_at_once(self) -> None:
        """Declare everything."""
        apply(self.cluster, *(body for thing in self.things for body in self._declare(thing)))

    def _declare(self, thing: Thing) -> list[Body]:
        self.counts["applied" if thing.limit is None else "changed"] += 1
        thing.limit = self.random.randint(1, 50)
        return thing.bodies(thing.limit)

    def one(self) -> None:
        """Do one random thing: declare, change, or delete."""
        thing = self.random.choice(self.things)
        if not self._is_gone(thing):
            return
        if thing.limit is None or self.random.random() < 0.7:
            apply(self.cluster, *self._declare(thing))
            return
        self.counts["deleted"] += 1
        thing.limit = None
        if thing.retained:
            names = {thing.login, thing.database}
            self.may_stay |= names
            # What was not made yet may be made until the deletion is seen, or never.
            self.must_stay |= names & present(self.server).keys()
        self._going[thing.number] = list(thing.objects)
        self._delete_next(thing)
        thing.life += 1

    def _is_gone(self, thing: Thing) -> bool:
        """Whether what was deleted before is gone, so that the thing can be declared anew; goes on deleting."""
        going = self._going.get(thing.number)
        if not going:
            return True
        if get(self.cluster, going[0][0], NAMESPACE, going[0][1]):
            return False
        del going[0]
        self._delete_next(thing)
        return not going

    def _delete_next(self, thing: Thing) -> None:
        for kind, name in self._going[thing.number][:1]:
            self.cluster.kubectl("delete", kind, name, "--namespace", NAMESPACE, "--wait=false")

    def go_on(self) -> None:
        """Do random things until `end`; then delete what is left of those that were half deleted."""
        while not self._over.is_set():
            self.one()
        for thing in self.things:
            wait_until(lambda thing=thing: self._is_gone(thing), what="a deleted object is gone", timeout=180)

    def end(self) -> None:
        """Let the stream end after what it does now."""
        self._over.set()


def settled(cluster: ControlPlane) -> bool:
    """Whether every object is Ready at its present generation."""
    return all(ready(one) == "True" for kind in KINDS for one in all_of(cluster, kind, NAMESPACE))


def present(server: PostgreSQLServer) -> dict[str, tuple[Any, ...]]:
    """The roles and databases of this test with their attributes."""
    roles = server.query(
        "SELECT rolname, rolconnlimit, rolcreatedb, rolcanlogin FROM pg_roles WHERE rolname LIKE 'login\\_%'"
    )
    databases = server.query(
        "SELECT datname, datconnlimit, pg_get_userbyid(datdba)::text FROM pg_database WHERE datname LIKE 'db\\_%'"
    )
    return {row[0]: row[1:] for row in (*roles, *databases)}


def require_as_declared(cluster: ControlPlane, server: PostgreSQLServer, changes: Changes) -> None:
    """The server has exactly what is declared and what was to stay, and every Secret logs in."""
    declared: dict[str, tuple[Any, ...]] = {}
    for thing in changes.things:
        if thing.limit is not None:
            declared[thing.login] = (thing.limit, bool(thing.limit % 2), True)
            if thing.with_database:
                declared[thing.database] = (thing.limit, thing.login)
    there = present(server)
    assert {name: value for name, value in there.items() if name in declared} == declared
    assert there.keys() - declared.keys() <= changes.may_stay, "orphaned"
    assert changes.must_stay <= there.keys(), "dropped in spite of its policy"
    logins = {thing.login for thing in changes.things if thing.limit is not None}
    for login in logins:
        assert log_in(secret_content(cluster, NAMESPACE, f"{login.replace('_', '-')}-credentials")) == login
    expected = {"main-admin", *(f"{login.replace('_', '-')}-credentials" for login in logins)}
    # Garbage collection takes them; the cluster's controller looks for new kinds of owners every half minute.
    wait_until(
        lambda: {one["metadata"]["name"] for one in all_of(cluster, "secret", NAMESPACE)} == expected,
        what="only Secrets of what is declared are left",
        timeout=90,
    )
    states = [one["metadata"].get("annotations") or {} for one in all_of(cluster, "secret", OPERATOR_NAMESPACE)]
    assert len([one for one in states if f"{NAMESPACE}/" in str(one)]) == len(logins)
    assert server.query("SELECT name FROM dbops.object WHERE state = 'intent'", dbname="dbops") == []


def require_nothing_left(operator: OperatorProcess, server: PostgreSQLServer) -> None:
    """No process, folder or session of an operator that has ended."""
    wait_until(lambda: not operator.run_processes(), what="no process of a run is left")
    assert operator.run_folders() == []
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> %s"
    wait_until(lambda: server.query(sessions, ["localstack"]) == [(0,)], what="no session is left")


def kill_again_and_again(kills: int, *, users: int, databases: int) -> None:
    """Kill the operator KILLS times at random moments of a random stream of changes; then look."""
    seed = int(os.environ.get("DBOPS_SEED") or secrets.randbelow(2**32))
    print(f"DBOPS_SEED={seed}")
    moments = random.Random(seed + 1)
    with ControlPlane() as cluster, PostgreSQLServer(embedded_with_tls()) as server:
        install_crds(cluster)
        kubeconfig = install_account(cluster)
        cluster.kubectl("create", "namespace", NAMESPACE)
        apply(cluster, *instance(NAMESPACE, server.admin))
        changes = Changes(cluster, server, seed, users=users, databases=databases)
        # The brake on drops is another test's: here they are meant.
        operator = OperatorProcess(kubeconfig, "--drop-brake=0")
        in_work = 0
        try:
            operator.start()
            changes.all_at_once()
            stream = threading.Thread(target=changes.go_on)
            stream.start()
            pause = threading.Event()
            for _ in range(kills):
                pause.wait(moments.uniform(0.02, 2.0))
                in_work += (operator.metric("dbops_queue_working") or 0) > 0
                operator.kill()
                # Also while it starts.
                operator.start(wait=moments.random() < 0.7)
            changes.end()
            stream.join(timeout=200)
            print(f"{kills} kills, {in_work} of them with work begun; {changes.counts}")
            assert not stream.is_alive(), f"the stream of changes hangs\n{operator.end_of_log()}"
            wait_until(lambda: settled(cluster), what="every object is Ready", timeout=180)
            require_as_declared(cluster, server, changes)
            assert operator.stop() == 0
            require_nothing_left(operator, server)
        finally:
            changes.end()
            operator.clean_up()


@pytest.mark.feature("L14")
def test_killed_operator_leaves_everything_as_declared() -> None:
    kill_again_and_again(8, users=20, databases=8)


@pytest.mark.slow
@pytest.mark.feature("L14")
@pytest.mark.timeout(1200)
def test_operator_killed_at_fifty_moments() -> None:
    kill_again_and_again(50, users=50, databases=20)
