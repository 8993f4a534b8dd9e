# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator's parts, driven by the test (see reconciling.py), and an independent try of credentials."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import psycopg
import pytest
import pytest_asyncio
from buckets import Bucket
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from psycopg.sql import SQL, Identifier
from reconciling import CrashingClient, Operator

from dbops_operator.keys import Key
from dbops_operator.settings import Settings
from localstack.controlplane import ControlPlane
from localstack.object_store import S3Server
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


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server, shared by the session."""
    with S3Server() as server:
        yield server


@pytest.fixture
def bucket(s3_server: S3Server, unique: Callable[[str], str]) -> Bucket:
    """A bucket of the test's own."""
    name = unique("b").replace("_", "-")
    s3_server.make_bucket(name)
    return Bucket(s3_server, name)


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """The name of a database on the server."""
    return unique("b")[-30:].lstrip("_")


@pytest_asyncio.fixture
async def shop(
    operator: Operator, postgres: PostgreSQLServer, bucket: Bucket, name: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Key]:
    """A ready Database called `shop` with content, and the Secret `store` of the bucket."""
    monkeypatch.setenv("PATH", str(postgres.binaries.directory), prepend=os.pathsep)
    await operator.instance(postgres)
    spec = {"instanceRef": {"name": "main"}, "name": name, "deletionProtection": False, "postgres": {}}
    key = await operator.create("Database", "shop", spec)
    await operator.run(key)
    content = "CREATE TABLE orders AS SELECT id, md5(id::text) AS code FROM generate_series(1, 1000) id"
    postgres.query(content, dbname=name)
    await operator.create_secret("store", bucket.credentials)
    yield key
    made = postgres.query("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{name}%"])
    for (one,) in made:
        postgres.query(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(one)))


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
