# SPDX-License-Identifier: GPL-3.0-or-later
"""What the end-to-end tests share beside the servers of the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from installation import install_crds
from operator_process import OperatorProcess, denied, install_account

from localstack.controlplane import ControlPlane


@pytest.fixture(scope="session")
def crds(control_plane: ControlPlane) -> ControlPlane:
    """The session's cluster with our CRDs in it."""
    install_crds(control_plane)
    return control_plane


@pytest.fixture(scope="session")
def operator_kubeconfig(crds: ControlPlane) -> Path:
    """A kubeconfig of the shipped ServiceAccount with the shipped rights."""
    return install_account(crds)


@pytest.fixture(scope="session")
def operator(crds: ControlPlane, operator_kubeconfig: Path) -> Iterator[OperatorProcess]:
    """The session's operator, for all namespaces; it must end well, and may never have lacked a right."""
    with OperatorProcess(operator_kubeconfig) as process:
        yield process
        assert process.running(), f"the operator ended with {process.status()}\n{process.end_of_log()}"
        assert process.stop() == 0, process.end_of_log()
        assert process.run_processes() == []
        assert process.run_folders() == []
        assert denied(crds) == []
