# SPDX-License-Identifier: GPL-3.0-or-later
"""Stores that tests of backups write to: a directory, and real servers of object stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store, open_store
from localstack.azurite import AzureServer
from localstack.object_store import S3Server


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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server, shared by the session; each test takes a prefix of its own."""
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, unique: Callable[[str], str]) -> Store:
    """A store on the S3 server with a prefix of the test's own."""
    return open_store(s3_server.storage(unique("s3")))


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    """A server of Azure Blob Storage, shared by the session; each test takes a prefix of its own."""
    with AzureServer() as server:
        yield server


@pytest.fixture
def azure(azure_server: AzureServer, unique: Callable[[str], str]) -> Store:
    """A store on the Azure Blob server with a prefix of the test's own."""
    return open_store(azure_server.storage(unique("azure")))


# Azurite is 360 MB of packages: once per machine, and not for every run.
@pytest.fixture(params=["files", "s3", pytest.param("azure", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest) -> Store:
    """Each kind of store."""
    found: Store = request.getfixturevalue(request.param)
    return found
