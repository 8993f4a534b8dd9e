# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks on the session's server, each test twice: as superuser and as the admin of a managed cloud."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_runs import Ansible

from localstack.postgresql import Login, PostgreSQLServer


@pytest.fixture
def ansible(tmp_path: Path) -> Ansible:
    """Runs of ansible-playbook in a folder of their own."""
    return Ansible(tmp_path / "ansible")


@pytest.fixture(params=["superuser", "weak admin"])
def admin(request: pytest.FixtureRequest, postgres: PostgreSQLServer, weak_postgres: Login) -> Login:
    """Each of the two kinds of admin accounts."""
    return postgres.admin if request.param == "superuser" else weak_postgres
