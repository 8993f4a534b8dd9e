# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m localstack build|up|down`: what `make build-stack`, `make up` and `make down` call.

`up` starts a keeper process in the background that owns one control plane and one PostgreSQL server and
writes `stack.json` (how to reach them) into the user's cache; `down` ends the keeper, which ends the servers
and removes their data. Both may be repeated.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localstack import binaries, mysql_binaries
from localstack.controlplane import ControlPlane
from localstack.paths import cache_directory
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls
from localstack.processes import wait_until


def say(text: str) -> None:
    """Tell the user what happens, as it happens."""
    print(f"local stack: {text}", flush=True)


def state_directory() -> Path:
    """Folder of the running stack's state, readable by its owner only."""
    directory = cache_directory() / "stack"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def up() -> None:
    """Start the stack unless it runs, and print how to use it."""
    with _one_at_a_time():
        if _keeper_runs():
            say("already running")
        else:
            say("starting a control plane and a PostgreSQL server")
            _start_keeper()
        _print_use()


def down() -> None:
    """Stop the stack if it runs; its data goes with it."""
    with _one_at_a_time():
        keeper = _keeper_runs()
        if not keeper:
            say("not running")
            return
        os.kill(keeper, signal.SIGTERM)
        wait_until(lambda: not _keeper_runs(), what="the stack stops", timeout=60)
        say("stopped, data removed")


def keep() -> None:
    """Own the servers until SIGTERM; runs in the background, started by `up`."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    directory = state_directory()
    # Held for as long as this process lives: that is how `up` and `down` know that it does.
    with (directory / "keeper.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        with ControlPlane() as cluster, PostgreSQLServer(embedded_with_tls()) as server:
            state = {
                "KUBECONFIG": str(cluster.kubeconfig),
                "DBOPS_POSTGRESQL_DSN": server.admin_dsn,
                "server": {key: str(value) for key, value in server.admin.options().items()},
            }
            file = directory / "stack.json"
            file.unlink(missing_ok=True)
            file.touch(mode=0o600)
            file.write_text(json.dumps(state, indent=2), encoding="utf-8")
            print("ready", flush=True)
            signal.sigwait(signals)
            file.unlink()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (state_directory() / "command.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _keeper_runs() -> int | None:
    """Process id of the keeper if one runs: it holds a lock on the file that names it."""
    with (state_directory() / "keeper.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            return int(lock.read())
        return None


def _start_keeper() -> None:
    log = state_directory() / "keeper.log"
    with log.open("wb") as errors:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "localstack", "keep"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            cwd="/",
        )
    assert keeper.stdout
    with keeper.stdout as answers:
        for line in answers:
            if line.strip() == b"ready":
                return
    sys.exit(f"local stack: did not start\n{log.read_text(encoding='utf-8')}")


def _print_use() -> None:
    state = json.loads((state_directory() / "stack.json").read_text(encoding="utf-8"))
    say("running; to use it from this shell:")
    for name in ("KUBECONFIG", "DBOPS_POSTGRESQL_DSN"):
        print(f"export {name}={shlex.quote(state[name])}")
    print('# kubectl get namespaces; psql "$DBOPS_POSTGRESQL_DSN"; make down')


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m localstack", description=__doc__)
    parser.add_argument("command", choices=("build", "up", "down", "keep"))
    command = parser.parse_args().command
    if command == "build":
        binaries.build(say)
        binaries.helm(say)
        binaries.kstatus(say)
        binaries.s3(say)
        mysql_binaries.build(say)
    else:
        {"up": up, "down": down, "keep": keep}[command]()


if __name__ == "__main__":
    main()
