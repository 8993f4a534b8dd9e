# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of objects on one server: each gets its result, whatever happens to the others or to the server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine, owner, user
from psycopg import sql

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls
from localstack.processes import wait_until

Unique = Callable[[str], str]


def exists(engine: Engine, name: str) -> bool:
    return bool(engine.server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]))


@pytest.mark.feature("L10")
def test_what_is_wrong_with_one_object_does_not_stop_the_others(engine: Engine, unique: Unique) -> None:
    good, last = unique("good"), unique("last")
    document = engine.run(
        user(good),
        {"kind": "no_such_kind", "name": "x"},
        user("x", no_such_option=1),
        user("y", connection_limit="many"),
        user(good, ref="twice"),
        "no mapping",
        user("z", in_roles=["no_such_role"]),
        user("w", dbops_owner={"cluster": "c"}),
        user("v", valid_until="tomorrow"),
        user("u", password=""),
        user(last, in_roles=[good]),
    )
    found = [(one["ref"], one["reason"], one["field"]) for one in document["objects"]]
    assert found == [
        (f"database_user/{good}", None, None),
        ("no_such_kind/x", "InvalidSpec", "kind"),
        ("database_user/x", "InvalidSpec", "no_such_option"),
        ("database_user/y", "InvalidSpec", "connection_limit"),
        ("twice", "InvalidSpec", "name"),
        ("objects/5", "InvalidSpec", None),
        ("database_user/z", "DependencyNotReady", "in_roles"),
        ("database_user/w", "InvalidSpec", "dbops_owner"),
        ("database_user/v", "InvalidSpec", "valid_until"),
        ("database_user/u", "InvalidSpec", "password"),
        (f"database_user/{last}", None, None),
    ]
    assert document["failed"]
    assert exists(engine, good)
    assert exists(engine, last)


def test_no_secret_in_what_is_said_about_a_wrong_value(superuser_engine: Engine) -> None:
    secret = "sesame-93024"
    document = superuser_engine.run(
        user("a", password={"text": secret}, connection_limit="x"),
        user("b", password=[secret], state=secret),
        user("c", password=secret, superuser="perhaps"),
        connection={"login_port": "x"},
    )
    text = str([one for one in document["objects"] if one["ref"] != "database_user/b"])
    assert secret not in text
    assert superuser_engine.login.password not in str(document)


@pytest.mark.feature("L02")
def test_objects_are_worked_on_in_the_order_of_their_needs(engine: Engine, unique: Unique) -> None:
    first, second, third = unique("a"), unique("b"), unique("c")
    refs: list[str] = []
    declared = [user(first, in_roles=[second]), user(second, in_roles=[third]), user(third)]
    engine.four_runs(*declared)
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge

    going = [one | {"state": "absent", "in_roles": None} for one in declared]
    document = converge(
        {"connection": engine.options, "objects": going}, on_result=lambda result: refs.append(result.ref)
    )
    assert not document["failed"]
    assert sorted(refs) == sorted(one["ref"] for one in document["objects"])


@pytest.mark.feature("L02")
def test_what_needs_an_object_that_failed_waits_for_it(engine: Engine, unique: Unique) -> None:
    first, second = unique("a"), unique("b")
    document = engine.run(user(second, in_roles=[first]), user(first, valid_until="never"))
    assert [one["reason"] for one in document["objects"]] == ["DependencyNotReady", "InvalidSpec"]
    assert not exists(engine, second)


def test_results_come_as_they_become_final(engine: Engine, unique: Unique) -> None:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge

    names = [unique("a"), unique("b")]
    seen: list[tuple[str, bool]] = []

    def note(result: ObjectResult) -> None:
        seen.append((result.ref, exists(engine, names[1])))

    document = converge({"connection": engine.options, "objects": [user(name) for name in names]}, on_result=note)
    assert [seen[0][1], seen[1][1]] == [False, True]
    assert [ref for ref, _ in seen] == [one["ref"] for one in document["objects"]]


