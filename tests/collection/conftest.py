# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's tarball, built and installed as users do it, by each ansible-core that is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from collection.cores import ROOT, Core, newest, oldest

from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls


@pytest.fixture(
    scope="module",
    params=[pytest.param(newest, id="newest"), pytest.param(oldest, id="oldest", marks=pytest.mark.slow)],
)
def core(request: pytest.FixtureRequest) -> Core:
    """Each end of what is served."""
    make: Callable[[], Core] = request.param
    return make()


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is published."""
    folder = tmp_path_factory.mktemp("tarball")
    newest().call("-m", "ansible", "galaxy", "collection", "build", "--output-path", folder, ROOT)
    return next(folder.glob("dbprovision-dbops-*.tar.gz"))


@pytest.fixture(scope="module")
def installed(core: Core, tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collections path with nothing but the tarball and its dependencies."""
    path = tmp_path_factory.mktemp("collections")
    core.install(tarball, path)
    return path


@pytest.fixture(scope="module")
def own_server(core: Core) -> Iterator[PostgreSQLServer]:
    """A server for one file of tests and one ansible-core: the examples' names are fixed."""
    with PostgreSQLServer(embedded_with_tls()) as server:
        yield server
