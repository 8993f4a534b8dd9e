# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases on a real server: made, altered and told of as declared, judged by the catalogs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine, user
from psycopg import sql

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.encodings import SERVER_NAMES
from localstack.postgresql import PostgreSQLServer

Unique = Callable[[str], str]


def database(name: str, **options: Any) -> dict[str, Any]:
    """Declare a database."""
    return {"kind": "database", "name": name, **options}


def row(engine: Engine, name: str) -> dict[str, Any]:
    """What pg_database says, in the words of our options."""
    query = (
        "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, spcname, datconnlimit,"
        " datistemplate, datallowconn FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace"
        " WHERE datname = %s"
    )
    (values,) = engine.server.query(query, [name])
    names = ("owner", "encoding", "lc_collate", "lc_ctype", "tablespace", "connection_limit")
    return dict(zip((*names, "is_template", "allow_connections"), values, strict=True))


def exists(engine: Engine, name: str) -> bool:
    return bool(engine.server.query("SELECT 1 FROM pg_database WHERE datname = %s", [name]))


def memberships(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.server.query("SELECT to_jsonb(m) - 'oid' FROM pg_auth_members m ORDER BY 1")


@pytest.fixture
def tablespace(engine: Engine, unique: Unique) -> Iterator[str]:
    """A tablespace in which nobody but superusers may create anything yet."""
    name = unique("space")
    folder: Path = engine.server.directory / name
    folder.mkdir(mode=0o700)
    owner = engine.server.data.stat()
    os.chown(folder, owner.st_uid, owner.st_gid)
    engine.server.query(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(name), str(folder)))
    yield name
    engine.server.query(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))


@pytest.mark.feature("D01", "D08")
def test_a_database_is_made_with_its_owner_and_told_of(engine: Engine, unique: Unique) -> None:
    name, owner = unique("db"), unique("own")
    before = memberships(engine)
    done = engine.four_runs(user(owner, login=False), database(name, owner=owner))
    assert row(engine, name)["owner"] == owner
    observed = done["objects"][1]["observed"]
    assert observed.pop("size_bytes") > 7_000_000
    assert observed == {
        "exists": True,
        "created": True,
        "name": name,
        **row(engine, name),
        "extensions": [{"name": "plpgsql", "version": "1.0", "schema": "pg_catalog"}],
        "schemas": [{"name": "public", "owner": "pg_database_owner"}],
    }
    again = engine.one(database(name))
    assert not again["observed"].pop("created")
    size = engine.server.query("SELECT pg_database_size(%s)", [name])[0][0]
    assert engine.one(database(name))["observed"]["size_bytes"] == size
    # What was taken for a moment was put back: only what comes with making a role is new.
    made = [one for one in memberships(engine) if one not in before]
    assert len(made) == (1 if engine.weak else 0)


