# SPDX-License-Identifier: GPL-3.0-or-later
"""What the end-to-end tests share beside the servers of the session."""

from __future__ import annotations

import pytest
from installation import install_crds

from localstack.controlplane import ControlPlane


@pytest.fixture(scope="session")
def crds(control_plane: ControlPlane) -> ControlPlane:
    """The session's cluster with our CRDs in it."""
    install_crds(control_plane)
    return control_plane
