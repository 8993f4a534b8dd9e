# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants on real servers: what is declared is held and works, what is no longer declared goes, nothing else moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from integration.mysql.engine import Engine, database, grant, owner, role, user

Unique = Callable[[str], str]


@pytest.fixture
def place(engine: Engine, unique: Unique) -> str:
    """A database with a table, a procedure and a function; its name has a wildcard in it."""
    return made_place(engine, unique("db"))


def made_place(engine: Engine, name: str) -> str:
    """Make a database with a table, a procedure and a function."""
    engine.query(f"CREATE DATABASE `{name}`")
    for statement in (
        "CREATE TABLE t (a int, b int, Mixed int)",
        "INSERT INTO t VALUES (1, 2, 3)",
        "CREATE TABLE other (a int)",
        "CREATE PROCEDURE p() SELECT 1",
        "CREATE FUNCTION f() RETURNS int DETERMINISTIC RETURN 1",
    ):
        engine.query(statement, database=name)
    return name


def works(engine: Engine, name: str, statement: str) -> bool:
    """Whether a user who has just logged in may do something."""
    with engine.connect(name, "x") as session, session.cursor() as cursor:
        try:
            cursor.execute(statement)
        except engine.denied:
            return False
    return True


def rows(engine: Engine, name: str) -> list[tuple[Any, ...]]:
    """The rows of the server's tables about one user, all hosts."""
    found = []
    for table in ("db", "tables_priv", "columns_priv", "procs_priv"):
        columns = (
            "Host, Db" if table == "db" else "Host, Db, " + {"procs_priv": "Routine_name"}.get(table, "Table_name")
        )
        found += engine.query(f"SELECT {columns} FROM mysql.{table} WHERE User = %s", [name])
    return sorted(found)


def mine(name: str, **options: Any) -> dict[str, Any]:
    """A grant to a user that the ledger knows."""
    return grant(user=name, dbops_owner=owner(f"{name}-grant", kind="DatabaseGrant"), **options)


@pytest.mark.feature("G01", "G03")
def test_every_level(engine: Engine, unique: Unique, place: str) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    cases = (
        ({"level": "database", "database": place, "privileges": ["INSERT"]}, f"INSERT INTO {place}.other VALUES (1)"),
        ({"level": "table", "database": place, "table": "t", "privileges": ["DELETE"]}, f"DELETE FROM {place}.t"),
        (
            {"level": "column", "database": place, "table": "t", "columns": ["a", "Mixed"], "privileges": ["SELECT"]},
            f"SELECT a, mixed FROM {place}.t",
        ),
        ({"level": "global", "privileges": ["PROCESS"]}, "SHOW ENGINE INNODB STATUS"),
    )
    if not engine.weak:
        cases += (
            (
                {"level": "procedure", "database": place, "procedure": "p", "privileges": ["EXECUTE"]},
                f"CALL {place}.p()",
            ),
            (
                {"level": "function", "database": place, "function": "f", "privileges": ["EXECUTE"]},
                f"SELECT {place}.f()",
            ),
        )
    for entry, statement in cases:
        assert not works(engine, name, statement), statement
        engine.four_runs(mine(name, grants=[entry]))
        assert works(engine, name, statement), statement
        if entry["level"] != "global":
            without = {key: value for key, value in entry.items() if key != "level"}
            assert not engine.one(mine(name, grants=[without]))["changed"], "the level follows from what is named"
    assert not works(engine, name, f"SELECT b FROM {place}.t")
    engine.four_runs(mine(name, grants=[entry for entry, _ignored in cases]))
    assert all(works(engine, name, statement) for _ignored, statement in cases)
    engine.four_runs(mine(name, state="absent"))
    assert engine.grants(name) == []
    assert rows(engine, name) == []


@pytest.mark.feature("G03")
def test_every_host_of_the_user(engine: Engine, unique: Unique, place: str) -> None:
    name = unique("app")
    engine.run(user(name, password="x", allowed_hosts=["127.0.0.1", "10.%"]))
    entry = {"database": place, "privileges": ["SELECT"]}
    engine.four_runs(mine(name, grants=[entry]))
    assert [row[0] for row in rows(engine, name)] == ["10.%", "127.0.0.1"]
    engine.run(user(name, password="x", allowed_hosts=["127.0.0.1", "10.%", "%"]))
    engine.four_runs(mine(name, grants=[entry]))
    assert [row[0] for row in rows(engine, name)] == ["%", "10.%", "127.0.0.1"]


