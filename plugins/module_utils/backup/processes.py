# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one client tool: bytes in, bytes out, in constant memory, and never longer than whoever waits wants.

Called by the engines. A tool gets no shell, an environment of its own, a process group of its own, and the files in
memory that backup/client_files.py made. It is killed with all that it started when the work is cancelled, when its
deadline has passed, when the other end of the pipeline fails, and by the kernel when this process dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Protocol

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Sink, Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

CHUNK = 256 * 1024
"""Bytes that travel at a time."""
_KEPT = 16 * 1024
"""Bytes of a tool's messages that are kept: the first half and the last half."""
_SECONDS_BETWEEN_LOOKS = 0.2
# PR_SET_PDEATHSIG is kept over exec. A fork of this process may not run Python (it has threads), so a process of its
# own sets it; whether the parent is gone already is looked at after that. prctl(2)
_LAUNCHER = (
    "import ctypes,os,signal,sys;"
    "ctypes.CDLL(None).prctl(1,signal.SIGKILL);"
    "os.getppid()==int(sys.argv[1]) or sys.exit(1);"
    "os.execv(sys.argv[2],sys.argv[2:])"
)


@dataclass(frozen=True)
class Command:
    """A tool with its ARGUMENTS, without a secret in them or in the ENVIRONMENT."""

    path: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: Sequence[int] = ()
    """Open files that it inherits under the same numbers."""
    directory: str | None = None


@dataclass(frozen=True)
class Ended:
    """How a tool ended."""

    status: int
    """Its exit status; negative: the signal that ended it."""
    messages: str
    """What it wrote to standard error, the middle left out when that was much."""


class Source(Protocol):
    """What a tool's input is read from."""

    def read(self, size: int, /) -> bytes:
        """Give about SIZE bytes, nothing at the end."""


def run(command: Command, watch: Watch, *, source: Source | None = None, sink: Sink | None = None) -> Ended:
    """Run COMMAND to its end, with SOURCE as its input and its output given to SINK.

    Raises what `watch` says, and whatever SOURCE and SINK raise; the tool and its children are gone then. An exit
    status other than 0 raises nothing: the engine knows what the messages mean.
    """
    with _started(command, has_input=source is not None, has_output=sink is not None) as process:
        watching = _Watching(process, watch)
        messages = _Messages(process.stderr)
        feeding = _Feeding(process.stdin, source, process)
        try:
            if sink and process.stdout:
                while data := os.read(process.stdout.fileno(), CHUNK):
                    sink(data)
            # Not reaped yet, so that its group cannot be another's when it is killed below.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        finally:
            _kill(process)
            process.wait()
            watching.end()
            messages.end()
            feeding.end()
        if watching.reason:
            raise watching.reason
        if feeding.error:
            raise feeding.error
        return Ended(process.returncode, messages.text())


def require_success(name: str, ended: Ended) -> None:
    """Raise DbopsError for a tool that was killed or says that it failed."""
    if ended.status == 0:
        return
    how = f"was ended by signal {-ended.status}" if ended.status < 0 else f"ended with status {ended.status}"
    raise DbopsError(Reason.INTERNAL_ERROR, f"{name} {how}: {last_lines(ended.messages)}")


def last_lines(messages: str, count: int = 5) -> str:
    """Give the last lines of a tool's messages in one."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    return " ".join(lines[-count:])[-800:] or "it said nothing"


@contextlib.contextmanager
def _started(command: Command, *, has_input: bool, has_output: bool) -> Iterator[subprocess.Popen[bytes]]:
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC", **command.environment}
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
    # run_command belongs to a module, has no streams, and this runs in Ansible's worker as well.
    process = subprocess.Popen(  # pylint: disable=ansible-bad-function
        [*launcher, command.path, *command.arguments],
        stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
        stdout=subprocess.PIPE if has_output else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=command.directory or "/",
        pass_fds=tuple(command.descriptors),
        start_new_session=True,
        bufsize=0,
    )
    try:
        yield process
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the tool and what it started. The group stays ours until the tool has been waited for."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _Watching:
    """Kills a tool whose work shall not go on, whatever the pipeline waits for."""

    def __init__(self, process: subprocess.Popen[bytes], watch: Watch) -> None:
        self.reason: DbopsError | None = None
        self._process, self._watch = process, watch
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True, name="dbops-watch")
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            if error := self._watch.stop():
                self.reason = error
                _kill(self._process)
                return

    def end(self) -> None:
        self._over.set()
        self._thread.join()


class _Messages:
    """Reads standard error to its end and keeps a bounded part."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        if stream is None:
            raise AssertionError("standard error is always a pipe")
        self._stream = stream
        self._first, self._last = bytearray(), bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True, name="dbops-messages")
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._stream.fileno(), 4096):
            room = max(0, _KEPT // 2 - len(self._first))
            self._first += data[:room]
            self._last += data[room:]
            del self._last[: -_KEPT // 2]

    def end(self) -> None:
        self._thread.join()

    def text(self) -> str:
        return (self._first + self._last).decode("utf-8", "replace")


class _Feeding:
    """Writes the source to a tool's standard input; when the source fails, the tool is killed."""

    def __init__(self, stream: IO[bytes] | None, source: Source | None, process: subprocess.Popen[bytes]) -> None:
        self.error: BaseException | None = None
        self._stream, self._source, self._process = stream, source, process
        self._thread: threading.Thread | None = None
        if stream and source:
            self._thread = threading.Thread(target=self._write, daemon=True, name="dbops-feed")
            self._thread.start()

    def _write(self) -> None:
        if not self._stream or not self._source:
            raise AssertionError("started with both only")
        try:
            while data := self._source.read(CHUNK):
                self._put(data)
        except BrokenPipeError:
            # The tool has ended; its status says why.
            return
        except BaseException as error:  # noqa: BLE001 (raised by `run`, in its own thread)
            # Input that ends too early would be taken for all of it: the tool must not see its end.
            self.error = error
            _kill(self._process)
            return
        with contextlib.suppress(OSError):
            self._stream.close()

    def _put(self, data: bytes) -> None:
        if not self._stream:
            raise AssertionError("started with both only")
        view = memoryview(data)
        while view:
            view = view[os.write(self._stream.fileno(), view) :]

    def end(self) -> None:
        if self._thread:
            self._thread.join()
