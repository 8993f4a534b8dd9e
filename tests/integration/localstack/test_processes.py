# SPDX-License-Identifier: GPL-3.0-or-later
"""Server processes end when they are told to, whatever moment of their own end that meets."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localstack.processes import Server, wait_until

# A server that leaves so many children behind that its supervisor is busy with them for a while.
LEAVING = """
import os, sys, time
for _ in range(int(sys.argv[1])):
    if not os.fork():
        time.sleep(600)
open("ready", "w").close()
time.sleep(600)
"""
CHILDREN = 100


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that is up."""
    command = [sys.executable, "-I", "-S", "-c", LEAVING, str(CHILDREN)]
    found = Server("leaving", command, log=tmp_path / "log", directory=tmp_path)
    wait_until((tmp_path / "ready").exists, what="the server is up")
    yield found
    found.kill()


@pytest.mark.parametrize("then", ["send", "pause", "resume", "stop", "kill"])
def test_a_server_that_has_just_ended_is_told_nothing_more(server: Server, then: str) -> None:
    """Its process id is nobody's any more, or somebody else's, while its supervisor still clears up."""
    server.send(signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{server.pid}").exists(), what="the server has ended", interval=0.001)
    assert server.running(), "the supervisor was too quick for this test"
    if then == "send":
        server.send(signal.SIGHUP)
    else:
        getattr(server, then)()
    if then in ("stop", "kill"):
        assert not server.running()