@pytest.mark.feature("G03")
def test_wildcards_in_names_are_escaped(engine: Engine, unique: Unique) -> None:
    name, stem = unique("app"), unique("d")
    for one in (f"{stem}_x", f"{stem}zx", f"{stem}%", f"{stem}back\\slash"):
        made_place(engine, one)
    engine.run(user(name, password="x"))
    engine.four_runs(mine(name, grants=[{"database": f"{stem}_x", "privileges": ["SELECT"]}]))
    escaped = stem.replace("_", "\\_")
    assert rows(engine, name) == [("%", f"{escaped}\\_x")]
    assert works(engine, name, f"SELECT * FROM `{stem}_x`.t")
    assert not works(engine, name, f"SELECT * FROM `{stem}zx`.t")
    engine.four_runs(
        mine(name, grants=[{"database": f"{stem}{end}", "privileges": ["SELECT"]} for end in ("%", "back\\slash")])
    )
    assert works(engine, name, f"SELECT * FROM `{stem}%`.t")
    assert works(engine, name, f"SELECT * FROM `{stem}back\\slash`.t")
    assert not works(engine, name, f"SELECT * FROM `{stem}_x`.t")


@pytest.mark.feature("G03", "G06")
def test_both_spellings_count(engine: Engine, unique: Unique, place: str) -> None:
    """What was granted before us, and by people, has `_` as it is."""
    name = unique("app")
    engine.run(user(name, password="x"))
    engine.query(f"GRANT SELECT ON `{place}`.* TO %s@'%%'", (name,))
    assert engine.one(mine(name, grants=[{"database": place, "privileges": ["SELECT"]}]))["steps"] == []
    engine.four_runs(mine(name, grants=[{"database": place, "privileges": ["SELECT", "INSERT"]}]))
    assert works(engine, name, f"SELECT * FROM {place}.t")
    assert works(engine, name, f"INSERT INTO {place}.other VALUES (1)")


@pytest.mark.feature("G06")
def test_a_grant_on_a_pattern_is_not_hidden(engine: Engine, unique: Unique, place: str) -> None:
    """A new row for one database hides one for a pattern, and would take away what only that gave."""
    name = unique("app")
    engine.run(user(name, password="x"))
    pattern = place[:-1].replace("_", "\\_") + "%"
    engine.query(f"GRANT SELECT, DELETE ON `{pattern}`.* TO '{name}'@'%'")
    engine.four_runs(mine(name, grants=[{"database": place, "privileges": ["INSERT"]}]))
    for statement in (
        f"SELECT * FROM {place}.t",
        f"DELETE FROM {place}.other",
        f"INSERT INTO {place}.other VALUES (1)",
    ):
        assert works(engine, name, statement)
    for privileges in (["INSERT", "SELECT"], ["INSERT"]):
        result = engine.one(mine(name, grants=[{"database": place, "privileges": privileges}]))
        assert (result["failed"], result["steps"]) == (False, [])
    assert works(engine, name, f"SELECT * FROM {place}.t"), "the pattern still gives it"
    engine.query(f"REVOKE DELETE ON `{pattern}`.* FROM '{name}'@'%'")
    engine.four_runs(mine(name, grants=[{"database": place, "privileges": ["INSERT"]}]))
    assert not works(engine, name, f"DELETE FROM {place}.other"), "what was carried over goes with its pattern"
    engine.four_runs(mine(name, state="absent"))
    assert [row[1] for row in rows(engine, name)] == [pattern]
    assert works(engine, name, f"SELECT * FROM {place}.t")
    assert not works(engine, name, f"INSERT INTO {place}.other VALUES (1)")


