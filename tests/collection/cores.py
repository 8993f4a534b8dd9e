# SPDX-License-Identifier: GPL-3.0-or-later
"""The ansible-cores that are served, each with the collection installed from its tarball as users do it.

Used by the fixtures of this folder. Nothing of the checkout is in reach of these runs: Python starts without the
environment's .pth file, and Ansible looks for collections in the new path alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from ansible_runs import Ansible
from setup_venv import extra_environment

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = Path(sysconfig.get_path("purelib"))
NAME = Path("ansible_collections") / "dbprovision" / "dbops"


@dataclass(frozen=True)
class Core:
    """An ansible-core: the interpreter that has it, and where that looks for packages."""

    python: Path
    packages: Path

    def call(self, *command: str | Path, **environment: str) -> str:
        """Run a command with a Python that does not know the checkout; give its output."""
        done = subprocess.run(
            [str(self.python), "-S", *map(str, command)], cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(self.packages), **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def ansible(self, folder: Path, collections: Path) -> Ansible:
        """Runs of ansible-playbook with the collections of one path."""
        return Ansible(folder, collections=collections, packages=[self.packages], python=self.python)

    def install(self, tarball: Path, path: Path) -> None:
        """Install the tarball into PATH, beside its dependencies, which Galaxy would bring."""
        shutil.copytree(ROOT / ".collections" / NAME.parts[0] / "community", path / NAME.parts[0] / "community")
        places = {"ANSIBLE_COLLECTIONS_PATH": str(path)}
        self.call("-m", "ansible", "galaxy", "collection", "install", "--offline", "-p", path, tarball, **places)
        # Before anything runs from it: Ansible leaves compiled files of action plugins there.
        verify = ("galaxy", "collection", "verify", "--offline", "-p", path, "dbprovision.dbops")
        assert "Successfully verified" in self.call("-m", "ansible", *verify, **places)


def newest() -> Core:
    """The newest ansible-core that there is for this Python: that of `.venv`."""
    return Core(Path(sys.executable), PACKAGES)


def oldest() -> Core:
    """The oldest that meta/runtime.yml allows, in an environment of its own."""
    environment = extra_environment("oldest")
    return Core(environment / "bin" / "python", next((environment / "lib").glob("python3.*/site-packages")))
