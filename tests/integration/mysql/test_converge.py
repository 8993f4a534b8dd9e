# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of objects on one server: each gets its result, whatever happens to the others or to the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from integration.mysql.engine import Engine, database, grant, owner, role, user

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import locks
from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, binaries
from localstack.processes import wait_until

Unique = Callable[[str], str]


def exists(engine: Engine, name: str) -> bool:
    return bool(engine.query("SELECT 1 FROM mysql.user WHERE User = %s", [name]))


@pytest.mark.feature("L10")
def test_what_is_wrong_with_one_object_does_not_stop_the_others(engine: Engine, unique: Unique) -> None:
    good, last = unique("good"), unique("last")
    document = engine.run(
        user(good),
        {"kind": "no_such_kind", "name": "x"},
        user("x", no_such_option=1),
        user("y", max_user_connections="many"),
        user(good, ref="twice"),
        "no mapping",
        user("z", in_roles=["no_such_role"]),
        user("u", password=""),
        database("w", encoding="klingon"),
        grant(user=good, grants=[{"database": "nowhere", "privileges": ["SELECT"]}]),
        user(last),
    )
    found = [(one["reason"], one["field"]) for one in document["objects"]]
    assert found == [
        (None, None),
        ("InvalidSpec", "kind"),
        ("InvalidSpec", "no_such_option"),
        ("InvalidSpec", "max_user_connections"),
        ("InvalidSpec", "name"),
        ("InvalidSpec", None),
        ("DependencyNotReady", "in_roles"),
        ("InvalidSpec", "password"),
        ("InvalidSpec", "encoding"),
        ("DependencyNotReady", "grants"),
        (None, None),
    ]
    assert document["failed"]
    assert exists(engine, good)
    assert exists(engine, last)


@pytest.mark.feature("L02")
def test_objects_are_worked_on_in_the_order_of_their_needs(engine: Engine, unique: Unique) -> None:
    name, first, second, place = unique("app"), unique("a"), unique("b"), unique("db")
    declared = [
        grant(user=name, roles=[first], grants=[{"database": place, "privileges": ["SELECT"]}]),
        user(name, in_roles=[first]),
        role(first, in_roles=[second], grants=[{"database": place, "privileges": ["INSERT"]}]),
        role(second),
        database(place),
    ]
    engine.four_runs(*declared)
    engine.four_runs(*(one | {"state": "absent"} for one in declared))
    assert not exists(engine, name)


@pytest.mark.feature("L11")
def test_cancelling_one_object_between_its_steps(engine: Engine, unique: Unique) -> None:
    cancelled, other = unique("a"), unique("b")
    asked: list[str] = []

    def cancel(ref: str) -> bool:
        asked.append(ref)
        return ref.endswith(cancelled) and asked.count(ref) > 3

    hosts = ["10.1.%", "10.2.%", "10.3.%", "10.4.%"]
    objects = [user(name, allowed_hosts=hosts, dbops_owner=owner(name)) for name in (cancelled, other)]
    document = converge({"connection": engine.options, "objects": objects}, cancelled=cancel)
    assert [one["reason"] for one in document["objects"]] == ["Cancelled", None]
    assert 0 < len(document["objects"][0]["steps"]) < len(hosts)
    assert not engine.run(*objects)["failed"], "the rest is known as ours and is finished"


def test_many_writers_of_the_same_objects(engine: Engine, unique: Unique) -> None:
    """Sixteen runs at once on four names: every run succeeds, one of each four does the work."""
    names = [unique("app") for _ in range(4)]
    declared = [user(name, password="x", dbops_owner=owner(name), allowed_hosts=["%", "10.%"]) for name in names]
    engine.run(user(unique("first"), dbops_owner=owner("first")))
    with ThreadPoolExecutor(8) as pool:
        documents = list(pool.map(lambda _: engine.run(*declared, connection={"lock_timeout": 60}), range(16)))
    assert [document["failed"] for document in documents] == [False] * 16, documents
    for number in range(4):
        assert sum(document["objects"][number]["changed"] for document in documents) == 1
    assert engine.query("SELECT * FROM dbops.lease") == []


def test_two_first_runs_on_a_new_server(own_engine: Engine, unique: Unique) -> None:
    """Both make the ledger, and without one locks are taken another way."""
    own_engine.own_ledger()
    names = [unique("app") for _ in range(6)]
    with ThreadPoolExecutor(3) as pool:
        declared = [user(name, dbops_owner=owner(name)) for name in names]
        documents = list(pool.map(own_engine.run, declared))
    assert [document["failed"] for document in documents] == [False] * 6, documents
    own_engine.own_ledger()
    with ThreadPoolExecutor(3) as pool:
        documents = list(
            pool.map(lambda _: own_engine.run(database(unique("db")), user("same", password="x")), range(6))
        )
    assert [document["failed"] for document in documents] == [False] * 6, documents
    assert sum(document["objects"][1]["changed"] for document in documents) == 1


