# SPDX-License-Identifier: GPL-3.0-or-later
"""Rotation, reconcile by reconcile on PostgreSQL: times pass when the test says so, logins judge every Secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psycopg
import pytest
from reconciling import Crash, Operator

from dbops_operator import credentials
from dbops_operator.keys import Key
from dbops_operator.work import Done
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

LogIn = Callable[[Mapping[str, str]], bool]
REFERENCE = {"instanceRef": {"name": "main"}}
HOURLY: dict[str, Any] = {"enabled": True, "maxAge": "1h"}


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """The user's name on the server."""
    return unique("r")[-24:].lstrip("_")


async def create(operator: Operator, name: str, rotation: Mapping[str, Any] = HOURLY, **spec: Any) -> Key:
    wanted = {**REFERENCE, "username": name, "passwordRotation": dict(rotation), **spec}
    key = await operator.create("DatabaseUser", name.replace("_", "-"), wanted)
    await run(operator, key)
    return key


async def run(operator: Operator, key: Key) -> float | None:
    """One reconcile, after which the user is ready; gives when it is looked at again."""
    verdict = await operator.run(key)
    assert isinstance(verdict, Done), await operator.status(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "CredentialsReady") == ("True", "LoginSucceeded")
    return verdict.after


async def secret_of(operator: Operator, key: Key) -> dict[str, str]:
    return await operator.secret(f"{key.name}-credentials")


async def rotation_of(operator: Operator, key: Key) -> dict[str, Any]:
    status = await operator.status(key)
    found: dict[str, Any] = status["rotation"]
    return found


def roles(postgres: PostgreSQLServer, name: str) -> dict[str, bool]:
    """The roles of a user and whether each may log in."""
    found = postgres.query("SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname LIKE %s", [f"%{name}%"])
    return dict(found)


def as_user(secret: Mapping[str, str], *statements: str, database: str = "") -> list[Any]:
    """Run statements with the content of a Secret; give the last one's rows."""
    with psycopg.connect(
        host=secret["host"],
        port=int(secret["port"]),
        user=secret["username"],
        password=secret["password"],
        dbname=database or secret["database"],
        autocommit=True,
    ) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def database(postgres: PostgreSQLServer, name: str) -> Iterator[str]:
    """A database in which the service role may make things."""
    postgres.query(f"CREATE DATABASE {name}_d")
    yield f"{name}_d"
    postgres.query(f"DROP DATABASE {name}_d WITH (FORCE)")


@pytest.mark.feature("R01", "R03", "R05")
async def test_twin_logins_under_one_role(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str, database: str
) -> None:
    await operator.instance(postgres)
    await lives_as_twins(operator, postgres, can_log_in, name, database)


@pytest.mark.feature("R03")
async def test_twin_logins_made_by_a_weak_admin(operator: Operator, can_log_in: LogIn, name: str) -> None:
    with PostgreSQLServer(embedded_with_tls()) as server:
        await operator.instance(server.weak_admin())
        server.query(f"CREATE DATABASE {name}_d")
        await lives_as_twins(operator, server, can_log_in, name, f"{name}_d")


