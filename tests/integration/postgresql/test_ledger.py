# SPDX-License-Identifier: GPL-3.0-or-later
"""Ownership on a real server: recorded in a database that only we enter, distrusted when anybody else could have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from integration.postgresql.engine import Engine, owner, user
from psycopg import sql

from localstack.postgresql import Login, PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

Unique = Callable[[str], str]


@pytest.fixture(scope="module")
def ledger_postgres() -> Iterator[PostgreSQLServer]:
    """A server whose ledger is made, spoiled and dropped."""
    with PostgreSQLServer(embedded_with_tls()) as server:
        yield server


@pytest.fixture(params=["superuser", "weak admin"])
def engine(request: pytest.FixtureRequest, ledger_postgres: PostgreSQLServer) -> Engine:
    """The engine on a server that has no ledger yet."""
    ledger_postgres.query("DROP DATABASE IF EXISTS dbops WITH (FORCE)")
    weak = ledger_postgres.weak_admin()
    login: Login = ledger_postgres.admin if request.param == "superuser" else weak
    return Engine(ledger_postgres, login)


def has_ledger(engine: Engine) -> bool:
    return bool(engine.server.query("SELECT 1 FROM pg_database WHERE datname = 'dbops'"))


def entry(engine: Engine, name: str) -> tuple[Any, ...] | None:
    query = "SELECT namespace, owner_name, state, adopted, applied FROM dbops.object WHERE name = %s"
    rows = engine.server.query(query, [name], dbname="dbops")
    return rows[0] if rows else None


@pytest.mark.feature("L16")
def test_nothing_is_done_on_another_server_than_was_known(engine: Engine, unique: Unique) -> None:
    name = unique("u")
    again = user(name, dbops_owner=owner(name))
    identity = engine.run(user(unique("u"), dbops_owner=owner("first")))["server"]["system_identifier"]
    document = engine.run({"kind": "database_instance"}, again, server_identity="7")
    assert [one["reason"] for one in document["objects"]] == ["AcknowledgementNeeded"] * 2
    # What is only looked at is looked at all the same.
    assert document["objects"][0]["observed"]["system_identifier"] == identity
    assert not entry(engine, name)
    token = document["objects"][0]["message"].split()[-1]
    assert not engine.run(again, server_identity="7", acknowledge=[token])["failed"]
    engine.server.query("UPDATE dbops.about SET system_identifier = '8'", dbname="dbops")
    document = engine.run(again, server_identity=identity)
    assert [one["reason"] for one in document["objects"]] == ["AcknowledgementNeeded"]
    assert not engine.run(again)["failed"]
    token = document["objects"][0]["message"].split()[-1]
    assert not engine.run(again, server_identity=identity, acknowledge=[token])["failed"]
    assert not engine.run(again, server_identity=identity)["failed"]


_STRUCTURE = """
SELECT version::text FROM dbops.about
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'dbops' ORDER BY 1
"""


def test_without_an_owner_nothing_is_recorded(engine: Engine, unique: Unique) -> None:
    engine.four_runs(user(unique("app")))
    assert not has_ledger(engine)


@pytest.mark.feature("L08", "L09")
def test_the_owner_is_recorded_where_nobody_else_can_enter(engine: Engine, unique: Unique) -> None:
    name, group = unique("app"), unique("grp")
    declared = user(name, dbops_owner=owner(name), in_roles=[group], config_parameters={"work_mem": "8MB"})
    engine.four_runs(user(group, login=False), declared)
    applied = {"in_roles": [group], "config_parameters": ["work_mem"]}
    assert entry(engine, name) == ("team", name, "present", False, applied)
    assert entry(engine, group) is None
    engine.run(user(name, password="x"))
    assert not engine.logs_in(name, "x", "dbops")
    assert engine.logs_in(name, "x")
    engine.four_runs(user(name, dbops_owner=owner(name), state="absent"))
    assert entry(engine, name) == ("team", name, "absent", False, {})


@pytest.mark.feature("L08")
def test_two_declarations_of_one_name(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.four_runs(user(name, dbops_owner=owner("older"), connection_limit=3))
    before = engine.snapshot()
    newer = user(name, dbops_owner=owner("newer"), connection_limit=5)
    for adopt in (False, True):
        result = engine.one(newer | {"adopt": adopt})
        assert result["reason"] == "Conflict"
        assert "DatabaseUser team/older" in result["message"]
    dropped = engine.one(newer | {"state": "absent"})
    assert not dropped["failed"]
    assert not dropped["changed"]
    assert "left in place" in dropped["warnings"][0]
    assert engine.snapshot() == before


@pytest.mark.feature("L09")
def test_what_existed_before_is_adopted_by_consent_only(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name, create_db=True, connection_limit=3))
    before = engine.snapshot()
    declared = user(name, dbops_owner=owner(name), connection_limit=5)
    assert engine.one(declared)["reason"] == "NotAdopted"
    left = engine.one(declared | {"state": "absent"})
    assert not left["changed"]
    assert engine.snapshot() == before
    engine.four_runs(declared | {"adopt": True})
    assert entry(engine, name) == ("team", name, "present", True, {"in_roles": [], "config_parameters": []})
    query = "SELECT rolconnlimit, rolcreatedb FROM pg_roles WHERE rolname = %s"
    assert engine.server.query(query, [name]) == [(5, True)], "adoption changes only what is named"
    assert not engine.one(declared)["failed"], "consent is asked once"


@pytest.mark.feature("U08")
def test_what_is_no_longer_declared_is_taken_back_and_no_more(engine: Engine, unique: Unique) -> None:
    name, ours, theirs = unique("app"), unique("ours"), unique("theirs")
    engine.run(user(ours, login=False), user(theirs, login=False))
    declared = user(name, dbops_owner=owner(name))
    engine.four_runs(declared | {"in_roles": [ours], "config_parameters": {"work_mem": "8MB"}})
    for statement in ("GRANT {theirs} TO {name}", "ALTER ROLE {name} SET jit = off"):
        names = {"theirs": sql.Identifier(theirs), "name": sql.Identifier(name)}
        engine.server.query(sql.SQL(statement).format(**names))
    engine.four_runs(declared)
    query = "SELECT pg_has_role(%s, %s, 'MEMBER'), pg_has_role(%s, %s, 'MEMBER')"
    assert engine.server.query(query, [name, ours, name, theirs]) == [(False, True)]
    assert engine.server.query("SELECT rolconfig FROM pg_roles WHERE rolname = %s", [name]) == [(["jit=off"],)]


def test_a_playbook_takes_nothing_away_from_an_owner_unless_forced(engine: Engine, unique: Unique) -> None:
    name, group = unique("app"), unique("grp")
    engine.run(user(group, login=False), user(name, dbops_owner=owner(name), in_roles=[group]))
    for declared in (user(name, state="absent"), user(name, in_roles=[])):
        for check in (True, False):
            assert engine.one(declared, check=check)["reason"] == "Conflict"
    engine.four_runs(user(name, connection_limit=4))
    engine.four_runs(user(name, in_roles=[], force=True))
    engine.four_runs(user(name, state="absent", force=True))


@pytest.mark.feature("L09")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("GRANT CONNECT ON DATABASE dbops TO PUBLIC", "PUBLIC may enter it"),
        ("GRANT CREATE ON DATABASE dbops TO stranger", "stranger may enter it"),
        ("ALTER DATABASE dbops OWNER TO stranger", "belongs to stranger"),
        ("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "a function"),
        (
            "CREATE RULE r AS ON INSERT TO dbops.object DO ALSO SELECT 1",
            "a rule",
        ),
        ("CREATE VIEW dbops.v AS SELECT 1", "a rule or view"),
        ("CREATE EXTENSION hstore", "an extension"),
        ("CREATE SCHEMA s AUTHORIZATION stranger", "a schema of somebody else"),
        ("ALTER TABLE dbops.about ALTER version SET DEFAULT 1", "a default"),
    ],
)
def test_a_ledger_that_somebody_else_could_have_prepared_is_not_entered(
    engine: Engine, unique: Unique, spoil: str, said: str
) -> None:
    name = unique("app")
    engine.server.query("DROP ROLE IF EXISTS stranger")
    engine.server.query("CREATE ROLE stranger")
    engine.run(user(name, dbops_owner=owner(name)))
    engine.server.query(sql.SQL(spoil), dbname="dbops")  # type: ignore[arg-type]
    try:
        result = engine.one(user(unique("other"), dbops_owner=owner("other")))
        assert result["reason"] == "Conflict"
        assert said in result["message"]
        (capability,) = [
            one
            for one in engine.one({"kind": "database_instance"})["observed"]["capabilities"]
            if one["name"] == "ledger"
        ]
        assert not capability["available"]
        assert said in capability["message"]
        engine.four_runs(user(unique("without")))
    finally:
        engine.server.query("DROP DATABASE dbops WITH (FORCE)")


def test_a_stranger_who_was_first(engine: Engine, unique: Unique) -> None:
    engine.server.query("CREATE ROLE early LOGIN CREATEDB PASSWORD 'early'")
    import psycopg

    try:
        with psycopg.connect(engine.server.login("early", "early").dsn(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE dbops")
        name = unique("app")
        result = engine.one(user(name, dbops_owner=owner(name)))
        assert result["reason"] == "Conflict"
        assert "belongs to early" in result["message"]
        assert not engine.server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
    finally:
        engine.server.query("DROP DATABASE IF EXISTS dbops WITH (FORCE)")
        engine.server.query("DROP ROLE early")


def test_a_ledger_of_a_newer_version_is_read_and_not_written(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name, dbops_owner=owner(name)))
    engine.server.query("UPDATE dbops.about SET version = version + 1", dbname="dbops")
    assert not engine.one(user(name, dbops_owner=owner(name)))["failed"]
    assert engine.one(user(name, dbops_owner=owner("other")))["reason"] == "Conflict"
    assert engine.one(user(name, dbops_owner=owner(name), connection_limit=3))["reason"] == "Unsupported"


@pytest.mark.parametrize("version", [1, 2])
def test_a_ledger_of_an_older_version_gets_what_it_lacks(engine: Engine, unique: Unique, version: int) -> None:
    name, second = unique("app"), unique("b")
    engine.run(user(name, dbops_owner=owner(name)))
    made = engine.server.query(_STRUCTURE, dbname="dbops")
    undo = ["DROP TABLE dbops.epoch", *(["DROP INDEX dbops.object_grantee"] if version == 1 else [])]
    for statement in (*undo, f"UPDATE dbops.about SET version = {version}"):
        engine.server.query(sql.SQL(statement), dbname="dbops")
    older = engine.server.query(_STRUCTURE, dbname="dbops")
    assert older != made
    assert not engine.run(user(name, dbops_owner=owner(name)))["changed"]
    assert engine.run(user(second, dbops_owner=owner(second)), check=True)["changed"]
    assert engine.server.query(_STRUCTURE, dbname="dbops") == older, "only who writes brings it up to date"
    engine.four_runs(user(second, dbops_owner=owner(second)))
    assert engine.server.query(_STRUCTURE, dbname="dbops") == made
    assert entry(engine, name)
    assert entry(engine, second)


def test_a_ledger_that_was_begun_is_finished(engine: Engine, unique: Unique) -> None:
    """Another run ended between the steps that make it."""
    name = unique("app")
    creator = sql.Identifier(engine.login.user)
    statement = "CREATE DATABASE dbops OWNER {} TEMPLATE template0 ALLOW_CONNECTIONS false"
    engine.server.query(sql.SQL(statement).format(creator))
    engine.four_runs(user(name, dbops_owner=owner(name)))
    assert entry(engine, name)


def test_a_lost_ledger_is_rebuilt_by_adoption(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    declared = user(name, dbops_owner=owner(name))
    engine.run(declared)
    engine.server.query("DROP DATABASE dbops WITH (FORCE)")
    assert engine.one(declared)["reason"] == "NotAdopted"
    assert not engine.one(declared | {"adopt": True})["failed"]
    assert entry(engine, name)


@pytest.mark.feature("L15")
def test_the_brake_counts_the_drops_of_databases(engine: Engine, unique: Unique) -> None:
    """Straight at the ledger: how many tombstones of how long ago, and what an acknowledgement does."""
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core import parse
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Entry, Owner
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server import Server

    mine = Owner("c", "Database", "team", "x")
    with Server(parse.connection(engine.options)) as server:
        book = server.require_ledger()

        def drop(kind: str, name: str, state: str = "absent") -> None:
            book.record(Entry(kind, name, mine, state))

        def asked(seconds: int = 600, drops: int = 2, acknowledged: tuple[str, ...] = ()) -> str | None:
            try:
                book.check_brake({"drops": drops, "seconds": seconds}, acknowledged)
            except DbopsError as error:
                return error.message.split()[-1] if error.reason == "AcknowledgementNeeded" else error.reason
            return None

        drop("database", "a")
        drop("role", "b")
        drop("database", "c", "present")
        assert asked() is None
        drop("database", "d")
        token = asked()
        assert token
        assert token == asked(), "it stays the same while nothing is dropped"
        assert asked(drops=0) is None
        assert asked(drops=3) is None
        assert asked(acknowledged=("drops-00000000",)) == token
        assert asked(acknowledged=(token,)) is None
        assert asked() is None, "counted anew"
        drop("database", "e")
        drop("database", "f")
        assert asked() not in (None, token)
        engine.server.query("UPDATE dbops.object SET changed_at = changed_at - interval '1 hour'", dbname="dbops")
        assert asked() is None