@pytest.mark.feature("L11")
def test_cancelling_one_object_between_its_steps(engine: Engine, unique: Unique) -> None:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge

    cancelled, other = unique("a"), unique("b")
    asked: list[str] = []

    def cancel(ref: str) -> bool:
        asked.append(ref)
        return ref.endswith(cancelled) and asked.count(ref) > 3

    parameters = {"work_mem": "8MB", "jit": "off", "search_path": "public"}
    objects = [user(cancelled, config_parameters=parameters), user(other, config_parameters=parameters)]
    document = converge({"connection": engine.options, "objects": objects}, cancelled=cancel)
    assert [one["reason"] for one in document["objects"]] == ["Cancelled", None]
    assert not exists(engine, cancelled), "half of an object stayed"
    assert exists(engine, other)
    assert not document["objects"][0]["changed"]


def test_two_writers_of_the_same_object(engine: Engine, unique: Unique) -> None:
    """Sixteen runs at once on four names: every run succeeds, one of each four does the work."""
    names = [unique("app") for _ in range(4)]
    declared = [user(name, password="x", dbops_owner=owner(name), config_parameters={"jit": "off"}) for name in names]
    engine.run(user(unique("first"), dbops_owner=owner("first")))
    with ThreadPoolExecutor(8) as pool:
        documents = list(pool.map(lambda _: engine.run(*declared), range(16)))
    assert [document["failed"] for document in documents] == [False] * 16, documents
    for number in range(4):
        assert sum(document["objects"][number]["changed"] for document in documents) == 1


def test_a_writer_who_takes_no_lock(superuser_engine: Engine, unique: Unique) -> None:
    """Somebody alters the same role all the time: `tuple concurrently updated` is tried again."""
    engine, name = superuser_engine, unique("app")
    engine.run(user(name))
    stop = threading.Event()

    def alter() -> int:
        count = 0
        with psycopg.connect(engine.server.admin_dsn, autocommit=True) as connection:
            while not stop.is_set():
                try:
                    connection.execute(f"ALTER ROLE {name} SET jit = on")  # type: ignore[arg-type]
                    count += 1
                except (psycopg.errors.InternalError, psycopg.errors.UniqueViolation):
                    # What somebody who takes no lock has to live with.
                    continue
        return count

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(alter) for _ in range(2)]
        try:
            for number in range(40):
                result = engine.one(
                    user(name, config_parameters={"work_mem": f"{number + 1}MB"}, connection_limit=number)
                )
                assert not result["failed"], result
        finally:
            stop.set()
        assert all(other.result() for other in others)


@pytest.mark.feature("L10")
def test_what_failed_in_the_same_run_matters_only_where_it_is_missing(engine: Engine, unique: Unique) -> None:
    """So that an object's result does not depend on who else is in the list."""
    there, missing, first, second = unique("r"), unique("r"), unique("a"), unique("b")
    engine.server.query(sql.SQL("CREATE ROLE {}").format(sql.Identifier(there)))
    foreign = owner("somebody")
    document = engine.run(
        user(there, dbops_owner=foreign),
        user(missing, connection_limit=-2),
        user(first, in_roles=[missing]),
        {"kind": "database", "name": second, "dbops_owner": foreign, **({} if engine.weak else {"owner": there})},
    )
    assert [one["reason"] for one in document["objects"]] == ["NotAdopted", "InvalidSpec", "DependencyNotReady", None]
    assert f"(database_user/{missing} failed in this run)" in document["objects"][2]["message"]


@pytest.mark.feature("L08")
def test_two_owners_in_one_list_are_told_apart(engine: Engine, unique: Unique) -> None:
    """As they would be in two runs; who looks at a server is no claim at all."""
    name = unique("app")
    claims = [
        {"kind": kind, "name": name, "ref": f"{kind}/{who}", "dbops_owner": owner(who), "end_sessions": True}
        for kind in ("database_user", "database")
        for who in ("first", "second")
    ]
    looks = [{"kind": "database_instance", "name": "main", "ref": f"look {number}"} for number in range(2)]
    document = engine.run(*claims, *looks)
    assert [one["reason"] for one in document["objects"]] == [None, "Conflict", None, "Conflict", None, None]
    same = engine.run(user(name, dbops_owner=owner("first")), user(name, ref="again", dbops_owner=owner("first")))
    assert [one["reason"] for one in same["objects"]] == [None, "InvalidSpec"]