async def lives_as_twins(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str, database: str
) -> None:
    """One user from its first login to the end of its third."""
    key = await create(operator, name)
    first = await secret_of(operator, key)
    assert first["username"] == name
    state = await rotation_of(operator, key)
    assert (state["enabled"], state["strategy"], state["activeUser"]) == (True, "role-inheritance", name)
    assert state["serviceRole"] == f"svc_{name}"
    assert state["nextRotationAt"] > state["lastRotatedAt"]
    assert roles(postgres, name) == {name: True, f"svc_{name}": False}
    postgres.query(f"GRANT CREATE ON SCHEMA public TO svc_{name}", dbname=database)
    as_user(first, "CREATE TABLE of_first (id int)", database=database)
    # Nothing is due: nothing is written.
    writes = operator.api.writes
    after = await run(operator, key)
    assert operator.api.writes == writes
    assert after is not None
    assert after <= 3600
    operator.later(minutes=61)
    after = await run(operator, key)
    second = await secret_of(operator, key)
    assert second["username"].startswith(f"{name}_2")
    assert can_log_in(second)
    assert can_log_in(first)
    # Both see what either made, since it belongs to their role.
    as_user(second, "INSERT INTO of_first VALUES (1)", "CREATE TABLE of_second (id int)", database=database)
    as_user(first, "INSERT INTO of_second VALUES (2)", database=database)
    owners = postgres.query("SELECT DISTINCT tableowner FROM pg_tables WHERE tablename LIKE 'of_%'", dbname=database)
    assert owners == [(f"svc_{name}",)]
    state = await rotation_of(operator, key)
    assert state["activeUser"] == second["username"]
    (old,) = state["pendingDeletion"]
    assert (old["user"], old["status"]) == (name, "pending")
    assert old["deleteAfter"] > old["deprecatedAt"]
    assert "PasswordRotated" in await operator.events(key)
    # The grace period ends: its sessions too.
    with psycopg.connect(
        host=first["host"], port=int(first["port"]), user=name, password=first["password"], dbname="postgres"
    ) as session:
        operator.later(days=8)
        await run(operator, key)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert not can_log_in(first)
    third = await secret_of(operator, key)
    assert can_log_in(third)
    assert can_log_in(second)
    state = await rotation_of(operator, key)
    assert {one["user"]: one["status"] for one in state["pendingDeletion"]} == {
        name: "deleted",
        second["username"]: "pending",
    }
    await operator.delete(key)
    await operator.run(key)
    # What the role owns keeps it, and everything else.
    assert await operator.ready(key) == ("False", "OwnershipBlocks")
    assert can_log_in(third)
    postgres.query("DROP TABLE of_first, of_second", dbname=database)
    postgres.query(f"REVOKE CREATE ON SCHEMA public FROM svc_{name}", dbname=database)
    await operator.run(key)
    assert not await operator.exists(key)
    assert [one for one in roles(postgres, name) if not one.endswith("_d")] == []


@pytest.mark.feature("R01")
async def test_a_schedule_that_was_missed_fires_once(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, {"enabled": True, "schedule": "*/10 * * * *"})
    first = await secret_of(operator, key)
    operator.later(hours=30)
    await run(operator, key)
    second = await secret_of(operator, key)
    assert second["username"] != first["username"]
    after = await run(operator, key)
    assert await secret_of(operator, key) == second
    assert can_log_in(second)
    assert after is not None
    assert after <= 600
    # Another schedule begins anew: times that it would have had count for nothing.
    operator.later(minutes=5)
    await operator.patch(key, {"spec": {"passwordRotation": {"schedule": "* * * * *"}}})
    await run(operator, key)
    assert await secret_of(operator, key) == second
    operator.later(minutes=1)
    await run(operator, key)
    assert await secret_of(operator, key) != second


