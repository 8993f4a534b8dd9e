# SPDX-License-Identifier: GPL-3.0-or-later
"""initSQL and auto-ownership of a Database: sources, status, recovery, consent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from reconciling import Operator

from dbops_operator.keys import Key
from dbops_operator.work import Done
from localstack.postgresql import PostgreSQLServer

REFERENCE = {"instanceRef": {"name": "main"}}
TABLE = "CREATE TABLE IF NOT EXISTS t (id int)"
HASH_OF_SELECT_1 = "e004ebd5b5532a4b85984a62f8ad48a81aa3460c1ca07701f386135d72cdecf5"


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """The database's name on the server."""
    return unique("d")


async def create(operator: Operator, name: str, init_sql: dict[str, Any] | None, **spec: Any) -> Key:
    body = {**REFERENCE, "name": name, "deletionProtection": False, **spec}
    return await operator.create(
        "Database", name.replace("_", "-"), body if init_sql is None else {**body, "initSQL": init_sql}
    )


async def config_map(operator: Operator, text: str, namespace: str = "", **annotations: str) -> None:
    metadata = {"name": "init", "namespace": namespace or operator.namespace, "annotations": annotations}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"sql": text}}
    await operator.api.create(body)


def rows(postgres: PostgreSQLServer, name: str) -> int:
    ((count,),) = postgres.query("SELECT count(*) FROM t", dbname=name)
    return int(count)


@pytest.mark.feature("D09")
async def test_inline_runs_once_and_is_told(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, {"inline": ["SELECT 1"]})
    assert isinstance(await operator.run(key), Done)
    told = (await operator.status(key))["initSQL"]
    assert (told["applied"], told["hash"], told["statementsExecuted"]) == (True, HASH_OF_SELECT_1, 1)
    assert told["appliedAt"]
    before = operator.api.writes
    await operator.run(key)
    assert operator.api.writes == before
    assert (await operator.status(key))["initSQL"] == told


@pytest.mark.feature("D09")
async def test_without_it_nothing_is_told_and_later_it_runs(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, None)
    await operator.run(key)
    assert "initSQL" not in await operator.status(key)
    await operator.patch(key, {"spec": {"initSQL": {"inline": [TABLE]}}})
    await operator.run(key)
    assert (await operator.status(key))["initSQL"]["applied"] is True
    assert rows(postgres, name) == 0


