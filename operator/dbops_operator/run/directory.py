# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of one operator process for its runs, in memory and private, and a folder in it for each run.

What a dead operator left behind is found by its lock, which died with it, and removed at the next start. Used by
run/pool.py and run/standby.py.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "dbops-runs-"
_LOCK = "lock"
# What every run is told; nothing here is secret.
_ANSIBLE_CFG = """\
[defaults]
local_tmp = {folder}/tmp
remote_tmp = {folder}/tmp
gathering = explicit
localhost_warning = False
inventory_unparsed_warning = False
retry_files_enabled = False
nocows = True
"""


class RunsFolder:
    """The operator's own folder under BASE; removed by `close`."""

    def __init__(self, base: Path) -> None:
        """Make the folder, mode 0700, after removing those of dead operators of the same user."""
        remove_leftovers(base)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        self._lock = (self.path / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._number = 0

    def new_run(self) -> RunFolder:
        """Make the folder of the next run."""
        self._number += 1
        return RunFolder(self.path / f"r{self._number}")

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


class RunFolder:
    """ansible-runner's private data directory of one run, with the socket and the nonce."""

    def __init__(self, path: Path) -> None:
        """Make the folder at PATH and fill it."""
        self.path = path
        path.mkdir(mode=0o700)
        for name in ("project", "inventory", "tmp"):
            (path / name).mkdir(mode=0o700)
        (path / "project" / "ansible.cfg").write_text(_ANSIBLE_CFG.format(folder=path), encoding="utf-8")
        variables = {
            "ansible_connection": "local",
            # Interpreter discovery may find a Python without the drivers.
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            "converge_socket": str(self.socket),
        }
        inventory = {"all": {"hosts": {"localhost": variables}}}
        # JSON is YAML, and Ansible reads it as such.
        (path / "inventory" / "hosts.yml").write_text(json.dumps(inventory), encoding="utf-8")
        self.nonce = secrets.token_hex(16)
        descriptor = os.open(path / "nonce", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(self.nonce)

    @property
    def socket(self) -> Path:
        """Where the run connects to. Short: the path of a unix socket has at most 107 bytes."""
        return self.path / "dbops.sock"

    def remove(self) -> None:
        """Remove the folder with all that Ansible left in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def remove_leftovers(base: Path) -> None:
    """Remove folders in BASE whose operator is dead: nobody holds their lock any more."""
    for path in base.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                continue
            with (path / _LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
