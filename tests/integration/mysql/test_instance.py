# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight on real servers: what an account can and cannot do is said before anything is tried, and is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from integration.mysql.engine import Engine, database, grant, owner, role, user

from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, binaries

Unique = Callable[[str], str]
INSTANCE = {"kind": "database_instance"}


def capabilities(engine: Engine) -> dict[str, str]:
    """What the account can do, by name: nothing, or else why not."""
    found = engine.one(INSTANCE)["observed"]["capabilities"]
    for one in found:
        assert bool(one["message"]) is not one["available"]
    return {one["name"]: one["message"] for one in found}


def as_admin(engine: Engine, name: str, *privileges: str) -> Engine:
    """The engine as a new admin account with just these privileges."""
    engine.query("CREATE USER %s@'%%' IDENTIFIED BY 'x'", (name,))
    for one in privileges:
        engine.query(f"GRANT {one} TO `{name}`@`%`")
    return Engine(engine.server, engine.server.login(name, "x"))


@pytest.mark.feature("I02", "I03", "I11")
def test_what_the_two_usual_admins_can_do(engine: Engine) -> None:
    result = engine.one(INSTANCE)
    observed = result["observed"]
    assert not result["failed"]
    assert observed["version"] == engine.query("SELECT VERSION()")[0][0]
    assert (observed["read_only"], observed["in_recovery"], observed["pooler"]) == (False, False, False)
    lacking = {name for name, message in capabilities(engine).items() if message}
    expected: set[str] = set()
    if engine.mariadb:
        expected.add("administerRoles")
    if engine.weak:
        expected |= {"grantAnything"}
        if not engine.mariadb:
            expected |= {"changeSystemAccounts", "seeAllDefinitions"}
        message = capabilities(engine)["grantAnything"]
        assert "CREATE VIEW" in message
        assert "WITH GRANT OPTION" in message
    assert lacking == expected


@pytest.mark.feature("I11")
def test_an_account_that_can_do_nothing(superuser_engine: Engine, unique: Unique) -> None:
    poor = as_admin(superuser_engine, unique("poor"))
    found = capabilities(poor)
    for name in ("createDatabase", "createUser", "readAccounts", "seeSessions", "endSessions", "ledger"):
        assert found[name], name
    assert "GRANT CREATE, DROP, ALTER ON *.* TO `poor" in found["createDatabase"]
    for declared in (database(unique("db")), user(unique("u")), role(unique("r")), grant(user=unique("u"), grants=[])):
        result = poor.one(declared)
        assert result["reason"] == "PrivilegeMissing", result
        assert result["steps"] == []


@pytest.mark.feature("I11")
@pytest.mark.parametrize(
    ("privileges", "able"),
    [
        (("CREATE, DROP, ALTER ON *.*",), {"database"}),
        (("CREATE USER ON *.*", "SELECT ON mysql.*"), {"user"}),
        (("CREATE USER ON *.*",), set()),
        (("ALL ON `pre%`.*",), {"database"}),
    ],
)
def test_what_was_said_is_true(
    superuser_engine: Engine, unique: Unique, privileges: tuple[str, ...], able: set[str]
) -> None:
    admin = as_admin(superuser_engine, unique("adm"), *privileges)
    found = capabilities(admin)
    made = {
        "database": admin.one(database(unique("pre"))),
        "user": admin.one(user(unique("u"), password="x")),
    }
    for kind, result in made.items():
        assert (not result["failed"]) is (kind in able), result
        assert result["reason"] in (None, "PrivilegeMissing")
    if "user" not in able:
        assert found["createUser"] or found["readAccounts"]


@pytest.mark.feature("I11")
def test_a_ledger_that_may_be_read_and_not_written(superuser_engine: Engine, unique: Unique) -> None:
    engine, owned = superuser_engine, unique("owned")
    engine.own_ledger()
    engine.run(user(owned, dbops_owner=owner(owned)))
    admin = as_admin(engine, unique("adm"), "SELECT, CREATE USER ON *.*")
    found = capabilities(admin)
    assert "GRANT DELETE, INSERT, UPDATE ON dbops.*" in found["ledger"]
    assert admin.one(user(unique("u"), dbops_owner=owner("u")))["reason"] == "PrivilegeMissing"
    assert admin.one(user(owned, state="absent"))["reason"] == "Conflict", "what it says counts"
    admin_run = admin.one(user(unique("u"), password="x"))
    assert not admin_run["failed"], admin_run
    engine.own_ledger()
    assert "GRANT CREATE, DELETE, INSERT, UPDATE ON dbops.*" in capabilities(admin)["ledger"]


@pytest.mark.feature("I11")
def test_privileges_by_way_of_a_role_count(superuser_engine: Engine, unique: Unique) -> None:
    engine, name, group = superuser_engine, unique("adm"), unique("grp")
    host = "" if engine.mariadb else "@'%%'"
    admin = as_admin(engine, name)
    engine.query(f"CREATE ROLE %s{host}", (group,))
    engine.query(f"GRANT CREATE, DROP, CREATE USER, SELECT ON *.* TO %s{host} WITH GRANT OPTION", (group,))
    engine.query(f"GRANT %s{host} TO %s@'%%'", (group, name))
    assert admin.one(user(unique("u")))["reason"] == "PrivilegeMissing", "the role is not active"
    engine.query(f"SET DEFAULT ROLE %s{host} {'FOR' if engine.mariadb else 'TO'} %s@'%%'", (group, name))
    found = capabilities(admin)
    assert not found["createUser"]
    assert not found["readAccounts"]
    made = unique("u")
    result = admin.one(user(made, password="x"))
    assert not result["failed"], result
    gift = grant(user=made, grants=[{"level": "global", "privileges": ["SELECT"]}])
    assert not admin.one(gift)["failed"]
    assert (
        admin.one(grant(user=made, grants=[{"level": "global", "privileges": ["INSERT"]}]))["reason"]
        == "PrivilegeMissing"
    )


