# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a user on every PostgreSQL that is on this machine, as superuser and as a managed cloud's admin."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from integration.postgresql.engine import Engine, grant, owner, role, user
from integration.postgresql.shop import make_shop

from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import PostgreSQLBinaries, installed


@pytest.fixture(scope="module", params=installed(), ids=lambda found: f"{found.name}-{found.version}")
def server(request: pytest.FixtureRequest) -> Iterator[PostgreSQLServer]:
    """A server of each version."""
    binaries: PostgreSQLBinaries = request.param
    with PostgreSQLServer(binaries) as running:
        yield running


@pytest.fixture(params=["superuser", "weak admin"])
def engine(request: pytest.FixtureRequest, server: PostgreSQLServer) -> Engine:
    """The engine as each of the two kinds of admin accounts."""
    weak = server.weak_admin()
    return Engine(server, server.admin if request.param == "superuser" else weak).own_ledger()


@pytest.mark.feature("I01", "I11")
def test_the_instance(engine: Engine) -> None:
    (result,) = engine.run({"kind": "database_instance"})["objects"]
    observed = result["observed"]
    assert observed["version"] == engine.server.query("SHOW server_version")[0][0]
    assert observed["version_number"] // 10000 == engine.server.version
    assert observed["system_identifier"]
    missing = {one["name"] for one in observed["capabilities"] if not one["available"]}
    expected = {"superuser", "replicationRoles", "bypassRlsRoles"} if engine.weak else set()
    if engine.weak and engine.server.version >= 16:
        expected.add("changeForeignRoles")
    assert missing == expected


@pytest.mark.feature("U01", "U08", "U10")
def test_the_life_of_a_user(engine: Engine) -> None:
    group, second, name = "group", "second", "app"
    engine.four_runs(user(group, login=False), user(second, login=False))
    declared = user(
        name,
        dbops_owner=owner(name),
        password="one",
        verify_login=True,
        connection_limit=5,
        valid_until="2040-01-01T00:00:00Z",
        config_parameters={"search_path": "a, b", "work_mem": "8MB"},
        in_roles=[group],
        default_role=group,
    )
    done = engine.four_runs(declared)
    assert done["objects"][0]["credentials"]["status"] == "True"
    assert engine.logs_in(name, "one")
    engine.four_runs(declared | {"password": "two", "in_roles": [second], "default_role": None, "connection_limit": -1})
    assert engine.logs_in(name, "two")
    query = "SELECT pg_has_role(%s, %s, 'MEMBER'), pg_has_role(%s, %s, 'MEMBER')"
    assert engine.server.query(query, [name, group, name, second]) == [(False, True)]
    going = [declared | {"state": "absent"}, user(group, state="absent"), user(second, state="absent")]
    engine.four_runs(*going)
    assert engine.server.query("SELECT 1 FROM pg_roles WHERE rolname IN (%s, %s, %s)", [name, group, second]) == []


@pytest.mark.feature("U09")
def test_owned_objects_block_and_go_to_their_heir(engine: Engine) -> None:
    engine.run(user("app"), user("heir", login=False))
    engine.server.query("DROP DATABASE IF EXISTS elsewhere")
    engine.server.query("CREATE DATABASE elsewhere")
    engine.server.query("GRANT CREATE ON DATABASE elsewhere TO heir")
    engine.server.query("CREATE SCHEMA app AUTHORIZATION app", dbname="elsewhere")
    assert engine.one(user("app", state="absent"))["reason"] == "Blocked"
    engine.four_runs(user("app", state="absent", reassign_owned_to="heir"))
    query = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'app'"
    assert engine.server.query(query, dbname="elsewhere") == [("heir",)]
    engine.server.query("DROP DATABASE elsewhere")
    engine.four_runs(user("heir", state="absent"))


@pytest.mark.feature("I11")
def test_what_a_weak_admin_cannot_do_is_said_first(server: PostgreSQLServer) -> None:
    engine = Engine(server, server.weak_admin()).own_ledger()
    engine.server.query("DROP ROLE IF EXISTS theirs")
    engine.server.query("CREATE ROLE theirs")
    foreign = engine.one(user("theirs", connection_limit=3), check=True)
    if engine.server.version >= 16:
        assert foreign["reason"] == "PrivilegeMissing"
    else:
        assert not foreign["failed"]
        engine.four_runs(user("theirs", connection_limit=3))
    for attribute in ("superuser", "replication", "bypass_rls"):
        assert engine.one(user("new", **{attribute: True}), check=True)["reason"] == "PrivilegeMissing"


