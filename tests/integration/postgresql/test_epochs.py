# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a later epoch stop those of an earlier one on a real server, wherever these are, and end their sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine, owner, user

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import Epoch
from localstack.processes import wait_until

pytestmark = pytest.mark.feature("K04")
Unique = Callable[[str], str]


def epoch(name: str, number: int) -> dict[str, Any]:
    return {"name": name, "number": number}


def recorded(engine: Engine, name: str) -> list[tuple[Any, ...]]:
    query = "SELECT number, announced FROM dbops.epoch WHERE name = %s"
    return engine.server.query(query, [name], dbname="dbops")


def roles(engine: Engine, *names: str) -> set[str]:
    return {row[0] for row in engine.server.query("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [[*names]])}


def test_a_later_epoch_is_recorded_and_an_earlier_one_changes_nothing_more(engine: Engine, unique: Unique) -> None:
    it, name, second = unique("epoch"), unique("a"), unique("b")
    first = user(name, dbops_owner=owner(name))
    assert not engine.one(first, dbops_epoch=epoch(it, 5))["failed"]
    assert recorded(engine, it) == [(5, 5)]
    assert not engine.one(first, dbops_epoch=epoch(it, 5))["changed"]
    assert not engine.one(first, dbops_epoch=epoch(it, 7))["failed"], "told also where nothing is to be changed"
    assert recorded(engine, it) == [(7, 7)]
    before = engine.snapshot()
    for declared in (user(second, dbops_owner=owner(second)), user(second), first | {"state": "absent"}):
        refused = engine.one(declared, dbops_epoch=epoch(it, 6))
        assert refused["reason"] == "Conflict"
        assert "epoch 7, this run has 6" in refused["message"]
    assert engine.snapshot() == before
    assert not engine.one(first | {"state": "absent"}, dbops_epoch=epoch(it, 6), check=True)["failed"]
    assert not engine.one(user(second), dbops_epoch=epoch(unique("other"), 1))["failed"], "names are apart"
    assert not engine.one(user(second, connection_limit=2))["failed"], "without an epoch nobody is asked"


@contextmanager
def held_back(engine: Engine, what: str) -> Iterator[int]:
    """Keep a lock on a catalog of roles, so that a run stops in its work; gives the process that does."""
    with psycopg.connect(engine.server.admin.dsn(), autocommit=False) as connection:
        connection.execute(f"LOCK TABLE {what} IN SHARE MODE")  # type: ignore[arg-type]
        yield connection.info.backend_pid
        connection.rollback()


def test_sessions_of_an_earlier_epoch_are_ended_before_the_later_one_is_in_force(
    engine: Engine, unique: Unique
) -> None:
    it, name, third = unique("epoch"), unique("a"), unique("c")
    engine.run(user(third, dbops_owner=owner(third)), dbops_epoch=epoch(it, 1))
    stuck: list[dict[str, Any]] = []
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = 'dbops'"
        " AND application_name LIKE %s"
    )
    mark = f"%{Epoch(it, 1).mark}"
    declared = user(name, dbops_owner=owner(name))

    def go() -> None:
        stuck.append(engine.one(declared, dbops_epoch=epoch(it, 1), connection={"lock_timeout": 60}))

    with held_back(engine, "pg_authid"):
        run = threading.Thread(target=go)
        run.start()
        wait_until(lambda: engine.server.query(waiting, [mark]), what="the earlier run waits within its transaction")
        assert not engine.one({"kind": "database_instance"}, dbops_epoch=epoch(it, 2))["failed"]
        assert recorded(engine, it) == [(2, 2)]
        present = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE %s"
        assert engine.server.query(present, [mark]) == []
    run.join(timeout=30)
    assert stuck[0]["failed"]
    assert roles(engine, name) == set()


def test_a_run_that_was_announced_against_stops_although_the_later_one_died(engine: Engine, unique: Unique) -> None:
    it, name = unique("epoch"), unique("a")
    engine.run(user(name, dbops_owner=owner(name)), dbops_epoch=epoch(it, 1))
    engine.server.query("UPDATE dbops.epoch SET announced = 2 WHERE name = %s", [it], dbname="dbops")
    assert engine.one(user(name, connection_limit=2), dbops_epoch=epoch(it, 1))["reason"] == "Conflict"
    assert not engine.one(user(name, connection_limit=2), dbops_epoch=epoch(it, 3))["failed"]
    assert recorded(engine, it) == [(3, 3)]


@pytest.mark.parametrize("moment", ["CREATE ROLE", "CREATE DATABASE", "CREATE SCHEMA"])
def test_nothing_is_sent_after_the_later_epoch_is_in_force(
    superuser_engine: Engine, unique: Unique, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The earlier run is paused right before a statement, the session for it open or not, and goes on afterwards."""
    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import connection, quoting

    engine = superuser_engine.own_ledger()
    it, name, db = unique("epoch"), unique("a"), unique("db")
    send = connection.Session.send
    paused: list[str] = []

    def pausing(session: connection.Session, statement: Any) -> None:
        shown = quoting.masked(statement)
        if shown.startswith(moment) and not paused and name_of(session) == "earlier":
            paused.append(shown)
            later = engine.run({"kind": "database_instance"}, dbops_epoch=epoch(it, 2))
            assert not later["failed"], later
        send(session, statement)

    def name_of(session: connection.Session) -> str:
        shown = session.rows("SHOW application_name")[0][0]
        return "earlier" if shown.endswith(Epoch(it, 1).mark) else ""

    monkeypatch.setattr(connection.Session, "send", pausing)
    documents = engine.run(
        user(name, dbops_owner=owner(name)),
        {"kind": "database", "name": db, "schemas": [{"name": "s"}], "dbops_owner": owner(db, kind="Database")},
        dbops_epoch=epoch(it, 1),
    )
    assert paused
    assert documents["failed"]
    assert recorded(engine, it) == [(2, 2)]
    left = {
        "CREATE ROLE": set(),
        "CREATE DATABASE": {name},
        "CREATE SCHEMA": {name, db},
    }[moment]
    there = roles(engine, name) | {
        row[0] for row in engine.server.query("SELECT datname FROM pg_database WHERE datname = %s", [db])
    }
    assert there == left
    if db in there:
        assert engine.server.query("SELECT 1 FROM pg_namespace WHERE nspname = 's'", dbname=db) == []
