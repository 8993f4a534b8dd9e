# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers as child processes that end with the run, and the loopback ports they listen on.

Used by the control plane and the database servers; each server goes through localstack.supervisor.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from localstack.supervisor import descendants

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_given_ports: set[int] = set()
_given_ports_lock = threading.Lock()


class ServerError(Exception):
    """A server did not start, stop or answer as it should; the message ends with the end of its log."""


def free_port() -> int:
    """Give a TCP port that is free on loopback now and was not given to this process before."""
    with _given_ports_lock:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in _given_ports:
                _given_ports.add(port)
                return port


def wait_until(condition: Callable[[], bool], *, what: str, timeout: float = 30.0, interval: float = 0.02) -> None:
    """Return as soon as CONDITION holds; raise TimeoutError naming WHAT after TIMEOUT seconds.

    The pause between two looks grows from INTERVAL to a quarter of a second.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:.0f} s")
        time.sleep(interval)
        interval = min(interval * 1.5, 0.25)


def _send_all(processes: Sequence[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


class Server:
    """One server process. `pid` is the server's own, not that of its supervisor."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
        remove: Path | None = None,
    ) -> None:
        """Start COMMAND in DIRECTORY, as USER (uid, gid) if given, with its output appended to LOG.

        REMOVE is a folder to delete if the run ends without having stopped the server.
        """
        self.name = name
        self.log = log
        order = {
            "command": [str(part) for part in command],
            "directory": str(directory),
            "environment": dict(os.environ if environment is None else environment),
            "group": user[1] if user else None,
            "remove": str(remove) if remove else None,
            "run": os.getpid(),
            "user": user[0] if user else None,
        }
        with log.open("ab") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SUPERVISOR)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        with self._supervisor.stdin as orders:
            orders.write(json.dumps(order).encode())
        with self._supervisor.stdout as answers:
            line = answers.readline()
        if not line:
            raise ServerError(f"{name} did not start\n{self.end_of_log()}")
        self.pid = int(line)

    def running(self) -> bool:
        """Whether the server still runs (a stopped one, see `pause`, does)."""
        return self._supervisor.poll() is None

    def require_running(self) -> None:
        """Raise ServerError if the server has ended."""
        if not self.running():
            raise ServerError(f"{self.name} ended with status {self._supervisor.returncode}\n{self.end_of_log()}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server; a server that has ended gets none."""
        if self.running():
            # It may have ended all the same, while its supervisor clears up after it.
            _send_all([self.pid], number)

    def pause(self) -> None:
        """Stop the server and its children without ending them: they hold their connections and answer nothing."""
        self.send(signal.SIGSTOP)
        _send_all(descendants(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        _send_all(descendants(self.pid), signal.SIGCONT)
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """End the server with its children as a crash would, and wait for the end of all of them."""
        self.send(signal.SIGKILL)
        self._supervisor.wait(timeout=30)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, timeout: float = 20.0) -> None:
        """End the server by signal NUMBER, or by SIGKILL when it takes longer than TIMEOUT seconds."""
        self.send(number)
        self.resume()
        try:
            self._supervisor.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def end_of_log(self, lines: int = 15) -> str:
        """The last LINES of the server's log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])
