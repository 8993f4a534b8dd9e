# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of databases on a real server: sessions, templates, and what is never dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine, owner, user
from psycopg import sql

Unique = Callable[[str], str]


def database(name: str, **options: Any) -> dict[str, Any]:
    """Declare a database."""
    return {"kind": "database", "name": name, **options}


def exists(engine: Engine, name: str) -> bool:
    return bool(engine.server.query("SELECT 1 FROM pg_database WHERE datname = %s", [name]))


@pytest.mark.feature("L03")
def test_a_database_is_dropped_once(engine: Engine, unique: Unique) -> None:
    name, creator = unique("db"), unique("own")
    engine.four_runs(user(creator, login=False), database(name, owner=creator))
    before = engine.server.query("SELECT to_jsonb(m) FROM pg_auth_members m ORDER BY 1")
    done = engine.four_runs(database(name, state="absent"))
    assert not exists(engine, name)
    assert done["objects"][0]["observed"]["exists"] is False
    assert [step["destructive"] for step in done["objects"][0]["steps"] if step["action"] == "drop"] == [True]
    assert engine.server.query("SELECT to_jsonb(m) FROM pg_auth_members m ORDER BY 1") == before


@pytest.mark.feature("L03")
def test_one_that_is_not_there_is_no_failure(engine: Engine, unique: Unique) -> None:
    assert not engine.run(database(unique("db"), state="absent", end_sessions=True))["changed"]


@pytest.mark.feature("D11", "L03")
def test_sessions_are_ended_only_where_that_was_asked_for(engine: Engine, unique: Unique) -> None:
    name, login = unique("db"), unique("app")
    engine.four_runs(user(login, password="x"), database(name))
    with psycopg.connect(engine.server.login(login, "x").dsn(name)) as session:
        for check in (True, False):
            result = engine.one(database(name, state="absent"), check=check)
            assert (result["reason"], result["field"]) == ("InUse", "end_sessions")
        assert session.execute("SELECT 1").fetchone() == (1,)
        session.commit()
        engine.four_runs(database(name, state="absent", end_sessions=True))
        assert not exists(engine, name)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")


@pytest.mark.feature("D11", "I11")
def test_a_weak_admin_cannot_end_a_superusers_session_and_says_so(weak_engine: Engine, unique: Unique) -> None:
    engine, name = weak_engine.own_ledger(), unique("db")
    engine.four_runs(database(name))
    declared = database(name, state="absent", end_sessions=True)
    with psycopg.connect(engine.server.admin.dsn(name)) as session:
        for check in (True, False):
            result = engine.one(declared, check=check)
            assert (result["reason"], result["field"]) == ("InUse", "end_sessions")
            assert "postgres" in result["message"]
        assert session.execute("SELECT 1").fetchone() == (1,)
    engine.four_runs(declared)


@pytest.mark.feature("L03")
@pytest.mark.parametrize(
    "options", [{"is_template": True}, {"allow_connections": False}, {"connection_limit": 0}], ids=str
)
def test_one_that_is_shut_or_a_template_is_dropped_too(engine: Engine, unique: Unique, options: dict[str, Any]) -> None:
    name, creator = unique("db"), unique("own")
    engine.four_runs(user(creator, login=False), database(name, owner=creator, **options))
    engine.four_runs(database(name, state="absent"))
    assert not exists(engine, name)


@pytest.mark.feature("L03")
def test_what_the_server_or_we_need_is_never_dropped(engine: Engine, unique: Unique) -> None:
    own = unique("admin_db")
    engine.four_runs(database(own))
    for name in ("postgres", "template0", "template1", "dbops", own):
        declared = database(name, state="absent", end_sessions=True, force=True)
        for options in ({}, {"dbops_owner": owner(name, kind="Database"), "adopt": True}):
            for check in (True, False):
                document = engine.run({**declared, **options}, connection={"login_db": own}, check=check)
                (result,) = document["objects"]
                if name == "dbops" or not options:
                    assert result["reason"] == "InvalidSpec", result
                assert not document["changed"]
        assert exists(engine, name) or name == "dbops"
    engine.four_runs(database(own, state="absent"))


@pytest.mark.feature("L03", "L09")
def test_only_what_is_its_own_is_dropped_for_an_owner(engine: Engine, unique: Unique) -> None:
    mine, foreign = unique("mine"), unique("foreign")
    engine.four_runs(database(mine, dbops_owner=owner(mine, kind="Database")), database(foreign))
    gone = [database(name, state="absent", dbops_owner=owner(name, kind="Database")) for name in (mine, foreign)]
    engine.four_runs(*gone)
    assert (exists(engine, mine), exists(engine, foreign)) == (False, True)


@pytest.mark.feature("L03", "I11")
def test_a_weak_admin_that_may_not_act_for_the_owner(weak_engine: Engine, unique: Unique) -> None:
    engine, name, foreign = weak_engine.own_ledger(), unique("db"), unique("own")
    engine.server.query(sql.SQL("CREATE ROLE {}").format(sql.Identifier(foreign)))
    create = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(foreign))
    engine.server.query(create)
    for check in (True, False):
        result = engine.one(database(name, state="absent"), check=check)
        assert result["reason"] == "PrivilegeMissing"
        assert "GRANT" in result["message"]
    assert exists(engine, name)


@pytest.mark.feature("L03")
def test_what_was_taken_for_a_moment_is_put_back_when_the_drop_fails(weak_engine: Engine, unique: Unique) -> None:
    engine, name, creator = weak_engine.own_ledger(), unique("db"), unique("own")
    engine.four_runs(user(creator, login=False), database(name, owner=creator))
    before = engine.server.query("SELECT to_jsonb(m) - 'oid' FROM pg_auth_members m ORDER BY 1")
    # Nothing that shows among the sessions, but the server refuses.
    subscribe = "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)"
    engine.server.query(subscribe, dbname=name)
    result = engine.one(database(name, state="absent"))
    assert (result["failed"], result["reason"]) == (True, "InUse")
    assert "subscription" in result["message"]
    assert exists(engine, name)
    assert engine.server.query("SELECT to_jsonb(m) - 'oid' FROM pg_auth_members m ORDER BY 1") == before
    engine.server.query("DROP SUBSCRIPTION s", dbname=name)
    engine.four_runs(database(name, state="absent"))
