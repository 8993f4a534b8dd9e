# SPDX-License-Identifier: GPL-3.0-or-later
"""Schemas, extensions and default privileges on a real server, judged from inside of the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine, owner, user
from psycopg import sql

Unique = Callable[[str], str]


def database(name: str, **options: Any) -> dict[str, Any]:
    """Declare a database."""
    return {"kind": "database", "name": name, **options}


def schemas(engine: Engine, name: str) -> dict[str, str]:
    query = (
        "SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace"
        " WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')"
    )
    return dict(engine.server.query(query, dbname=name))


def extensions(engine: Engine, name: str) -> dict[str, tuple[str, str]]:
    query = "SELECT extname, extversion, extnamespace::regnamespace::text FROM pg_extension WHERE extname <> 'plpgsql'"
    return {row[0]: row[1:] for row in engine.server.query(query, dbname=name)}


def default_acls(engine: Engine, name: str) -> dict[tuple[str, str, str], set[str]]:
    """Creator, type of object and grantee, with what psql's \\ddp shows."""
    query = (
        "SELECT pg_get_userbyid(defaclrole), defaclobjtype::text, coalesce(g.rolname, 'public'), x.privilege_type"
        " FROM pg_default_acl, aclexplode(defaclacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee"
    )
    found: dict[tuple[str, str, str], set[str]] = {}
    for creator, kind, grantee, privilege in engine.server.query(query, dbname=name):
        found.setdefault((creator, kind, grantee), set()).add(privilege)
    return found


def execute(engine: Engine, name: str, *statements: str) -> None:
    for statement in statements:
        engine.server.query(sql.SQL(statement), dbname=name)  # type: ignore[arg-type]


@pytest.mark.feature("D05")
def test_schemas_are_made_and_change_owner(engine: Engine, unique: Unique) -> None:
    name, first, second, odd = unique("db"), unique("a"), unique("b"), 'Sch "ö" %s'
    declared = [{"name": "app", "owner": first}, {"name": odd}]
    users = (user(first, login=False), user(second, login=False))
    engine.four_runs(*users, database(name, owner=first, schemas=declared))
    assert schemas(engine, name) == {"app": first, odd: engine.login.user}
    engine.four_runs(database(name, schemas=[{"name": "app", "owner": second}, {"name": odd, "owner": first}]))
    assert schemas(engine, name) == {"app": second, odd: first}
    assert not engine.run(database(name, schemas=[]))["changed"], "what leaves the declaration stays"


@pytest.mark.feature("D05")
def test_the_schema_public_gets_another_owner(engine: Engine, unique: Unique) -> None:
    name, first, second = unique("db"), unique("a"), unique("b")
    engine.four_runs(user(first, login=False), user(second, login=False), database(name, owner=first))
    engine.four_runs(database(name, schemas=[{"name": "public", "owner": second}]))
    query = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public'"
    assert engine.server.query(query, dbname=name) == [(second,)]


@pytest.mark.feature("D05")
def test_a_schema_goes_when_asked_and_only_when_empty(engine: Engine, unique: Unique) -> None:
    name, first = unique("db"), unique("a")
    engine.four_runs(user(first, login=False), database(name, schemas=[{"name": "app", "owner": first}]))
    execute(engine, name, "CREATE TABLE app.orders ()", "CREATE VIEW app.v AS SELECT 1")
    gone = {"name": "app", "state": "absent"}
    for check in (True, False):
        result = engine.one(database(name, schemas=[gone]), check=check)
        assert (result["reason"], result["field"]) == ("Blocked", "schemas")
        assert "table app.orders" in result["message"]
        assert "view app.v" in result["message"]
    assert "app" in schemas(engine, name)
    done = engine.four_runs(database(name, schemas=[{**gone, "cascade": True}]))
    assert [step["destructive"] for step in done["objects"][0]["steps"] if step["action"] == "drop"] == [True]
    assert schemas(engine, name) == {}
    engine.four_runs(database(name, schemas=[{"name": "app"}]))
    engine.four_runs(database(name, schemas=[gone]))
    assert schemas(engine, name) == {}


@pytest.mark.feature("D05")
@pytest.mark.parametrize("schema", ["pg_catalog", "pg_toast", "information_schema", "pg_mine"])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_schemas_of_the_system_are_refused(engine: Engine, unique: Unique, schema: str, state: str) -> None:
    declared = database(unique("db"), schemas=[{"name": schema, "state": state, "cascade": True}])
    result = engine.one(declared, check=True)
    assert (result["reason"], result["field"]) == ("InvalidSpec", "schemas")