@pytest.mark.feature("D09")
async def test_a_config_map_is_split_and_its_change_runs(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    await config_map(operator, f"{TABLE};\nINSERT INTO t VALUES (1)\n---\nINSERT INTO t VALUES (2); -- ; last")
    key = await create(operator, name, {"configMapRef": {"name": "init", "key": "sql"}})
    assert isinstance(await operator.run(key), Done)
    assert operator.key("ConfigMap", "init") in operator.depends
    assert rows(postgres, name) == 2
    assert (await operator.status(key))["initSQL"]["statementsExecuted"] == 3
    # A change of the source is noticed, and does not repair what a person did to the database.
    postgres.query(f"ALTER DATABASE {name} CONNECTION LIMIT 7")  # type: ignore[arg-type]
    path = f"/api/v1/namespaces/{operator.namespace}/configmaps/init"
    change = {"data": {"sql": f"{TABLE}; INSERT INTO t VALUES (3)"}}
    await operator.api._json("PATCH", path, body=change, content_type="application/merge-patch+json")
    await operator.run(key)
    assert rows(postgres, name) == 3
    assert postgres.query("SELECT datconnlimit FROM pg_database WHERE datname = %s", [name]) == [(7,)]


@pytest.mark.feature("D09")
async def test_a_secret_is_a_source_of_its_own_namespace_only(
    operator: Operator, postgres: PostgreSQLServer, name: str, unique: Callable[[str], str]
) -> None:
    await operator.instance(postgres)
    await operator.create_secret("init", {"sql": f"{TABLE}; INSERT INTO t VALUES (1)"})
    key = await create(operator, name, {"secretRef": {"name": "init", "key": "sql"}})
    assert isinstance(await operator.run(key), Done)
    assert rows(postgres, name) == 1
    other = unique("n").replace("_", "-")
    operator.cluster.kubectl("create", "namespace", other)
    allowed = {"dbops.dbprovision.io/allow-from": "*"}
    await operator.create_secret("init", {"sql": TABLE}, namespace=other, annotations=allowed)
    await operator.patch(key, {"spec": {"initSQL": {"secretRef": {"name": "init", "key": "sql", "namespace": other}}}})
    await operator.run(key)
    assert await operator.ready(key) == ("False", "AccessDenied")


async def test_a_config_map_of_another_namespace_consents(
    operator: Operator, postgres: PostgreSQLServer, name: str, unique: Callable[[str], str]
) -> None:
    await operator.instance(postgres)
    other = unique("n").replace("_", "-")
    operator.cluster.kubectl("create", "namespace", other)
    await config_map(operator, TABLE, other)
    key = await create(operator, name, {"configMapRef": {"name": "init", "key": "sql", "namespace": other}})
    await operator.run(key)
    assert await operator.ready(key) == ("False", "AccessDenied")
    operator.cluster.kubectl(
        "annotate", "configmap", "init", "--namespace", other, f"dbops.dbprovision.io/allow-from={operator.namespace}"
    )
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")


@pytest.mark.feature("D10")
async def test_block_blocks_until_the_content_is_right(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, {"inline": [TABLE, "SELECT nonsense"]})
    for _ in range(2):
        await operator.run(key)
        status = await operator.status(key)
        assert (status["phase"], await operator.ready(key)) == ("Failed", ("False", "InvalidSpec"))
        assert await operator.condition(key, "Synced") == ("False", "InitSQLFailed")
        assert (status["initSQL"]["applied"], status["initSQL"]["statementsExecuted"]) == (False, 1)
        assert "nonsense" in status["initSQL"]["error"]
    await operator.patch(key, {"spec": {"initSQL": {"inline": [TABLE, "SELECT 1"]}}})
    assert isinstance(await operator.run(key), Done)
    told = (await operator.status(key))["initSQL"]
    assert (told["applied"], told["error"]) == (True, "")


@pytest.mark.feature("D10")
async def test_continue_is_ready_and_says_what_failed(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, {"inline": ["SELECT nonsense"], "failurePolicy": "Continue"})
    assert isinstance(await operator.run(key), Done)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "Synced") == ("False", "InitSQLFailed")
    assert "nonsense" in (await operator.status(key))["initSQL"]["error"]


@pytest.mark.feature("D09")
async def test_a_missing_source_is_told_and_recovers(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, {"configMapRef": {"name": "init", "key": "sql"}})
    await operator.run(key)
    status = await operator.status(key)
    assert (status["phase"], await operator.ready(key)) == ("Failed", ("False", "DependencyNotReady"))
    told = status["initSQL"]
    assert (told["applied"], told["hash"], told["statementsExecuted"]) == (False, "", 0)
    assert "ConfigMap" in told["error"]
    assert operator.key("ConfigMap", "init") in operator.depends
    await config_map(operator, TABLE)
    assert isinstance(await operator.run(key), Done)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")


@pytest.mark.feature("D07")
async def test_auto_ownership(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, None, postgres={"ownership": {"autoOwnership": True, "dropOnDelete": True}})
    assert isinstance(await operator.run(key), Done)
    status = await operator.status(key)
    names = {"roleName": f"db_{name}_owner", "userName": f"db_{name}_app", "phase": "Ready"}
    assert status["postgres"]["ownership"] == names
    assert status["database"]["owner"] == names["roleName"]
    query = "SELECT rolcanlogin FROM pg_roles WHERE rolname = ANY(%s) ORDER BY rolname DESC"
    both = [names["roleName"], names["userName"]]
    assert postgres.query(query, [both]) == [(False,), (True,)]
    before = operator.api.writes
    await operator.run(key)
    assert operator.api.writes == before
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key)
    assert postgres.query(query, [both]) == []