@pytest.mark.feature("D01", "D02", "D04", "D05", "D06", "L03", "I11")
def test_the_life_of_a_database(engine: Engine) -> None:
    first, second, reader, name = "first", "second", "reader", 'da"ta %s'
    before = engine.server.query("SELECT to_jsonb(m) - 'oid' FROM pg_auth_members m ORDER BY 1")
    engine.four_runs(*(user(one, login=False) for one in (first, second, reader)))
    declared = {
        "kind": "database",
        "name": name,
        "dbops_owner": owner("data", kind="Database"),
        "owner": first,
        "template": "template0",
        "encoding": "UTF8",
        "tablespace": "pg_default",
        "connection_limit": 5,
        "extensions": [{"name": "hstore", "schema": "ext", "version": "1.4"}, {"name": "citext"}],
        "schemas": [{"name": "ext"}, {"name": "app", "owner": first}],
        "default_privileges": [
            {"role": reader, "schema": "app", "object_type": kind, "privileges": ["ALL"]}
            for kind in ("tables", "sequences", "functions", "types")
        ],
    }
    engine.four_runs(declared)
    changed = {
        "owner": second,
        "connection_limit": -1,
        "is_template": True,
        "extensions": [{"name": "hstore", "version": "1.8"}, {"name": "citext", "state": "absent"}],
        "schemas": [{"name": "app", "owner": second}, {"name": "more"}],
        "default_privileges": [
            {"role": reader, "schema": "app", "object_type": "tables", "privileges": ["SELECT"], "granted_by": first}
        ],
    }
    engine.four_runs(declared | changed)
    query = (
        "SELECT pg_get_userbyid(defaclrole), defaclobjtype::text, grantee::regrole::text, privilege_type"
        " FROM pg_default_acl, aclexplode(defaclacl)"
    )
    assert engine.server.query(query, dbname=name) == [(first, "r", reader, "SELECT")]
    query = "SELECT extname::text, extversion FROM pg_extension WHERE extname <> 'plpgsql'"
    assert engine.server.query(query, dbname=name) == [("hstore", "1.8")]
    query = "SELECT nspname::text FROM pg_namespace WHERE nspowner = 'second'::regrole"
    assert engine.server.query(query, dbname=name) == [("app",)]
    going = [user(one, state="absent") for one in (first, second, reader)]
    engine.four_runs(declared | {"state": "absent"}, *going)
    assert engine.server.query("SELECT 1 FROM pg_database WHERE datname = %s", [name]) == []
    assert engine.server.query("SELECT to_jsonb(m) - 'oid' FROM pg_auth_members m ORDER BY 1") == before


@pytest.mark.feature("O01", "O02", "G01", "G02", "G04", "G05", "G06")
def test_the_life_of_roles_and_grants(engine: Engine) -> None:
    numbers = itertools.count()
    shop = make_shop(engine, lambda word: f"{word} {engine.login.user} {next(numbers)}")
    before = engine.server.query("SELECT to_jsonb(m) - 'oid' FROM pg_auth_members m ORDER BY 1")
    group, app = "grp", "app"
    everything = [
        shop.entry("ALL"),
        shop.entry("ALL", schema="app", grant_option=True),
        shop.entry("SELECT", "UPDATE", schema="app", tables=["orders"], columns=["id", "note"]),
        shop.entry("ALL", schema="app", sequences=["*"], functions=["*"]),
    ]
    default = {"database": shop.name, "schema": "app", "granted_by": shop.owner, "privileges": ["ALL"]}
    declared = grant(
        "g",
        user=app,
        dbops_owner=owner("g", kind="DatabaseGrant"),
        roles=[group],
        grants=everything,
        default_privileges=[{**default, "object_type": one} for one in ("tables", "sequences", "functions", "types")],
    )
    objects = [
        role(group, dbops_owner=owner(group, kind="DatabaseRole"), grants=[shop.entry("CREATE", schema="app")]),
        user(app, password="x", dbops_owner=owner(app)),
    ]
    engine.four_runs(*objects, declared)
    on_table = {word for what, word, _grantor, _option in shop.entries(app) if what == "app.orders"}
    assert ("MAINTAIN" in on_table) == (engine.server.version >= 17)
    assert shop.may(app, "CREATE TABLE app.mine ()"), "through its role"
    assert shop.may(app, "DELETE FROM app.orders WHERE app.total(1) = nextval('app.numbers')")
    fewer = {"roles": [], "grants": everything[2:3], "default_privileges": []}
    engine.four_runs(declared | fewer)
    assert shop.held(app) == {
        "USAGE schema app",
        *(f"{word} app.orders.{column}" for word in ("SELECT", "UPDATE") for column in ("id", "note")),
    }
    assert not shop.may(app, "CREATE TABLE app.mine ()")
    gone = [one | {"state": "absent"} for one in (declared, *objects)]
    engine.four_runs(*gone)
    assert shop.held(app) == shop.held(group) == set()
    assert engine.server.query("SELECT to_jsonb(m) - 'oid' FROM pg_auth_members m ORDER BY 1") == before
    refused = engine.one(grant("h", role=shop.owner, grants=[shop.entry("MAINTAIN", schema="app")]), check=True)
    assert refused["reason"] == (None if engine.server.version >= 17 else "Unsupported")