@pytest.mark.feature("G05", "G06")
def test_what_is_no_longer_declared_goes_and_nothing_else(engine: Engine, unique: Unique, place: str) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    entry = {"database": place, "privileges": ["SELECT", "INSERT", "DELETE"]}
    engine.four_runs(mine(name, grants=[entry]))
    other = grant(user=name, dbops_owner=owner("other", kind="DatabaseGrant"))
    engine.run(other | {"grants": [{"database": place, "privileges": ["INSERT"]}]})
    engine.query(f"GRANT UPDATE ON `{place.replace('_', chr(92) + '_')}`.* TO %s@'%%'", (name,))
    done = engine.four_runs(mine(name, grants=[entry | {"privileges": ["SELECT"]}]))
    ((only,),) = [done["objects"][0]["steps"]]
    assert (only["action"], only["destructive"]) == ("revoke", True)
    assert only["statement"].startswith("REVOKE DELETE ON ")
    assert [one["field"] for one in done["objects"][0]["differences"]] == [f"grants.{place}.*.extra"]
    assert engine.one(mine(name, grants=[entry | {"privileges": ["SELECT"]}]))["observed"]["direct_grants"] == 1
    engine.four_runs(mine(name, state="absent"))
    for statement, expected in (
        (f"SELECT * FROM {place}.t", False),
        (f"INSERT INTO {place}.other VALUES (1)", True),
        (f"DELETE FROM {place}.other", False),
    ):
        assert works(engine, name, statement) is expected
    (line,) = engine.grants(name)
    assert "INSERT, UPDATE" in line, "what was given by hand, and by another declaration"
    engine.four_runs(other | {"state": "absent"})


