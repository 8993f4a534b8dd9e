# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/kubectl.md as a reader follows it: each command is run in its order, and prints what the page shows.

Names, words, order and lines are compared. What differs from run to run is not: ages, times, uids and the like, the
widths of columns that follow from them, and rows of a watch that are there only when something takes longer.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from operator_process import OperatorProcess

from localstack.controlplane import ControlPlane
from localstack.examples import place_examples
from localstack.paths import ROOT, kubernetes_binary
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls
from localstack.processes import wait_until

PAGE = ROOT / "docs" / "kubectl.md"
NAMESPACE = "shop"
HOST, PORT = "postgres.example.com", "5432"
_PASSWORD = "$POSTGRES_PASSWORD"
_BLOCK = re.compile(r"(?ms)^```console\n(.*?)^```")
_VARYING = (
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"\b\d+(s|m|h)(\d+(s|m))?(?= |$)", "AGE"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UID"),
    (r"(Resource Version: +)\d+", r"\1NUMBER"),
    (r"(Identity: +)\d+", r"\1NUMBER"),
    (r"((Reconcile ID|Spec Hash): +)[0-9a-f]+", r"\1ID"),
    (r"\b\d{7,8}\b", "BYTES"),
)


@dataclass
class Step:
    """One command of the page, without its `$`, and what the page shows of it."""

    command: str
    shown: str


def steps(text: str) -> list[Step]:
    """All commands of a page in their order."""
    found = []
    for block in _BLOCK.findall(text):
        for part in re.split(r"(?m)^\$ ", block)[1:]:
            command, _, shown = part.partition("\n")
            while command.endswith("\\"):
                more, _, shown = shown.partition("\n")
                command = f"{command[:-1].rstrip()} {more.strip()}"
            found.append(Step(command, shown))
    return found


def comparable(output: str) -> list[str]:
    """The lines of OUTPUT without what differs from run to run."""
    lines = []
    for line in map(str.rstrip, output.rstrip().splitlines()):
        for pattern, word in _VARYING:
            line = re.sub(pattern, word, line)  # noqa: PLW2901 (one after the other)
        indentation = len(line) - len(line.lstrip())
        lines.append(" " * indentation + re.sub(r" +", " ", line.strip()))
    return lines


def distinct_rows(lines: list[str]) -> list[str]:
    """The rows of a watch: each once, and not those of work that happened to take longer."""
    rows: list[str] = []
    for line in lines:
        if " Creating " not in line and line not in rows[-1:]:
            rows.append(line)
    return rows


class Reader:
    """Runs the page's commands against a cluster, in a folder with the examples, on a server that is here."""

    def __init__(self, cluster: ControlPlane, server: PostgreSQLServer, folder: Path) -> None:
        self._server, self._folder = server, folder
        binaries = str(kubernetes_binary("kubectl").parent)
        self._environment = {"PATH": f"{binaries}:{os.environ['PATH']}", "KUBECONFIG": str(cluster.kubeconfig)}
        self._watches: list[tuple[subprocess.Popen[bytes], Path, Step]] = []

    def follow(self, page: list[Step]) -> Iterator[tuple[Step, str]]:
        """Give each command with what it printed; a watch once it has printed what the page shows of it."""
        try:
            for step in page:
                words = [word.replace(_PASSWORD, self._server.admin.password) for word in shlex.split(step.command)]
                if "--watch" in words:
                    self._begin(words, step)
                else:
                    yield step, self._run(words)
            for process, output, step in self._watches:
                self._wait_last(output, step)
                process.terminate()
                yield step, self._seen(output)
        finally:
            for process, _, _ in self._watches:
                process.kill()
                process.wait(timeout=10)

    def _run(self, words: list[str]) -> str:
        done = subprocess.run(
            words, cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False
        )
        return self._as_on_the_page(done.stdout + done.stderr)

    def _begin(self, words: list[str], step: Step) -> None:
        output = self._folder / f"watch{len(self._watches)}"
        with output.open("wb") as file:
            process = subprocess.Popen(words, cwd=self._folder, env=self._environment, stdout=file)
        self._watches.append((process, output, step))

    def _wait_last(self, output: Path, step: Step) -> None:
        last = comparable(step.shown)[-1]
        wait_until(lambda: last in comparable(self._seen(output)), what=f"{step.command}: {last}")

    def _seen(self, output: Path) -> str:
        return self._as_on_the_page(output.read_text(encoding="utf-8"))

    def _as_on_the_page(self, text: str) -> str:
        return text.replace("localhost", HOST).replace(str(self._server.port), PORT)


@pytest.fixture
def reader(crds: ControlPlane, operator: OperatorProcess) -> Iterator[Reader]:
    """A reader with a server and the examples; what is left in the page's namespace goes afterwards."""
    with PostgreSQLServer(embedded_with_tls()) as server, tempfile.TemporaryDirectory(prefix="dbops-page-") as folder:
        place_examples(Path(folder) / "examples", host=server.host, port=server.port)
        yield Reader(crds, server, Path(folder))
        crds.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")


@pytest.mark.feature("L01", "K05")
def test_the_page_shows_what_kubectl_really_prints(reader: Reader) -> None:
    page = steps(PAGE.read_text(encoding="utf-8"))
    done = 0
    for step, printed in reader.follow(page):
        told, found = comparable(step.shown), comparable(printed)
        if "--watch" in step.command:
            found = distinct_rows(found)
        assert found == told, f"$ {step.command}\n{printed}"
        done += 1
    assert done == len(page) > 10
