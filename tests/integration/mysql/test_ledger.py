# SPDX-License-Identifier: GPL-3.0-or-later
"""Ownership on real servers: recorded where nobody else has a right, distrusted when anybody else could have been."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from integration.mysql.engine import Engine, database, grant, owner, role, user

from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, binaries

Unique = Callable[[str], str]


@pytest.fixture(scope="module", params=[MYSQL_9_7, MARIADB_11_8], ids=["MySQL 9.7", "MariaDB 11.8"])
def ledger_server(request: pytest.FixtureRequest) -> Iterator[MySQLServer]:
    """Servers whose ledger is made, spoiled and dropped."""
    with MySQLServer(binaries(request.param)) as server:
        yield server


@pytest.fixture(params=["superuser", "weak admin"])
def engine(request: pytest.FixtureRequest, ledger_server: MySQLServer) -> Engine:
    """The engine on a server that has no ledger yet."""
    login = ledger_server.admin if request.param == "superuser" else ledger_server.weak_admin()
    return Engine(ledger_server, login).own_ledger()


def has_ledger(engine: Engine) -> bool:
    return bool(engine.query("SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'dbops'"))


def entry(engine: Engine, name: str) -> tuple[Any, ...] | None:
    query = "SELECT namespace, owner_name, state, adopted, applied FROM dbops.object WHERE name = %s"
    rows = engine.query(query, [name])
    return (*rows[0][:4], json.loads(rows[0][4])) if rows else None


def test_without_an_owner_nothing_is_recorded(engine: Engine, unique: Unique) -> None:
    engine.four_runs(user(unique("app")), database(unique("db")))
    assert not has_ledger(engine)


@pytest.mark.feature("L08", "L09")
def test_the_owner_is_recorded(engine: Engine, unique: Unique) -> None:
    name, group = unique("app"), unique("grp")
    declared = user(name, dbops_owner=owner(name), in_roles=[group])
    engine.four_runs(role(group), declared)
    assert entry(engine, name) == ("team", name, "present", 0, {"in_roles": [group]})
    assert entry(engine, group) is None
    engine.run(user(name, password="x"))
    assert not engine.logs_in(name, "x", "dbops")
    assert engine.logs_in(name, "x")
    engine.four_runs(user(name, dbops_owner=owner(name), state="absent"))
    assert entry(engine, name) == ("team", name, "absent", 0, {})


@pytest.mark.feature("L09")
def test_the_server_has_an_identity_that_goes_with_its_data(engine: Engine, unique: Unique) -> None:
    engine.run(database(unique("db"), dbops_owner=owner("db", kind="Database")))
    server = engine.run()["server"]
    ((ours,),) = engine.query("SELECT system_identifier FROM dbops.about")
    own = ours if engine.mariadb else engine.query("SELECT @@server_uuid")[0][0]
    assert server["system_identifier"] == own


@pytest.mark.feature("L08")
def test_two_declarations_of_one_name(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.four_runs(user(name, dbops_owner=owner("older"), max_user_connections=3))
    before = engine.snapshot()
    newer = user(name, dbops_owner=owner("newer"), max_user_connections=5)
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
@pytest.mark.parametrize("kind", ["user", "role", "database"])
def test_what_existed_before_is_adopted_by_consent_only(engine: Engine, unique: Unique, kind: str) -> None:
    name = unique("app")
    if kind == "user":
        engine.run(user(name, max_queries_per_hour=7))
        declared = user(name, dbops_owner=owner(name), max_user_connections=5)
    elif kind == "role":
        engine.run(role(name))
        declared = role(name, dbops_owner=owner(name))
    else:
        engine.query(f"CREATE DATABASE `{name}` CHARACTER SET latin1")
        declared = database(name, dbops_owner=owner(name), collation="latin1_bin")
    before = engine.snapshot()
    assert engine.one(declared)["reason"] == "NotAdopted"
    left = engine.one(declared | {"state": "absent"})
    assert not left["changed"]
    after = engine.snapshot()
    assert [one for one in after["databases"] if "'dbops'" not in one] == before["databases"]
    assert {**after, "databases": 0} == {**before, "databases": 0}
    assert not engine.run(declared | {"adopt": True})["failed"]
    found = entry(engine, name)
    assert found
    assert found[2:4] == ("present", 1)
    if kind == "user":
        query = "SELECT max_questions, max_user_connections FROM mysql.user WHERE User = %s"
        assert engine.query(query, [name]) == [(7, 5)], "adoption changes only what is named"
    assert not engine.one(declared)["failed"], "consent is asked once"


def test_a_playbook_takes_nothing_away_from_an_owner_unless_forced(engine: Engine, unique: Unique) -> None:
    name, group = unique("app"), unique("grp")
    engine.run(role(group), user(name, dbops_owner=owner(name), in_roles=[group]))
    for declared in (user(name, state="absent"), user(name, in_roles=[])):
        for check in (True, False):
            assert engine.one(declared, check=check)["reason"] == "Conflict"
    engine.four_runs(user(name, max_user_connections=4))
    engine.four_runs(user(name, in_roles=[], force=True))
    engine.four_runs(user(name, state="absent", force=True))


@pytest.mark.feature("L09")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("GRANT SELECT ON dbops.* TO stranger@'%'", "stranger@% may enter it"),
        ("GRANT INSERT ON dbops.object TO stranger@'%'", "stranger@% may enter it"),
        ("GRANT UPDATE (state) ON dbops.object TO stranger@'%'", "stranger@% may enter it"),
        ("GRANT CREATE ON `db%`.* TO stranger@'%'", "stranger@% may enter it"),
        ("GRANT DROP ON `____s`.* TO stranger@'%'", "stranger@% may enter it"),
        ("CREATE TRIGGER dbops.t BEFORE INSERT ON dbops.object FOR EACH ROW SET NEW.state = 'x'", "trigger t"),
        ("CREATE PROCEDURE dbops.p() SELECT 1", "routine p"),
        ("CREATE VIEW dbops.v AS SELECT 1", "table v"),
        ("CREATE TABLE dbops.extra (i int) ENGINE = MyISAM", "table extra"),
    ],
)
def test_a_ledger_that_somebody_else_could_have_prepared_is_not_used(
    engine: Engine, unique: Unique, spoil: str, said: str
) -> None:
    name = unique("app")
    engine.query("DROP USER IF EXISTS stranger@'%'")
    engine.query("CREATE USER stranger@'%'")
    engine.run(user(name, dbops_owner=owner(name)))
    engine.query(spoil)
    try:
        result = engine.one(user(unique("other"), dbops_owner=owner("other")))
        assert result["reason"] == "Conflict"
        assert said in result["message"]
        found = engine.one({"kind": "database_instance"})["observed"]["capabilities"]
        (capability,) = [one for one in found if one["name"] == "ledger"]
        assert not capability["available"]
        assert said in capability["message"]
        engine.four_runs(user(unique("without")))
    finally:
        engine.query("DROP USER stranger@'%'")
        engine.query("DROP DATABASE dbops")


def test_a_stranger_who_was_first(engine: Engine, unique: Unique) -> None:
    engine.query("CREATE USER early@'%' IDENTIFIED BY 'early'")
    engine.query("GRANT ALL ON dbops.* TO early@'%'")
    try:
        with engine.connect("early", "early") as session, session.cursor() as cursor:
            cursor.execute("CREATE DATABASE dbops")
        name = unique("app")
        result = engine.one(user(name, dbops_owner=owner(name)))
        assert result["reason"] == "Conflict"
        assert "early@% may enter it" in result["message"]
        assert not engine.query("SELECT 1 FROM mysql.user WHERE User = %s", [name])
    finally:
        engine.query("DROP USER early@'%'")


def test_a_ledger_of_a_newer_version_is_read_and_not_written(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name, dbops_owner=owner(name)))
    engine.query("UPDATE dbops.about SET version = version + 1")
    assert not engine.one(user(name, dbops_owner=owner(name)))["failed"]
    assert engine.one(user(name, dbops_owner=owner("other")))["reason"] == "Conflict"
    assert engine.one(user(name, dbops_owner=owner(name), max_user_connections=3))["reason"] == "Unsupported"


def test_a_ledger_of_an_older_version_gets_what_it_lacks(engine: Engine, unique: Unique) -> None:
    name, second = unique("app"), unique("b")
    engine.run(user(name, dbops_owner=owner(name)))
    structure = (
        "SELECT CAST(version AS CHAR) FROM dbops.about UNION ALL SELECT CONCAT(TABLE_NAME, '.', COLUMN_NAME, ' ',"
        " COLUMN_TYPE, COLUMN_KEY) FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'dbops' ORDER BY 1"
    )
    made = engine.query(structure)
    engine.query("DROP TABLE dbops.epoch")
    engine.query("UPDATE dbops.about SET version = 1")
    older = engine.query(structure)
    assert older != made
    assert not engine.run(user(name, dbops_owner=owner(name)))["changed"]
    assert engine.run(user(second, dbops_owner=owner(second)), check=True)["changed"]
    assert engine.query(structure) == older, "only who writes brings it up to date"
    engine.four_runs(user(second, dbops_owner=owner(second)))
    assert engine.query(structure) == made
    assert entry(engine, name)
    assert entry(engine, second)


def test_a_ledger_that_was_begun_is_finished(engine: Engine, unique: Unique) -> None:
    """Another run ended between the steps that make it."""
    name = unique("app")
    engine.query("CREATE DATABASE dbops")
    engine.four_runs(user(name, dbops_owner=owner(name)))
    assert entry(engine, name)


def test_a_lost_ledger_is_rebuilt_by_adoption(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    declared = user(name, dbops_owner=owner(name))
    engine.run(declared)
    engine.query("DROP DATABASE dbops")
    assert engine.one(declared)["reason"] == "NotAdopted"
    assert not engine.one(declared | {"adopt": True})["failed"]
    assert entry(engine, name)


def test_names_are_told_apart_byte_by_byte(engine: Engine, unique: Unique) -> None:
    stem = unique("n")
    names = [stem, stem.upper(), f"{stem}ü", f"{stem}u"]
    for name in names:
        engine.run(user(name, dbops_owner=owner(name)))
    assert [entry(engine, name)[1] for name in names] == names  # type: ignore[index]


@pytest.mark.feature("L15")
def test_too_many_drops_wait_for_an_acknowledgement(engine: Engine, unique: Unique) -> None:
    names = [unique("db") for _ignored in range(4)]
    present = [database(name, dbops_owner=owner(name, kind="Database")) for name in names]
    absent = [one | {"state": "absent"} for one in present]
    engine.run(*present)
    brake = {"drops": 2, "seconds": 600}
    document = engine.run(*absent, drop_brake=brake)
    assert [one["reason"] for one in document["objects"]] == [None, None] + ["AcknowledgementNeeded"] * 2
    token = document["objects"][2]["message"].split()[-1]
    again = engine.run(*absent, drop_brake=brake)
    assert [one["reason"] for one in again["objects"]] == [None, None] + ["AcknowledgementNeeded"] * 2
    assert not engine.run(*absent, drop_brake=brake, acknowledge=[token])["failed"]


@pytest.mark.feature("L16")
def test_nothing_is_done_on_another_server_than_was_known(engine: Engine, unique: Unique) -> None:
    name = unique("u")
    known = engine.run(user(unique("u"), dbops_owner=owner("first")), server_identity="")["server"]["system_identifier"]
    again = user(name, dbops_owner=owner(name))
    document = engine.run(again, server_identity="another")
    assert [one["reason"] for one in document["objects"]] == ["AcknowledgementNeeded"]
    assert "another then" in document["objects"][0]["message"]
    assert not entry(engine, name)
    token = document["objects"][0]["message"].split()[-1]
    assert not engine.run(again, server_identity="another", acknowledge=[token])["failed"]
    identity = engine.run(again, server_identity="")["server"]["system_identifier"]
    assert identity == (known or identity)
    assert not engine.run(again, server_identity=identity)["failed"]


@pytest.mark.feature("L09", "G05")
def test_a_run_that_was_cut_off_is_healed(engine: Engine, unique: Unique, monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements commit one by one: what was given before the end is known to the next run, and can be taken back."""
    from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import apply

    name, place = unique("app"), unique("db")
    engine.run(user(name, password="x"), database(place))
    genuine = apply._send

    def once(step: Any, applying: Any) -> None:
        genuine(step, applying)
        raise RuntimeError("power failure")

    gift = grant(user=name, dbops_owner=owner("g", kind="DatabaseGrant"))
    monkeypatch.setattr(apply, "_send", once)
    result = engine.one(gift | {"grants": [{"database": place, "privileges": ["SELECT"]}]})
    assert result["reason"] == "InternalError"
    assert len(engine.grants(name)) == 1
    created = unique("new")
    assert engine.one(user(created, dbops_owner=owner(created)))["failed"]
    monkeypatch.undo()
    engine.run(gift)
    assert engine.grants(name) == [], "the declaration changed meanwhile"
    assert not engine.one(user(created, dbops_owner=owner(created)))["failed"], "it is known as ours"
