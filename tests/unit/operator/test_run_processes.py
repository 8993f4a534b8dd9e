# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes are a run's: found by what they inherited, also without their parent, and nobody else's."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dbops_operator.run import processes
from localstack.processes import wait_until

Start = Callable[..., "subprocess.Popen[bytes]"]


def has_begun(process: subprocess.Popen[bytes]) -> bool:
    try:
        return bool(Path(f"/proc/{process.pid}/environ").read_bytes())
    except ProcessLookupError:
        return True


@pytest.fixture
def start() -> Iterator[Start]:
    """Start processes that wait until the test is over."""
    started = []

    def run(*command: str, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"], **environment}
        )
        started.append(process)
        # Its environment can be seen a moment after it has begun.
        wait_until(lambda: has_begun(process), what="the process has begun")
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_a_process_is_found_by_its_environment(start: Start, tmp_path: Path) -> None:
    run, other = tmp_path / "r1", tmp_path / "r10"
    member = start("cat", AWX_ISOLATED_DATA_DIR=f"{run}/artifacts/a")
    start("cat", AWX_ISOLATED_DATA_DIR=f"{other}/artifacts/a")
    start("sh", "-c", "read x", f"{run}/inventory")
    assert processes.of_run(run) == [member.pid]


def test_a_process_that_lost_its_parent_is_found(start: Start, tmp_path: Path) -> None:
    parent = start("sh", "-c", "setsid sh -c 'echo $$; exec sleep 600' & wait", AWX=f"{tmp_path}/artifacts/a")
    assert parent.stdout
    child = int(parent.stdout.readline())
    os.kill(parent.pid, 9)
    parent.wait()
    assert processes.of_run(tmp_path) == [child]
    os.kill(child, 9)


def test_a_stranger_does_not_belong_to_a_run(start: Start, tmp_path: Path) -> None:
    one, neighbour = tmp_path / "r1", tmp_path / "r2"
    member = start("cat", AWX=f"{one}/artifacts/a")
    assert processes.belongs(member.pid, folder=one, ancestor=os.getpid())
    assert not processes.belongs(member.pid, folder=neighbour, ancestor=os.getpid())
    assert not processes.belongs(member.pid, folder=one, ancestor=member.pid + 1)
    assert not processes.belongs(os.getpid(), folder=one, ancestor=os.getpid())


def test_a_process_that_is_gone_belongs_nowhere(start: Start, tmp_path: Path) -> None:
    process = start("true", AWX=f"{tmp_path}/artifacts/a")
    process.wait()
    assert not processes.belongs(process.pid, folder=tmp_path, ancestor=os.getpid())
    assert processes.of_run(tmp_path) == []
