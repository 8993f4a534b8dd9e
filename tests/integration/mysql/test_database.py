# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases on real servers are as declared, judged by information_schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from integration.mysql.engine import Engine, database

Unique = Callable[[str], str]


def facts(engine: Engine, name: str) -> tuple[Any, ...] | None:
    """Character set and collation of a database."""
    rows = engine.query(
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA"
        " WHERE BINARY SCHEMA_NAME = %s",
        [name],
    )
    return rows[0] if rows else None


@pytest.mark.feature("D01", "D08")
def test_a_database_is_made_with_character_set_and_collation(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    done = engine.four_runs(database(name, encoding="utf8mb4", collation="utf8mb4_unicode_ci"))
    assert facts(engine, name) == ("utf8mb4", "utf8mb4_unicode_ci")
    (result,) = done["objects"]
    size = result["observed"].pop("size_bytes")
    assert size == 0
    assert result["observed"] == {
        "exists": True,
        "created": True,
        "name": name,
        "encoding": "utf8mb4",
        "collation": "utf8mb4_unicode_ci",
    }
    engine.query("CREATE TABLE t (t varchar(200))", database=name)
    assert engine.one(database(name))["observed"]["size_bytes"] > 0


@pytest.mark.feature("D01")
def test_what_is_not_declared_is_the_servers_own(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.four_runs(database(name))
    assert facts(engine, name) == engine.query("SELECT @@character_set_server, @@collation_server")[0]


@pytest.mark.feature("D01", "D02")
def test_character_set_and_collation_are_altered(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(database(name, encoding="utf8mb4"))
    engine.four_runs(database(name, encoding="latin1", collation="latin1_general_cs"))
    assert facts(engine, name) == ("latin1", "latin1_general_cs")
    done = engine.four_runs(database(name, collation="latin1_bin"))
    assert facts(engine, name) == ("latin1", "latin1_bin")
    (result,) = done["objects"]
    assert [(one["field"], one["expected"], one["actual"]) for one in result["differences"]] == [
        ("collation", "latin1_bin", "latin1_general_cs")
    ]
    engine.four_runs(database(name, encoding="utf8", collation="utf8_unicode_ci"))
    assert facts(engine, name) == ("utf8mb3", "utf8mb3_unicode_ci")
    engine.four_runs(database(name, encoding="utf8mb4", collation="utf8mb4_bin"))


@pytest.mark.feature("D03")
@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"encoding": "utf8mb4", "collation": "latin1_bin"}, "collation", "belongs to the character set latin1"),
        ({"encoding": "klingon"}, "encoding", "no character set 'klingon'"),
        ({"collation": "utf8mb4_klingon_ci"}, "collation", "no collation"),
        ({"owner": "somebody"}, "owner", "option of PostgreSQL"),
        ({"lc_collate": "C"}, "lc_collate", "option of PostgreSQL"),
        ({"extensions": [{"name": "hstore"}]}, "extensions", "option of PostgreSQL"),
    ],
)
def test_what_a_server_cannot_have_is_refused_before_anything_is_sent(
    superuser_engine: Engine, unique: Unique, options: dict[str, Any], field: str, said: str
) -> None:
    engine, name = superuser_engine, unique("app")
    for existing in (False, True):
        if existing:
            engine.run(database(name, encoding="utf8mb4"))
        before = engine.snapshot()
        for check in (True, False):
            result = engine.one(database(name, **options), check=check)
            assert (result["reason"], result["field"]) == ("InvalidSpec", field)
            assert said in result["message"]
        assert engine.snapshot() == before


@pytest.mark.feature("D01")
def test_short_names_of_collations(superuser_engine: Engine, unique: Unique) -> None:
    """MariaDB 10.10 and newer name collations of the Unicode standard without the character set."""
    engine, name = superuser_engine, unique("app")
    if not engine.mariadb:
        assert engine.one(database(name, collation="uca1400_ai_ci"))["reason"] == "InvalidSpec"
        return
    engine.four_runs(database(name, encoding="utf8mb4", collation="uca1400_ai_ci"))
    assert facts(engine, name) == ("utf8mb4", "utf8mb4_uca1400_ai_ci")


@pytest.mark.parametrize("name", ["mysql", "sys", "information_schema", "performance_schema", "MySQL", "dbops"])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_the_servers_own_databases_are_refused(superuser_engine: Engine, name: str, state: str) -> None:
    for force in (False, True):
        result = superuser_engine.one(database(name, state=state, force=force))
        assert (result["reason"], result["field"]) == ("AccessDenied", "name")


@pytest.mark.feature("D12")
@pytest.mark.parametrize(
    ("name", "said"), [("", "empty"), ("x" * 65, "65 characters"), ("blank ", "blank"), ("emoji😀", "emoji")]
)
def test_names_that_no_server_keeps(superuser_engine: Engine, name: str, said: str) -> None:
    result = superuser_engine.one(database(name))
    assert (result["reason"], result["field"]) == ("InvalidSpec", "name")
    assert said in result["message"]


@pytest.mark.feature("D12")
@pytest.mark.parametrize(
    "name",
    [
        'quote\'d "and" `ticked`',
        "per%cent_under$core",
        "back\\slash",
        "ümläut",
        "semi;colon -- x",
        "x" * 64,
        "a.b/c",
        "日本",
    ],
)
def test_any_name_is_made_altered_and_dropped(engine: Engine, name: str) -> None:
    engine.four_runs(database(name, encoding="utf8mb4"))
    assert facts(engine, name)
    engine.four_runs(database(name, encoding="latin1"))
    engine.four_runs(database(name, state="absent"))
    assert facts(engine, name) is None


@pytest.mark.feature("D11")
def test_a_database_in_use_is_dropped_when_that_is_asked_for(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(database(name))
    engine.query("CREATE USER %s@'%%' IDENTIFIED BY 'pw'", (name,))
    engine.query(f"GRANT ALL ON {name}.* TO %s@'%%'", (name,))
    with engine.connect(name, "pw", name) as session, session.cursor() as cursor:
        cursor.execute("CREATE TABLE t (i int)")
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM t")
        result = engine.one(database(name, state="absent"))
        assert (result["reason"], result["field"]) == ("InUse", "end_sessions")
        assert facts(engine, name)
        engine.four_runs(database(name, state="absent", end_sessions=True))
        assert facts(engine, name) is None


def test_dropping_what_is_not_there_is_no_change(engine: Engine, unique: Unique) -> None:
    result = engine.one(database(unique("none"), state="absent"))
    assert not result["failed"]
    assert not result["changed"]
    assert result["steps"] == []