@pytest.mark.feature("G04")
def test_the_grant_option_of_each_level(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    place = made_place(engine, unique("db"))
    engine.run(user(name, password="x"))
    entries = [
        {"level": "global", "privileges": ["PROCESS"]},
        {"level": "database", "database": place, "privileges": ["SELECT"]},
        {"level": "table", "database": place, "table": "t", "privileges": ["INSERT"]},
        {"level": "column", "database": place, "table": "other", "columns": ["a"], "privileges": ["UPDATE"]},
        {"level": "procedure", "database": place, "procedure": "p", "privileges": ["EXECUTE"]},
        {"level": "function", "database": place, "function": "f", "privileges": ["EXECUTE"]},
    ]
    if engine.weak:
        # It has no EXECUTE to give.
        entries = entries[:4]
    engine.four_runs(mine(name, grants=entries))
    before = engine.grants(name)
    for entry in entries:
        engine.four_runs(mine(name, grants=[{**one, "grant_option": one is entry} for one in entries]))
        with_option = [line for line in [*engine.grants(name), *usage(engine, name)] if "GRANT OPTION" in line]
        assert len(with_option) == 1, with_option
    engine.four_runs(mine(name, grants=entries))
    assert engine.grants(name) == before
    engine.four_runs(mine(name, grants=[{**entries[1], "privileges": ["SELECT", "GRANT OPTION"]}]))
    assert [line for line in engine.grants(name) if "GRANT OPTION" in line]
    engine.four_runs(mine(name, state="absent"))
    assert engine.grants(name) == []


def usage(engine: Engine, name: str) -> list[str]:
    found = engine.query("SHOW GRANTS FOR %s@'%%'", (name,))
    return [row[0] for row in found if "GRANT USAGE ON *.*" in row[0]]


@pytest.mark.feature("G03")
def test_all_is_what_the_level_has(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("app")
    place = made_place(engine, unique("db"))
    engine.run(user(name, password="x"))
    for entry, said in (
        ({"level": "database", "database": place}, "ALL PRIVILEGES ON `"),
        ({"level": "table", "database": place, "table": "t"}, "ON `"),
        ({"level": "procedure", "database": place, "procedure": "p"}, "ON PROCEDURE"),
        ({"level": "global"}, "ON *.*"),
    ):
        for word in ("ALL", "ALL PRIVILEGES"):
            declared = mine(name, grants=[{**entry, "privileges": [word]}])
            if word == "ALL":
                engine.four_runs(declared)
            assert not engine.one(declared)["changed"]
        if engine.mariadb or entry["level"] != "global":
            assert any(said in line for line in engine.grants(name))
    held = engine.query("SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = %s", [f"'{name}'@'%'"])
    root = engine.query(
        "SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = %s", ["'root'@'localhost'"]
    )
    assert held == root
    engine.four_runs(mine(name, state="absent"))
    assert engine.grants(name) == []


@pytest.mark.feature("G03", "I11")
def test_what_a_weak_admin_cannot_give_is_said_before_it_is_tried(weak_engine: Engine, unique: Unique) -> None:
    engine, name = weak_engine, unique("app")
    place = made_place(engine, unique("db"))
    engine.run(user(name, password="x"))
    before = engine.snapshot()
    for entry, lacking in (
        ({"database": place, "privileges": ["ALL"]}, "CREATE VIEW"),
        ({"database": place, "procedure": "p", "privileges": ["EXECUTE"]}, "EXECUTE"),
        ({"level": "global", "privileges": ["SUPER"]}, "SUPER"),
        ({"database": place, "table": "t", "privileges": ["INDEX"]}, "INDEX"),
    ):
        for check in (True, False):
            result = engine.one(mine(name, grants=[entry]), check=check)
            assert (result["reason"], result["field"]) == ("PrivilegeMissing", "grants")
            assert lacking in result["message"]
            assert "WITH GRANT OPTION" in result["message"]
            assert result["steps"] == []
        without_ledger = {key: value for key, value in engine.snapshot().items() if key != "databases"}
        assert without_ledger == {key: value for key, value in before.items() if key != "databases"}
    good = {"database": place, "privileges": ["SELECT"]}
    result = engine.one(mine(name, grants=[good, {"database": place, "table": "t", "privileges": ["INDEX"]}]))
    assert result["reason"] == "PrivilegeMissing"
    assert works(engine, name, f"SELECT * FROM {place}.t"), "what can be given is given"


@pytest.mark.feature("G03")
def test_dynamic_privileges(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("app")
    engine.run(user(name, password="x"))
    first, second = ("CONNECTION ADMIN", "SET USER") if engine.mariadb else ("CONNECTION_ADMIN", "ROLE_ADMIN")
    engine.four_runs(mine(name, grants=[{"level": "global", "privileges": [first, second]}]))
    held = engine.query(
        "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = %s", [f"'{name}'@'%'"]
    )
    assert {row[0] for row in held} - {"USAGE"} == {first, second}
    other_way = first.replace("_", " ") if "_" in first else first.replace(" ", "_")
    engine.four_runs(mine(name, grants=[{"level": "global", "privileges": [other_way]}]))
    engine.four_runs(mine(name, state="absent"))
    assert engine.grants(name) == []


@pytest.mark.feature("G01", "G05")
def test_roles_are_given_and_taken(engine: Engine, unique: Unique, place: str) -> None:
    name, first, second = unique("app"), unique("one"), unique("two")
    given = {"database": place, "privileges": ["SELECT"]}
    engine.run(
        role(first, grants=[given]),
        role(second, grants=[given | {"privileges": ["INSERT"]}]),
        user(name, password="x", in_roles=[first], dbops_owner=owner(name)),
    )
    engine.four_runs(mine(name, roles=[first, second]))
    assert works(engine, name, f"SELECT * FROM {place}.t")
    assert works(engine, name, f"INSERT INTO {place}.other VALUES (1)")
    assert not engine.one(user(name, password="x", in_roles=[first], dbops_owner=owner(name)))["changed"]
    engine.four_runs(mine(name, roles=[]))
    assert works(engine, name, f"SELECT * FROM {place}.t"), "the user declares it as well"
    assert not works(engine, name, f"INSERT INTO {place}.other VALUES (1)")


@pytest.mark.feature("G01")
def test_grants_to_a_role(engine: Engine, unique: Unique, place: str) -> None:
    name, group = unique("app"), unique("grp")
    engine.run(role(group), user(name, password="x", in_roles=[group]))
    declared = grant(role=group, dbops_owner=owner("g", kind="DatabaseGrant"))
    engine.four_runs(declared | {"grants": [{"database": place, "table": "t", "privileges": ["SELECT"]}]})
    assert works(engine, name, f"SELECT * FROM {place}.t")
    engine.four_runs(declared | {"state": "absent"})
    assert not works(engine, name, f"SELECT * FROM {place}.t")


@pytest.mark.feature("G05")
def test_without_an_owner_a_grant_takes_back_what_it_lists(engine: Engine, unique: Unique, place: str) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    declared = grant(user=name, grants=[{"database": place, "privileges": ["SELECT", "INSERT"]}])
    engine.four_runs(declared)
    engine.four_runs(grant(user=name, state="absent", grants=[{"database": place, "privileges": ["INSERT"]}]))
    assert works(engine, name, f"SELECT * FROM {place}.t")
    assert not works(engine, name, f"INSERT INTO {place}.other VALUES (1)")
    engine.four_runs(
        mine(name, grants=[{"database": place, "privileges": ["SELECT"]}], force=True), database(unique("z"))
    )
    absent = declared | {"state": "absent"}
    assert engine.one(absent)["reason"] == "Conflict", "somebody else declares it"
    engine.four_runs(absent | {"force": True})


def test_what_is_not_there_is_waited_for(engine: Engine, unique: Unique, place: str) -> None:
    name, nothing = unique("app"), unique("none")
    assert engine.one(mine(name, grants=[]))["reason"] == "DependencyNotReady"
    engine.run(user(name, password="x"))
    for entry in (
        {"database": nothing, "privileges": ["SELECT"]},
        {"database": place, "table": nothing, "privileges": ["SELECT"]},
        {"database": place, "table": "t", "columns": [nothing], "privileges": ["SELECT"]},
        {"database": place, "procedure": nothing, "privileges": ["EXECUTE"]},
    ):
        good = {"database": place, "table": "t", "privileges": ["SELECT"]}
        result = engine.one(mine(name, grants=[good, entry]))
        assert (result["reason"], result["field"]) == ("DependencyNotReady", "grants")
        assert nothing in result["message"]
    assert works(engine, name, f"SELECT * FROM {place}.t"), "the rest is given"
    assert engine.one(mine(name, roles=[nothing]))["reason"] == "DependencyNotReady"
    assert not engine.one(grant(user=nothing, state="absent", dbops_owner="x"))["failed"], "nothing to take back"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"privileges": ["SELECT"]}, "neither a level nor"),
        ({"level": "table", "database": "x", "privileges": ["SELECT"]}, "does not name table"),
        ({"level": "global", "database": "x", "privileges": ["SELECT"]}, "names database"),
        ({"level": "database", "database": "x", "table": "t", "privileges": ["SELECT"]}, "names table"),
        ({"database": "x", "table": "t", "privileges": ["LOCK TABLES"]}, "no privilege of level table"),
        ({"database": "x", "privileges": ["SUPER"]}, "but of global"),
        ({"database": "x", "privileges": ["FLY"]}, "no privilege FLY"),
        ({"database": "x", "privileges": ["PROXY"]}, "no privilege PROXY"),
        ({"database": "x", "table": "t", "columns": ["a"], "privileges": ["DELETE"]}, "no privilege of level column"),
        ({"database": "*", "privileges": ["SELECT"]}, "`*` is no name"),
        ({"database": "x", "table": "*", "privileges": ["SELECT"]}, "`*` is no name"),
        ({"database": "emoji😀", "privileges": ["SELECT"]}, "emoji"),
        ({"database": "x", "schema": "public", "privileges": ["SELECT"]}, "PostgreSQL"),
    ],
)
def test_entries_that_no_server_could_do(
    superuser_engine: Engine, unique: Unique, entry: dict[str, Any], said: str
) -> None:
    engine, name, good = superuser_engine, unique("app"), unique("good")
    engine.run(user(name, password="x"))
    before = engine.snapshot()
    for declared in (grant(user=name, grants=[entry]), role(unique("grp"), grants=[entry])):
        for check in (True, False):
            result = engine.one(declared, check=check)
            assert (result["reason"], result["field"]) == ("InvalidSpec", "grants"), result
            assert said in result["message"]
    assert engine.snapshot() == before
    done = engine.run(grant(user=name, grants=[entry]), user(good))
    assert [one["failed"] for one in done["objects"]] == [True, False]


