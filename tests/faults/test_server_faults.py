# SPDX-License-Identifier: GPL-3.0-or-later
"""A database server that fails in each of the ways that servers do, while objects are applied to it and to another.

Each time: the conditions say why, objects of the sound server are not delayed, all becomes as declared by itself when
the fault is over, and nobody was stormed meanwhile.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

import objects
import psycopg
import pytest
from operator_process import OperatorProcess

from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded
from localstack.processes import wait_until

# Well below what one try of a server that does not answer takes.
SOON = 8.0
BY_ITSELF = 90.0
SESSIONS = 12


@pytest.fixture(scope="module")
def faulty() -> Iterator[PostgreSQLServer]:
    """The server that the tests of this file break and mend."""
    settings = {"max_connections": str(SESSIONS), "superuser_reserved_connections": "0", "max_wal_senders": "0"}
    with PostgreSQLServer(embedded(), settings=settings) as server:
        yield server


@contextlib.contextmanager
def stopped(server: PostgreSQLServer) -> Iterator[None]:
    """Nothing listens on the port."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def crashed(server: PostgreSQLServer) -> Iterator[None]:
    """The server was killed, and recovers when it is started again."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def hanging(server: PostgreSQLServer) -> Iterator[None]:
    """Connections are taken, and nothing answers."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


@contextlib.contextmanager
def read_only(server: PostgreSQLServer) -> Iterator[None]:
    """The server is a replica, until it is promoted."""
    server.stop()
    (server.data / "standby.signal").touch()
    server._hand_over()
    server.start()
    try:
        yield
    finally:
        server.query("SELECT pg_promote()")
        assert server.query("SELECT pg_is_in_recovery()") == [(False,)]


@contextlib.contextmanager
def full(server: PostgreSQLServer) -> Iterator[None]:
    """Somebody else holds all connections that the server has."""
    with contextlib.ExitStack() as held:
        taken = 0

        def take() -> bool:
            nonlocal taken
            # A session of the operator's may be in the way for a moment.
            with contextlib.suppress(psycopg.OperationalError):
                held.enter_context(psycopg.connect(server.admin_dsn))
                taken += 1
            return taken == SESSIONS

        wait_until(take, what="all connections are taken")
        yield


def writable(cluster: ControlPlane, namespace: str) -> bool:
    """Whether the instance says that its server can be written to."""
    status = (objects.get(cluster, "databaseinstance", namespace, "faulty") or {}).get("status") or {}
    return any(row["name"] == "writable" and row["available"] for row in status.get("capabilities", ()))


FAULTS = {
    "stopped": (stopped, "ConnectionFailed"),
    "crashed": (crashed, "ConnectionFailed"),
    "hanging": (hanging, "ConnectionFailed"),
    "read-only": (read_only, "Unsupported"),
    "full": (full, "ConnectionFailed"),
}


@pytest.mark.feature("I08", "L10")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_shows_delays_nobody_else_and_heals_by_itself(
    operator: OperatorProcess,
    crds: ControlPlane,
    postgres: PostgreSQLServer,
    faulty: PostgreSQLServer,
    namespace: str,
    unique: Callable[..., str],
    fault: str,
) -> None:
    breaks, reason = FAULTS[fault]
    before, during, elsewhere = unique("b"), unique("d"), unique("e")
    secret, instance = objects.instance(namespace, faulty.admin, "faulty")
    # How soon it is seen that a replica was promoted.
    instance["spec"]["healthCheck"] = {"intervalSeconds": 5}
    sound = objects.instance(namespace, postgres.admin, "sound")
    objects.apply(crds, secret, instance, *sound, objects.user(namespace, "before", before, on="faulty"))
    objects.wait_ready(crds, "databaseuser", namespace, "before")
    objects.wait_ready(crds, "databaseinstance", namespace, "sound")
    with breaks(faulty):
        objects.apply(crds, objects.user(namespace, "during", during, on="faulty"))
        objects.patch(crds, "databaseuser", namespace, "before", {"spec": {"postgres": {"connectionLimit": 7}}})
        objects.apply(crds, objects.user(namespace, "elsewhere", elsewhere, on="sound"))
        objects.wait_ready(crds, "databaseuser", namespace, "elsewhere", timeout=SOON)
        for name in ("during", "before"):
            # When the instance has been found out, the object says that it waits for it, and why.
            objects.wait_reason(crds, "databaseuser", namespace, name, reason, "DependencyNotReady")
        if reason == "ConnectionFailed":
            objects.wait_reason(crds, "databaseinstance", namespace, "faulty", reason)
            message = objects.wait_reason(crds, "databaseuser", namespace, "during", "DependencyNotReady")
            assert f"not ready: {reason}" in message
        else:
            wait_until(lambda: not writable(crds, namespace), what="the instance tells that it is read-only")
    objects.wait_ready(crds, "databaseuser", namespace, "during", "before", timeout=BY_ITSELF)
    objects.wait_ready(crds, "databaseinstance", namespace, "faulty")
    limits = faulty.query("SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname IN (%s, %s)", (before, during))
    assert dict(limits) == {before: 7, during: -1}
    for login in (before, during):
        content = objects.secret_content(crds, namespace, f"{login.replace('_', '-')}-credentials")
        assert objects.log_in(content) == login


