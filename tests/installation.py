# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs what the repository ships into a test's cluster, the way that the documentation tells people to."""

from __future__ import annotations

from pathlib import Path

from localstack.controlplane import ControlPlane

CRDS = Path(__file__).resolve().parent.parent / "operator" / "deploy" / "crds"


def install_crds(cluster: ControlPlane) -> None:
    """Apply the CRDs and return when the API server serves all of them."""
    cluster.kubectl("apply", "--server-side", "--filename", str(CRDS))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "--filename", str(CRDS))
