# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores that tests of backups write to."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store, open_store


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The directory of a store of files."""
    path = tmp_path / "backups"
    path.mkdir()
    return path


@pytest.fixture
def files(directory: Path) -> Store:
    """A store of files with a prefix."""
    return open_store({"type": "file", "prefix": "team/app", "file": {"path": str(directory)}})