@pytest.mark.feature("I05")
def test_an_admin_password_that_was_changed_underneath(
    operator: OperatorProcess, crds: ControlPlane, faulty: PostgreSQLServer, namespace: str, unique: Callable[..., str]
) -> None:
    objects.apply(crds, *objects.instance(namespace, faulty.admin))
    objects.wait_ready(crds, "databaseinstance", namespace, "main")
    set_password = psycopg.sql.SQL("ALTER ROLE postgres PASSWORD {}")
    faulty.query(set_password.format("changed-underneath"))
    try:
        objects.apply(crds, objects.user(namespace, "app", unique("u")))
        objects.wait_reason(crds, "databaseinstance", namespace, "main", "AuthenticationFailed")
        message = objects.wait_reason(crds, "databaseuser", namespace, "app", "DependencyNotReady")
        assert "AuthenticationFailed" in message
        password = base64.b64encode(b"changed-underneath").decode()
        objects.patch(crds, "secret", namespace, "main-admin", {"data": {"password": password}})
        objects.wait_ready(crds, "databaseuser", namespace, "app", timeout=20)
    finally:
        faulty.query(set_password.format(faulty.admin.password))


class Knocks:
    """Listens where a server should be, hangs up on everybody, and notes when they came."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._listen)
        self.times: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # A closed socket does not wake who waits for it; one that is shut down does.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._socket.accept()
                self.times.append(time.monotonic())
                peer.close()

    def rounds(self) -> list[float]:
        """When each try began: what comes within a quarter of a second is one."""
        times = list(self.times)
        return [at for before, at in zip([0.0, *times], times, strict=False) if at - before > 0.25]


@pytest.mark.feature("I08")
def test_forty_objects_of_a_dead_server_are_no_storm(
    operator: OperatorProcess, crds: ControlPlane, faulty: PostgreSQLServer, namespace: str, unique: Callable[..., str]
) -> None:
    names = [f"user-{number}" for number in range(40)]
    objects.apply(crds, *objects.instance(namespace, faulty.admin))
    objects.wait_ready(crds, "databaseinstance", namespace, "main")
    faulty.stop()
    try:
        with Knocks(faulty.port) as knocks:
            objects.apply(crds, *(objects.user(namespace, name, unique("s")) for name in names))
            wait_until(lambda: len(knocks.rounds()) >= 4, what="the fourth try", timeout=120)
            rounds = knocks.rounds()
        # The pauses double; the first may be missing, when the object that met the fault and the instance that is
        # asked then come at once.
        assert rounds[3] - rounds[0] > 0.75 * (1 + 2)
        # libpq tries with TLS and without, and nothing else tries.
        assert len(knocks.times) <= 2 * len(rounds)
    finally:
        faulty.start()
    objects.wait_ready(crds, "databaseuser", namespace, *names, timeout=BY_ITSELF)
