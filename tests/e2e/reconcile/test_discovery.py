# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on a server and managed by no object is listed, and taken over by consent only, as far as is declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from reconciling import Operator

from localstack.mysql import MySQLServer
from localstack.postgresql import PostgreSQLServer

READY = ("True", "ReconcileSuccess")
HERE = {"instanceRef": {"name": "main"}}
DISCOVERY = {"discovery": {"enabled": True, "interval": "30m"}}


def names(status: dict[str, Any], sort: str) -> list[str]:
    return [entry["name"] for entry in status["discoveredResources"][sort]]


@pytest.mark.feature("I13")
async def test_what_nobody_manages_is_listed_until_somebody_does(operator: Operator) -> None:
    with PostgreSQLServer() as server:
        server.query("CREATE ROLE app LOGIN CONNECTION LIMIT 7")
        server.query("CREATE ROLE readers")
        server.query("CREATE DATABASE orders OWNER app")
        instance = await operator.instance(server)
        assert "discoveredResources" not in await operator.status(instance)
        await operator.patch(instance, {"spec": DISCOVERY})
        await operator.run(instance)
        status = await operator.status(instance)
        assert [names(status, sort) for sort in ("databases", "users", "roles")] == [["orders"], ["app"], ["readers"]]
        found = status["discoveredResources"]
        assert (found["databasesCount"], found["usersCount"], found["rolesCount"]) == (1, 1, 1)
        assert found["users"][0]["discovered"] == found["lastScan"]
        writes = operator.api.writes
        await operator.run(instance)
        assert operator.api.writes == writes
        # An object of the same name is refused, and the name stays listed, until the instance's owner consents.
        key = await operator.create("DatabaseUser", "app", {**HERE, "username": "app"})
        await operator.run(key)
        assert await operator.ready(key) == ("False", "NotAdopted")
        await operator.run(instance)
        assert names(await operator.status(instance), "users") == ["app"]
        await operator.annotate(instance, adopt_users="app")
        await operator.run(key)
        assert await operator.ready(key) == READY
        await operator.run(instance)
        status = await operator.status(instance)
        assert (names(status, "users"), names(status, "databases")) == ([], ["orders"])
        # What the object does not name is as it was.
        assert server.query("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'app'") == [(7,)]
        assert server.query("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'orders'") == [("app",)]
        await operator.patch(instance, {"spec": {"discovery": {"enabled": False}}})
        await operator.run(instance)
        assert "discoveredResources" not in await operator.status(instance)


@pytest.mark.feature("I13")
async def test_a_long_list_is_capped_and_counted(operator: Operator) -> None:
    with PostgreSQLServer() as server:
        for number in range(60):
            server.query(f"CREATE ROLE many_{number:03}")  # type: ignore[arg-type]
        instance = await operator.instance(server, **DISCOVERY)
        status = await operator.status(instance)
        assert names(status, "roles") == [f"many_{number:03}" for number in range(50)]
        assert status["discoveredResources"]["rolesCount"] == 60


@pytest.mark.feature("I13")
async def test_on_mysql_and_mariadb(
    operator: Operator, mysql_server: MySQLServer, unique: Callable[[str], str]
) -> None:
    name = unique("i")[-20:].lstrip("_")
    mysql_server.query(f"CREATE DATABASE {name}_d")
    mysql_server.query(f"CREATE USER {name}_u IDENTIFIED BY 'x'")
    mysql_server.query(f"CREATE ROLE {name}_r")
    instance = await operator.mysql_instance(mysql_server.admin, mysql_server.engine)
    key = await operator.create("Database", "managed", {**HERE, "name": f"{name}_m"})
    await operator.run(key)
    await operator.patch(instance, {"spec": DISCOVERY})
    await operator.run(instance)
    status = await operator.status(instance)
    assert f"{name}_d" in names(status, "databases")
    assert f"{name}_m" not in names(status, "databases")
    assert not {"mysql", "sys", "dbops"} & set(names(status, "databases"))
    assert f"{name}_u" in names(status, "users")
    assert f"{name}_r" in names(status, "roles")
    assert not {"root", "mysql.sys"} & {*names(status, "users"), *names(status, "roles")}
