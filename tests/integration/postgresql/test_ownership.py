# SPDX-License-Identifier: GPL-3.0-or-later
"""A database with a group role that owns it and a login that uses it, declared as one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine, owner, user

Unique = Callable[[str], str]


def database(name: str, **options: Any) -> dict[str, Any]:
    """Declare a database with both."""
    declared = {"kind": "database", "name": name, "ownership": {}, "dbops_owner": owner(name, kind="Database")}
    return {**declared, **options}


def roles(engine: Engine, *names: str) -> dict[str, bool]:
    query = "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname = ANY(%s)"
    return dict(engine.server.query(query, [list(names)]))


@pytest.mark.feature("D07")
def test_role_login_and_database_are_one_object(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    group, app = f"db_{name}_owner", f"db_{name}_app"
    done = engine.four_runs(database(name, schemas=[{"name": "sales"}]))
    assert [one["ref"] for one in done["objects"]] == [f"database/{name}"]
    assert done["objects"][0]["observed"]["owner"] == group
    assert roles(engine, group, app) == {group: False, app: True}
    # Each may use what the other makes, tried by both.
    engine.server.query(f"ALTER ROLE \"{app}\" PASSWORD 'secret'")  # type: ignore[arg-type]
    with psycopg.connect(engine.server.login(app, "secret").dsn(name), autocommit=True) as connection:
        for place, maker, reader in (("public", group, app), ("sales", app, group)):
            connection.execute(f'SET ROLE "{maker}"')  # type: ignore[arg-type]
            connection.execute(f'GRANT USAGE, CREATE ON SCHEMA {place} TO "{app}"') if maker == group else None  # type: ignore[arg-type]
            if maker == group:
                connection.execute(f'GRANT USAGE, CREATE ON SCHEMA sales TO "{app}"')  # type: ignore[arg-type]
            connection.execute(f"CREATE TABLE {place}.t (id serial)")  # type: ignore[arg-type]
            connection.execute(f'SET ROLE "{reader}"')  # type: ignore[arg-type]
            connection.execute(f"INSERT INTO {place}.t DEFAULT VALUES")  # type: ignore[arg-type]
            assert connection.execute(f"SELECT count(*) FROM {place}.t").fetchone() == (1,)  # type: ignore[arg-type]
    owned = "SELECT nspname FROM pg_namespace WHERE pg_get_userbyid(nspowner) = %s"
    assert engine.server.query(owned, [group], dbname=name) == [("sales",)]


@pytest.mark.feature("D07")
def test_it_stays_converged(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.run(database(name))
    engine.server.query(f'REVOKE "db_{name}_owner" FROM "db_{name}_app" GRANTED BY "{engine.login.user}"')  # type: ignore[arg-type]
    done = engine.four_runs(database(name))
    assert [step["action"] for step in done["objects"][0]["steps"]] == ["grant"]


@pytest.mark.feature("D07")
def test_names_can_be_chosen_and_both_go_where_that_is_declared(engine: Engine, unique: Unique) -> None:
    name, group, app = unique("db"), unique("own"), unique("app")
    chosen = {"role": group, "user": app, "default_privileges": False}
    engine.four_runs(database(name, ownership=chosen))
    assert roles(engine, group, app) == {group: False, app: True}
    assert engine.server.query("SELECT 1 FROM pg_default_acl", dbname=name) == []
    engine.four_runs(database(name, state="absent", ownership={**chosen, "drop": True}))
    assert roles(engine, group, app) == {}


@pytest.mark.feature("D07")
def test_both_stay_unless_they_are_to_go(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.run(database(name))
    engine.four_runs(database(name, state="absent"))
    assert len(roles(engine, f"db_{name}_owner", f"db_{name}_app")) == 2


@pytest.mark.feature("L09")
def test_a_role_that_existed_is_not_taken_over(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.run(user(f"db_{name}_owner", login=False))
    result = engine.one(database(name))
    assert (result["reason"], result["field"]) == ("NotAdopted", "ownership")
    assert f"db_{name}_owner" in result["message"]
    assert engine.server.query("SELECT 1 FROM pg_database WHERE datname = %s", [name]) == []


def refused(engine: Engine, declared: dict[str, Any]) -> dict[str, Any]:
    """Give the result of what must be refused before anything is sent, in a check as well."""
    before = engine.snapshot()
    planned, done = engine.one(declared, check=True), engine.one(declared)
    for result in (planned, done):
        assert (result["failed"], result["steps"], result["changed"]) == (True, [], False), result
    assert (planned["reason"], planned["field"]) == (done["reason"], done["field"])
    assert engine.snapshot() == before
    return done


@pytest.mark.feature("D07", "L10")
@pytest.mark.parametrize(
    "wrong",
    [
        {"encoding": "KLINGON"},
        {"lc_ctype": "xx_XX.LATIN1"},
        {"tablespace": "nope"},
        {"init_sql": {"script": "SELECT 'without an end"}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_database_is_refused_before_its_roles_are_made(
    engine: Engine, unique: Unique, wrong: dict[str, Any]
) -> None:
    engine.run(database(unique("db")))
    result = refused(engine, database(unique("db"), **wrong))
    assert (result["reason"], result["field"]) == ("InvalidSpec", *wrong)


@pytest.mark.feature("D07", "L09")
def test_a_login_that_existed_is_seen_before_the_role_is_made(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.run(database(unique("db")), user(f"db_{name}_app"))
    result = refused(engine, database(name))
    assert (result["reason"], result["field"]) == ("NotAdopted", "ownership")
    assert f"db_{name}_app" in result["message"]


@pytest.mark.feature("D07", "L09")
def test_a_database_that_existed_is_seen_before_the_roles_are_made(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.run(database(unique("db")), {"kind": "database", "name": name})
    assert refused(engine, database(name))["reason"] == "NotAdopted"


@pytest.mark.feature("D07", "L10")
def test_a_database_does_not_go_when_its_role_never_can(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.run({"kind": "database", "name": name})
    ownership = {"role": "pg_monitor", "drop": True}
    result = refused(engine, {"kind": "database", "name": name, "state": "absent", "ownership": ownership})
    assert (result["reason"], result["field"]) == ("AccessDenied", "ownership")


@pytest.mark.feature("D07")
def test_who_needs_a_role_of_what_was_refused_is_told_so(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    declared = database(name, encoding="KLINGON")
    first, second = engine.run(declared, user(unique("user"), in_roles=[f"db_{name}_owner"]))["objects"]
    assert first["reason"] == "InvalidSpec"
    assert second["reason"] == "DependencyNotReady"
    assert f"database/{name} failed in this run" in second["message"]