@pytest.fixture(scope="module", params=[MYSQL_9_7, MARIADB_11_8], ids=["MySQL 9.7", "MariaDB 11.8"])
def logging_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The weak admin's engine on servers with a binary log."""
    settings: dict[str, Any] = {"log-bin": "binlog", "server-id": "1"}
    server = MySQLServer(binaries(request.param), settings=settings)
    server._settings = {key: value for key, value in server._settings.items() if key != "skip-log-bin"}
    with server:
        yield Engine(server, server.weak_admin())


@pytest.mark.feature("I11")
def test_with_a_binary_log_functions_need_more(logging_engine: Engine, unique: Unique) -> None:
    engine = logging_engine
    assert "1419" in capabilities(engine)["createFunctionsAndTriggers"]
    engine.query("SET GLOBAL log_bin_trust_function_creators = ON")
    assert not capabilities(engine)["createFunctionsAndTriggers"]
    engine.query("SET GLOBAL log_bin_trust_function_creators = OFF")
    name, place = unique("app"), unique("db")
    engine.four_runs(database(place), role(f"r{name}"), user(name, password="x", in_roles=[f"r{name}"]))
    engine.four_runs(user(name, state="absent"), database(place, state="absent"))


@pytest.mark.feature("I14")
def test_a_replica_is_recognised(own_engine: Engine, logging_engine: Engine) -> None:
    """One that replicates and is not read-only is told of; changes belong elsewhere."""
    if own_engine.mariadb != logging_engine.mariadb:
        return
    source, replica = logging_engine.server, own_engine.server
    source.query("CREATE USER IF NOT EXISTS repl@'%' IDENTIFIED BY 'repl'")
    source.query("GRANT REPLICATION SLAVE ON *.* TO repl@'%'")
    server_id = "SET GLOBAL server_id = 2"
    replica.query(server_id)
    if own_engine.mariadb:
        replica.query(
            f"CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {source.port}, MASTER_USER = 'repl',"
            " MASTER_PASSWORD = 'repl'"
        )
        start, stop = "START SLAVE IO_THREAD", ("STOP SLAVE", "RESET SLAVE ALL")
    else:
        replica.query(
            f"CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {source.port},"
            " SOURCE_USER = 'repl', SOURCE_PASSWORD = 'repl', GET_SOURCE_PUBLIC_KEY = 1"
        )
        start, stop = "START REPLICA IO_THREAD", ("STOP REPLICA", "RESET REPLICA ALL")
    replica.query(start)
    try:
        from localstack.processes import wait_until

        wait_until(lambda: own_engine.one(INSTANCE)["observed"]["in_recovery"], what="the replica runs")
        assert any("replicates from another" in text for text in own_engine.one(INSTANCE)["warnings"])
    finally:
        for statement in stop:
            replica.query(statement)


@pytest.mark.feature("I13")
def test_what_nobody_declares_is_listed(engine: Engine, unique: Unique) -> None:
    """With several roles and a script there are accounts of our own making: they are nobody's to find."""
    engine = engine.own_ledger()
    mine, theirs = (
        {kind: unique(f"{who}{kind[:2]}") for kind in ("databases", "users", "roles")} for who in ("mine", "its")
    )
    other = unique("other")
    of_other_ledgers = {name for (name,) in engine.query("SELECT user FROM mysql.user")}
    declared = [
        {"kind": "database_role", "name": mine["roles"], "dbops_owner": owner("role", namespace=mine["roles"])},
        {"kind": "database_role", "name": other, "dbops_owner": owner("other", namespace=other)},
        user(mine["users"], password="x", in_roles=[mine["roles"], other])
        | {"dbops_owner": owner("user", namespace=mine["users"])},
        {"kind": "database", "name": mine["databases"], "init_sql": {"statements": ["CREATE TABLE t (i int)"]}}
        | {"dbops_owner": owner("db", namespace=mine["databases"])},
    ]
    done = engine.run(*declared)
    assert not done["failed"], done["objects"]
    engine.query(f"CREATE DATABASE `{theirs['databases']}`")
    engine.query(f"CREATE USER `{theirs['users']}` IDENTIFIED BY 'x'")
    engine.query(f"CREATE ROLE `{theirs['roles']}`")
    before = engine.snapshot()
    instance = {"kind": "database_instance"}
    found = engine.one(instance | {"discover": True})
    assert not found["changed"]
    for kind, names in found["observed"]["unmanaged"].items():
        assert theirs[kind] in names
        assert not {*mine.values(), other, "root", "mysql", "sys", "dbops", "PUBLIC"} & set(names)
        assert engine.login.user not in names
        assert not [name for name in {*names} - of_other_ledgers if name.startswith((mine["users"], "dbops_init_"))]
    assert "unmanaged" not in engine.one(instance)["observed"]
    engine.run(*(one | {"state": "absent"} for one in reversed(declared)))
    again = engine.one(instance | {"discover": True})["observed"]["unmanaged"]
    assert not set(mine.values()) & {name for names in again.values() for name in names}
    assert [{row for row in rows if theirs["users"] in row} for rows in engine.snapshot().values()] == [
        {row for row in rows if theirs["users"] in row} for rows in before.values()
    ]
