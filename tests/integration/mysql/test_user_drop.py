# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing users on real servers: sessions end, and nothing is left behind that fails for want of its definer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from integration.mysql.engine import Engine, owner, role, user

Unique = Callable[[str], str]


def exists(engine: Engine, name: str) -> bool:
    return bool(engine.query("SELECT 1 FROM mysql.user WHERE User = %s", [name]))


def defines(engine: Engine, definer: str, place: str) -> None:
    """Make one object of each type, with a definer."""
    engine.query(f"CREATE DATABASE `{place}`")
    for statement in (
        "CREATE TABLE t (i int)",
        "CREATE DEFINER = {}@'%' VIEW v AS SELECT 1",
        "CREATE DEFINER = {}@'%' PROCEDURE p() SELECT 1",
        "CREATE DEFINER = {}@'%' FUNCTION f() RETURNS int DETERMINISTIC RETURN 1",
        "CREATE DEFINER = {}@'%' TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
        "CREATE DEFINER = {}@'%' EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    ):
        engine.query(statement.format(f"`{definer}`"), database=place)


@pytest.mark.feature("U09", "D11")
def test_a_user_goes_with_its_sessions_on_every_host(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name, password="x", allowed_hosts=["127.0.0.1", "%", "10.%"]))
    with engine.connect(name, "x") as session:
        done = engine.four_runs(user(name, state="absent"))
        with pytest.raises(engine.lost), session.cursor() as cursor:
            cursor.execute("SELECT 1")
    assert not exists(engine, name)
    statements = [step["statement"] for step in done["objects"][0]["steps"]]
    assert [one.split()[0] for one in statements] == ["ALTER"] * 3 + ["KILL"] + ["DROP"] * 3


@pytest.mark.feature("U09")
def test_sessions_may_stay(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    with engine.connect(name, "x") as session, session.cursor() as cursor:
        engine.four_runs(user(name, state="absent", end_sessions=False))
        assert not exists(engine, name)
        cursor.execute("SELECT 1")


@pytest.mark.feature("U09")
def test_a_definer_is_not_dropped(engine: Engine, unique: Unique) -> None:
    name, place = unique("app"), unique("db")
    engine.run(user(name, password="x"))
    defines(engine, name, place)
    before = engine.snapshot()
    for check in (True, False):
        result = engine.one(user(name, state="absent"), check=check)
        assert (result["reason"], result["field"]) == ("Blocked", "name")
        assert engine.snapshot() == before
        owned = {(one["database"], one["type"], one["name"]) for one in result["observed"]["owned_objects"]}
        expected = {("view", "v"), ("procedure", "p"), ("function", "f"), ("trigger", "tr"), ("event", "e")}
        if engine.weak and not engine.mariadb:
            # Events are seen by those who have EVENT only.
            expected -= {("event", "e")}
        assert owned == {(place, *one) for one in expected}
        assert result["observed"]["owned_objects_count"] == len(expected)
    engine.query(f"DROP DATABASE `{place}`")
    engine.four_runs(user(name, state="absent"))


@pytest.mark.feature("U09")
def test_what_the_admin_cannot_see_blocks_all_the_same(engine: Engine, unique: Unique) -> None:
    name, place = unique("app"), unique("db")
    engine.run(user(name, password="x"))
    engine.query(f"CREATE DATABASE `{place}`")
    engine.query(f"CREATE DEFINER = `{name}`@'%' EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", database=place)
    assert engine.one(user(name, state="absent"))["reason"] == "Blocked"
    assert exists(engine, name)


@pytest.mark.feature("U02", "U09")
def test_only_the_host_that_goes_counts(engine: Engine, unique: Unique) -> None:
    name, place = unique("app"), unique("db")
    engine.run(user(name, password="x", allowed_hosts=["%", "10.%"]))
    defines(engine, name, place)
    engine.four_runs(user(name, password="x", allowed_hosts=["%"]))
    result = engine.one(user(name, password="x", allowed_hosts=["10.%"]))
    assert result["reason"] == "Blocked"


@pytest.mark.feature("U09")
def test_a_role_that_defines_something_is_not_dropped(superuser_engine: Engine, unique: Unique) -> None:
    engine, name, place = superuser_engine, unique("grp"), unique("db")
    engine.run(role(name))
    engine.query(f"CREATE DATABASE `{place}`")
    engine.query(f"CREATE DEFINER = `{name}` VIEW v AS SELECT 1", database=place)
    assert engine.one(role(name, state="absent"))["reason"] == "Blocked"
    engine.query(f"DROP DATABASE `{place}`")
    engine.four_runs(role(name, state="absent"))


@pytest.mark.feature("L09")
def test_what_is_not_ours_stays(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.query("CREATE USER %s@'%%' IDENTIFIED BY 'x'", (name,))
    result = engine.one(user(name, state="absent", dbops_owner=owner(name)))
    assert not result["failed"]
    assert not result["changed"]
    assert "left in place" in result["warnings"][0]
    assert engine.logs_in(name, "x")


def test_dropping_nobody_is_no_change(engine: Engine, unique: Unique) -> None:
    for declared in (user(unique("none"), state="absent"), role(unique("none"), state="absent")):
        result = engine.one(declared)
        assert (result["failed"], result["changed"], result["steps"]) == (False, False, [])
