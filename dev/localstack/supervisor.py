# SPDX-License-Identifier: GPL-3.0-or-later
"""A process between a server and the run that wants it, so that no server ever outlives its run.

Started by localstack.processes as `python -I -S supervisor.py`, with the standard library only and its order as
JSON on standard input (not in argv, where everybody could read the environment). It starts the server, tells
the server's process id on its standard output, and waits for the first of two events: the server's end (it
ends with the same status) or the end of the run, however that came about (it kills the server and removes the
run's folder). Either way no child of the server's survives. If the supervisor itself is killed, the kernel
kills the server.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    """Call prctl(2); Python has no wrapper of its own."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def start(order: dict, supervisor: int) -> int:  # type: ignore[type-arg]
    """Fork and execute the server; give its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        if order["user"] is not None:
            os.setgroups([])
            os.setgid(order["group"])
            os.setuid(order["user"])
        # After setuid, which clears it.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        # What it prints belongs into its log; what it inherits is read for one line only.
        os.dup2(2, 1)
        os.chdir(order["directory"])
        os.execve(order["command"][0], order["command"], order["environment"])
    except OSError as error:
        print(f"{order['command'][0]}: {error}", file=sys.stderr, flush=True)
    os._exit(127)


def descendants(pid: int) -> list[int]:
    """Process ids of the children of PID, their children and so on."""
    result: list[int] = []
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123 (start-up time)
            children = [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return result
    for child in children:
        result += [child, *descendants(child)]
    return result


def end_children() -> None:
    """Kill and reap whatever the server left behind; as subreaper this process inherits all of it."""
    while children := descendants(os.getpid()):
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)


def main() -> int:
    """Run one server to its end or to the end of the run; give the status to exit with."""
    order = json.load(sys.stdin)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # Ctrl-C and a terminal's hang-up reach the run, and the run decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run = os.pidfd_open(order["run"])
    if os.getppid() != order["run"]:
        return 1
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    pid = start(order, os.getpid())
    server = os.pidfd_open(pid)
    # Whoever waits for this line may send signals from now on.
    os.write(1, f"{pid}\n".encode())
    os.close(1)
    events = select.poll()
    events.register(run, select.POLLIN)
    events.register(server, select.POLLIN)
    ended = {descriptor for descriptor, _ in events.poll()}
    orphaned = run in ended
    if orphaned:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    end_children()
    if orphaned and order["remove"]:
        shutil.rmtree(order["remove"], ignore_errors=True)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