def test_who_gets_nothing(engine: Engine, unique: Unique) -> None:
    own = "mariadb.sys" if engine.mariadb else "mysql.session"
    for name in (engine.login.user, own):
        assert engine.one(grant(user=name, grants=[]))["reason"] == "AccessDenied"
    name = unique("app")
    engine.run(user(name))
    assert engine.one(grant(user=name, roles=[name]))["reason"] == "InvalidSpec"
    assert engine.one(grant(user=name, roles=[engine.login.user]))["reason"] == "AccessDenied"


@pytest.mark.feature("D12", "G03")
@pytest.mark.parametrize("name", ["quo'te \"`tick", "per%cent_$\\back", "ümläut", "日本"])
def test_any_name(engine: Engine, name: str) -> None:
    quoted = name.replace("`", "``")
    engine.query(f"CREATE DATABASE `{quoted}`")
    try:
        engine.query(f"CREATE TABLE `{quoted}`.`{quoted}` (`{quoted}` int)")
        engine.four_runs(
            user(name, password="x"),
            role(f"r{name}", grants=[{"database": name, "privileges": ["SELECT"]}]),
            grant(
                user=name,
                roles=[f"r{name}"],
                grants=[
                    {"database": name, "privileges": ["INSERT"]},
                    {"database": name, "table": name, "privileges": ["DELETE"]},
                    {"database": name, "table": name, "columns": [name], "privileges": ["UPDATE"]},
                ],
            ),
        )
        for statement in ("SELECT * FROM", "INSERT INTO", "DELETE FROM"):
            rest = " VALUES (1)" if statement == "INSERT INTO" else ""
            assert works(engine, name, f"{statement} `{quoted}`.`{quoted}`{rest}")
    finally:
        engine.run(user(name, state="absent"), role(f"r{name}", state="absent"))
        engine.query(f"DROP DATABASE `{quoted}`")


