# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseRole and DatabaseGrant, judged by the server: what is granted can be done, what is not cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from reconciling import Operator

from dbops_operator.keys import Key
from dbops_operator.work import Done, Human, Wait
from localstack.postgresql import PostgreSQLServer

REFERENCE = {"instanceRef": {"name": "main"}}


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """Part of all names on the server."""
    return unique("x")


def object_name(name: str) -> str:
    return name.replace("_", "-")


async def database(operator: Operator, postgres: PostgreSQLServer, name: str) -> Key:
    """A Database with a table in schema sales."""
    spec = {**REFERENCE, "name": name, "deletionProtection": False, "postgres": {"schemas": [{"name": "sales"}]}}
    key = await operator.create("Database", object_name(name), spec)
    await operator.run(key)
    postgres.query("CREATE TABLE sales.orders (id int, note text)", dbname=name)
    return key


async def user(operator: Operator, name: str) -> Key:
    key = await operator.create("DatabaseUser", object_name(name), {**REFERENCE, "username": name})
    await operator.run(key)
    return key


async def role(operator: Operator, name: str, **block: Any) -> Key:
    key = await operator.create("DatabaseRole", object_name(name), {**REFERENCE, "roleName": name, "postgres": block})
    await operator.run(key)
    return key


async def grant(operator: Operator, name: str, target: Key, **block: Any) -> Key:
    reference = {"userRef" if target.kind == "DatabaseUser" else "roleRef": {"name": target.name}}
    spec = {**reference, "deletionProtection": False, "postgres": block}
    return await operator.create("DatabaseGrant", name, spec)


async def can(operator: Operator, user: Key, database: str, statement: str) -> bool:
    """Whether the user may do this, tried with the content of its Secret."""
    secret = await operator.secret(f"{user.name}-credentials")
    try:
        with psycopg.connect(
            host=secret["host"], port=secret["port"], user=secret["username"], password=secret["password"],
            dbname=database,
        ) as connection:  # fmt: skip
            connection.execute(statement)  # type: ignore[arg-type]
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


@pytest.mark.feature("O01", "L01")
async def test_a_role_is_made_changed_and_dropped(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    group = await role(operator, f"{name}_group")
    key = await role(operator, name, createDB=True, inRoles=[f"{name}_group"])
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    status = await operator.status(key)
    assert (status["phase"], status["role"]["name"]) == ("Ready", name)
    query = "SELECT rolcanlogin, rolcreatedb, pg_has_role(oid, %s::regrole, 'MEMBER') FROM pg_roles WHERE rolname = %s"
    assert postgres.query(query, [f"{name}_group", name]) == [(False, True, True)]
    before = operator.api.writes
    await operator.run(key)
    assert operator.api.writes == before
    await operator.patch(key, {"spec": {"postgres": {"createDB": False, "inRoles": []}}})
    await operator.run(key)
    assert postgres.query(query, [f"{name}_group", name]) == [(False, False, False)]
    for one in (key, group):
        await operator.delete(one)
        await operator.run(one)
        assert not await operator.exists(one)
    assert postgres.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]) == []


