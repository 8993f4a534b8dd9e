# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's parts, driven by the test (see reconciling.py), and an independent try of credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

import psycopg
import pytest
import pytest_asyncio
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from reconciling import CrashingClient, Operator

from dbops_operator.settings import Settings
from localstack.controlplane import ControlPlane
from localstack.postgresql import PostgreSQLServer


@pytest_asyncio.fixture
async def operator(crds: ControlPlane, namespace: str, unique: Callable[[str], str]) -> AsyncIterator[Operator]:
    """An operator's parts in a namespace of the test's own."""
    own = f"{namespace}-operator"
    crds.kubectl("create", "namespace", own)
    settings = Settings(cluster_id=namespace, operator_namespace=own, api_server=crds.server)
    configuration = Configuration()
    await config.load_kube_config(config_file=str(crds.kubeconfig), client_configuration=configuration)
    client = CrashingClient(configuration)
    parts = Operator(client, namespace, settings, crds)
    yield parts
    await parts.templates.close()
    await client.close()


@pytest.fixture
def can_log_in(postgres: PostgreSQLServer) -> Callable[[Mapping[str, str]], bool]:
    """Whether the content of a credentials Secret logs in on the session's server."""

    def log_in(secret: Mapping[str, str]) -> bool:
        try:
            with psycopg.connect(
                host=secret["host"],
                port=int(secret["port"]),
                user=secret["username"],
                password=secret["password"],
                dbname=secret["database"],
                connect_timeout=5,
            ) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    return log_in
