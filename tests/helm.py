# SPDX-License-Identifier: GPL-3.0-or-later
"""The Helm chart, by the real helm: rendered, and installed into a test's cluster."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from localstack import binaries
from localstack.paths import ROOT, kubernetes_version

CHART = ROOT / "operator" / "deploy" / "helm" / "db-provision-operator"
RELEASE = "db-provision-operator"
Body = dict[str, Any]


def helm(*arguments: str, home: Path, kubeconfig: Path | None = None, values: Body | None = None) -> str:
    """Run helm with its files in HOME and VALUES, and give what it prints. Raises CalledProcessError."""
    command = [str(binaries.helm(print)), *arguments, *(["--values", "-"] if values is not None else [])]
    places = {f"HELM_{name}_HOME": str(home / name) for name in ("CACHE", "CONFIG", "DATA")}
    done = subprocess.run(
        command,
        input=None if values is None else json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(kubeconfig or "/dev/null"), **places},
    )
    if done.returncode:
        error = subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        error.add_note(done.stderr)
        raise error
    return done.stdout


def rendered(home: Path, namespace: str, values: Body | None = None, *, release: str = RELEASE) -> list[Body]:
    """All objects that the chart makes of VALUES."""
    version = kubernetes_version()
    options = ("--namespace", namespace, "--kube-version", version)
    text = helm("template", release, str(CHART), *options, home=home, values=values or {})
    return [one for one in yaml.safe_load_all(text) if one]
