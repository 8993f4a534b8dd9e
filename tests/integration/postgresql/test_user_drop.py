# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing users on a real server: what they own is never lost, what they were given never stands in the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from integration.postgresql.engine import Engine, owner, user
from psycopg import sql

Unique = Callable[[str], str]


@pytest.fixture
def database(superuser_engine: Engine, unique: Unique) -> Iterator[str]:
    """A database beside the one that the engine is in."""
    name = unique("db")
    superuser_engine.server.query(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield name
    superuser_engine.server.query(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def exists(engine: Engine, name: str) -> bool:
    return bool(engine.server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]))


@pytest.mark.feature("U09")
def test_a_user_goes_with_its_sessions(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name, password="x", config_parameters={"work_mem": "8MB"}))
    with psycopg.connect(engine.server.login(name, "x").dsn(), autocommit=True) as connection:
        engine.four_runs(user(name, state="absent"))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert not exists(engine, name)


@pytest.mark.feature("U09")
def test_objects_in_every_database_block_and_are_listed(engine: Engine, unique: Unique, database: str) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    for statement in (
        "CREATE SCHEMA app AUTHORIZATION {}",
        "CREATE TABLE app.orders (id int)",
        "ALTER TABLE app.orders OWNER TO {}",
        "CREATE FUNCTION app.total(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION app.total(int) OWNER TO {}",
    ):
        engine.server.query(sql.SQL(statement).format(sql.Identifier(name)), dbname=database)
    before = engine.snapshot()
    for check in (True, False):
        result = engine.one(user(name, state="absent"), check=check)
        assert result["reason"] == "Blocked"
        assert engine.snapshot() == before
        owned = {
            (one["database"], one["type"], one["schema"], one["name"]) for one in result["observed"]["owned_objects"]
        }
        assert owned == {
            (database, "table", "app", "orders"),
            (database, "schema", "", "app"),
            (database, "function", "app", "app.total(integer)"),
        }
        assert result["observed"]["owned_objects_count"] == 3
        assert f"table app.orders in database {database}" in result["message"]
        assert "REASSIGN OWNED" in result["message"]


@pytest.mark.feature("U09")
def test_owning_a_database_blocks(engine: Engine, unique: Unique, database: str) -> None:
    name = unique("app")
    engine.run(user(name))
    alter = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), sql.Identifier(name))
    engine.server.query(alter)
    result = engine.one(user(name, state="absent"))
    assert result["reason"] == "Blocked"
    assert f"database {database}" in result["message"]


@pytest.mark.feature("U09")
def test_what_is_owned_goes_to_whom_the_object_names(engine: Engine, unique: Unique, database: str) -> None:
    name, heir = unique("app"), unique("heir")
    engine.run(user(name), user(heir, login=False))
    create = sql.SQL("CREATE SCHEMA app AUTHORIZATION {}").format(sql.Identifier(name))
    engine.server.query(create, dbname=database)
    # Whoever gets a schema needs CREATE on its database.
    grant = sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(database), sql.Identifier(heir))
    engine.server.query(grant)
    engine.four_runs(user(name, state="absent", reassign_owned_to=heir))
    query = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'app'"
    assert engine.server.query(query, dbname=database) == [(heir,)]
    assert not exists(engine, name)


@pytest.mark.parametrize("heir", ["admin", "superuser"])
def test_an_administrator_inherits_nothing(engine: Engine, unique: Unique, heir: str) -> None:
    name = unique("app")
    engine.run(user(name))
    target = engine.login.user if heir == "admin" else engine.server.admin.user
    result = engine.one(user(name, state="absent", reassign_owned_to=target))
    assert (result["reason"], result["field"]) == ("AccessDenied", "reassign_owned_to")
    assert exists(engine, name)


@pytest.mark.feature("U09")
def test_privileges_held_do_not_block(engine: Engine, unique: Unique, database: str) -> None:
    """Grants on objects of a role that the admin account administers, in two databases."""
    name, maker = unique("app"), unique("maker")
    engine.run(user(name), user(maker, login=False))
    for statement in (
        "CREATE SCHEMA app AUTHORIZATION {maker}",
        "CREATE TABLE app.orders (id int)",
        "ALTER TABLE app.orders OWNER TO {maker}",
        "GRANT USAGE ON SCHEMA app TO {name}",
        "GRANT SELECT (id), UPDATE ON app.orders TO {name}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {maker} GRANT SELECT ON TABLES TO {name}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {name} GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER DATABASE {database} OWNER TO {maker}",
        "GRANT CREATE ON DATABASE {database} TO {name}",
    ):
        names = {"maker": maker, "name": name, "database": database}
        composed = sql.SQL(statement).format(**{key: sql.Identifier(value) for key, value in names.items()})
        engine.server.query(composed, dbname=database)
    engine.four_runs(user(name, state="absent"))
    assert not exists(engine, name)
    assert engine.server.query("SELECT count(*) FROM app.orders", dbname=database) == [(0,)]
    query = "SELECT 1 FROM pg_auth_members WHERE member = %s::regrole AND roleid = %s::regrole AND set_option"
    assert engine.server.query(query, [engine.login.user, maker]) == [], "a membership for a moment stayed"


