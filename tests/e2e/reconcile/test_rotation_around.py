# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands around rotation: grants, users that were there before, other namespaces, second passwords, bindings.

test_rotation.py has the rotation itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pymysql
import pytest
from reconciling import Crash, Operator

from dbops_operator.keys import Key
from dbops_operator.work import Done, Human
from localstack.mysql import MySQLLogin, MySQLServer
from localstack.postgresql import PostgreSQLServer

LogIn = Callable[[Mapping[str, str]], bool]
REFERENCE = {"instanceRef": {"name": "main"}}
ROTATES: dict[str, Any] = {"enabled": True, "maxAge": "720h", "oldUserPolicy": {"gracePeriodDays": 1}}


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """The user's name on the server, short enough for MySQL with what rotation adds."""
    return unique("r")[-16:].lstrip("_")


async def create(operator: Operator, kind: str, called: str, **spec: Any) -> Key:
    key = await operator.create(kind, called.replace("_", "-"), {**REFERENCE, **spec})
    await run(operator, key)
    return key


async def run(operator: Operator, key: Key) -> None:
    verdict = await operator.run(key)
    assert isinstance(verdict, Done), await operator.status(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")


async def secret_of(operator: Operator, key: Key) -> dict[str, str]:
    return await operator.secret((await operator.status(key))["secret"]["name"])


async def rotate(operator: Operator, key: Key) -> dict[str, str]:
    """Rotate now; give the new Secret's content."""
    before = await secret_of(operator, key)
    await operator.annotate(key, rotate_at=f"not {before['username']} {before['password'][:3]}")
    await run(operator, key)
    assert await operator.condition(key, "CredentialsReady") == ("True", "LoginSucceeded")
    after = await secret_of(operator, key)
    assert after["password"] != before["password"]
    return after


@pytest.fixture
def database(postgres: PostgreSQLServer, name: str) -> Iterator[str]:
    """A database with a table of the admin's."""
    postgres.query(f"CREATE DATABASE {name}_d")
    postgres.query("CREATE TABLE t (id int)", dbname=f"{name}_d")
    yield f"{name}_d"
    postgres.query(f"DROP DATABASE {name}_d WITH (FORCE)")


def may(postgres: PostgreSQLServer, role: str, database: str, privilege: str = "SELECT") -> bool:
    """Whether a role has a privilege on the table, in whatever way."""
    rows = postgres.query("SELECT has_table_privilege(%s, 'public.t', %s)", [role, privilege], dbname=database)
    return bool(rows[0][0])


@pytest.mark.feature("R03", "G01")
async def test_grants_follow_the_logins(
    operator: Operator, postgres: PostgreSQLServer, name: str, database: str
) -> None:
    await operator.instance(postgres)
    await create(operator, "DatabaseRole", f"{name}_r", roleName=f"{name}_r")
    user = await create(operator, "DatabaseUser", name, username=name, roles=[f"{name}_r"], passwordRotation=ROTATES)
    select = {"database": database, "schema": "public", "tables": ["t"], "privileges": ["SELECT"]}
    grant = await operator.create(
        "DatabaseGrant",
        "grant",
        {"userRef": {"name": user.name}, "deletionProtection": False, "postgres": {"grants": [select]}},
    )
    await run(operator, grant)
    assert (await operator.status(grant))["appliedGrants"]["grantee"] == f"svc_{name}"
    twin = (await rotate(operator, user))["username"]
    for login in (name, twin):
        assert may(postgres, login, database)
        assert postgres.query("SELECT pg_has_role(%s, %s, 'USAGE')", [login, f"{name}_r"]) == [(True,)]
    operator.later(days=2)
    await run(operator, user)
    assert postgres.query(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'") == []
    await run(operator, grant)
    assert may(postgres, twin, database)
    await operator.delete(grant)
    await operator.run(grant)
    assert not await operator.exists(grant)
    assert not may(postgres, twin, database)


@pytest.mark.feature("R03")
async def test_a_user_that_was_there_before(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str, database: str
) -> None:
    await operator.instance(postgres)
    user = await create(operator, "DatabaseUser", name, username=name)
    select = {"database": database, "schema": "public", "tables": ["t"], "privileges": ["SELECT"]}
    grant = await operator.create(
        "DatabaseGrant",
        "grant",
        {"userRef": {"name": user.name}, "deletionProtection": False, "postgres": {"grants": [select]}},
    )
    await run(operator, grant)
    first = await secret_of(operator, user)
    await operator.patch(user, {"spec": {"passwordRotation": ROTATES}})
    await run(operator, user)
    assert await secret_of(operator, user) == first, "switching it on rotates nothing"
    assert (await operator.status(user))["rotation"]["activeUser"] == name
    assert may(postgres, name, database)
    await run(operator, grant)
    held = "SELECT grantee FROM information_schema.role_table_grants WHERE table_name = 't' AND grantee LIKE %s"
    assert postgres.query(held, [f"%{name}%"], dbname=database) == [(f"svc_{name}",)]
    assert may(postgres, name, database), "through the role"
    # Its sessions begin as before: what it owns it can use.
    assert postgres.query("SELECT rolconfig FROM pg_roles WHERE rolname = %s", [name]) == [(None,)]
    second = await rotate(operator, user)
    assert may(postgres, second["username"], database)
    assert can_log_in(first)
    # Switched off again, the login in use stays, and the old one still goes when its time has come.
    await operator.patch(user, {"spec": {"passwordRotation": None}})
    await run(operator, user)
    assert await secret_of(operator, user) == second
    operator.later(days=2)
    await run(operator, user)
    assert not can_log_in(first)
    assert can_log_in(second)
    await operator.delete(grant)
    await operator.run(grant)
    await operator.delete(user)
    await operator.run(user)
    assert not await operator.exists(user), await operator.status(user)
    assert postgres.query("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", [f"%{name}%"]) == []


@pytest.mark.feature("R03")
async def test_a_service_role_that_is_not_ours(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    role = await create(operator, "DatabaseRole", f"{name}_r", roleName=f"{name}_r")
    rotates = {**ROTATES, "serviceRole": {"name": f"{name}_r"}}
    user = await operator.create("DatabaseUser", "user", {**REFERENCE, "username": name, "passwordRotation": rotates})
    assert isinstance(await operator.run(user), Human)
    assert await operator.ready(user) == ("False", "Conflict")
    await operator.patch(user, {"spec": {"passwordRotation": {"serviceRole": {"autoCreate": False}}}})
    await run(operator, user)
    twin = (await rotate(operator, user))["username"]
    assert postgres.query("SELECT pg_has_role(%s, %s, 'USAGE')", [twin, f"{name}_r"]) == [(True,)]
    await operator.delete(user)
    await operator.run(user)
    assert not await operator.exists(user)
    await run(operator, role)
    found = postgres.query("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", [f"{name}%"])
    assert found == [(f"{name}_r",)]


@pytest.mark.feature("R03", "I14")
async def test_another_namespace_joins_no_role_by_rotation(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    policy = {"namespaces": {"names": ["*"]}, "namePatterns": [f"{name}*"]}
    instance = await operator.instance(postgres, accessPolicy=policy)
    postgres.query(f"CREATE ROLE theirs_{name}")
    guest = f"{operator.namespace}-guest"
    operator.cluster.kubectl("create", "namespace", guest)
    reference = {"instanceRef": {"name": instance.name, "namespace": instance.namespace}}
    for rotates in (
        {"serviceRole": {"name": f"theirs_{name}", "autoCreate": False}},
        {"serviceRole": {"name": f"theirs_{name}"}},
        {"userNaming": "postgres", "serviceRole": {"name": f"{name}_s"}},
    ):
        spec = {**reference, "username": name, "passwordRotation": {**ROTATES, **rotates}}
        user = await operator.create("DatabaseUser", "guest", spec, namespace=guest)
        await operator.run(user)
        if "userNaming" in rotates:
            await run(operator, user)
            await operator.annotate(user, rotate_at="now")
            await operator.run(user)
        assert await operator.ready(user) == ("False", "AccessDenied")
        await operator.delete(user)
        await operator.run(user)
    members = "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE r.rolname = %s"
    assert postgres.query(members, [f"theirs_{name}"]) == [(0,)]
    postgres.query(f"DROP ROLE theirs_{name}")


@pytest.mark.feature("R01")
async def test_a_bad_schedule_is_told_and_the_user_stays_ready(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    rotates = {"enabled": True, "schedule": "@daily"}
    user = await create(operator, "DatabaseUser", name, username=name, passwordRotation=rotates)
    assert "schedule" in (await operator.status(user))["message"]
    assert "nextRotationAt" not in (await operator.status(user))["rotation"]
    await run(operator, user)
    assert (await operator.events(user)).count("InvalidRotationSchedule") == 1
    await rotate(operator, user)


@pytest.mark.feature("U05")
async def test_a_service_binding(operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str) -> None:
    await operator.instance(postgres)
    user = await create(operator, "DatabaseUser", name, username=name)
    assert "binding" not in await operator.status(user)
    await operator.patch(user, {"spec": {"serviceBinding": {"database": "postgres"}, "passwordRotation": ROTATES}})
    await run(operator, user)
    bound = (await operator.status(user))["binding"]["name"]
    key = operator.key("Secret", bound)
    assert (await operator.get(key))["type"] == "servicebinding.io/postgresql"
    binding = await operator.secret(bound)
    assert {"type", "provider", "host", "port", "database", "username", "password", "uri"} <= set(binding)
    assert binding["type"] == "postgresql"
    assert can_log_in(binding)
    # It follows the password, and comes back.
    second = await rotate(operator, user)
    binding = await operator.secret(bound)
    assert (binding["username"], binding["password"]) == (second["username"], second["password"])
    assert can_log_in(binding)
    await operator.delete(key)
    await run(operator, user)
    assert await operator.secret(bound) == binding
    await operator.patch(user, {"spec": {"serviceBinding": {"secretName": "other"}}})
    await run(operator, user)
    assert (await operator.status(user))["binding"]["name"] == "other"
    assert can_log_in(await operator.secret("other"))
    foreign = await operator.create_secret("foreign", {"type": "theirs"})
    await operator.patch(user, {"spec": {"serviceBinding": {"secretName": "foreign"}}})
    await operator.run(user)
    assert await operator.ready(user) == ("False", "Conflict")
    assert await operator.secret(foreign.name) == {"type": "theirs"}
    await operator.patch(user, {"spec": {"serviceBinding": None}})
    await run(operator, user)
    assert "binding" not in await operator.status(user)


def logs_in(server: MySQLServer, secret: Mapping[str, str], *statements: str) -> bool:
    """Whether the content of a Secret logs in and may do this."""
    try:
        login = server.login(secret["username"], secret["password"])
        with login.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    except pymysql.err.OperationalError as error:
        if error.args[0] in (1045, 3118, 4151):
            return False
        raise
    return True


@pytest.mark.feature("R03")
async def test_twins_on_mysql_and_mariadb(
    operator: Operator, mysql_server: MySQLServer, mysql_admin: MySQLLogin, name: str
) -> None:
    await operator.mysql_instance(mysql_admin, mysql_server.engine)
    place = name.replace("_", "")
    block = {"deletionProtection": False, "mysql": {"charset": "utf8mb4", "collation": "utf8mb4_bin"}}
    database = await create(operator, "Database", f"{name}-d", name=place, **block)
    user = await create(operator, "DatabaseUser", name, username=name, passwordRotation=ROTATES)
    everything = {"level": "database", "database": place, "privileges": ["SELECT", "INSERT", "CREATE"]}
    target = {"userRef": {"name": user.name}, "deletionProtection": False}
    grant = await operator.create("DatabaseGrant", "grant", {**target, "mysql": {"grants": [everything]}})
    await run(operator, grant)
    first = await secret_of(operator, user)
    assert logs_in(mysql_server, first, f"CREATE TABLE {place}.t (id int)", f"INSERT INTO {place}.t VALUES (1)")
    second = await rotate(operator, user)
    assert second["username"] != first["username"]
    for secret in (first, second):
        assert logs_in(mysql_server, secret, f"INSERT INTO {place}.t VALUES (2)")
    # The old one is the definer of something: it is locked and kept.
    mysql_server.query(f"CREATE DEFINER = `{name}`@`%` SQL SECURITY INVOKER VIEW {place}.v AS SELECT * FROM {place}.t")
    operator.later(days=2)
    await run(operator, user)
    assert not logs_in(mysql_server, first)
    assert logs_in(mysql_server, second, f"SELECT * FROM {place}.t")
    (old,) = (await operator.status(user))["rotation"]["pendingDeletion"]
    assert old["status"] == "blocked"
    assert [one["name"] for one in old["ownedObjects"]] == ["v"]
    mysql_server.query(f"DROP VIEW {place}.v")
    operator.later(hours=1)
    await run(operator, user)
    assert mysql_server.query("SELECT user FROM mysql.user WHERE user = %s", [name]) == []
    for key in (grant, user, database):
        await operator.delete(key)
        await operator.run(key)
        assert not await operator.exists(key), await operator.status(key)
    assert mysql_server.query("SELECT user FROM mysql.user WHERE user LIKE %s", [f"%{name}%"]) == []


@pytest.mark.feature("R02")
@pytest.mark.parametrize("who", ["superuser", "weak admin"])
async def test_two_passwords_on_mysql(operator: Operator, mysql: MySQLServer, name: str, who: str) -> None:
    await operator.mysql_instance(mysql.admin if who == "superuser" else mysql.weak_admin(), "mysql")
    rotates = {
        "enabled": True,
        "maxAge": "24h",
        "strategy": "dual-password",
        "mysql": {"discardOldPasswordAfterDays": 2},
    }
    user = await create(operator, "DatabaseUser", name, username=name, passwordRotation=rotates)
    first = await secret_of(operator, user)
    # Killed after the server has the new password: both work, and the next run goes on.
    operator.later(hours=25)
    operator.lanes.crash_at = 1
    with pytest.raises(Crash):
        await operator.run(user)
    operator.lanes.crash_at = None
    assert logs_in(mysql, await secret_of(operator, user))
    await run(operator, user)
    second = await secret_of(operator, user)
    assert second["username"] == name
    assert second["password"] != first["password"]
    assert logs_in(mysql, first)
    assert logs_in(mysql, second)
    status = await operator.status(user)
    assert status["rotation"]["strategy"] == "dual-password"
    # Due again after a day, but the old password was promised for two.
    operator.later(hours=25)
    await run(operator, user)
    assert await secret_of(operator, user) == second
    assert logs_in(mysql, first)
    operator.later(hours=24)
    await run(operator, user)
    third = await secret_of(operator, user)
    assert not logs_in(mysql, first)
    assert logs_in(mysql, second)
    assert logs_in(mysql, third)
    await operator.delete(user)
    await operator.run(user)
    assert not await operator.exists(user)


@pytest.mark.feature("R02")
async def test_two_passwords_where_there_is_one_only(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    rotates = {"enabled": True, "maxAge": "24h", "strategy": "dual-password"}
    user = await operator.create("DatabaseUser", "user", {**REFERENCE, "username": name, "passwordRotation": rotates})
    assert isinstance(await operator.run(user), Human)
    assert await operator.ready(user) == ("False", "Unsupported")
