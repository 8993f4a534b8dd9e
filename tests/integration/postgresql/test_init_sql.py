# SPDX-License-Identifier: GPL-3.0-or-later
"""init_sql on a real server: once per content, with the owner's rights and no way up, nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.postgresql.engine import Engine, owner, user
from psycopg import sql

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.sql_script import split

Unique = Callable[[str], str]

TABLE = "CREATE TABLE t (id int)"
INSERT = "INSERT INTO t VALUES (1)"


def database(name: str, *statements: str, **options: Any) -> dict[str, Any]:
    """Declare a database with init_sql."""
    init_sql = {"statements": list(statements), **options.pop("init_sql", {})}
    declared = {"kind": "database", "name": name, "dbops_owner": owner(name, kind="Database"), "init_sql": init_sql}
    return {**declared, **options}


def count(engine: Engine, name: str) -> int:
    ((number,),) = engine.server.query("SELECT count(*) FROM t", dbname=name)
    return int(number)


def owners(engine: Engine, name: str) -> dict[str, str]:
    """Who owns what scripts made."""
    query = "SELECT relname, pg_get_userbyid(relowner) FROM pg_class WHERE oid >= 16384 AND relkind = 'r'"
    return dict(engine.server.query(query, dbname=name))


def left_behind(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.server.query("SELECT rolname FROM pg_roles WHERE rolname LIKE 'dbops_init_%'")


@pytest.fixture
def group(engine: Engine, unique: Unique) -> str:
    """A role that owns databases and does not log in."""
    name = unique("grp")
    engine.run(user(name, login=False))
    return name


@pytest.mark.feature("D09")
def test_it_runs_once_per_content(engine: Engine, unique: Unique, group: str) -> None:
    name = unique("db")
    done = engine.four_runs(database(name, TABLE, INSERT, owner=group))
    facts = done["objects"][0]["observed"]["init_sql"]
    assert (facts["applied"], facts["statements_executed"], facts["error"]) == (True, 2, None)
    assert count(engine, name) == 1
    # Changed content runs as a whole, a changed database does not run it.
    engine.four_runs(database(name, TABLE.replace("TABLE", "TABLE IF NOT EXISTS"), INSERT, owner=group))
    engine.four_runs(
        database(name, TABLE.replace("TABLE", "TABLE IF NOT EXISTS"), INSERT, owner=group, connection_limit=7)
    )
    assert count(engine, name) == 2
    assert owners(engine, name) == {"t": group}
    assert left_behind(engine) == []


@pytest.mark.feature("D09")
def test_it_goes_on_after_the_last_good_statement(engine: Engine, unique: Unique, group: str) -> None:
    name = unique("db")
    declared = database(name, TABLE, INSERT, "INSERT INTO later VALUES (1)", owner=group)
    for _ in range(2):
        result = engine.one(declared)
        assert (result["failed"], result["reason"], result["field"]) == (True, "InvalidSpec", "init_sql")
        assert "statement 3 of 3" in result["message"]
        facts = result["observed"]["init_sql"]
        assert (facts["applied"], facts["statements_executed"]) == (False, 2)
        assert "later" in facts["error"]
    execute(engine, name, f'CREATE TABLE later (id int); ALTER TABLE later OWNER TO "{group}"')
    assert not engine.one(declared)["failed"]
    assert count(engine, name) == 1
    assert left_behind(engine) == []


def execute(engine: Engine, name: str, statement: str) -> None:
    engine.server.query(sql.SQL(statement), dbname=name)  # type: ignore[arg-type]


@pytest.mark.feature("D10")
def test_continue_reports_and_goes_on(engine: Engine, unique: Unique, group: str) -> None:
    name = unique("db")
    result = engine.one(database(name, "SELECT nonsense", owner=group, init_sql={"on_failure": "continue"}))
    assert not result["failed"]
    assert "nonsense" in result["observed"]["init_sql"]["error"]
    assert result["observed"]["init_sql"]["applied"] is False
    assert "init_sql: statement 1 of 1" in result["warnings"][-1]


ESCAPES = (
    "RESET ROLE", "SET ROLE NONE", "RESET SESSION AUTHORIZATION", "SET SESSION AUTHORIZATION DEFAULT", "DISCARD ALL",
    "RESET ALL", "SET ROLE {admin}", "SET SESSION AUTHORIZATION {admin}",
)  # fmt: skip


@pytest.mark.feature("D10")
@pytest.mark.parametrize("escape", ESCAPES)
def test_there_is_no_way_up(engine: Engine, unique: Unique, group: str, escape: str) -> None:
    name, admin = unique("db"), sql.Identifier(engine.login.user).as_string()
    tries = [escape.format(admin=admin), "CREATE TABLE who AS SELECT current_user::text AS name"]
    result = engine.one(database(name, *tries, owner=group))
    if "{admin}" in escape:
        assert result["reason"] == "PrivilegeMissing"
    else:
        assert not result["failed"], result
        ((who,),) = engine.server.query("SELECT name FROM who", dbname=name)
        assert who == group or who.startswith("dbops_init_")
        assert owners(engine, name) == {"who": group}
    for attempt in ("CREATE ROLE intruder", f"ALTER ROLE {admin} PASSWORD 'x'", "CREATE DATABASE intruder",
                    "SELECT * FROM pg_authid", f"GRANT {admin} TO current_user"):  # fmt: skip
        refused = engine.one(database(name, escape.format(admin=admin), attempt, owner=group))
        assert refused["reason"] == "PrivilegeMissing", attempt
    assert left_behind(engine) == []


@pytest.mark.feature("D10")
def test_what_it_makes_never_belongs_to_the_admin(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    done = engine.four_runs(
        database(name, "CREATE SCHEMA s", "CREATE TABLE s.t (id int)", TABLE, schemas=[{"name": "x"}])
    )
    assert not done["failed"]
    beside = f"db_{name}_owner"
    assert owners(engine, name) == {"t": beside}
    ((login,),) = engine.server.query("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [beside])
    assert login is False
    # The admin reads what was made.
    with psycopg.connect(engine.login.dsn(name)) as connection:
        connection.execute("SELECT * FROM t")
    # And it goes with the database.
    engine.run({"kind": "database", "name": name, "state": "absent", "dbops_owner": owner(name, kind="Database")})
    assert engine.server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [beside]) == []


@pytest.mark.feature("D10")
def test_an_owner_with_power_is_refused(superuser_engine: Engine, unique: Unique) -> None:
    engine, name, boss = superuser_engine.own_ledger(), unique("db"), unique("boss")
    engine.run(user(boss, create_role=True))
    result = engine.one(database(name, TABLE, owner=boss))
    assert (result["reason"], "create_role" in result["message"]) == ("AccessDenied", True)


def test_a_transaction_that_is_left_open_is_told(engine: Engine, unique: Unique, group: str) -> None:
    result = engine.one(database(unique("db"), "BEGIN", TABLE, owner=group))
    assert (result["reason"], "COMMIT" in result["message"]) == ("InvalidSpec", True)


def test_copy_from_a_client_is_refused(engine: Engine, unique: Unique, group: str) -> None:
    result = engine.one(database(unique("db"), TABLE, "COPY t FROM STDIN", owner=group))
    assert (result["reason"], "COPY" in result["message"]) == ("Unsupported", True)


def test_it_needs_an_owner_record(engine: Engine, unique: Unique) -> None:
    declared = database(unique("db"), TABLE)
    del declared["dbops_owner"]
    result = engine.one(declared)
    assert (result["reason"], result["field"]) == ("InvalidSpec", "init_sql")


@pytest.mark.feature("D09")
def test_what_a_run_that_was_cut_off_leaves_is_cleared_away(
    engine: Engine, unique: Unique, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import script_session

    name, cut = unique("db"), [True]
    genuine = script_session._clear

    def clear(*arguments: Any) -> None:
        if cut.pop() if cut else False:
            raise KeyboardInterrupt
        genuine(*arguments)

    monkeypatch.setattr(script_session, "_clear", clear)
    with pytest.raises(KeyboardInterrupt):
        engine.one(database(name, TABLE, "RESET ROLE", "SET ROLE NONE", "CREATE TABLE u (id int)", owner=group))
    assert len(left_behind(engine)) == 1
    assert not engine.one(database(name, INSERT, owner=group))["failed"]
    assert left_behind(engine) == []
    assert owners(engine, name) == {"t": group, "u": group}


def dropped_by_hand(engine: Engine, declared: dict[str, Any]) -> None:
    engine.server.query(sql.SQL("DROP DATABASE {}").format(sql.Identifier(declared["name"])))


def dropped_by_force(engine: Engine, declared: dict[str, Any]) -> None:
    gone = {"kind": "database", "name": declared["name"], "state": "absent", "force": True}
    assert engine.one(gone)["changed"]


@pytest.mark.feature("D09")
@pytest.mark.parametrize("drop", [dropped_by_hand, dropped_by_force])
@pytest.mark.parametrize("whose", ["a role's", "the admin's"])
def test_in_a_database_that_is_made_again_it_runs_again(
    engine: Engine, unique: Unique, group: str, drop: Callable[[Engine, dict[str, Any]], None], whose: str
) -> None:
    name = unique("db")
    declared = database(name, TABLE, INSERT, **({"owner": group} if whose == "a role's" else {}))
    assert not engine.one(declared)["failed"]
    drop(engine, declared)
    foreseen = engine.one(declared, check=True)
    assert [one["target"] for one in foreseen["steps"]][-1] == "init_sql, statement 2 of 2"
    done = engine.four_runs(declared)
    facts = done["objects"][0]["observed"]["init_sql"]
    assert (facts["applied"], facts["statements_executed"]) == (True, 2)
    assert count(engine, name) == 1
    assert left_behind(engine) == []


@pytest.mark.feature("D09")
def test_a_run_that_is_cut_off_after_it_made_the_database_again_is_gone_on_with(
    engine: Engine, unique: Unique, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server import Server

    declared = database(unique("db"), TABLE, INSERT, owner=group)
    assert not engine.one(declared)["failed"]
    dropped_by_hand(engine, declared)
    genuine = Server.apply

    def apply(*arguments: Any, **options: Any) -> None:
        genuine(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(Server, "apply", apply)
        with pytest.raises(KeyboardInterrupt):
            engine.one(declared)
    query = "SELECT 1 FROM pg_database WHERE datname = %s"
    assert engine.server.query(query, [declared["name"]]), "it was cut off before"
    for _ in range(2):
        assert not engine.one(declared)["failed"]
    assert count(engine, declared["name"]) == 1


PIECES = st.lists(
    st.sampled_from(
        [
            "SELECT ';'", "SELECT 'a''b;'", r"SELECT E'a\';b', 'c'", "SELECT $$a;b$$", "SELECT $t$ $$;$$ $t$",
            "SELECT 1 /* ; /* ' */ \" */", "SELECT 1 AS \"a;b\"", "SELECT 2 -- ;' $$", "SELECT (1)", "TABLE pg_am",
            "CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END",
            "DROP FUNCTION IF EXISTS pg_temp.f", "SELECT U&'d\\0061t;'", "SELECT 'a'\n';b'", "SELECT E'a'\n'\\';b'",
        ]
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@pytest.mark.feature("D09")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=PIECES, between=st.sampled_from(["\n;", "\n;\n-- '\n", '\n;/* " */']))
def test_the_server_sees_the_same_statements(superuser_engine: Engine, pieces: list[str], between: str) -> None:
    script = between.join(pieces)
    server = superuser_engine.server
    with psycopg.connect(server.admin.dsn(), autocommit=True) as connection:
        # The server splits what it is sent as one, and answers each statement.
        results = 1
        cursor = connection.execute(script)  # type: ignore[arg-type]
        while cursor.nextset():
            results += 1
    assert len(split(script, "postgres")) == results == len(pieces)
