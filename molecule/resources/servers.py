# SPDX-License-Identifier: GPL-3.0-or-later
"""The servers of a scenario: `start FOLDER` by create.yml, `stop FOLDER` by destroy.yml.

A process of its own keeps them between the steps of a scenario and writes the inventory that the other steps use,
FOLDER/inventory/servers.yml: a host for each server. The roles connect by the variables `dbops_login_host` and so
on, as the admin account that managed clouds give; `server` has the options that connect as superuser, for the judge.
With the variable DBOPS_RUN, a process id, in the environment the servers end with that process at the latest.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import yaml

from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7
from localstack.mysql_binaries import binaries as mysql_binaries
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded, embedded_with_tls
from localstack.processes import wait_until

LONGEST = 3600
"""Seconds after which forgotten servers end."""


def start(folder: Path) -> None:
    """Start the process that keeps the servers; return when they take connections."""
    log = folder / "servers.log"
    with log.open("wb") as errors:
        keeper = subprocess.Popen(
            [sys.executable, __file__, "keep", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd="/",
        )
    assert keeper.stdout
    if keeper.stdout.readline() != b"ready\n":
        sys.exit(f"the servers did not start\n{log.read_text(encoding='utf-8')}")
    print("started")


def keep(folder: Path) -> None:
    """Own the servers until SIGTERM."""
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGALRM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    if "DBOPS_RUN" in os.environ:
        threading.Thread(target=end_with, args=[int(os.environ["DBOPS_RUN"])], daemon=True).start()
    inventory, pid = folder / "inventory" / "servers.yml", folder / "servers.pid"
    with ExitStack() as stack:
        groups: dict[str, dict[str, object]] = {"postgresql": {}, "mysql": {}}
        for binaries in (embedded_with_tls(), embedded()):
            postgresql = stack.enter_context(PostgreSQLServer(binaries))
            name = f"postgresql{postgresql.version}"
            groups["postgresql"][name] = host(postgresql, "postgres", folder / name, binaries.directory)
        for release in (MYSQL_9_7, MARIADB_11_8):
            mysql = stack.enter_context(MySQLServer(mysql_binaries(release)))
            tools = mysql.binaries.directory / "bin"
            groups["mysql"][mysql.engine] = host(mysql, mysql.engine, folder / mysql.engine, tools)
        everywhere = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory.touch(mode=0o600)
        children = {name: {"hosts": hosts} for name, hosts in groups.items()}
        content = {"all": {"children": children, "vars": everywhere}}
        inventory.write_text(yaml.safe_dump(content), encoding="utf-8")
        pid.write_text(str(os.getpid()), encoding="ascii")
        print("ready", flush=True)
        signal.alarm(LONGEST)
        signal.sigwait(signals)
    inventory.unlink()
    pid.unlink()


def host(server: PostgreSQLServer | MySQLServer, engine: str, store: Path, tools: Path) -> dict[str, object]:
    """Variables of a server's host; its backups go into the folder STORE, made with the programs in TOOLS."""
    weak = {f"dbops_{name}": value for name, value in server.weak_admin().options().items()}
    store.mkdir(exist_ok=True)
    backups = {"store": {"type": "file", "file": {"path": str(store)}}, "tools": str(tools)}
    return {"server": server.admin.options(), "dbops_engine": engine, **backups, **weak}


def end_with(run: int) -> None:
    """End this process when RUN has ended."""
    try:
        select.select([os.pidfd_open(run)], [], [])
    except ProcessLookupError:
        print(f"process {run} is gone already", file=sys.stderr)
    os.kill(os.getpid(), signal.SIGTERM)


def stop(folder: Path) -> None:
    """End the servers of FOLDER if they run; return when they are gone."""
    pid = folder / "servers.pid"
    if pid.exists():
        os.kill(int(pid.read_text(encoding="ascii")), signal.SIGTERM)
        wait_until(lambda: not pid.exists(), what="the servers end")
        print("stopped")


if __name__ == "__main__":
    {"start": start, "keep": keep, "stop": stop}[sys.argv[1]](Path(sys.argv[2]))