@pytest.mark.feature("O02", "G01")
async def test_a_user_may_what_its_role_and_its_grants_say(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    await database(operator, postgres, name)
    reader_grants = [{"database": name, "schema": "sales", "privileges": ["USAGE", "SELECT"]}]
    await role(operator, f"{name}_reader", grants=reader_grants)
    app = await user(operator, f"{name}_app")
    assert not await can(operator, app, name, "SELECT * FROM sales.orders")
    key = await grant(operator, "app", app, roles=[f"{name}_reader"])
    assert isinstance(await operator.run(key), Done)
    assert await can(operator, app, name, "SELECT * FROM sales.orders")
    assert not await can(operator, app, name, "INSERT INTO sales.orders VALUES (1)")
    writes = [{"database": name, "schema": "sales", "tables": ["orders"], "privileges": ["INSERT", "UPDATE"]}]
    await operator.patch(key, {"spec": {"postgres": {"grants": writes}}})
    await operator.run(key)
    assert await can(operator, app, name, "INSERT INTO sales.orders VALUES (1)")
    status = await operator.status(key)
    assert status["appliedGrants"] == {"roles": [f"{name}_reader"], "directGrants": 1, "defaultPrivileges": 0}
    before = operator.api.writes
    await operator.run(key)
    assert operator.api.writes == before
    # The user keeps what the grant gave when it is looked at itself.
    await operator.patch(app, {"spec": {"postgres": {"connectionLimit": 9}}})
    await operator.run(app)
    assert await can(operator, app, name, "SELECT * FROM sales.orders")


@pytest.mark.feature("G05")
async def test_what_leaves_the_spec_is_revoked_and_what_another_declares_stays(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    await database(operator, postgres, name)
    app = await user(operator, f"{name}_app")
    both = {"database": name, "schema": "sales", "tables": ["orders"], "privileges": ["SELECT", "INSERT"]}
    first = await grant(operator, "first", app, grants=[both])
    second = await grant(operator, "second", app, grants=[{**both, "privileges": ["SELECT"]}])
    for key in (first, second):
        await operator.run(key)
    await operator.patch(first, {"spec": {"postgres": {"grants": [{**both, "privileges": ["UPDATE"]}]}}})
    await operator.run(first)
    # UPDATE with a condition reads too.
    assert await can(operator, app, name, "UPDATE sales.orders SET id = 2")
    assert await can(operator, app, name, "SELECT * FROM sales.orders")
    assert not await can(operator, app, name, "INSERT INTO sales.orders VALUES (1)")
    await operator.delete(second)
    await operator.run(second)
    assert not await operator.exists(second)
    assert not await can(operator, app, name, "SELECT * FROM sales.orders")
    assert await can(operator, app, name, "UPDATE sales.orders SET id = 2")


@pytest.mark.feature("G05")
async def test_another_user_gets_it_and_the_one_before_loses_it(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    await database(operator, postgres, name)
    await role(operator, f"{name}_reader", grants=[{"database": name, "schema": "sales", "privileges": ["USAGE"]}])
    app, other = await user(operator, f"{name}_app"), await user(operator, f"{name}_other")
    entry = {"database": name, "schema": "sales", "tables": ["orders"], "privileges": ["SELECT", "INSERT"]}
    key = await grant(operator, "moving", app, roles=[f"{name}_reader"], grants=[entry])
    stays = await grant(operator, "stays", app, grants=[{**entry, "privileges": ["SELECT"]}])
    for one in (key, stays):
        assert isinstance(await operator.run(one), Done)
    await operator.patch(key, {"spec": {"userRef": {"name": other.name}}})
    assert isinstance(await operator.run(key), Done)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    write = "INSERT INTO sales.orders VALUES (1)"
    assert (await can(operator, app, name, write), await can(operator, other, name, write)) == (False, True)
    assert await can(operator, app, name, "SELECT * FROM sales.orders")
    query = "SELECT pg_has_role(%s, %s, 'MEMBER')"
    members = [postgres.query(query, [f"{name}{one}", f"{name}_reader"])[0][0] for one in ("_app", "_other")]
    assert members == [False, True]
    before = operator.api.writes
    await operator.run(key)
    assert operator.api.writes == before
    # Deleted before anybody looked at whom it is for now.
    await operator.patch(key, {"spec": {"userRef": {"name": app.name}}})
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key)
    assert not await can(operator, other, name, write)
    assert not await can(operator, app, name, write)


@pytest.mark.feature("L02")
async def test_a_grant_waits_for_whom_it_is_for(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    await database(operator, postgres, name)
    target = operator.key("DatabaseUser", object_name(f"{name}_app"))
    entry = {"database": name, "privileges": ["CONNECT"]}
    key = await grant(operator, "app", target, grants=[entry])
    assert isinstance(await operator.run(key), Wait)
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert target in operator.depends
    await user(operator, f"{name}_app")
    assert isinstance(await operator.run(key), Done)


@pytest.mark.feature("L02")
async def test_a_grant_in_a_database_to_come_is_woken_by_it(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    app = await user(operator, f"{name}_app")
    key = await grant(operator, "app", app, grants=[{"database": name, "privileges": ["CONNECT"]}])
    assert isinstance(await operator.run(key), Wait)
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    await database(operator, postgres, name)
    assert key in operator.woken


@pytest.mark.feature("L14")
async def test_a_grant_goes_in_any_order(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    await database(operator, postgres, name)
    app = await user(operator, f"{name}_app")
    key = await grant(operator, "app", app, grants=[{"database": name, "privileges": ["CONNECT"]}])
    await operator.run(key)
    # The grant holds its user.
    await operator.delete(app)
    assert isinstance(await operator.run(app), Human)
    assert await operator.ready(app) == ("False", "DependenciesExist")
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key)
    await operator.run(app)
    assert not await operator.exists(app)


@pytest.mark.feature("L04")
async def test_protection_is_the_default(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    app = await user(operator, f"{name}_app")
    key = await grant(operator, "app", app, roles=[])
    await operator.patch(key, {"spec": {"deletionProtection": None}})
    await operator.run(key)
    assert "Nothing is declared" in (await operator.status(key))["message"]
    await operator.delete(key)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "DeletionProtected")
    await operator.patch(key, {"spec": {"deletionProtection": False}})
    await operator.run(key)
    assert not await operator.exists(key)


async def test_a_user_of_another_namespace_must_consent(
    operator: Operator, postgres: PostgreSQLServer, name: str, unique: Callable[[str], str]
) -> None:
    await operator.instance(postgres)
    app = await user(operator, f"{name}_app")
    other = unique("n").replace("_", "-")
    operator.cluster.kubectl("create", "namespace", other)
    spec = {"userRef": {"name": app.name, "namespace": app.namespace}, "deletionProtection": False, "postgres": {}}
    key = await operator.create("DatabaseGrant", "app", spec, namespace=other)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "AccessDenied")
    assert "allow-from" in (await operator.status(key))["message"]


@pytest.mark.feature("L07")
async def test_drift_is_told_field_by_field(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    await database(operator, postgres, name)
    app = await user(operator, f"{name}_app")
    entry = {"database": name, "schema": "sales", "tables": ["orders"], "privileges": ["SELECT"]}
    key = await grant(operator, "app", app, grants=[entry])
    await operator.run(key)
    postgres.query(f'REVOKE SELECT ON sales.orders FROM "{name}_app"', dbname=name)  # type: ignore[arg-type]
    await operator.run(key)
    drift = (await operator.status(key))["drift"]
    assert drift["detected"]
    assert not await can(operator, app, name, "SELECT * FROM sales.orders")
    await operator.patch(key, {"spec": {"driftPolicy": {"mode": "correct"}}})
    await operator.run(key)
    assert await can(operator, app, name, "SELECT * FROM sales.orders")