@pytest.mark.feature("G05", "D11")
def test_a_new_database_of_the_name_has_none_of_the_old_ones_privileges(
    engine: Engine, unique: Unique, place: str
) -> None:
    name, by_hand = unique("app"), unique("hand")
    engine.run(user(name, password="x"), user(by_hand, password="x"))
    entries = [
        {"database": place, "privileges": ["SELECT"]},
        {"database": place, "table": "t", "privileges": ["INSERT"]},
        {"database": place, "table": "t", "columns": ["a"], "privileges": ["UPDATE"]},
    ]
    engine.four_runs(mine(name, grants=entries))
    engine.query(f"GRANT SELECT ON `{place}`.* TO %s@'%%'", (by_hand,))
    done = engine.four_runs(database(place, state="absent"))
    assert rows(engine, name) == []
    assert len(rows(engine, by_hand)) == 1
    assert any(by_hand in text for text in done["objects"][0]["warnings"])
    assert engine.one(mine(name, grants=entries))["reason"] == "DependencyNotReady"
    made_place(engine, place)
    assert not works(engine, name, f"SELECT * FROM {place}.t")
    engine.four_runs(mine(name, grants=entries))
    assert works(engine, name, f"SELECT * FROM {place}.t")


@pytest.mark.feature("G03")
def test_a_pattern_that_counts_instead_is_warned_of(superuser_engine: Engine, unique: Unique) -> None:
    """With a role that is active, MySQL takes the first row in the order of bytes, not the one that says most."""
    engine, name, group = superuser_engine, unique("app"), unique("grp")
    # The pattern is not to match the ledger's database, which then were not trusted.
    place, pattern, account = made_place(engine, unique("shop")), "shop%", f"`{name}`@`%`"
    engine.run(role(group), user(name, password="x", in_roles=[group]))
    declared = mine(name, grants=[{"level": "database", "database": place, "privileges": ["SELECT"]}])
    engine.query(f"GRANT INSERT ON `{pattern}`.* TO {account}")
    for check in (True, False, True):
        result = engine.one(declared, check=check)
        assert not result["failed"], result
        assert [f"on `{pattern}`.* as well" in text for text in result["warnings"]] == [True] * (not engine.mariadb)
    assert works(engine, name, f"SELECT * FROM `{place}`.t") is engine.mariadb
    # Each of the two ways out that the warning names.
    for way, back in (
        (f"GRANT SELECT ON `{pattern}`.* TO {account}", f"REVOKE SELECT ON `{pattern}`.* FROM {account}"),
        (f"REVOKE INSERT ON `{pattern}`.* FROM {account}", f"GRANT INSERT ON `{pattern}`.* TO {account}"),
    ):
        assert all(way in text for text in result["warnings"])
        engine.query(way)
        assert engine.one(declared)["warnings"] == []
        assert works(engine, name, f"SELECT * FROM `{place}`.t")
        engine.query(back)
        assert works(engine, name, f"SELECT * FROM `{place}`.t") is engine.mariadb
    engine.run(user(name, state="absent", force=True), role(group, state="absent", force=True))


