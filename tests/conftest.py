# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests share: real servers for the session, markers, order, and behaviour ids in the JUnit files.

The servers come from dev/localstack and end with the run. A test that breaks a server, or fills it, starts
one of its own instead of using the session's.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from installation import install_crds
from operator_process import OperatorProcess, denied, install_account

from localstack.controlplane import ControlPlane
from localstack.mysql import MySQLLogin, MySQLServer
from localstack.mysql_binaries import MARIADB_10_11, MARIADB_11_8, MYSQL_9_7, binaries
from localstack.postgresql import Login, PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

TESTS = Path(__file__).parent

# Folders in the order in which they run; the quick ones first, so that a plain mistake shows at once.
ORDER = ("unit", "integration", "collection", "e2e", "faults", "benchmarks")
# A test's folder says what it needs; the marker makes it selectable.
FOLDER_MARKERS = {"integration": "integration", "e2e": "e2e", "faults": "faults", "benchmarks": "benchmark"}

_numbers = itertools.count(1)

# How long an example takes says something about the machine, and nothing about what is tried.
hypothesis.settings.register_profile("dbops", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("dbops")


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by folder and mark them; write their behaviours where the JUnit report takes them from."""
    for item in items:
        folder = _folder(item)
        if folder in FOLDER_MARKERS:
            item.add_marker(FOLDER_MARKERS[folder])
        features = {str(name) for marker in item.iter_markers("feature") for name in marker.args}
        item.user_properties += [("feature", name) for name in sorted(features)]
    items.sort(key=lambda item: (ORDER.index(_folder(item)), item.get_closest_marker("slow") is not None))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQLServer]:
    """PostgreSQL 17 with TLS, shared by the session; `postgres.admin` is its superuser."""
    with PostgreSQLServer(embedded_with_tls()) as server:
        yield server


@pytest.fixture(scope="session")
def weak_postgres(postgres: PostgreSQLServer) -> Login:
    """The session's server as a managed cloud's admin: CREATEDB and CREATEROLE, no superuser."""
    return postgres.weak_admin()


@pytest.fixture(scope="session")
def mysql() -> Iterator[MySQLServer]:
    """MySQL 9.7 with TLS, shared by the session; `mysql.admin` is its root over TCP."""
    with MySQLServer(binaries(MYSQL_9_7)) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MySQLServer]:
    """MariaDB 11.8 with TLS, shared by the session."""
    with MySQLServer(binaries(MARIADB_11_8)) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_10_11() -> Iterator[MySQLServer]:
    """MariaDB 10.11 with TLS, shared by the session's slow tests."""
    with MySQLServer(binaries(MARIADB_10_11)) as server:
        yield server


@pytest.fixture(
    params=[
        pytest.param("mysql", id="MySQL 9.7"),
        pytest.param("mariadb", id="MariaDB 11.8"),
        pytest.param("mariadb_10_11", id="MariaDB 10.11", marks=pytest.mark.slow),
    ]
)
def mysql_server(request: pytest.FixtureRequest) -> MySQLServer:
    """Each of the session's MySQL and MariaDB servers; a test on 10.11 is slow."""
    server: MySQLServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["superuser", "weak admin"])
def mysql_admin(request: pytest.FixtureRequest, mysql_server: MySQLServer) -> MySQLLogin:
    """Each of the two kinds of admin accounts on `mysql_server`: root, and what managed clouds give."""
    return mysql_server.admin if request.param == "superuser" else mysql_server.weak_admin()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real Kubernetes API, shared by the session."""
    with ControlPlane() as cluster:
        yield cluster


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


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder of the test's own, as pytest's, with a path so short that sockets find room in it (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="dbops-test-") as folder:
        yield Path(folder)


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Make names that no other test uses: `unique("app")` gives something like `app_create_login_7`.

    At most 40 characters of lower case letters, digits and underscores, so that it can be part of any name.
    """
    test = re.sub(r"[^a-z0-9]+", "_", request.node.name.lower().removeprefix("test_"))[:20].strip("_")
    return lambda prefix="x": f"{prefix[:12]}_{test}_{next(_numbers)}"


@pytest.fixture
def namespace(control_plane: ControlPlane, unique: Callable[[str], str]) -> str:
    """A new namespace in the session's cluster; it goes with the cluster."""
    name = unique("t").replace("_", "-")
    control_plane.kubectl("create", "namespace", name)
    return name
