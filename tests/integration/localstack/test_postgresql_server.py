# SPDX-License-Identifier: GPL-3.0-or-later
"""The local stack's PostgreSQL servers do what the other tests rely on, and end with the run that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import PostgreSQLBinaries, installed
from localstack.processes import wait_until

# A run of its own: starts a server, tells its processes and its folder, and goes on until it is ended.
RUN = """
import signal, sys, time
# Whoever runs the tests in the background of a shell has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from localstack.postgresql import PostgreSQLServer
from localstack.supervisor import descendants
with PostgreSQLServer() as server:
    if "paused" in sys.argv:
        server.pause()
    print(server.directory, server.process.pid, *descendants(server.process.pid), flush=True)
    # Not signal.pause: a signal that comes just before it would be slept over.
    while True:
        time.sleep(0.05)
"""


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("end", "argument"),
    [(signal.SIGKILL, ""), (signal.SIGINT, ""), (signal.SIGTERM, ""), (signal.SIGKILL, "paused")],
    ids=["kill -9", "Ctrl-C", "SIGTERM", "kill -9 with a paused server"],
)
def test_no_process_and_no_file_outlives_the_run(end: signal.Signals, argument: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN, argument], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout
        directory, *pids = run.stdout.readline().split()
        run.send_signal(end)
        processes = [int(pid) for pid in pids]
    # The server and its children; some of these, such as a session's, end by themselves at any time.
    assert len(processes) > 1
    wait_until(lambda: not any(exists(pid) for pid in processes), what="all processes are gone")
    wait_until(lambda: not Path(directory).exists(), what="the folder is gone")


@pytest.mark.parametrize("binaries", installed(), ids=lambda found: f"{found.name}-{found.version}")
def test_every_installed_postgresql_serves(binaries: PostgreSQLBinaries) -> None:
    with PostgreSQLServer(binaries) as server:
        with psycopg.connect(server.admin_dsn) as connection:
            assert connection.info.server_version // 10000 == binaries.version
            assert connection.pgconn.ssl_in_use == binaries.tls
        server.query("CREATE TABLE kept (n int)")
        server.kill()
        server.start()
        assert server.query("SELECT count(*) FROM kept") == [(0,)]


def test_weak_admin_is_no_superuser_and_can_create(postgres: PostgreSQLServer, unique: Callable[[str], str]) -> None:
    role = unique("role")
    with psycopg.connect(postgres.weak_admin().dsn(), autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE ROLE {}").format(psycopg.sql.Identifier(role)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("ALTER SYSTEM SET work_mem = '1MB'")
    assert postgres.query("SELECT rolsuper FROM pg_roles WHERE rolname = %s", (role,)) == [(False,)]


def test_paused_server_holds_its_sessions_and_answers_nobody(tmp_path: Path) -> None:
    with PostgreSQLServer() as server, psycopg.connect(server.admin_dsn) as session:
        server.pause()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(server.admin_dsn, connect_timeout=2)
        server.resume()
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_client_certificate_logs_in_without_a_password(postgres: PostgreSQLServer) -> None:
    postgres.set_authentication_rules("hostssl all weak_admin 127.0.0.1/32 cert")
    try:
        pair = postgres.client_certificate("weak_admin")
        dsn = postgres.login("weak_admin", "").dsn()
        with psycopg.connect(dsn, sslcert=str(pair.certificate), sslkey=str(pair.key)) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("weak_admin",)
    finally:
        postgres.set_authentication_rules()


def test_the_password_is_in_no_argument_of_any_process(postgres: PostgreSQLServer) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        assert postgres.admin.password.encode() not in arguments, os.fsdecode(arguments)