def test_somebody_made_it_meanwhile(superuser_engine: Engine, unique: Unique, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our look and our statement: looked at again, and found to be as declared."""
    engine, name = superuser_engine, unique("app")
    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import apply

    genuine, calls = apply.apply, []

    def late(*arguments: Any, **options: Any) -> None:
        if not calls:
            engine.server.query(f"CREATE ROLE {name} LOGIN")  # type: ignore[arg-type]
        calls.append(1)
        genuine(*arguments, **options)

    monkeypatch.setattr(apply, "apply", late)
    result = engine.one(user(name, connection_limit=3))
    assert not result["failed"], result
    assert len(calls) == 2
    assert engine.server.query("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", [name]) == [(3,)]


# What happens to the server meanwhile.


@pytest.fixture(scope="module")
def fragile_postgres() -> Iterator[PostgreSQLServer]:
    """A server to restart in the middle of things."""
    with PostgreSQLServer(embedded_with_tls()) as server:
        yield server


@pytest.fixture(params=["superuser", "weak admin"])
def fragile(request: pytest.FixtureRequest, fragile_postgres: PostgreSQLServer) -> Engine:
    """The engine on that server."""
    weak = fragile_postgres.weak_admin()
    return Engine(fragile_postgres, fragile_postgres.admin if request.param == "superuser" else weak).own_ledger()


def converge_with(engine: Engine, *objects: dict[str, Any], before_each: Callable[[str], None]) -> list[dict[str, Any]]:
    """Converge OBJECTS, calling BEFORE_EACH with the ref whenever the engine asks whether to go on."""
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge

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
    parameters = {"jit": "off", "work_mem": "8MB"}
    asked: list[str] = []

    def restart(ref: str) -> None:
        asked.append(ref)
        if len(asked) == 4:
            fragile.server.restart()

    objects = [user(name, config_parameters=parameters) for name in names]
    results = converge_with(fragile, *objects, before_each=restart)
    assert [one["reason"] for one in results] == ["ConnectionFailed", None], results
    assert [exists(fragile, name) for name in names] == [False, True]
    fragile.run(*objects)
    assert exists(fragile, names[0])


def test_our_session_is_killed(fragile: Engine, unique: Unique) -> None:
    name = unique("a")
    asked: list[str] = []

    def kill(ref: str) -> None:
        asked.append(ref)
        if len(asked) == 3:
            query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dbops'"
            assert fragile.server.query(query)

    (result,) = converge_with(fragile, user(name, config_parameters={"jit": "off"}), before_each=kill)
    assert result["reason"] == "ConnectionFailed"
    assert not exists(fragile, name)


def test_a_lock_that_is_not_to_be_had(fragile: Engine, unique: Unique) -> None:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.ledger import lock_key

    name, holder = unique("a"), fragile.server.admin
    fragile.run(user(unique("first"), dbops_owner=owner("first")))
    with psycopg.connect(holder.dsn("dbops")) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [lock_key("role", name)])
        document = fragile.run(user(name), user(unique("other")), connection={"lock_timeout": 1})
    assert [one["reason"] for one in document["objects"]] == ["Timeout", None]
    assert not exists(fragile, name)


@pytest.mark.feature("I12")
def test_a_statement_that_takes_too_long(fragile: Engine, unique: Unique) -> None:
    """Somebody holds the catalog; the statement is given up when its time is over."""
    name = unique("a")
    with psycopg.connect(fragile.server.admin.dsn()) as connection:
        connection.execute("LOCK TABLE pg_authid IN EXCLUSIVE MODE")
        for timeouts in ({"statement_timeout": 1, "lock_timeout": 60}, {"lock_timeout": 1}):
            document = fragile.run(user(name), connection=timeouts)
            assert document["objects"][0]["reason"] == "Timeout", document
    assert not exists(fragile, name)


@pytest.mark.feature("I14")
def test_a_replica_is_refused_before_anything_is_sent(unique: Unique) -> None:
    with PostgreSQLServer(embedded_with_tls()) as server:
        engine = Engine(server, server.admin)
        name = unique("old")
        engine.run(user(name))
        server.stop()
        (server.data / "standby.signal").touch()
        server._hand_over()
        server.start()
        assert not engine.one(user(name))["failed"]
        document = engine.run({"kind": "database_instance"}, user(unique("new")), user(name, state="absent"))
        assert [one["reason"] for one in document["objects"]] == [None, "Unsupported", "Unsupported"]
        assert "primary" in document["objects"][1]["message"]
        observed = document["objects"][0]["observed"]
        assert observed["in_recovery"]
        assert [one["name"] for one in observed["capabilities"] if not one["available"]] == ["writable"]
        wait_until(lambda: exists(engine, name), what="the replica answers")