@pytest.mark.feature("D01")
def test_without_owner_it_belongs_to_the_admin(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.four_runs(database(name))
    assert row(engine, name)["owner"] == engine.login.user
    assert not engine.run(database(name, owner=engine.login.user))["changed"]


@pytest.mark.feature("D01")
def test_everything_that_can_be_said_at_the_start(engine: Engine, unique: Unique, tablespace: str) -> None:
    name = unique("db")
    if engine.weak:
        grant = sql.SQL("GRANT CREATE ON TABLESPACE {} TO {}")
        engine.server.query(grant.format(sql.Identifier(tablespace), sql.Identifier(engine.login.user)))
    declared = {
        "template": "template0",
        "encoding": "LATIN1",
        "lc_collate": "C",
        "lc_ctype": "POSIX",
        "tablespace": tablespace,
        "connection_limit": 0,
        "is_template": True,
        "allow_connections": False,
    }
    engine.four_runs(database(name, **declared))
    expected = {key: value for key, value in declared.items() if key != "template"}
    assert row(engine, name) == expected | {"owner": engine.login.user, "lc_ctype": "C"}
    engine.four_runs(database(name, state="absent"))


@pytest.mark.feature("D01")
def test_a_copy_has_what_its_template_has(engine: Engine, unique: Unique) -> None:
    name, copy = unique("db"), unique("copy")
    template = database(name, is_template=True, schemas=[{"name": "inherited"}])
    content = {"schemas": [{"name": "inherited"}, {"name": "own"}]}
    engine.four_runs(template)
    done = engine.four_runs(database(copy, template=name, tablespace="pg_default", encoding="utf-8", **content))
    statements = [step["statement"] for step in done["objects"][0]["steps"]]
    assert statements == [f'CREATE DATABASE "{copy}" TEMPLATE "{name}"', 'CREATE SCHEMA "own"']
    assert engine.server.query("SELECT count(*) FROM pg_namespace WHERE nspname IN ('inherited', 'own')", dbname=copy)[
        0
    ] == (2,)


@pytest.mark.feature("D01")
def test_a_template_that_cannot_be_looked_into_is_looked_at_in_its_copy(engine: Engine, unique: Unique) -> None:
    name, copy = unique("db"), unique("copy")
    engine.four_runs(database(name, is_template=True, schemas=[{"name": "inherited"}], allow_connections=False))
    declared = database(copy, template=name, schemas=[{"name": "inherited"}, {"name": "own"}])
    assert engine.one(declared, check=True)["changed"]
    done = engine.one(declared)
    assert [step["target"] for step in done["steps"]] == [f"database {copy}", "schema own"]
    assert not engine.run(declared)["changed"]


@pytest.mark.feature("D01")
@pytest.mark.parametrize(
    ("options", "field", "part"),
    [
        ({"encoding": "LATIN1", "lc_ctype": "C"}, "encoding", "template0"),
        ({"lc_collate": "C"}, "lc_collate", "template0"),
        ({"encoding": "LATIN1", "template": "template0"}, "encoding", "needs UTF8"),
        ({"encoding": "GB18030"}, "encoding", "GB18030"),
        ({"encoding": "nonsense"}, "encoding", "nonsense"),
        ({"tablespace": "nowhere"}, "tablespace", "pg_default"),
        ({"tablespace": "pg_global"}, "tablespace", "pg_global"),
        ({"connection_limit": -2}, "connection_limit", "-2"),
        ({"connection_limit": 2**31}, "connection_limit", "2147483648"),
    ],
)
def test_what_cannot_be_made_is_said_before_it_is_tried(
    engine: Engine, unique: Unique, options: dict[str, Any], field: str, part: str
) -> None:
    result = engine.one(database(unique("db"), **options), check=True)
    assert (result["reason"], result["field"]) == ("InvalidSpec", field)
    assert part in result["message"]


@pytest.mark.feature("D01")
def test_a_locale_that_the_server_does_not_have(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    result = engine.one(database(name, template="template0", lc_collate="tlh_QO.UTF-8"))
    assert result["reason"] == "InvalidSpec"
    assert not exists(engine, name)


@pytest.mark.feature("D02")
def test_everything_that_can_be_altered_is_altered(engine: Engine, unique: Unique) -> None:
    name, first, second = unique("db"), unique("a"), unique("b")
    engine.four_runs(user(first, login=False), user(second, login=False), database(name, owner=first))
    before = memberships(engine)
    changed = {"owner": second, "connection_limit": 7, "is_template": True, "allow_connections": False}
    done = engine.four_runs(database(name, **changed))
    assert {key: row(engine, name)[key] for key in changed} == changed
    assert {one["field"]: (one["actual"], one["expected"]) for one in done["objects"][0]["differences"]} == {
        "owner": (first, second),
        "connectionLimit": ("-1", "7"),
        "isTemplate": ("false", "true"),
        "allowConnections": ("true", "false"),
    }
    assert not engine.run(database(name))["changed"], "not declared, not touched"
    back = {"owner": first, "connection_limit": -1, "is_template": False, "allow_connections": True}
    engine.four_runs(database(name, **back))
    assert {key: row(engine, name)[key] for key in back} == back
    assert memberships(engine) == before


@pytest.mark.feature("D02")
def test_it_is_moved_to_another_tablespace(engine: Engine, unique: Unique, tablespace: str) -> None:
    name = unique("db")
    engine.four_runs(database(name))
    moved = database(name, tablespace=tablespace)
    if engine.weak:
        refused = engine.one(moved, check=True)
        assert (refused["reason"], refused["field"]) == ("PrivilegeMissing", "tablespace")
        assert "GRANT CREATE ON TABLESPACE" in refused["message"]
        grant = sql.SQL("GRANT CREATE ON TABLESPACE {} TO {}")
        engine.server.query(grant.format(sql.Identifier(tablespace), sql.Identifier(engine.login.user)))
    with psycopg.connect(engine.login.dsn(name)) as session:
        for check in (True, False):
            refused = engine.one(moved, check=check)
            assert (refused["reason"], refused["field"]) == ("InUse", "end_sessions")
        assert row(engine, name)["tablespace"] == "pg_default"
        done = engine.one({**moved, "end_sessions": True})
        assert not done["failed"], done
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert row(engine, name)["tablespace"] == tablespace
    assert not engine.run(moved)["changed"]
    back = database(name, tablespace="pg_default")
    if engine.weak:
        grant = sql.SQL("GRANT CREATE ON TABLESPACE pg_default TO {}")
        engine.server.query(grant.format(sql.Identifier(engine.login.user)))
    engine.four_runs(back)
    if engine.weak:
        revoke = sql.SQL("REVOKE CREATE ON TABLESPACE pg_default FROM {}")
        engine.server.query(revoke.format(sql.Identifier(engine.login.user)))


@pytest.mark.feature("D03")
@pytest.mark.parametrize(
    ("option", "value", "field"),
    [("encoding", "LATIN1", "encoding"), ("lc_collate", "C", "lcCollate"), ("lc_ctype", "POSIX", "lcCtype")],
)
def test_what_cannot_be_altered_is_a_clear_refusal(
    engine: Engine, unique: Unique, option: str, value: str, field: str
) -> None:
    name = unique("db")
    engine.four_runs(database(name))
    before = engine.snapshot()
    for check in (True, False):
        result = engine.one(database(name, connection_limit=3, **{option: value}), check=check)
        assert (result["failed"], result["reason"], result["field"]) == (True, "ImmutableField", option)
        assert result["steps"] == []
        immutable = [one for one in result["differences"] if one["immutable"]]
        assert [(one["field"], one["expected"]) for one in immutable] == [(field, value)]
    assert engine.snapshot() == before


@pytest.mark.feature("D03")
def test_another_spelling_of_what_it_has_is_no_difference(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.four_runs(database(name, encoding="unicode"))
    assert not engine.run(database(name, encoding="utf_8", lc_collate="C.utf8", lc_ctype="C.UTF8"))["changed"]


@pytest.mark.feature("D02")
def test_one_that_takes_no_connections_is_altered_and_its_content_left_alone(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    shut = {"allow_connections": False, "schemas": [{"name": "app"}]}
    engine.four_runs(database(name, **shut))
    done = engine.four_runs(database(name, connection_limit=4, **shut, extensions=[{"name": "pgcrypto"}]))
    assert ["takes no connections" in warning for warning in done["objects"][0]["warnings"]] == [True]
    # Once open, it is looked into in the same run.
    engine.four_runs(database(name, allow_connections=True, schemas=[{"name": "app"}, {"name": "more"}]))
    assert engine.server.query("SELECT 1 FROM pg_namespace WHERE nspname = 'more'", dbname=name)


@pytest.mark.feature("D02", "I11")
def test_connection_limit_zero_shuts_a_weak_admin_out(weak_engine: Engine, unique: Unique) -> None:
    engine, name = weak_engine.own_ledger(), unique("db")
    done = engine.four_runs(database(name, connection_limit=0, schemas=[{"name": "app"}]))
    assert done["objects"][0]["steps"][-1]["statement"].endswith("CONNECTION LIMIT 0")
    again = engine.one(database(name, connection_limit=0, schemas=[{"name": "app"}]))
    assert "takes no connections" in again["warnings"][0]
    engine.four_runs(database(name, connection_limit=2, schemas=[{"name": "more"}]))
    assert engine.server.query("SELECT 1 FROM pg_namespace WHERE nspname = 'more'", dbname=name)


@pytest.mark.feature("D01", "L02")
def test_an_owner_that_does_not_exist_is_waited_for(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    result = engine.one(database(name, owner="nobody_of_this_name"))
    assert (result["reason"], result["field"]) == ("DependencyNotReady", "owner")
    assert "nobody_of_this_name" in result["message"]
    assert not exists(engine, name)


@pytest.mark.feature("I11")
def test_an_owner_that_a_weak_admin_may_not_act_for(weak_engine: Engine, unique: Unique) -> None:
    engine, name, foreign = weak_engine.own_ledger(), unique("db"), unique("own")
    engine.server.query(sql.SQL("CREATE ROLE {}").format(sql.Identifier(foreign)))
    for check in (True, False):
        result = engine.one(database(name, owner=foreign), check=check)
        assert result["reason"] == "PrivilegeMissing"
        assert f'GRANT "{foreign}" TO "{engine.login.user}" WITH INHERIT TRUE, SET TRUE' in result["message"]
    assert not exists(engine, name)
    grant = sql.SQL("GRANT {} TO {} WITH INHERIT TRUE, SET TRUE")
    engine.server.query(grant.format(sql.Identifier(foreign), sql.Identifier(engine.login.user)))
    engine.four_runs(database(name, owner=foreign))
    assert row(engine, name)["owner"] == foreign


@pytest.mark.feature("I11")
def test_a_membership_of_its_own_is_put_back_as_it_was(weak_engine: Engine, unique: Unique) -> None:
    engine, name, owner = weak_engine.own_ledger(), unique("db"), unique("own")
    engine.four_runs(user(owner, login=False))
    with psycopg.connect(engine.login.dsn(), autocommit=True) as session:
        grant = sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE")
        session.execute(grant.format(sql.Identifier(owner), sql.Identifier(engine.login.user)))
    before = memberships(engine)
    engine.four_runs(database(name, owner=owner, schemas=[{"name": "app", "owner": owner}]))
    engine.four_runs(database(name, state="absent"))
    assert memberships(engine) == before


@pytest.mark.feature("I11")
def test_an_admin_without_createdb(engine: Engine, unique: Unique) -> None:
    login = unique("poor")
    engine.server.query(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(login)))
    poor = Engine(engine.server, engine.server.login(login, "x"))
    result = poor.one(database(unique("db")), check=True)
    assert result["reason"] == "PrivilegeMissing"
    assert f'ALTER ROLE "{login}" CREATEDB' in result["message"]


@pytest.mark.feature("D12")
def test_names_that_do_not_fit_are_refused_by_their_bytes(engine: Engine, unique: Unique) -> None:
    longest = "ü" * 31 + "x"
    engine.four_runs(database(longest))
    engine.four_runs(database(longest, state="absent"))
    for name in ("ü" * 32, "x" * 64, "a\0b", "\udc80", ""):
        for field, declared in (
            ("name", database(name)),
            ("owner", database("x", owner=name)),
            ("schemas", database("x", schemas=[{"name": name}])),
            ("extensions", database("x", extensions=[{"name": name}])),
            ("template", database("x", template=name)),
        ):
            result = engine.one(declared, check=True)
            assert (result["reason"], result["field"]) == ("InvalidSpec", field), declared


def test_encodings_are_named_as_the_server_names_them(postgres: PostgreSQLServer) -> None:
    for name, canonical in SERVER_NAMES.items():
        (row,) = postgres.query("SELECT pg_encoding_to_char(pg_char_to_encoding(%s))", [name])
        assert row == (canonical,), name
