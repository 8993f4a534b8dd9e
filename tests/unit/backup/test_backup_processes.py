# SPDX-License-Identifier: GPL-3.0-or-later
"""Client tools are run with real processes: what goes in, what comes out, and that nothing outlives its purpose."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.client_files import ClientFiles
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.processes import (
    Command,
    require_success,
    run,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from localstack.processes import wait_until

SHELL = "/bin/sh"


def _watch(cancelled: Callable[[], bool] = lambda: False, seconds: float | None = None) -> Watch:
    def progress(_: Mapping[str, Any]) -> None:
        pass

    return Watch(progress=progress, cancelled=cancelled, seconds=seconds)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_bytes_go_through_unchanged() -> None:
    """What is read from the source comes out of a tool that copies it."""
    data = os.urandom(3_000_001)
    out = io.BytesIO()
    ended = run(Command("/bin/cat", ()), _watch(), source=io.BytesIO(data), sink=out.write)
    assert (ended.status, out.getvalue()) == (0, data)


def test_messages_are_bounded() -> None:
    """A tool that writes megabytes of messages is kept to the first and the last of them."""
    script = "echo first >&2; i=0; while [ $i -lt 20000 ]; do echo 'some message of a tool' >&2; i=$((i+1)); done; "
    ended = run(Command(SHELL, ("-c", script + "echo last >&2; exit 3")), _watch())
    assert ended.messages.startswith("first\n")
    assert ended.messages.endswith("last\n")
    assert len(ended.messages) <= 16 * 1024
    with pytest.raises(DbopsError, match=r"ended with status 3: .*last"):
        require_success("sh", ended)


@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.TIMEOUT])
def test_it_is_killed_with_its_children(reason: Reason, tmp_path: Path) -> None:
    """Cancelled or too late: the tool and what it started are gone when `run` comes back."""
    pids = tmp_path / "pids"
    script = f"sleep 600 & echo $! $$ > {pids}.part; mv {pids}.part {pids}; wait"
    started = time.monotonic()
    watch = _watch(cancelled=pids.exists) if reason is Reason.CANCELLED else _watch(seconds=4)
    with pytest.raises(DbopsError) as caught:
        run(Command(SHELL, ("-c", script)), watch, sink=lambda _: None)
    assert caught.value.reason is reason
    assert time.monotonic() - started < 30
    assert [pid for pid in map(int, pids.read_text(encoding="ascii").split()) if _alive(pid)] == []


def test_a_failing_sink_ends_the_tool(tmp_path: Path) -> None:
    """When the store fails, the tool does not go on."""
    pid_file = tmp_path / "pid"

    def sink(_: bytes) -> None:
        raise DbopsError(Reason.CONNECTION_FAILED, "the store is gone")

    with pytest.raises(DbopsError, match="the store is gone"):
        run(Command(SHELL, ("-c", f"echo $$ > {pid_file}; yes")), _watch(), sink=sink)
    assert not _alive(int(pid_file.read_text(encoding="ascii")))


def test_a_failing_source_never_looks_like_an_end(tmp_path: Path) -> None:
    """A tool must not take a source that failed for one that is complete."""
    complete = tmp_path / "complete"

    class Source(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 1_000_000:
                raise DbopsError(Reason.NOT_VERIFIABLE, "a bit was flipped")
            return super().read(size)

    with pytest.raises(DbopsError, match="a bit was flipped"):
        run(Command(SHELL, ("-c", f"cat > /dev/null; touch {complete}")), _watch(), source=Source(bytes(2_000_000)))
    assert not complete.exists()


def test_the_tool_dies_with_this_process(tmp_path: Path) -> None:
    """Killed by SIGKILL, nothing can be cleaned up: the kernel ends the tool."""
    pid_file = tmp_path / "pid"
    script = f"""
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.processes import Command, run
watch = Watch(progress=lambda _: None, cancelled=lambda: False, seconds=None)
run(Command("{SHELL}", ("-c", "echo $$ > {pid_file}.part; mv {pid_file}.part {pid_file}; exec sleep 600")), watch)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as process:
        wait_until(pid_file.exists, what="the tool runs")
        process.send_signal(signal.SIGKILL)
    tool = int(pid_file.read_text(encoding="ascii"))
    wait_until(lambda: not _alive(tool), what="the tool is gone")


def test_files_are_in_memory_only() -> None:
    """A tool reads what it was given, with nothing in any folder, and no other tool does."""
    with ClientFiles() as files:
        path = files.add("password", "s3cret")
        script = f"cat {path}; stat -L -c %a {path} >&2"
        out = io.BytesIO()
        ended = run(Command(SHELL, ("-c", script), descriptors=files.descriptors), _watch(), sink=out.write)
        assert (out.getvalue(), ended.messages) == (b"s3cret", "600\n")
        assert run(Command("/bin/cat", (path,)), _watch(), sink=out.write).status == 1
    assert threading.active_count() < 20
