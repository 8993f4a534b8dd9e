# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a later epoch stop those of an earlier one on real servers, and end their sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from integration.mysql.engine import Engine, database, owner, user

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import connection, quoting
from localstack.processes import wait_until

pytestmark = pytest.mark.feature("K04")
Unique = Callable[[str], str]


def epoch(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "number": number}


def recorded(engine: Engine, name: str) -> list[tuple[Any, ...]]:
    return engine.query("SELECT number, announced FROM dbops.epoch WHERE name = %s", [name])


def accounts(engine: Engine, *names: str) -> set[str]:
    return {row[0] for row in engine.query("SELECT user FROM mysql.user WHERE user IN %s", [names])}


def test_a_later_epoch_is_recorded_and_an_earlier_one_changes_nothing_more(engine: Engine, unique: Unique) -> None:
    engine.own_ledger()
    it, name, second = unique("epoch"), unique("a")[:32], unique("b")[:32]
    first = user(name, dbops_owner=owner(name), password="x")
    assert not engine.one(first, dbops_epoch=epoch(it, 5))["failed"]
    assert recorded(engine, it) == [(5, 5)]
    assert not engine.one(first, dbops_epoch=epoch(it, 5))["changed"]
    assert not engine.one(first, dbops_epoch=epoch(it, 7))["failed"], "told also where nothing is to be changed"
    assert recorded(engine, it) == [(7, 7)]
    before = engine.snapshot()
    other = user(second, password="x")
    for declared in (other | {"dbops_owner": owner(second)}, other, first | {"state": "absent"}):
        refused = engine.one(declared, dbops_epoch=epoch(it, 6))
        assert refused["reason"] == "Conflict"
        assert "epoch 7, this run has 6" in refused["message"]
    assert engine.snapshot() == before
    assert not engine.one(first | {"state": "absent"}, dbops_epoch=epoch(it, 6), check=True)["failed"]
    assert not engine.one(other, dbops_epoch=epoch(unique("other"), 1))["failed"], "names are apart"
    assert not engine.one(other | {"account_locked": True})["failed"], "without an epoch nobody is asked"


def test_sessions_of_an_earlier_epoch_are_ended_before_the_later_one_is_in_force(
    engine: Engine, unique: Unique
) -> None:
    engine.own_ledger()
    it, name = unique("epoch"), unique("a")[:32]
    engine.query(f"CREATE DATABASE {name}")
    engine.run(database(name, dbops_owner=owner(name, kind="Database"), adopt=True), dbops_epoch=epoch(it, 1))
    stuck: list[dict[str, Any]] = []
    declared = database(name, dbops_owner=owner(name, kind="Database"), state="absent")

    def go() -> None:
        stuck.append(engine.one(declared, dbops_epoch=epoch(it, 1), connection={"lock_timeout": 60}))

    with engine.server.admin.connect() as holding, holding.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name}.t (i int)")
        cursor.execute(f"LOCK TABLES {name}.t READ")
        run = threading.Thread(target=go)
        run.start()
        waiting = (
            "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DROP DATABASE%' AND STATE LIKE '%lock%'"
        )
        wait_until(lambda: engine.query(waiting), what="the earlier run waits in its statement")
        later = engine.one({"kind": "database_instance"}, dbops_epoch=epoch(it, 2))
        assert not later["failed"], later
        assert recorded(engine, it) == [(2, 2)]
        assert engine.query(waiting) == []
        assert engine.query("SELECT * FROM dbops.lease") == []
    run.join(timeout=30)
    assert stuck[0]["failed"]
    assert engine.query("SHOW DATABASES LIKE %s", [name]) == [(name,)]


@pytest.mark.parametrize("moment", ["CREATE USER", "CREATE DATABASE", "GRANT"])
def test_nothing_is_sent_after_the_later_epoch_is_in_force(
    superuser_engine: Engine, unique: Unique, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The earlier run is paused right before a statement and goes on afterwards."""
    engine = superuser_engine.own_ledger()
    it, name = unique("epoch"), unique("a")[:32]
    send = connection.Session.send
    paused: list[str] = []

    def pausing(session: connection.Session, statement: Any) -> None:
        shown = quoting.masked(statement)
        if shown.startswith(moment) and not paused:
            paused.append(shown)
            later = engine.run({"kind": "database_instance"}, dbops_epoch=epoch(it, 2))
            assert not later["failed"], later
        send(session, statement)

    monkeypatch.setattr(connection.Session, "send", pausing)
    script = {"statements": ["CREATE TABLE t (i int)"]}
    done = engine.run(
        user(name, dbops_owner=owner(name), password="x"),
        database(name, dbops_owner=owner(name, kind="Database"), init_sql=script),
        dbops_epoch=epoch(it, 1),
    )
    assert paused
    assert done["failed"]
    assert recorded(engine, it) == [(2, 2)]
    assert accounts(engine, name) == (set() if moment == "CREATE USER" else {name})
    databases = engine.query("SHOW DATABASES LIKE %s", [name])
    assert databases == ([(name,)] if moment == "GRANT" else [])
    assert engine.query("SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s", [name]) == []


def test_a_script_of_an_earlier_epoch_is_ended_with_its_session(superuser_engine: Engine, unique: Unique) -> None:
    engine = superuser_engine.own_ledger()
    it, name = unique("epoch"), unique("a")[:32]
    script = {"statements": ["DO SLEEP(30)", "CREATE TABLE t (i int)"], "on_failure": "continue"}
    declared = database(name, dbops_owner=owner(name, kind="Database"), init_sql=script)
    stuck: list[dict[str, Any]] = []
    run = threading.Thread(target=lambda: stuck.append(engine.one(declared, dbops_epoch=epoch(it, 1))))
    run.start()
    sleeping = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DO SLEEP%'"
    wait_until(lambda: engine.query(sleeping), what="the script is at work")
    later = engine.one({"kind": "database_instance"}, dbops_epoch=epoch(it, 2))
    assert not later["failed"], later
    assert engine.query(sleeping) == []
    run.join(timeout=20)
    assert stuck[0]["failed"]
    assert not engine.one(declared | {"init_sql": {"statements": ["SELECT 1"]}}, dbops_epoch=epoch(it, 2))["failed"]
