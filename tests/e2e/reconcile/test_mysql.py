# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds on MySQL and MariaDB, each as root and as a managed cloud's admin, judged by logins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pymysql
import pytest
from reconciling import Operator

from dbops_operator.keys import Key
from dbops_operator.work import Done
from localstack.mysql import MySQLLogin, MySQLServer

REFERENCE = {"instanceRef": {"name": "main"}}


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """Part of all names on the server."""
    return unique("m")[-20:].lstrip("_")


async def create(operator: Operator, kind: str, called: str, **spec: Any) -> Key:
    key = await operator.create(kind, called.replace("_", "-"), {**REFERENCE, **spec})
    assert isinstance(await operator.run(key), Done), await operator.status(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    return key


async def can(operator: Operator, server: MySQLServer, user: Key, statement: str) -> bool:
    """Whether the user may do this, tried with the content of its Secret."""
    secret = await operator.secret(f"{user.name}-credentials")
    login = server.login(secret["username"], secret["password"])
    try:
        with login.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
    except pymysql.err.OperationalError as error:
        if error.args[0] in (1044, 1142, 1227):
            return False
        raise
    return True


@pytest.mark.feature("I02", "I03")
async def test_an_instance_says_what_it_is(
    operator: Operator, mysql_server: MySQLServer, mysql_admin: MySQLLogin
) -> None:
    key = await operator.mysql_instance(mysql_admin, mysql_server.engine)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    status = await operator.status(key)
    assert status["phase"] == "Ready"
    assert status["version"].startswith(mysql_server.version)


@pytest.mark.feature("D01", "U01", "U04", "U07", "O01", "G01", "G05", "L03")
async def test_a_life(operator: Operator, mysql_server: MySQLServer, mysql_admin: MySQLLogin, name: str) -> None:
    await operator.mysql_instance(mysql_admin, mysql_server.engine)
    block = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
    database = await create(operator, "Database", f"{name}_d", name=f"{name}_d", deletionProtection=False, mysql=block)
    assert (await operator.status(database))["mysql"] == block
    mysql_server.query(f"CREATE TABLE `{name}_d`.t (id int)")
    user = await create(operator, "DatabaseUser", f"{name}_u", username=f"{name}_u", mysql={"requireSSL": True})
    assert (await operator.condition(user, "CredentialsReady") or ("",))[0] == "True"
    secret = await operator.secret(f"{user.name}-credentials")
    assert secret["uri"].startswith(f"{mysql_server.engine}://{name}_u:")
    assert not await can(operator, mysql_server, user, f"SELECT * FROM `{name}_d`.t")
    select = {"level": "database", "database": f"{name}_d", "privileges": ["SELECT"]}
    role_block = {"useNativeRoles": True, "grants": [select]}
    role = await create(operator, "DatabaseRole", f"{name}_r", roleName=f"{name}_r", mysql=role_block)
    target = {"userRef": {"name": user.name}, "deletionProtection": False}
    grant = await operator.create("DatabaseGrant", "grant", {**target, "mysql": {"roles": [f"{name}_r"]}})
    await operator.run(grant)
    assert await operator.ready(grant) == ("True", "ReconcileSuccess")
    assert await can(operator, mysql_server, user, f"SELECT * FROM `{name}_d`.t")
    assert not await can(operator, mysql_server, user, f"INSERT INTO `{name}_d`.t VALUES (1)")
    table = {"level": "table", "database": f"{name}_d", "table": "t", "privileges": ["SELECT", "INSERT"]}
    await operator.patch(grant, {"spec": {"mysql": {"roles": [], "grants": [table]}}})
    await operator.run(grant)
    assert await can(operator, mysql_server, user, f"INSERT INTO `{name}_d`.t VALUES (1)")
    # Nothing differs, nothing is written.
    before = operator.api.writes
    for key in (database, user, role, grant):
        await operator.run(key)
    assert operator.api.writes == before
    for key in (grant, user, role, database):
        await operator.delete(key)
        await operator.run(key)
        assert not await operator.exists(key), await operator.status(key)
    assert mysql_server.query("SELECT 1 FROM mysql.user WHERE user LIKE %s", [f"{name}%"]) == []
    assert mysql_server.query("SHOW DATABASES LIKE %s", [f"{name}%"]) == []
