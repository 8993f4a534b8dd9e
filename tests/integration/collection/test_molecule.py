# SPDX-License-Identifier: GPL-3.0-or-later
"""The Molecule scenarios, whole: each starts servers, runs its role on them, twice, verifies, and removes them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import psycopg.conninfo
import pytest
import yaml
from ansible_runs import BIN

from localstack.paths import cache_directory
from localstack.processes import wait_until

ROOT = Path(__file__).resolve().parents[3]
SEQUENCE = yaml.safe_load((ROOT / ".config" / "molecule" / "config.yml").read_text(encoding="utf-8"))["scenario"]
# One in the normal run; it goes through the same steps as the others, in the same base configuration.
QUICK = "converge"


def scenarios() -> list[str]:
    return sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))


@pytest.mark.feature("A08")
def test_there_is_a_scenario_for_each_role() -> None:
    assert scenarios() == sorted(path.name for path in (ROOT / "roles").iterdir())


@pytest.mark.feature("A03", "A08")
@pytest.mark.parametrize(
    "scenario", [pytest.param(name, marks=[] if name == QUICK else [pytest.mark.slow]) for name in scenarios()]
)
def test_a_scenario_passes(scenario: str, tmp_path: Path) -> None:
    environment = {
        "DBOPS_RUN": str(os.getpid()),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        # Servers were fetched into the user's own cache before.
        "XDG_CACHE_HOME": str(cache_directory().parent),
        "LC_ALL": "C.UTF-8",
        "MOLECULE_GLOB": "molecule/*/molecule.yml",
        "NO_COLOR": "1",
    }

    def molecule(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "molecule"), command, "--scenario-name", scenario], cwd=ROOT, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    try:
        done = molecule("test")
    finally:
        # Also after a timeout of the test: it does nothing when the servers are gone.
        molecule("destroy")
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    own = yaml.safe_load((ROOT / "molecule" / scenario / "molecule.yml").read_text(encoding="utf-8")) or {}
    for step in own.get("scenario", SEQUENCE)["test_sequence"]:
        assert re.search(rf"{scenario} [➜>] {step}: Executed: Successful", output), output
    assert list(tmp_path.rglob("servers.pid")) == []


def test_the_servers_of_a_scenario_end_with_its_run(tmp_path: Path) -> None:
    (tmp_path / "inventory").mkdir()
    servers = ROOT / "molecule" / "resources" / "servers.py"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as run:
        subprocess.run(
            [sys.executable, servers, "start", tmp_path], env={**os.environ, "DBOPS_RUN": str(run.pid)}, check=True
        )
        inventory = yaml.safe_load((tmp_path / "inventory" / "servers.yml").read_text(encoding="utf-8"))
        hosts = inventory["all"]["children"]["postgresql"]["hosts"]
        keeper = Path("/proc") / (tmp_path / "servers.pid").read_text(encoding="ascii")
        for host in hosts.values():
            psycopg.connect(dsn(host)).close()
        run.kill()
    wait_until(lambda: not keeper.exists(), what="the servers end with the run")
    for host in hosts.values():
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(dsn(host))


def dsn(host: Mapping[str, Any]) -> str:
    """Connection string of the superuser of a HOST of the inventory."""
    given = host["server"]
    return psycopg.conninfo.make_conninfo(
        host=given["login_host"], port=given["login_port"], user=given["login_user"], password=given["login_password"],
        dbname="postgres",
    )  # fmt: skip
