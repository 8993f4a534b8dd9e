# SPDX-License-Identifier: GPL-3.0-or-later
"""init_sql on MySQL and MariaDB: once per content, by an account without power that is locked when it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.mysql.engine import Engine

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.sql_script import split

Unique = Callable[[str], str]

TABLE = "CREATE TABLE t (id int)"
INSERT = "INSERT INTO t VALUES (1)"


def database(name: str, *statements: str, **init_sql: Any) -> dict[str, Any]:
    """Declare a database with init_sql."""
    owner = {"cluster": "test", "kind": "Database", "namespace": "team", "name": name}
    content: dict[str, Any] = {"statements": list(statements)} if statements else {}
    return {"kind": "database", "name": name, "dbops_owner": owner, "init_sql": {**content, **init_sql}}


def count(engine: Engine, name: str) -> int:
    return int(engine.server.query(f"SELECT count(*) FROM `{name}`.t")[0][0])


def accounts(engine: Engine) -> list[str]:
    """Accounts of scripts that nobody locked."""
    query = "SELECT user FROM mysql.user WHERE user LIKE 'dbops\\_init\\_%'"
    if engine.mariadb:
        locked = "JSON_VALUE(priv, '$.account_locked')"
        query = f"SELECT user FROM mysql.global_priv WHERE user LIKE 'dbops\\_init\\_%' AND coalesce({locked}, 0) = 0"
    else:
        query += " AND account_locked = 'N'"
    return [row[0] for row in engine.server.query(query)]


@pytest.mark.feature("D09")
def test_it_runs_once_per_content(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    done = engine.four_runs(database(name, TABLE, INSERT))
    facts = done["objects"][0]["observed"]["init_sql"]
    assert (facts["applied"], facts["statements_executed"], facts["error"]) == (True, 2, None)
    engine.four_runs(database(name, TABLE.replace("TABLE", "TABLE IF NOT EXISTS"), INSERT))
    assert count(engine, name) == 2
    assert accounts(engine) == []


@pytest.mark.feature("D09")
def test_it_goes_on_after_the_last_good_statement(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    declared = database(name, TABLE, INSERT, "INSERT INTO later VALUES (1)")
    for _ in range(2):
        result = engine.one(declared)
        assert (result["reason"], result["field"]) == ("DependencyNotReady", "init_sql")
        assert result["observed"]["init_sql"]["statements_executed"] == 2
    engine.server.query(f"CREATE TABLE `{name}`.later (id int)")
    assert not engine.one(declared)["failed"]
    assert count(engine, name) == 1
    assert accounts(engine) == []


@pytest.mark.feature("D09")
def test_a_script_with_delimiters(superuser_engine: Engine, unique: Unique) -> None:
    name = unique("db")
    script = (
        f"{TABLE}; # one\nDELIMITER //\n"
        "CREATE PROCEDURE fill() BEGIN INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); END//\n"
        "DELIMITER ;\nCALL fill();\n---\nINSERT INTO t VALUES (3)"
    )
    done = superuser_engine.one(database(name, script=script))
    assert not done["failed"], done
    assert count(superuser_engine, name) == 3


@pytest.mark.feature("D10")
def test_it_has_no_power_and_is_the_definer(engine: Engine, unique: Unique) -> None:
    name, other = unique("db"), unique("other")
    engine.server.query(f"CREATE DATABASE `{other}`")
    for attempt in (
        f"CREATE TABLE `{other}`.t (id int)", "CREATE USER intruder", "SELECT * FROM mysql.user",
        f"GRANT SELECT ON `{name}`.* TO root", "SET GLOBAL max_connections = 1", "CREATE DATABASE intruder",
    ):  # fmt: skip
        refused = engine.one(database(name, attempt))
        assert refused["reason"] == "PrivilegeMissing", (attempt, refused["message"])
    assert accounts(engine) == []


@pytest.mark.feature("D10")
def test_views_work_through_the_locked_definer(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("db")
    assert not engine.one(database(name, TABLE, INSERT, "CREATE VIEW v AS SELECT * FROM t"))["failed"]
    ((definer,),) = engine.server.query("SELECT definer FROM information_schema.views WHERE table_schema = %s", [name])
    assert definer.startswith("dbops_init_")
    assert engine.server.query(f"SELECT * FROM `{name}`.v") == [(1,)]
    assert accounts(engine) == []
    absent = {"kind": "database", "name": name, "state": "absent", "dbops_owner": database(name)["dbops_owner"]}
    assert not engine.one(absent)["failed"]
    gone = "SELECT count(*) FROM mysql.user WHERE user = %s"
    assert engine.server.query(gone, [definer.partition("@")[0]]) == [(0,)]


@pytest.mark.feature("D10")
def test_continue_reports_and_goes_on(engine: Engine, unique: Unique) -> None:
    result = engine.one(database(unique("db"), "SELECT nonsense", on_failure="continue"))
    assert not result["failed"]
    assert "nonsense" in result["observed"]["init_sql"]["error"]


def test_a_transaction_that_is_left_open_is_told(engine: Engine, unique: Unique) -> None:
    result = engine.one(database(unique("db"), TABLE, "START TRANSACTION", INSERT))
    assert (result["reason"], "COMMIT" in result["message"]) == ("InvalidSpec", True)


@pytest.mark.feature("D09")
@pytest.mark.parametrize("how", ["by hand", "by force"])
def test_in_a_database_that_is_made_again_it_runs_again(engine: Engine, unique: Unique, how: str) -> None:
    declared = database(unique("db"), TABLE, INSERT)
    name = declared["name"]
    assert not engine.one(declared)["failed"]
    if how == "by hand":
        engine.query(f"DROP DATABASE `{name}`")
    else:
        assert engine.one({"kind": "database", "name": name, "state": "absent", "force": True})["changed"]
    foreseen = engine.one(declared, check=True)
    assert [one["target"] for one in foreseen["steps"]][-1] == "init_sql, statement 2 of 2"
    done = engine.four_runs(declared)
    facts = done["objects"][0]["observed"]["init_sql"]
    assert (facts["applied"], facts["statements_executed"]) == (True, 2)
    assert count(engine, name) == 1
    assert accounts(engine) == []


@pytest.mark.feature("D09")
def test_a_run_that_is_cut_off_after_it_made_the_database_again_is_gone_on_with(
    engine: Engine, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server

    declared = database(unique("db"), TABLE, INSERT)
    name = declared["name"]
    assert not engine.one(declared)["failed"]
    engine.query(f"DROP DATABASE `{name}`")
    genuine = Server.apply

    def apply(*arguments: Any, **options: Any) -> None:
        genuine(*arguments, **{**options, "closing": None})
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(Server, "apply", apply)
        with pytest.raises(KeyboardInterrupt):
            engine.one(declared)
    query = "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s"
    assert engine.query(query, [name]), "it was cut off before"
    for _ in range(2):
        assert not engine.one(declared)["failed"]
    assert count(engine, name) == 1


PIECES = st.lists(
    st.sampled_from(
        [
            "SELECT ';'", "SELECT 'a''b;'", r"SELECT 'a\';b', 'c'", r'SELECT "a\";b"', "SELECT 1 AS `a;b`",
            "SELECT 2 # ;'", "SELECT 2 -- ;'", "SELECT 5--1", "SELECT 1 /* ; /* ' */", "SELECT /*!1 ';', */ 2",
            "SELECT 'a' ';b'",
        ]
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@pytest.mark.feature("D09")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=PIECES, between=st.sampled_from(["\n;", "\n;\n-- '\n", '\n;/* " */', "\n;# `\n"]))
def test_the_server_sees_the_same_statements(superuser_engine: Engine, pieces: list[str], between: str) -> None:
    script = between.join(pieces)
    several = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with superuser_engine.login.connect(client_flag=several) as connection, connection.cursor() as cursor:
        # The server splits what it is sent as one, and answers each statement.
        cursor.execute(script)
        results = 1
        while cursor.nextset():
            results += 1
    assert len(split(script, superuser_engine.server.engine)) == results == len(pieces)
