# SPDX-License-Identifier: GPL-3.0-or-later
"""The image's definition, as far as it can be shown without a container engine: no image is built here.

Its lint, what it copies, users and commands that fit the Deployment; and, in a slow test, that the steps of its first
stage make an environment whose entry point starts. The packages of the second stage are not installed by any test.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localstack.paths import ROOT

CONTAINERFILE = ROOT / "operator" / "deploy" / "Containerfile"


def instructions() -> Iterator[tuple[str, str]]:
    """The instructions, each with its whole text."""
    lines = [line for line in CONTAINERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for text in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if text:
            word, _, rest = text.partition(" ")
            yield word, rest


def copied() -> list[tuple[str, str]]:
    """What is copied from the checkout: source and target."""
    found = []
    for word, rest in instructions():
        if word == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            found += [(source, target) for source in sources]
    return found


@pytest.mark.feature("K02")
def test_the_lint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, CONTAINERFILE], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


@pytest.mark.feature("K02")
def test_what_it_copies_is_in_the_repository() -> None:
    assert copied()
    for source, _ in copied():
        assert (ROOT / source).exists(), source


@pytest.mark.feature("K02")
def test_user_command_and_version_are_those_of_the_deployment() -> None:
    found = dict(instructions())
    deployment = yaml.safe_load((CONTAINERFILE.parent / "deployment.yaml").read_text(encoding="utf-8"))
    pod = deployment["spec"]["template"]["spec"]
    security = pod["securityContext"]
    assert found["USER"] == f"{security['runAsUser']}:{security['runAsGroup']}"
    entry = [*yaml.safe_load(found["ENTRYPOINT"]), *yaml.safe_load(found["CMD"])]
    assert entry == pod["containers"][0]["command"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f'image.version="{version}"' in found["LABEL"]
    assert pod["containers"][0]["image"].endswith(f":{version}")


@pytest.mark.feature("K02")
def test_it_has_the_tools_of_each_engine() -> None:
    text = CONTAINERFILE.read_text(encoding="utf-8")
    for package in (*(f"postgresql-client-{major}" for major in range(14, 19)), "mariadb-client"):
        assert f" {package}" in text
    assert "mysql-community-client" in text


@pytest.mark.slow
@pytest.mark.feature("K02")
def test_the_first_stage_makes_an_environment_that_starts(tmp_path: Path) -> None:
    source, environment = tmp_path / "src", tmp_path / "opt"
    for name, target in copied():
        place = source / (name if target == "./" else target)
        place.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, place)
    (step,) = [rest for word, rest in instructions() if word == "RUN" and "venv" in rest]
    script = step.replace("/opt/dbops", str(environment)).replace("/src", str(source))
    python = f'python() {{ "{sys.executable}" "$@"; }}; '
    done = subprocess.run(["sh", "-euc", python + script], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Nothing of this repository's own environment is at hand.
    clean = {"PATH": f"{environment}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    shown = subprocess.run(
        ["dbops", "operator", "run", "--help"], env=clean, cwd="/", capture_output=True, text=True, check=True
    )
    assert "--leader-elect" in shown.stdout
    documented = subprocess.run(
        ["ansible-doc", "dbprovision.dbops.converge"], env=clean, cwd="/", capture_output=True, text=True, check=True
    )
    assert "CONVERGE" in documented.stdout.upper()
