# SPDX-License-Identifier: GPL-3.0-or-later
"""Which processes belong to a run, as /proc shows it now. Used by run/standby.py.

ansible-runner puts the run's folder into the environment of ansible-playbook, and whatever is started there inherits
it, also what has left the process group or lost its parent.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def of_run(folder: Path) -> list[int]:
    """Process ids of all processes of the run in FOLDER that still run."""
    numbers = (int(process.name) for process in Path("/proc").glob("[0-9]*"))
    return [pid for pid in numbers if pid != os.getpid() and _names(pid, folder)]


def belongs(pid: int, *, folder: Path, ancestor: int) -> bool:
    """Whether process PID is of the run in FOLDER, and was started by ANCESTOR or one of its descendants."""
    return _names(pid, folder) and is_descendant(pid, ancestor)


def is_descendant(pid: int, ancestor: int) -> bool:
    """Whether process PID was started by ANCESTOR or by one of its descendants."""
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return False
        # The second field is the program's name in parentheses and may hold anything; the fourth is the parent.
        pid = int(stat.rpartition(")")[2].split()[1])
    return False


def _names(pid: int, folder: Path) -> bool:
    """Whether a process was started with FOLDER in its environment."""
    name = os.fsencode(folder) + b"/"
    # Other users' processes cannot be read, and a process that has ended has none.
    with suppress(OSError):
        return name in Path(f"/proc/{pid}/environ").read_bytes()
    return False
