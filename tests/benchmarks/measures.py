# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks measure with: when an object becomes Ready, CPU seconds, memory, and the page of figures."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import objects

from localstack.controlplane import ControlPlane
from localstack.paths import ROOT, kubernetes_version

PAGE = ROOT / "docs" / "performance.md"
MARKS = ("<!-- figures: begin -->", "<!-- figures: end -->")

# A word of the command line, and what the process is called in the figures.
_PROCESSES = {
    "kube-apiserver": "API server",
    "etcd": "etcd",
    "ansible-playbook": "runs",
    "postgres": "PostgreSQL",
    "operator\0run": "operator",
}


class Watch:
    """Notes when each DatabaseUser of a namespace becomes Ready, as the API server tells everybody who watches."""

    def __init__(self, cluster: ControlPlane, namespace: str) -> None:
        self._cluster = cluster
        self._path = objects.path("databaseuser", namespace)
        self._news = threading.Condition()
        self._ready: dict[str, float] = {}
        # Ends with its connection, at the latest with the API server.
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        call = urllib.request.Request(f"{self._cluster.server}{self._path}?watch=1")
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(call, context=self._cluster._tls()) as answer,
        ):
            for line in answer:
                self._take(json.loads(line)["object"])

    def _take(self, body: dict[str, Any]) -> None:
        if objects.ready(body) == "True":
            with self._news:
                self._ready.setdefault(body["metadata"]["name"], time.monotonic())
                self._news.notify_all()

    def wait(self, *names: str, seconds: float = 300) -> float:
        """Return when all are Ready; give when the last one became so (monotonic seconds)."""
        with self._news:
            assert self._news.wait_for(lambda: self._ready.keys() >= set(names), timeout=seconds), "not all are Ready"
            return max(self._ready[name] for name in names)


class Connection:
    """One kept connection to the API server, since a new one for each request would be measured too."""

    def __init__(self, cluster: ControlPlane) -> None:
        host, _, port = cluster.server.removeprefix("https://").partition(":")
        self._connection = http.client.HTTPSConnection(host, int(port), context=cluster._tls(), timeout=30)

    def create(self, path: str, body: dict[str, Any]) -> None:
        """Create an object."""
        self._connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 201, content


def cpu_seconds() -> dict[str, float]:
    """CPU seconds so far by kind of process, with those of their ended children; what the operator started are runs."""
    ticks = os.sysconf("SC_CLK_TCK")
    used: dict[str, float] = dict.fromkeys(_PROCESSES.values(), 0.0)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text(encoding="utf-8", errors="replace")
            fields = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        name = next((name for word, name in _PROCESSES.items() if word in command), None)
        if name:
            own, children = (
                sum(int(field) for field in fields[part]) / ticks for part in (slice(11, 13), slice(13, 15))
            )
            used[name] += own
            used["runs" if name == "operator" else name] += children
    return used


def resident(pid: int) -> float:
    """Resident memory of a process in MiB, pages shared with others divided among them; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def spread(milliseconds: Sequence[float]) -> str:
    """Median and 95th percentile for people."""
    p95 = statistics.quantiles(milliseconds, n=20)[-1]
    return f"median {statistics.median(milliseconds):.0f} ms, p95 {p95:.0f} ms"


def machine() -> str:
    """What the figures were measured on."""
    information = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next(line.partition(":")[2].strip() for line in information if line.startswith("model name"))
    memory = int(Path("/proc/meminfo").read_text(encoding="ascii").split()[1]) / 2**20
    return (
        f"Measured last on {len(os.sched_getaffinity(0))} cores ({model}), {memory:.0f} GiB, "
        f"Linux {os.uname().release.partition('-')[0]}, Python {sys.version.split()[0]}, "
        f"ansible-core {version('ansible-core')}, ansible-runner {version('ansible-runner')}, "
        f"psycopg {version('psycopg')}, PyMySQL {version('pymysql')}, Kubernetes {kubernetes_version()}, "
        f"PostgreSQL 17, MySQL 9.7, MariaDB 11.8."
    )


class Figures:
    """The figures so far, for people at once and for the page in the end."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        """What was measured, and the rest of its row."""
        # How many processes want to run where there are two cores: what else goes on makes all of it slower.
        self._load = os.getloadavg()[0]

    def note(self, what: str, figure: str) -> None:
        """Print a figure and keep it."""
        print(f"\n{what}: {figure}", flush=True)
        self.rows[what] = f"{figure} | {time.strftime('%Y-%m-%d')}, {self._load:.0f}"

    def write(self) -> None:
        """Put them into the page, between its marks, in the order of their letters, in place of former ones."""
        text = PAGE.read_text(encoding="utf-8")
        begin, end = text.index(MARKS[0]), text.index(MARKS[1])
        former = [line[2:-2].partition(" | ") for line in text[begin:end].splitlines() if line.startswith("| (")]
        rows = {what: rest for what, _bar, rest in former} | self.rows
        lines = [f"| {what} | {rest} |" for what, rest in sorted(rows.items(), key=lambda row: row[0][:3])]
        head = "| what | figure | measured on, with a load of |\n| --- | --- | --- |"
        table = "\n".join((MARKS[0], machine(), "", head, *lines, ""))
        PAGE.write_text(text[:begin] + table + text[end:], encoding="utf-8")