@pytest.mark.feature("R05")
async def test_rotation_now_by_annotation(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    first = await secret_of(operator, key)
    await operator.annotate(key, rotate_at="2020-01-01T00:00:00Z")
    await run(operator, key)
    second = await secret_of(operator, key)
    assert second["username"] != first["username"]
    assert can_log_in(second)
    await run(operator, key)
    assert await secret_of(operator, key) == second, "one word, one rotation"
    await operator.annotate(key, rotate_at="again")
    await run(operator, key)
    third = await secret_of(operator, key)
    assert third["username"] not in (first["username"], second["username"])
    assert {one["user"] for one in (await rotation_of(operator, key))["pendingDeletion"]} == {
        first["username"],
        second["username"],
    }


@pytest.mark.feature("R05")
async def test_rotation_by_annotation_alone_replaces_the_password_in_place(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, {"enabled": False})
    first = await secret_of(operator, key)
    assert "rotation" not in await operator.status(key)
    await operator.annotate(key, rotate_at="now")
    await run(operator, key)
    second = await secret_of(operator, key)
    assert second["username"] == name
    assert second["password"] != first["password"]
    assert can_log_in(second)
    assert not can_log_in(first)
    assert roles(postgres, name) == {name: True}
    await run(operator, key)
    assert await secret_of(operator, key) == second


@pytest.mark.feature("R03")
@pytest.mark.parametrize("action", ["disable", "retain"])
async def test_what_becomes_of_the_old_login(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str, action: str
) -> None:
    await operator.instance(postgres)
    policy = {"action": action, "gracePeriodDays": 1}
    key = await create(operator, name, {**HOURLY, "maxAge": "72h", "oldUserPolicy": policy})
    first = await secret_of(operator, key)
    await operator.annotate(key, rotate_at="now")
    await run(operator, key)
    assert can_log_in(first)
    with psycopg.connect(
        host=first["host"], port=int(first["port"]), user=name, password=first["password"], dbname="postgres"
    ) as session:
        operator.later(hours=25)
        await run(operator, key)
        assert can_log_in(first) == (action == "retain")
        assert name in roles(postgres, name)
        if action == "retain":
            session.execute("SELECT 1")
        else:
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key)
    assert roles(postgres, name) == {}


@pytest.mark.feature("R03")
@pytest.mark.parametrize("check", [True, False])
async def test_an_old_login_that_owns_something(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str, database: str, check: bool
) -> None:
    await operator.instance(postgres)
    policy = {"gracePeriodDays": 0, "ownershipCheck": check}
    key = await create(operator, name, {**HOURLY, "maxAge": "72h", "oldUserPolicy": policy})
    first = await secret_of(operator, key)
    postgres.query("CREATE TABLE kept (id int)", dbname=database)
    postgres.query(f"ALTER TABLE kept OWNER TO {name}", dbname=database)
    await operator.annotate(key, rotate_at="now")
    await run(operator, key)
    # Its grace period is over, so nobody logs in with it, whatever it owns.
    assert not can_log_in(first)
    assert can_log_in(await secret_of(operator, key))
    (old,) = (await rotation_of(operator, key))["pendingDeletion"]
    if check:
        assert old["status"] == "blocked"
        assert old["ownedObjects"] == [{"type": "table", "schema": f"{database}.public", "name": "kept"}]
        assert "kept" in old["blockedReason"]
        assert "RotationFailed" in await operator.events(key)
        postgres.query("DROP TABLE kept", dbname=database)
        operator.later(hours=1)
        await run(operator, key)
        (old,) = (await rotation_of(operator, key))["pendingDeletion"]
    else:
        owner = postgres.query("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'", dbname=database)
        assert owner == [(f"svc_{name}",)]
    assert old["status"] == "deleted"
    assert name not in roles(postgres, name)


@pytest.mark.feature("R04")
@pytest.mark.parametrize("template", [None, {"data": {"url": "{{ .Username }}:{{ .Password }}"}}])
async def test_killed_at_any_step(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str, template: dict[str, Any] | None
) -> None:
    """One rotation after the other, each killed one step later, also when an old login ends in the same reconcile."""
    await operator.instance(postgres)
    block = {"secretName": f"{name.replace('_', '-')}-credentials", "secretTemplate": template}
    policy = {"gracePeriodDays": 0}
    key = await create(operator, name, {**HOURLY, "oldUserPolicy": policy}, passwordSecret=block)

    async def logs_in() -> bool:
        secret = await secret_of(operator, key)
        if template:
            username, _, password = secret["url"].partition(":")
            admin = postgres.admin
            secret = {"username": username, "password": password, "host": admin.host, "port": str(admin.port)}
        return can_log_in({"database": "postgres", **secret})

    assert await logs_in()
    killed = 0
    for step in range(1, 30):
        before = await secret_of(operator, key)
        operator.later(hours=2)
        if step % 2:
            operator.api.writes, operator.api.crash_at = 0, step // 2 + 1
        else:
            operator.lanes.crash_at = step // 2
        try:
            await operator.run(key)
        except Crash:
            killed += 1
        else:
            if killed and operator.api.writes < (operator.api.crash_at or 0):
                break
        finally:
            operator.api.crash_at = operator.lanes.crash_at = None
        assert await logs_in()
        assert await operator.condition(key, "CredentialsReady") == ("True", "LoginSucceeded")
        await run(operator, key)
        assert await logs_in()
        assert await secret_of(operator, key) != before
        # What was under way is finished: nothing is left of it but the login in use.
        await run(operator, key)
        assert len([one for one, may in roles(postgres, name).items() if may]) == 1
    assert killed >= 8
    await operator.delete(key)
    await operator.run(key)
    assert roles(postgres, name) == {}