@pytest.mark.feature("U09")
@pytest.mark.parametrize("first", ["the user", "the owner", "the admin, who owns"])
def test_privileges_held_with_grant_option_do_not_block(
    engine: Engine, unique: Unique, database: str, first: str
) -> None:
    """Who revokes by DROP OWNED may be taken for the role itself, which has given itself nothing that it could take."""
    name, maker, friend = unique("app"), unique("maker"), unique("friend")
    made = {"the user": user(name), "the owner": user(maker, login=False)}
    if first in made:
        engine.run(user(friend), *sorted(made.values(), key=lambda one: one is not made[first]))
    else:
        maker = engine.login.user
        engine.run(user(friend), user(name))
    for statement in (
        "CREATE SCHEMA app AUTHORIZATION {maker}",
        "CREATE TABLE app.orders (id int)",
        "CREATE FUNCTION app.total(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE app.orders OWNER TO {maker}",
        "ALTER FUNCTION app.total(int) OWNER TO {maker}",
        "ALTER DATABASE {database} OWNER TO {maker}",
        "GRANT USAGE, CREATE ON SCHEMA public TO {name} WITH GRANT OPTION",
        "GRANT USAGE ON SCHEMA app TO {name} WITH GRANT OPTION",
        "GRANT SELECT (id), UPDATE ON app.orders TO {name} WITH GRANT OPTION",
        "GRANT EXECUTE ON FUNCTION app.total(int) TO {name} WITH GRANT OPTION",
        "GRANT CREATE, CONNECT ON DATABASE {database} TO {name} WITH GRANT OPTION",
        "SET ROLE {name}; GRANT UPDATE ON app.orders TO {friend}",
        "SET ROLE {name}; GRANT EXECUTE ON FUNCTION app.total(int) TO {friend} WITH GRANT OPTION",
        "SET ROLE {name}; GRANT CREATE ON SCHEMA public TO {friend}",
    ):
        names = {"maker": maker, "name": name, "database": database, "friend": friend}
        composed = sql.SQL(statement).format(**{key: sql.Identifier(value) for key, value in names.items()})
        engine.server.query(composed, dbname=database)
    planned = engine.one(user(name, state="absent"), check=True)
    done = engine.one(user(name, state="absent"))
    assert not done["failed"], done
    assert [one["statement"] for one in planned["steps"]] == [one["statement"] for one in done["steps"]]
    assert not exists(engine, name)


@pytest.mark.feature("U09", "I11")
def test_a_weak_admin_says_before_trying_what_it_cannot_revoke(
    weak_engine: Engine, unique: Unique, database: str
) -> None:
    name = unique("app")
    weak_engine.run(user(name))
    grant = sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(database), sql.Identifier(name))
    weak_engine.server.query(grant)
    before = weak_engine.snapshot()
    for check in (True, False):
        result = weak_engine.one(user(name, state="absent"), check=check)
        assert result["reason"] == "PrivilegeMissing"
        assert "DROP OWNED BY" in result["message"]
        assert weak_engine.snapshot() == before


def test_a_table_that_appears_during_the_drop_is_kept(
    superuser_engine: Engine, unique: Unique, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role is locked out, then looked at again, and only then comes DROP OWNED."""
    engine, name = superuser_engine, unique("app")
    engine.run(user(name))
    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import apply

    genuine = apply.apply

    def apply_and_own(*arguments: object, **options: object) -> None:
        genuine(*arguments, **options)  # type: ignore[arg-type]
        create = sql.SQL("CREATE SCHEMA app AUTHORIZATION {}").format(sql.Identifier(name))
        engine.server.query(create, dbname=database)

    monkeypatch.setattr(apply, "apply", apply_and_own)
    result = engine.one(user(name, state="absent"))
    assert result["reason"] == "Blocked"
    assert engine.server.query("SELECT 1 FROM pg_namespace WHERE nspname = 'app'", dbname=database) != []
    assert exists(engine, name)


def test_protected_roles_are_refused_whatever_the_declaration_says(engine: Engine) -> None:
    for name in ("pg_monitor", "public", "none", engine.login.user):
        for state in ("present", "absent"):
            result = engine.one(user(name, state=state, password="x", force=True, adopt=True, dbops_owner=owner("x")))
            assert (result["reason"], result["field"]) == ("AccessDenied", "name"), name


@pytest.mark.feature("I11")
def test_a_weak_admin_needs_the_admin_option_on_what_it_changes(
    weak_engine: Engine, superuser_engine: Engine, unique: Unique
) -> None:
    name, group = unique("app"), unique("grp")
    superuser_engine.run(user(name), user(group, login=False))
    for declared in (user(name, connection_limit=3), user(name, state="absent"), user(name, in_roles=[group])):
        result = weak_engine.one(declared, check=True)
        assert result["reason"] == "PrivilegeMissing", declared
        assert f'TO "{weak_engine.login.user}" WITH ADMIN OPTION' in result["message"]
    grant = sql.SQL("GRANT {} TO {} WITH ADMIN OPTION")
    weak_engine.server.query(grant.format(sql.Identifier(name), sql.Identifier(weak_engine.login.user)))
    weak_engine.four_runs(user(name, connection_limit=3))


@pytest.mark.feature("I11")
@pytest.mark.parametrize("attribute", ["superuser", "replication", "bypass_rls"])
def test_a_weak_admin_says_which_attribute_it_cannot_give(weak_engine: Engine, unique: Unique, attribute: str) -> None:
    name = unique("app")
    result = weak_engine.one(user(name, **{attribute: True}), check=True)
    assert (result["reason"], result["field"]) == ("PrivilegeMissing", attribute)


@pytest.mark.feature("R03")
def test_a_user_that_may_not_log_in_any_more_loses_its_sessions(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    with psycopg.connect(engine.server.login(name, "x").dsn(), autocommit=True) as connection:
        engine.four_runs(user(name, login=False))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert exists(engine, name)
