# SPDX-License-Identifier: GPL-3.0-or-later
"""The local stack's MySQL and MariaDB servers do what the other tests rely on, and end with their run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pymysql
import pytest

from localstack.mysql import MySQLLogin, MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, MySQLBinaries, MySQLRelease, binaries
from localstack.processes import wait_until

# A run of its own: starts a server, tells its process and its folder, and goes on until it is ended.
RUN = """
import signal, sys, time
# Whoever runs the tests in the background of a shell has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from localstack import mysql_binaries
from localstack.mysql import MySQLServer
with MySQLServer(mysql_binaries.binaries(getattr(mysql_binaries, sys.argv[1]))) as server:
    if "paused" in sys.argv:
        server.pause()
    print(server.directory, server.process.pid, flush=True)
    # Not signal.pause: a signal that comes just before it would be slept over.
    while True:
        time.sleep(0.05)
"""

both = pytest.mark.parametrize("release", [MYSQL_9_7, MARIADB_11_8], ids=lambda one: f"{one.engine} {one.series}")

WEAK_ADMIN = {
    *("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "CREATE USER", "RELOAD", "PROCESS"),
    *("SHOW VIEW", "TRIGGER", "LOCK TABLES"),
}
WEAK_ADMIN_GRANTS = {
    "mysql": [(WEAK_ADMIN, True), ({"CONNECTION_ADMIN", "ROLE_ADMIN"}, False)],
    "mariadb": [({*WEAK_ADMIN, "CONNECTION ADMIN"}, True)],
}


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def rows(login: MySQLLogin, statement: str) -> list[tuple[object, ...]]:
    with login.connect() as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


@pytest.mark.parametrize(
    ("release", "end", "argument"),
    [
        ("MYSQL_9_7", signal.SIGKILL, ""),
        ("MYSQL_9_7", signal.SIGINT, ""),
        ("MARIADB_11_8", signal.SIGKILL, "paused"),
        ("MARIADB_11_8", signal.SIGTERM, ""),
    ],
    ids=["kill -9", "Ctrl-C", "kill -9 with a paused server", "SIGTERM"],
)
def test_no_process_and_no_file_outlives_the_run(release: str, end: signal.Signals, argument: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN, release, argument], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout
        directory, pid = run.stdout.readline().split()
        assert exists(int(pid))
        assert Path(directory).exists()
        run.send_signal(end)
    wait_until(lambda: not exists(int(pid)), what="the process is gone")
    wait_until(lambda: not Path(directory).exists(), what="the folder is gone")


def test_every_release_serves(mysql_server: MySQLServer) -> None:
    login = mysql_server.admin
    assert rows(login, "SELECT VERSION()")[0][0].startswith(mysql_server.version)  # type: ignore[attr-defined]
    assert rows(login, "SHOW STATUS LIKE 'Ssl_cipher'")[0][1]
    with pytest.raises(pymysql.err.OperationalError, match="certificate verify failed"):
        login.connect(ssl_ca=None, ssl_verify_cert=True)
    assert mysql_server.query("SELECT 1 + %s", (1,)) == [(2,)]


@both
def test_committed_data_survives_a_crash_and_nothing_survives_the_end(release: MySQLRelease) -> None:
    with MySQLServer(binaries(release)) as server:
        server.query("CREATE DATABASE kept")
        server.query("CREATE TABLE kept.numbers (n int PRIMARY KEY)")
        server.query("INSERT INTO numbers VALUES (1)", database="kept")
        server.kill()
        server.start()
        assert server.query("SELECT n FROM kept.numbers") == [(1,)]
        pid = server.process.pid
    assert not exists(pid)
    assert not server.directory.exists()


@both
def test_server_without_tls_has_none_and_settings_go_before_ours(release: MySQLRelease) -> None:
    with MySQLServer(binaries(release), tls=False, settings={"log-bin": "binlog", "server-id": "7"}) as server:
        assert server.query("SELECT @@log_bin, @@server_id") == [(1, 7)]
        assert rows(server.admin, "SHOW STATUS LIKE 'Ssl_cipher'") == [("Ssl_cipher", "")]
        with pytest.raises(pymysql.err.OperationalError, match="SSL"):
            server.admin.connect(ssl_disabled=False, ssl={"check_hostname": False}, ssl_verify_cert=False)


@both
def test_paused_server_holds_its_sessions_and_answers_nobody(release: MySQLRelease) -> None:
    with MySQLServer(binaries(release)) as server, server.admin.connect() as session, session.cursor() as cursor:
        server.pause()
        with pytest.raises(pymysql.err.OperationalError, match="timed out"):
            # The kernel still takes the connection, so it is the greeting that does not come.
            server.admin.connect(read_timeout=1)
        server.resume()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_weak_admin_has_the_grants_of_a_managed_cloud_and_no_others(mysql_server: MySQLServer) -> None:
    # What is made with the session's own is granted to it as well.
    fresh = mysql_server.make_weak_admin("fresh_admin")
    try:
        grants = rows(fresh, "SHOW GRANTS")
    finally:
        mysql_server.query("DROP USER fresh_admin")
    found = []
    for (text,) in grants:
        grant = re.fullmatch(r"GRANT (.+) ON \*\.\* TO `fresh_admin`@`%`(.*)", str(text))
        assert grant, text
        found.append(({part.strip() for part in grant[1].split(",")}, "WITH GRANT OPTION" in grant[2]))
    assert found == WEAK_ADMIN_GRANTS[mysql_server.engine]


def test_admin_can_make_a_login_that_logs_in(
    mysql_admin: MySQLLogin, mysql_server: MySQLServer, unique: Callable[[str], str]
) -> None:
    name = unique("login")
    rows(mysql_admin, f"CREATE USER {name}@'%' IDENTIFIED BY 'not-a-secret-7'")
    login = mysql_server.login(name, "not-a-secret-7")
    assert rows(login, "SELECT CURRENT_USER()") == [(f"{name}@%",)]
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        mysql_server.login(name, "another").connect()


def test_caching_sha2_password_logs_in_without_tls(mysql: MySQLServer, unique: Callable[[str], str]) -> None:
    name = unique("sha2")
    mysql.query("CREATE USER %s@'%%' IDENTIFIED WITH caching_sha2_password BY 'not-a-secret-7'", (name,))
    # Nothing is cached yet, so the password goes over, encrypted with the server's RSA key.
    plain = {"ssl_disabled": True, "ssl_ca": None, "ssl_verify_cert": None, "ssl_verify_identity": None}
    with mysql.login(name, "not-a-secret-7").connect(**plain) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cursor.fetchone() == ("Ssl_cipher", "")


def test_client_certificate_is_asked_for(mysql_server: MySQLServer, unique: Callable[[str], str]) -> None:
    name = unique("cert")
    mysql_server.query("CREATE USER %s@'%%' IDENTIFIED BY 'not-a-secret-7' REQUIRE X509", (name,))
    login = mysql_server.login(name, "not-a-secret-7")
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        login.connect()
    pair = mysql_server.client_certificate(name)
    login.connect(ssl_cert=str(pair.certificate), ssl_key=str(pair.key)).close()


def test_client_programs_run_with_their_own_libraries(mysql_server: MySQLServer) -> None:
    programs: MySQLBinaries = mysql_server.binaries
    for name in ("mysql", "mysqldump") if programs.engine == "mysql" else ("mariadb", "mariadb-dump"):
        done = subprocess.run([programs.program(name), "--version"], capture_output=True, text=True, check=True)
        assert programs.version in done.stdout


def test_the_password_is_in_no_argument_of_any_process(mysql_server: MySQLServer) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        assert mysql_server.admin.password.encode() not in arguments, os.fsdecode(arguments)
    assert not (mysql_server.directory / "first.sql").exists()