@pytest.mark.feature("R04")
@pytest.mark.parametrize("lost", ["state", "login", "role"])
async def test_what_is_lost_comes_back(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str, lost: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, driftPolicy={"mode": "correct"})
    await operator.annotate(key, rotate_at="now")
    await run(operator, key)
    before = await secret_of(operator, key)
    if lost == "state":
        state = credentials.state_key(key, operator_namespace=operator.settings.operator_namespace)
        await operator.delete(state)
    elif lost == "login":
        postgres.query(f"DROP ROLE {before['username']}")
    else:
        postgres.query(f"DROP ROLE svc_{name}")
    for _ in range(2):
        await run(operator, key)
        after = await secret_of(operator, key)
        assert can_log_in(after)
        assert after["username"] == before["username"]
    assert roles(postgres, name).keys() == {name, f"svc_{name}", before["username"]}
    assert as_user(after, "SELECT current_user") == [(f"svc_{name}",)]
    assert (await rotation_of(operator, key))["pendingDeletion"][0]["user"] == name
    await operator.delete(key)
    await operator.run(key)
    assert roles(postgres, name) == {}


@pytest.mark.feature("R04")
async def test_a_rotation_that_cannot_be_done_now(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    first = await secret_of(operator, key)
    # No login of that kind can be made: the name is somebody else's, and another one is taken.
    operator.later(hours=2)
    taken = f"{name}_{operator.now().strftime('%Y%m%d')}"
    postgres.query(f"CREATE ROLE {taken}")
    await operator.run(key)
    assert await secret_of(operator, key) == first
    assert await operator.condition(key, "CredentialsReady") == ("True", "LoginSucceeded")
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    await run(operator, key)
    second = await secret_of(operator, key)
    assert second["username"] == f"{taken}_2"
    assert can_log_in(second)
    postgres.query(f"DROP ROLE {taken}")
    # Nothing can be done on the server at all.
    operator.later(hours=2)
    await operator.edit_secret("main-admin", password="wrong")
    await operator.run(key)
    assert await operator.ready(key) == ("False", "AuthenticationFailed")
    assert await operator.condition(key, "CredentialsReady") == ("True", "LoginSucceeded")
    assert "RotationFailed" in await operator.events(key)
    assert await secret_of(operator, key) == second
    await operator.edit_secret("main-admin", password=postgres.admin.password)
    await run(operator, key)
    third = await secret_of(operator, key)
    assert third["username"] != second["username"]
    assert can_log_in(third)


@pytest.mark.feature("R03", "U06")
async def test_hands_in_the_secret_of_a_user_that_rotates(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.annotate(key, rotate_at="now")
    await run(operator, key)
    twin = (await secret_of(operator, key))["username"]
    secret_name = f"{key.name}-credentials"
    await operator.edit_secret(secret_name, password="chosen by hand", username="nobody")
    await run(operator, key)
    secret = await secret_of(operator, key)
    assert (secret["username"], secret["password"]) == (twin, "chosen by hand")
    assert can_log_in(secret)
    await operator.delete(operator.key("Secret", secret_name))
    await run(operator, key)
    secret = await secret_of(operator, key)
    assert secret["username"] == twin
    assert secret["password"] != "chosen by hand"
    assert can_log_in(secret)