@pytest.mark.feature("G05")
def test_another_grantee_gets_it_and_the_one_before_loses_it(engine: Engine, unique: Unique, place: str) -> None:
    app, other, group = unique("app"), unique("oth"), unique("grp")
    engine.run(user(app, password="x"), user(other, password="x"), role(group))
    recorded = owner("moving", kind="DatabaseGrant")
    entries = [
        {"database": place, "privileges": ["SELECT", "INSERT"]},
        {"database": place, "table": "t", "privileges": ["DELETE"]},
        {"level": "global", "privileges": ["PROCESS"]},
    ]
    given = {"name": "moving", "dbops_owner": recorded, "roles": [group], "grants": entries}
    stays = grant(
        name="stays",
        user=app,
        dbops_owner=owner("stays", kind="DatabaseGrant"),
        grants=[{"database": place, "privileges": ["SELECT"]}],
    )
    engine.four_runs(grant(user=app, **given), stays)
    for one in (app, other):
        engine.query(f"GRANT UPDATE ON `{place}`.t TO `{one}`@'%'")
    done = engine.four_runs(grant(user=other, **given))
    assert any(one["destructive"] for one in done["objects"][0]["differences"])
    assert works(engine, app, f"SELECT * FROM {place}.other")
    assert works(engine, app, f"UPDATE {place}.t SET a = 1")
    assert not works(engine, app, f"INSERT INTO {place}.other VALUES (1)")
    assert not works(engine, app, f"DELETE FROM {place}.t")
    assert not any("PROCESS" in one or group in one for one in engine.grants(app))
    for statement in (f"INSERT INTO {place}.other VALUES (1)", f"UPDATE {place}.t SET a = 1", f"DELETE FROM {place}.t"):
        assert works(engine, other, statement)
    assert any("PROCESS" in one for one in engine.grants(other))
    assert any(group in one for one in engine.grants(other))
    # Back, with both declarations in one list; and what it gave last is what goes with it.
    engine.four_runs(stays, grant(user=app, **given))
    assert len(engine.grants(other)) == 1, "what was given by hand"
    engine.four_runs(grant(user=other, **given))
    engine.four_runs(grant(user=app, state="absent", **given))
    assert len(engine.grants(other)) == 1


def test_another_grantee_when_the_one_before_is_gone(engine: Engine, unique: Unique, place: str) -> None:
    app, other = unique("app"), unique("oth")
    engine.run(user(app, password="x"), role(other))
    given = {"name": "moving", "dbops_owner": owner("moving", kind="DatabaseGrant")}
    given["grants"] = [{"database": place, "privileges": ["SELECT"]}]
    engine.four_runs(grant(user=app, **given))
    engine.query(f"DROP USER `{app}`@'%'")
    engine.four_runs(grant(role=other, **given))
    assert len(engine.grants(other, "" if engine.mariadb else "%")) == 1


@pytest.mark.feature("G05")
def test_a_role_gets_what_a_user_of_its_name_loses(engine: Engine, unique: Unique, place: str) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    if engine.mariadb:
        engine.query(f"CREATE ROLE `{name}`")
        engine.query(f"GRANT `{name}` TO {engine.login.user} WITH ADMIN OPTION")
    given = {"name": "moving", "dbops_owner": owner("moving", kind="DatabaseGrant")}
    given["grants"] = [{"database": place, "privileges": ["SELECT"]}]
    engine.four_runs(grant(user=name, **given))
    if not engine.mariadb:
        # There it is the same account.
        assert not engine.one(grant(role=name, **given))["changed"]
        return
    engine.four_runs(grant(role=name, **given))
    assert not any(place.replace("_", "\\_") in one for one in engine.grants(name))
    assert any(place.replace("_", "\\_") in one for one in engine.grants(name, ""))
