# SPDX-License-Identifier: GPL-3.0-or-later
"""Real `ansible-playbook` processes for the tests: a playbook in, the callback's results out.

Each run has a folder of its own for everything that Ansible writes (home, temporary files, log), so that a test can
look into all that a run leaves behind. Results come from a callback plugin (ansible_plugins/callback) that
prints one JSON line per result: it gets what any callback gets.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

BIN = Path(sys.executable).parent
MARK = "dbops-test-result "
PLUGINS = Path(__file__).parent / "ansible_plugins"


@dataclass(frozen=True)
class Run:
    """A finished run."""

    status: int
    output: str
    results: list[dict[str, Any]] = field(default_factory=list)
    """Of each task in their order: `task`, `status`, `result`."""

    @property
    def last(self) -> dict[str, Any]:
        """The result of the last task."""
        content: dict[str, Any] = self.results[-1]["result"]
        return content

    def of(self, task: str) -> dict[str, Any]:
        """The result of the task of this name."""
        content: dict[str, Any] = next(one["result"] for one in self.results if one["task"].endswith(task))
        return content

    @property
    def changed(self) -> int:
        """How many tasks changed something."""
        return sum(1 for one in self.results if one["result"].get("changed"))


class Ansible:
    """Runs playbooks in FOLDER."""

    def __init__(
        self,
        folder: Path,
        *,
        collections: Path | None = None,
        packages: Sequence[Path] = (),
        python: Path = Path(sys.executable),
    ) -> None:
        """Keep everything in FOLDER; COLLECTIONS is where to find ours, the checkout if not given.

        With PACKAGES, PYTHON looks for packages there only: it does not know the checkout, as the environment does.
        """
        self.folder = folder
        self.command = [str(BIN / "ansible-playbook")]
        self.log = folder / "ansible.log"
        self.environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_ASYNC_DIR": str(folder / "async"),
            "ANSIBLE_BECOME_PLUGINS": str(PLUGINS / "become"),
            "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "test_results",
            "ANSIBLE_HOME": str(folder / "home" / ".ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "ANSIBLE_LOG_PATH": str(self.log),
            "ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS / "connection"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_REMOTE_TMP": str(folder / "remote"),
        }
        if collections:
            self.environment["ANSIBLE_COLLECTIONS_PATH"] = str(collections)
            self.environment["ANSIBLE_COLLECTIONS_SCAN_SYS_PATH"] = "False"
        if packages:
            # Without the module `site`, which reads the .pth file that leads to the checkout.
            self.command = [str(python), "-S", "-m", "ansible", "playbook"]
            self.environment["PYTHONPATH"] = os.pathsep.join(map(str, packages))
        for name in ("home", "tmp"):
            (folder / name).mkdir(parents=True)

    def write(self, name: str, content: Any) -> Path:
        """Write CONTENT as YAML into the folder."""
        file = self.folder / name
        text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
        file.write_text(text, encoding="utf-8")
        return file

    def play(
        self,
        playbook: str | Path,
        *arguments: str | Path,
        variables: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Run a PLAYBOOK (a file, or the name of one of the collection's) with VARIABLES from a file."""
        extra: list[str] = []
        if variables:
            file = self.write("variables.json", json.dumps(variables))
            file.chmod(0o600)
            extra = ["-e", f"@{file}"]
        command = [*self.command, str(playbook), *extra, *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, env={**self.environment, **(environment or {})}, capture_output=True, text=True,
            check=False, timeout=600,
        )  # fmt: skip
        output = done.stdout + done.stderr
        lines = [line[len(MARK) :] for line in done.stdout.splitlines() if line.startswith(MARK)]
        return Run(done.returncode, output, [json.loads(line) for line in lines])

    def tasks(
        self,
        *tasks: Mapping[str, Any],
        arguments: Sequence[str] = (),
        connection: Mapping[str, Any] | None = None,
        play: Mapping[str, Any] | None = None,
        variables: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Run TASKS on localhost; CONNECTION goes in by module_defaults for the group, as users are told to."""
        content: dict[str, Any] = {"hosts": "localhost", "connection": "local", "gather_facts": False}
        content["vars"] = {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        if connection:
            content["module_defaults"] = {"group/dbprovision.dbops.all": dict(connection)}
        playbook = self.write("playbook.yml", [{**content, **(play or {}), "tasks": [dict(task) for task in tasks]}])
        playbook.chmod(0o600)
        # A host of the inventory: the implicit localhost has a connection of its own, whatever the play says.
        inventory = ("-i", "localhost,")
        return self.play(playbook, *inventory, *arguments, variables=variables, environment=environment)