@pytest.mark.feature("D05", "L02")
def test_an_owner_that_is_missing_is_waited_for_and_nothing_is_begun(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    result = engine.one(database(name, schemas=[{"name": "app", "owner": "nobody_of_this_name"}]))
    assert (result["reason"], result["field"]) == ("DependencyNotReady", "schemas")
    assert not engine.server.query("SELECT 1 FROM pg_database WHERE datname = %s", [name])


@pytest.mark.feature("D04")
def test_an_extension_in_a_schema_that_is_declared_too(engine: Engine, unique: Unique) -> None:
    name, first = unique("db"), unique("a")
    declared = database(
        name, owner=first, extensions=[{"name": "pgcrypto", "schema": "ext"}], schemas=[{"name": "ext", "owner": first}]
    )
    done = engine.four_runs(user(first, login=False), declared)
    assert extensions(engine, name)["pgcrypto"] == ("1.3", "ext")
    observed = done["objects"][1]["observed"]["extensions"]
    assert {"name": "pgcrypto", "version": "1.3", "schema": "ext"} in observed
    assert not engine.run(database(name, extensions=[]))["changed"], "what leaves the declaration stays"
    engine.four_runs(database(name, extensions=[{"name": "pgcrypto", "state": "absent"}]))
    assert extensions(engine, name) == {}


@pytest.mark.feature("D04")
def test_without_schema_it_goes_into_public(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.four_runs(database(name, extensions=[{"name": "hstore"}]))
    assert extensions(engine, name)["hstore"][1] == "public"


@pytest.mark.feature("D04")
def test_an_extension_is_upgraded_to_the_declared_version(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.four_runs(database(name, extensions=[{"name": "hstore", "version": "1.4"}]))
    assert extensions(engine, name)["hstore"][0] == "1.4"
    assert not engine.run(database(name, extensions=[{"name": "hstore"}]))["changed"], "never upgraded by itself"
    done = engine.four_runs(database(name, extensions=[{"name": "hstore", "version": "1.8"}]))
    assert extensions(engine, name)["hstore"][0] == "1.8"
    (difference,) = done["objects"][0]["differences"]
    assert (difference["field"], difference["expected"], difference["actual"]) == (
        "extensions.hstore.version",
        "1.8",
        "1.4",
    )
    back = engine.one(database(name, extensions=[{"name": "hstore", "version": "1.4"}]))
    assert back["reason"] == "InvalidSpec"
    assert "1.8" in back["message"]


@pytest.mark.feature("D04")
@pytest.mark.parametrize(
    ("extension", "parts"),
    [
        ({"name": "hstor"}, ["hstor is not available", "hstore"]),
        ({"name": "hstore", "version": "9.9"}, ["version 9.9", "1.8"]),
        ({"name": "earthdistance"}, ["requires extension cube"]),
        ({"name": "plpgsql", "state": "present", "version": "9"}, ["version 9"]),
    ],
)
def test_what_is_not_available_is_said_before_it_is_tried(
    engine: Engine, unique: Unique, extension: dict[str, Any], parts: list[str]
) -> None:
    if engine.weak and extension["name"] == "earthdistance":
        engine = Engine(engine.server, engine.server.admin)
    name = unique("db")
    result = engine.one(database(name, extensions=[extension]))
    assert (result["reason"], result["field"]) == ("InvalidSpec", "extensions")
    assert all(part in result["message"] for part in parts), result["message"]
    assert result["steps"] == []
    assert not engine.server.query("SELECT 1 FROM pg_database WHERE datname = %s", [name])


@pytest.mark.feature("D04")
def test_what_an_extension_requires_comes_first(superuser_engine: Engine, unique: Unique) -> None:
    engine, name, other = superuser_engine, unique("db"), unique("db")
    engine.four_runs(database(name, extensions=[{"name": "earthdistance"}, {"name": "cube"}]))
    assert extensions(engine, name).keys() == {"cube", "earthdistance"}
    engine.four_runs(database(other, extensions=[{"name": "earthdistance", "cascade": True}]))
    assert extensions(engine, other).keys() == {"cube", "earthdistance"}
    removed = database(other, extensions=[{"name": "cube", "state": "absent"}])
    refused = engine.one(removed)
    assert refused["reason"] == "Blocked"
    assert "earthdistance" in refused["message"]
    removed["extensions"][0]["cascade"] = True
    engine.four_runs(removed)
    assert extensions(engine, other) == {}


@pytest.mark.feature("D04")
def test_an_extension_is_moved_to_another_schema(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("db")
    engine.four_runs(database(name, extensions=[{"name": "hstore"}]))
    moved = {"extensions": [{"name": "hstore", "schema": "ext"}], "schemas": [{"name": "ext"}]}
    engine.four_runs(database(name, **moved))
    assert extensions(engine, name)["hstore"][1] == "ext"
    # Out of a schema that goes.
    back = {"extensions": [{"name": "hstore", "schema": "public"}], "schemas": [{"name": "ext", "state": "absent"}]}
    engine.four_runs(database(name, **back))
    assert (extensions(engine, name)["hstore"][1], schemas(engine, name)) == ("public", {})


@pytest.mark.feature("D04", "I11")
def test_a_weak_admin_cannot_move_an_extension_and_is_told(weak_engine: Engine, unique: Unique) -> None:
    engine, name = weak_engine.own_ledger(), unique("db")
    engine.four_runs(database(name, extensions=[{"name": "hstore"}], schemas=[{"name": "ext"}]))
    for check in (True, False):
        result = engine.one(database(name, extensions=[{"name": "hstore", "schema": "ext"}]), check=check)
        assert (result["reason"], result["field"]) == ("PrivilegeMissing", "extensions")
    with psycopg.connect(engine.login.dsn(name)) as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.execute("ALTER EXTENSION hstore SET SCHEMA ext")


@pytest.mark.feature("D03", "D04")
def test_an_extension_that_cannot_be_moved(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    engine.four_runs(database(name))
    result = engine.one(database(name, extensions=[{"name": "plpgsql", "schema": "public"}]))
    assert (result["reason"], result["field"]) == ("ImmutableField", "extensions")
    assert [one["immutable"] for one in result["differences"]] == [True]


@pytest.mark.feature("D04", "I11")
def test_an_untrusted_extension_takes_a_superuser(weak_engine: Engine, unique: Unique) -> None:
    engine, name = weak_engine.own_ledger(), unique("db")
    result = engine.one(database(name, extensions=[{"name": "pageinspect"}]))
    assert (result["reason"], result["field"]) == ("PrivilegeMissing", "extensions")
    assert "pageinspect" in result["message"]
    assert not engine.server.query("SELECT 1 FROM pg_database WHERE datname = %s", [name])


@pytest.mark.feature("D04")
def test_a_failing_part_leaves_the_content_as_it_was(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("db")
    engine.four_runs(database(name))
    execute(engine, name, "CREATE TYPE public.hstore AS (x int)")
    result = engine.one(database(name, schemas=[{"name": "app"}], extensions=[{"name": "hstore"}]))
    assert (result["failed"], result["reason"]) == (True, "Conflict")
    assert "hstore" in result["message"]
    assert (result["steps"], schemas(engine, name)) == ([], {})


@pytest.mark.feature("D06")
def test_default_privileges_are_exactly_as_declared(engine: Engine, unique: Unique) -> None:
    name, creator, reader = unique("db"), unique("own"), unique("read")
    users = (user(creator, password="x"), user(reader, login=False))

    def declared(*privileges: str, kind: str = "tables") -> dict[str, Any]:
        one = {"role": reader, "schema": "app", "object_type": kind, "privileges": list(privileges)}
        return database(name, owner=creator, schemas=[{"name": "app", "owner": creator}], default_privileges=[one])

    engine.four_runs(*users, declared("select", "INSERT"))
    assert default_acls(engine, name) == {(creator, "r", reader): {"SELECT", "INSERT"}}
    done = engine.four_runs(declared("SELECT", "UPDATE"))
    statements = [step["statement"] for step in done["objects"][0]["steps"] if "DEFAULT" in step["statement"]]
    assert [text.partition(" IN SCHEMA ")[2].split()[1:3] for text in statements] == [
        ["GRANT", "UPDATE"],
        ["REVOKE", "INSERT"],
    ]
    assert default_acls(engine, name) == {(creator, "r", reader): {"SELECT", "UPDATE"}}
    # The judge: what the grantee can do with what the creator makes from now on.
    with psycopg.connect(engine.server.login(creator, "x").dsn(name), autocommit=True) as session:
        session.execute("CREATE TABLE app.made ()")
    query = "SELECT has_table_privilege(%s, 'app.made', p) FROM unnest(ARRAY['SELECT', 'UPDATE', 'INSERT']) p"
    assert engine.server.query(query, [reader], dbname=name) == [(True,), (True,), (False,)]


@pytest.mark.feature("D06")
@pytest.mark.parametrize(
    ("kind", "letter", "everything"),
    [
        (
            "tables",
            "r",
            {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"},
        ),
        ("sequences", "S", {"USAGE", "SELECT", "UPDATE"}),
        ("functions", "f", {"EXECUTE"}),
        ("types", "T", {"USAGE"}),
    ],
)
def test_all_privileges_of_each_type(
    engine: Engine, unique: Unique, kind: str, letter: str, everything: set[str]
) -> None:
    name, grantee = unique("db"), unique("read")
    privileges = [
        {"role": role, "schema": "public", "object_type": kind, "privileges": ["ALL"]} for role in (grantee, "PUBLIC")
    ]
    engine.four_runs(user(grantee, login=False), database(name, default_privileges=privileges))
    admin = engine.login.user
    assert default_acls(engine, name) == {(admin, letter, grantee): everything, (admin, letter, "public"): everything}


@pytest.mark.feature("D06")
def test_who_creates_is_named_or_is_the_owner(engine: Engine, unique: Unique) -> None:
    name, creator, other, reader = unique("db"), unique("own"), unique("oth"), unique("read")
    users = [user(one, login=False) for one in (creator, other, reader)]
    one = {"role": reader, "schema": "public", "object_type": "tables", "privileges": ["SELECT"]}
    declared = database(name, owner=creator, default_privileges=[one, {**one, "granted_by": other}])
    engine.four_runs(*users, declared)
    assert default_acls(engine, name).keys() == {(creator, "r", reader), (other, "r", reader)}


@pytest.mark.feature("D06")
def test_what_was_given_is_revoked_when_it_leaves_the_declaration_and_nothing_else(
    engine: Engine, unique: Unique
) -> None:
    name, reader, writer = unique("db"), unique("read"), unique("write")
    record = {"dbops_owner": owner(name, kind="Database")}

    def one(role: str, *privileges: str) -> dict[str, Any]:
        return {"role": role, "schema": "public", "object_type": "tables", "privileges": list(privileges)}

    users = (user(reader, login=False), user(writer, login=False))
    both = [one(reader, "SELECT"), one(writer, "INSERT")]
    engine.four_runs(*users, database(name, default_privileges=both, **record))
    admin = engine.login.user
    execute(
        engine,
        name,
        f'ALTER DEFAULT PRIVILEGES FOR ROLE "{admin}" IN SCHEMA public GRANT DELETE ON TABLES TO "{writer}"',
        f'ALTER DEFAULT PRIVILEGES FOR ROLE "{admin}" IN SCHEMA public GRANT USAGE ON TYPES TO "{writer}"',
    )
    engine.four_runs(database(name, default_privileges=both[:1], **record))
    assert default_acls(engine, name) == {
        (admin, "r", reader): {"SELECT"},
        (admin, "r", writer): {"DELETE"},
        (admin, "T", writer): {"USAGE"},
    }
    engine.four_runs(database(name, **record))
    assert (admin, "r", reader) not in default_acls(engine, name)


@pytest.mark.feature("D06")
def test_a_new_owner_of_the_database_creates_from_then_on(engine: Engine, unique: Unique) -> None:
    name, first, second, reader = unique("db"), unique("a"), unique("b"), unique("read")
    users = [user(one, login=False) for one in (first, second, reader)]
    one = {"role": reader, "schema": "public", "object_type": "tables", "privileges": ["SELECT"]}
    declared = database(name, default_privileges=[one], dbops_owner=owner(name, kind="Database"))
    engine.four_runs(*users, {**declared, "owner": first})
    engine.four_runs({**declared, "owner": second})
    assert default_acls(engine, name).keys() == {(second, "r", reader)}


@pytest.mark.feature("D06")
@pytest.mark.parametrize(
    ("one", "reason", "part"),
    [
        ({"privileges": ["EXECUTE"]}, "InvalidSpec", "SELECT"),
        ({"privileges": ["SELECT; DROP TABLE x"]}, "InvalidSpec", "no privilege"),
        ({"role": "nobody_of_this_name"}, "DependencyNotReady", "nobody_of_this_name"),
        ({"granted_by": "nobody_of_this_name"}, "DependencyNotReady", "nobody_of_this_name"),
        ({"schema": "nowhere"}, "DependencyNotReady", "nowhere"),
    ],
)
def test_default_privileges_that_make_no_sense(
    engine: Engine, unique: Unique, one: dict[str, Any], reason: str, part: str
) -> None:
    usual = {"role": "PUBLIC", "schema": "public", "object_type": "tables", "privileges": ["SELECT"]}
    result = engine.one(database(unique("db"), default_privileges=[usual | one]), check=True)
    assert (result["reason"], result["field"]) == (reason, "default_privileges")
    assert part in result["message"]


@pytest.mark.feature("I11")
def test_a_database_that_cannot_be_entered(weak_engine: Engine, unique: Unique) -> None:
    engine, name = weak_engine.own_ledger(), unique("db")
    execute(engine, "postgres", f'CREATE DATABASE "{name}"', f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
    assert not engine.run(database(name))["changed"]
    assert "could not be entered" in engine.one(database(name))["warnings"][0]
    result = engine.one(database(name, schemas=[{"name": "app"}]))
    assert (result["failed"], result["reason"]) == (True, "PrivilegeMissing")