def test_somebody_made_it_meanwhile(superuser_engine: Engine, unique: Unique, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our look and our statement: looked at again, and found to be as declared."""
    engine, name = superuser_engine, unique("app")
    from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import apply

    genuine, calls = apply.apply, []

    def late(*arguments: Any, **options: Any) -> None:
        if not calls:
            engine.query("CREATE USER %s@'%%'", (name,))
        calls.append(1)
        genuine(*arguments, **options)

    monkeypatch.setattr(apply, "apply", late)
    result = engine.one(user(name, max_user_connections=3))
    assert not result["failed"], result
    assert len(calls) == 2
    assert engine.query("SELECT max_user_connections FROM mysql.user WHERE User = %s", [name]) == [(3,)]


def test_a_writer_who_takes_no_lock(superuser_engine: Engine, unique: Unique) -> None:
    """Somebody alters the same account all the time."""
    engine, name = superuser_engine, unique("app")
    engine.run(user(name))
    stop = threading.Event()

    def alter() -> int:
        count = 0
        with engine.server.admin.connect() as session, session.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("ALTER USER %s@'%%' WITH MAX_UPDATES_PER_HOUR %s", (name, count % 9))
                count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(alter) for _ in range(2)]
        try:
            for number in range(40):
                result = engine.one(user(name, max_user_connections=number, max_queries_per_hour=number))
                assert not result["failed"], result
        finally:
            stop.set()
        assert all(other.result() for other in others)


# What happens to the server meanwhile.


@pytest.fixture(scope="module", params=[MYSQL_9_7, MARIADB_11_8], ids=["MySQL 9.7", "MariaDB 11.8"])
def fragile_server(request: pytest.FixtureRequest) -> Iterator[MySQLServer]:
    """Servers to restart in the middle of things."""
    with MySQLServer(binaries(request.param)) as server:
        yield server


@pytest.fixture(params=["superuser", "weak admin"])
def fragile(request: pytest.FixtureRequest, fragile_server: MySQLServer) -> Engine:
    """The engine on that server."""
    weak = fragile_server.weak_admin()
    return Engine(fragile_server, fragile_server.admin if request.param == "superuser" else weak).own_ledger()


def converge_with(engine: Engine, *objects: dict[str, Any], before_each: Callable[[str], None]) -> list[dict[str, Any]]:
    """Converge OBJECTS, calling BEFORE_EACH with the ref whenever the engine asks whether to go on."""

    def ask(ref: str) -> bool:
        before_each(ref)
        return False

    document = converge({"connection": engine.options, "objects": list(objects)}, cancelled=ask)
    results: list[dict[str, Any]] = document["objects"]
    return results


def test_a_restart_between_looking_and_changing_is_survived(fragile: Engine, unique: Unique) -> None:
    names = [unique("a"), unique("b")]
    asked: list[str] = []

    def restart(ref: str) -> None:
        asked.append(ref)
        if len(asked) == 1:
            fragile.server.restart()

    results = converge_with(fragile, *(user(name, dbops_owner=owner(name)) for name in names), before_each=restart)
    assert [one["reason"] for one in results] == [None, None], results
    assert all(exists(fragile, name) for name in names)


def test_a_restart_between_two_steps_fails_that_object_only(fragile: Engine, unique: Unique) -> None:
    names = [unique("a"), unique("b")]
    asked: list[str] = []

    def restart(ref: str) -> None:
        asked.append(ref)
        if len(asked) == 3:
            fragile.server.restart()

    hosts = ["10.1.%", "10.2.%", "10.3.%"]
    objects = [user(name, allowed_hosts=hosts, dbops_owner=owner(name)) for name in names]
    results = converge_with(fragile, *objects, before_each=restart)
    assert [one["reason"] for one in results] == ["ConnectionFailed", None], results
    assert not fragile.run(*objects)["failed"], "the lease of a session that is gone holds nobody up"
    assert len(fragile.query("SELECT 1 FROM mysql.user WHERE User = %s", [names[0]])) == 3


def test_our_session_is_killed(fragile: Engine, unique: Unique) -> None:
    name = unique("a")
    asked: list[str] = []

    def kill(ref: str) -> None:
        asked.append(ref)
        if len(asked) == 3:
            query = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s AND HOST LIKE '127.0.0.1%%'"
            for (number,) in fragile.query(query, [fragile.login.user]):
                fragile.query(f"KILL {number}")

    declared = user(name, allowed_hosts=["10.1.%", "10.2.%", "10.3.%"])
    (result,) = converge_with(fragile, declared, before_each=kill)
    assert result["reason"] == "ConnectionFailed"
    assert not fragile.run(declared)["failed"]


def test_a_lock_that_is_not_to_be_had(fragile: Engine, unique: Unique) -> None:
    name = unique("a")
    fragile.run(user(unique("first"), dbops_owner=owner("first")))
    key = locks.key_of("role", name)
    with fragile.server.admin.connect() as session:
        values = (key, "somebody", session.thread_id())
        fragile.query(
            "INSERT INTO dbops.lease VALUES (%s, %s, @@hostname, %s, UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)", values
        )
        document = fragile.run(user(name), user(unique("other")), connection={"lock_timeout": 1})
        assert [one["reason"] for one in document["objects"]] == ["Timeout", None]
        assert not exists(fragile, name)
    wait_until(
        lambda: not fragile.query("SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = %s", [values[2]]),
        what="the holder's session is gone",
    )
    assert not fragile.one(user(name))["failed"], "nobody works on it any more, whatever the clock says"
    fragile.query(
        "INSERT INTO dbops.lease VALUES (%s, 'x', 'elsewhere', 1, UTC_TIMESTAMP(6) + INTERVAL 1 HOUR)", (key,)
    )
    changed = user(name, max_user_connections=3)
    assert fragile.run(changed, connection={"lock_timeout": 1})["objects"][0]["reason"] == "Timeout"
    fragile.query("UPDATE dbops.lease SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")
    assert not fragile.one(changed)["failed"]


def test_anybody_can_hold_a_name_and_keeps_nobody_out(fragile: Engine, unique: Unique) -> None:
    """Of GET_LOCK, that is: with a ledger it is not used."""
    name, stranger = unique("a"), unique("s")
    fragile.run(user(stranger, password="x", dbops_owner=owner(stranger)))
    with fragile.connect(stranger, "x") as session, session.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 1)", (locks.key_of("role", name),))
        assert not fragile.run(user(name), connection={"lock_timeout": 1})["failed"]


@pytest.mark.feature("I12")
def test_a_statement_that_takes_too_long(fragile: Engine, unique: Unique) -> None:
    """Somebody holds the table; what waits for it is given up when its time is over, on the server as well."""
    name = unique("a")
    fragile.run(database(name))
    fragile.query(f"CREATE TABLE `{name}`.t (i int)")
    with fragile.server.admin.connect() as session, session.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT * FROM `{name}`.t")
        began = time.monotonic()
        document = fragile.run(database(name, state="absent"), connection={"lock_timeout": 1})
        assert document["objects"][0]["reason"] == "Timeout", document
        assert time.monotonic() - began < 5
        waiting = "SELECT INFO FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DROP DATABASE%'"
        assert fragile.query(waiting) == []
    assert not fragile.one(database(name, state="absent"))["failed"]


@pytest.mark.feature("I12")
def test_a_statement_that_the_server_does_not_end_is_ended(fragile: Engine) -> None:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core import parse
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
    from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.connection import Connector

    running = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DO SLEEP(%'"
    with Connector(parse.connection({**fragile.options, "statement_timeout": 1, "lock_timeout": 1})) as connector:
        session = connector.open()
        session._connection._read_timeout = 1
        session.rows("SET " + ("max_statement_time = 0" if fragile.mariadb else "max_execution_time = 0"))
        with pytest.raises(DbopsError) as caught:
            session.rows("DO SLEEP(300)")
        assert caught.value.reason == "Timeout"
        assert session.closed
        wait_until(lambda: fragile.query(running) == [], what="the statement is ended")


def test_what_nobody_waits_for_is_ended(fragile: Engine) -> None:
    """The process that drives the engine goes: a statement of it would outlive it."""
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core import parse
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
    from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.connection import Connector, cancel_all

    running = "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'DO SLEEP(%'"
    with Connector(parse.connection(fragile.options)) as connector, ThreadPoolExecutor(1) as pool:
        session = connector.open()
        statement = pool.submit(session.rows, "DO SLEEP(300)")
        wait_until(lambda: fragile.query(running) != [], what="the statement runs")
        cancel_all()
        with pytest.raises(DbopsError):
            statement.result(timeout=10)
    wait_until(lambda: fragile.query(running) == [], what="the statement is ended")


@pytest.mark.feature("I14")
def test_a_read_only_server_is_refused_before_anything_is_sent(fragile: Engine, unique: Unique) -> None:
    """Even where CONNECTION_ADMIN, or being root, would write all the same."""
    name, there = unique("a"), unique("there")
    fragile.run(user(there))
    before = fragile.snapshot()
    fragile.query("SET GLOBAL read_only = ON")
    try:
        document = fragile.run(user(name), user(there), database(name), {"kind": "database_instance"})
        assert [one["reason"] for one in document["objects"]] == ["Unsupported", None, "Unsupported", None]
        assert "read-only" in document["objects"][0]["message"]
        observed = document["objects"][3]["observed"]
        assert observed["read_only"]
        assert next(one for one in observed["capabilities"] if one["name"] == "writable")["available"] is False
        planned = fragile.run(user(name), check=True)
        assert planned["changed"], "a plan can be asked for all the same"
    finally:
        fragile.query("SET GLOBAL read_only = OFF")
    assert fragile.snapshot() == before
