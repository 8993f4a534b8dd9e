# SPDX-License-Identifier: GPL-3.0-or-later
"""Grants on every level of a real server, judged by its catalogs and by logins that try what they may and may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from integration.postgresql.engine import Engine, grant, owner, role, user
from integration.postgresql.shop import Shop

Unique = Callable[[str], str]

_TABLES = ("app.orders", "app.items", "app.items_1", "app.recent", "app.sums")
_ON_TABLES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")
_USAGE = "USAGE schema app"


@pytest.fixture
def app(engine: Engine, unique: Unique) -> str:
    """A login with the password x."""
    name = unique("app")
    assert not engine.run(user(name, password="x"))["failed"]
    return name


def tables(*privileges: str) -> set[str]:
    """Each of the privileges on each table."""
    return {f"{word} {table}" for word in privileges for table in _TABLES}


@pytest.mark.feature("G01", "G02")
def test_a_schema_means_its_tables_that_exist_then(shop: Shop, app: str) -> None:
    declared = grant("g", user=app, grants=[shop.entry("SELECT", "INSERT", schema="app")])
    shop.engine.four_runs(declared)
    assert shop.held(app) == {_USAGE, *tables("SELECT", "INSERT")}
    for statement in ("SELECT * FROM app.orders", "TABLE app.recent", "INSERT INTO app.orders VALUES (2)"):
        assert shop.may(app, statement)
    for statement in ("DELETE FROM app.orders", "CREATE TABLE app.mine ()", "SELECT nextval('app.numbers')"):
        assert not shop.may(app, statement)
    shop.execute("CREATE TABLE app.later ()", as_role=shop.owner)
    assert not shop.may(app, "TABLE app.later")
    shop.engine.four_runs(declared)
    assert shop.may(app, "TABLE app.later")


@pytest.mark.feature("G02")
def test_privileges_of_a_schema_go_to_the_schema(shop: Shop, app: str) -> None:
    shop.engine.four_runs(grant("g", user=app, grants=[shop.entry("CREATE", schema="app")]))
    assert shop.held(app) == {_USAGE, "CREATE schema app"}
    assert shop.may(app, "CREATE TABLE app.mine ()")
    assert not shop.may(app, "TABLE app.orders")


@pytest.mark.feature("G02")
def test_all_is_what_the_level_has(shop: Shop, app: str) -> None:
    shop.engine.four_runs(
        grant("tables", user=app, grants=[shop.entry("ALL", schema="app")]),
        grant("database", user=app, grants=[shop.entry("all privileges")]),
    )
    on_database = {f"{word} database {shop.name}" for word in ("CREATE", "CONNECT", "TEMPORARY")}
    assert shop.held(app) == {_USAGE, *tables(*_ON_TABLES), *on_database}
    assert shop.may(app, "CREATE SCHEMA mine")
    assert not shop.may(app, "CREATE TABLE app.mine ()"), "CREATE on the schema is no privilege on tables"


@pytest.mark.feature("G02")
@pytest.mark.parametrize(
    ("entry", "held"),
    [
        ({"tables": ["orders", "recent"]}, {"SELECT app.orders", "SELECT app.recent"}),
        ({"tables": ["*"]}, tables("SELECT")),
        ({"sequences": ["numbers"]}, {"SELECT app.numbers"}),
        ({"sequences": ["*"], "tables": ["sums"]}, {"SELECT app.numbers", "SELECT app.sums"}),
        ({"tables": ["orders", "recent"], "columns": ["id", "note"]},
         {f"SELECT app.{table}.{column}" for table in ("orders", "recent") for column in ("id", "note")}),
    ],
)  # fmt: skip
def test_listed_objects(shop: Shop, app: str, entry: dict[str, Any], held: set[str]) -> None:
    shop.engine.four_runs(grant("g", user=app, grants=[shop.entry("SELECT", schema="app", **entry)]))
    assert shop.held(app) == {_USAGE, *held}


@pytest.mark.feature("G02")
def test_columns_can_be_read_and_no_others(shop: Shop, app: str) -> None:
    entries = [
        shop.entry("SELECT", schema="app", tables=["orders"], columns=["id", "note"]),
        shop.entry("UPDATE", "REFERENCES", schema="app", tables=["orders"], columns=["note"]),
    ]
    done = shop.engine.four_runs(grant("g", user=app, grants=entries))
    statements = [step["statement"] for step in done["objects"][0]["steps"] if step["action"] == "grant"]
    what = 'SELECT ("id", "note"), UPDATE ("note"), REFERENCES ("note")'
    assert f'GRANT {what} ON TABLE "app"."orders" TO "{app}"' in statements, "all of a table in one statement"
    assert shop.may(app, "SELECT id, note FROM app.orders")
    assert shop.may(app, "UPDATE app.orders SET note = ''")
    for statement in ("SELECT total FROM app.orders", "SELECT * FROM app.orders", "UPDATE app.orders SET id = 1"):
        assert not shop.may(app, statement)
    everything = shop.entry("ALL", schema="app", tables=["orders"], columns=["total"])
    shop.engine.four_runs(grant("g", user=app, grants=[*entries, everything]))
    assert shop.may(app, "INSERT INTO app.orders (total) VALUES (1)")


@pytest.mark.feature("G02")
@pytest.mark.parametrize(
    ("functions", "held"),
    [
        (["total"], {"total(integer)", "total(text, integer[])"}),
        (["total(int)"], {"total(integer)"}),
        (["total( TEXT,int4 [] )"], {"total(text, integer[])"}),
        (["close(int)"], {"close(integer)"}),
        (["least_of(integer)"], {"least_of(integer)"}),
        (["close", "total(pg_catalog.int4)"], {"close(integer)", "total(integer)"}),
        (["*"], {"total(integer)", "total(text, integer[])", "close(integer)", "least_of(integer)"}),
    ],
)
def test_routines_by_name_and_by_types(shop: Shop, app: str, functions: list[str], held: set[str]) -> None:
    shop.engine.four_runs(grant("g", user=app, grants=[shop.entry("EXECUTE", schema="app", functions=functions)]))
    assert shop.held(app) == {_USAGE, *(f"EXECUTE app.{one}" for one in held)}
    assert shop.may(app, "SELECT app.total(1)") == ("total(integer)" in held)
    assert shop.may(app, "CALL app.close(1, NULL)") == ("close(integer)" in held)


@pytest.mark.feature("G02")
def test_a_routine_can_name_its_schema_where_none_is_given(shop: Shop, app: str) -> None:
    shop.engine.four_runs(grant("g", user=app, grants=[shop.entry("EXECUTE", functions=["app.total(int)"])]))
    assert shop.held(app) == {_USAGE, "EXECUTE app.total(integer)"}


@pytest.mark.feature("G02")
def test_without_a_schema_objects_are_in_public(shop: Shop, app: str) -> None:
    shop.execute("CREATE TABLE public.plain ()", "ALTER TABLE public.plain OWNER TO {owner}", owner=shop.owner)
    shop.engine.four_runs(grant("g", user=app, grants=[shop.entry("SELECT", tables=["plain"])]))
    assert shop.held(app) == {"SELECT public.plain", "USAGE schema public"}


@pytest.mark.feature("G02")
def test_each_type_gets_the_privileges_that_it_has(shop: Shop, app: str) -> None:
    entry = shop.entry(
        *("SELECT", "INSERT", "USAGE", "EXECUTE"),
        schema="app",
        tables=["orders"],
        sequences=["numbers"],
        functions=["total(int)"],
    )
    shop.engine.four_runs(grant("g", user=app, grants=[entry]))
    assert shop.held(app) == {
        _USAGE,
        "SELECT app.orders",
        "INSERT app.orders",
        "SELECT app.numbers",
        "USAGE app.numbers",
        "EXECUTE app.total(integer)",
    }


@pytest.mark.feature("G02")
def test_the_database_itself(shop: Shop, app: str) -> None:
    shop.execute(f'REVOKE ALL ON DATABASE "{shop.name}" FROM PUBLIC')
    shop.engine.four_runs(grant("g", user=app, grants=[shop.entry("CONNECT", "TEMP")]))
    assert shop.held(app) == {f"CONNECT database {shop.name}", f"TEMPORARY database {shop.name}"}
    assert shop.may(app, "CREATE TEMP TABLE mine ()")
    assert shop.engine.one(grant("g", user=app, grants=[shop.entry("CONNECT")]))["steps"] == [], "nobody owned it"


@pytest.mark.feature("G02")
def test_privileges_on_future_objects(shop: Shop, app: str) -> None:
    def default(kind: str, *privileges: str) -> dict[str, Any]:
        declared = {"database": shop.name, "schema": "app", "granted_by": shop.owner}
        return {**declared, "object_type": kind, "privileges": list(privileges)}

    declared = grant(
        "g",
        user=app,
        dbops_owner=owner("g", kind="DatabaseGrant"),
        grants=[shop.entry("USAGE", schema="app")],
        default_privileges=[default("tables", "SELECT", "INSERT"), default("functions", "EXECUTE")],
    )
    done = shop.engine.four_runs(declared)
    assert done["objects"][0]["observed"]["default_privileges"] == 2
    shop.execute("CREATE TABLE app.later ()", as_role=shop.owner)
    assert shop.held(app) == {_USAGE, "SELECT app.later", "INSERT app.later"}
    assert shop.may(app, "TABLE app.later")
    shop.engine.four_runs(declared | {"default_privileges": [default("tables", "SELECT")]})
    shop.execute("CREATE TABLE app.last ()", as_role=shop.owner)
    assert "SELECT app.last" in shop.held(app)
    assert "INSERT app.last" not in shop.held(app)
    shop.engine.four_runs(declared | {"state": "absent"})
    query = "SELECT 1 FROM pg_default_acl"
    assert shop.engine.server.query(query, dbname=shop.name) == []


@pytest.mark.feature("G01")
def test_memberships_of_users_and_roles(engine: Engine, unique: Unique) -> None:
    group, other, name = unique("grp"), unique("oth"), unique("app")
    engine.run(role(group), role(other), user(name, password="x"))
    declared = grant("g", user=name, roles=[group], dbops_owner=owner(name, kind="DatabaseGrant"))
    done = engine.four_runs(declared)
    assert done["objects"][0]["observed"]["roles"] == [group]
    query = "SELECT pg_has_role(%s, %s, 'USAGE'), pg_has_role(%s, %s, 'USAGE')"
    assert engine.server.query(query, [name, group, name, other]) == [(True, False)]
    engine.four_runs(declared | {"roles": [other]})
    assert engine.server.query(query, [name, group, name, other]) == [(False, True)]
    engine.four_runs(grant("g", role=group, roles=[other]))
    assert engine.server.query(query, [group, other, name, group]) == [(True, False)]
    engine.four_runs(declared | {"state": "absent"})
    assert engine.server.query(query, [name, group, name, other]) == [(False, False)]


@pytest.mark.feature("G01")
def test_a_membership_is_at_hand_as_the_member_inherits(engine: Engine, unique: Unique) -> None:
    group, name = unique("grp"), unique("app")
    engine.run(role(group), user(name, inherit=False))
    engine.four_runs(grant("g", user=name, roles=[group]))
    query = "SELECT pg_has_role(%s, %s, 'USAGE'), pg_has_role(%s, %s, 'MEMBER')"
    assert engine.server.query(query, [name, group] * 2) == [(False, True)]


@pytest.mark.feature("G01")
def test_a_role_passes_on_to_its_members_what_it_got(shop: Shop, app: str, unique: Unique) -> None:
    group = unique("grp")
    shop.engine.four_runs(
        role(group),
        grant("rights", role=group, grants=[shop.entry("SELECT", schema="app")]),
        grant("joins", user=app, roles=[group]),
    )
    assert shop.may(app, "TABLE app.orders")
    assert shop.held(app) == set()


@pytest.mark.feature("G01")
def test_a_grant_to_everybody(shop: Shop, app: str) -> None:
    entry = shop.entry("SELECT", schema="app", tables=["orders"])
    shop.engine.four_runs(grant("g", role="PUBLIC", grants=[entry]))
    assert shop.may(app, "TABLE app.orders")
    assert not shop.may(app, "TABLE app.sums")
    shop.engine.four_runs(grant("g", role="PUBLIC", grants=[entry], state="absent"))
    assert not shop.may(app, "TABLE app.orders")


@pytest.mark.feature("G01")
def test_a_grant_of_nothing_is_fine(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name))
    for owned in ({}, {"dbops_owner": owner(name, kind="DatabaseGrant")}):
        result = engine.one(grant("g", user=name, **owned))
        assert not result["failed"]
        assert not result["changed"]
        assert result["observed"] == {
            "exists": True,
            "name": result["observed"]["name"],
            "grantee": name,
            "created": False,
            "roles": [],
            "direct_grants": 0,
            "default_privileges": 0,
            "missing": [],
        }


@pytest.mark.feature("O02")
def test_the_own_entries_of_a_role_mean_the_schema(shop: Shop, app: str, unique: Unique) -> None:
    group = unique("grp")
    entries = [
        shop.entry("CONNECT"),
        shop.entry("ALL", schema="app"),
        shop.entry("SELECT", schema="app", tables=["orders"]),
        shop.entry("UPDATE", schema="app", tables=["orders"], columns=["note"]),
        shop.entry("USAGE", schema="app", sequences=["*"]),
        shop.entry("EXECUTE", schema="app", functions=["total"]),
    ]
    declared = role(group, grants=entries, dbops_owner=owner(group, kind="DatabaseRole"))
    done = shop.engine.four_runs(declared)
    assert done["objects"][0]["observed"]["created"]
    assert done["objects"][0]["observed"]["direct_grants"] == len(entries)
    assert shop.held(group) == {
        f"CONNECT database {shop.name}",
        "USAGE schema app",
        "CREATE schema app",
        "SELECT app.orders",
        "UPDATE app.orders.note",
        "USAGE app.numbers",
        "EXECUTE app.total(integer)",
        "EXECUTE app.total(text, integer[])",
    }
    shop.engine.four_runs(user(app, in_roles=[group]))
    assert shop.may(app, "SELECT nextval('app.numbers'), app.total(1) FROM app.orders")
    assert shop.may(app, "CREATE TABLE app.mine ()")
    assert not shop.may(app, "DELETE FROM app.orders")
    shop.engine.four_runs(declared | {"grants": entries[:2]})
    assert shop.held(group) == {f"CONNECT database {shop.name}", "USAGE schema app", "CREATE schema app"}
    shop.engine.four_runs({key: value for key, value in declared.items() if key != "grants"})
    assert shop.held(group) == set()


@pytest.mark.feature("O02")
def test_table_privileges_of_a_role_on_a_schema_are_on_its_tables(shop: Shop, unique: Unique) -> None:
    group = unique("grp")
    shop.engine.four_runs(role(group, grants=[shop.entry("SELECT", schema="app")]))
    assert shop.held(group) == {_USAGE, *tables("SELECT")}
    objects = role(unique("grp"), grants=[shop.entry("SELECT", schema="app", tables=["orders"])])
    shop.engine.four_runs(objects)
    assert shop.held(objects["name"]) == {"SELECT app.orders"}, "no USAGE is implied in a role's own entries"


@pytest.mark.feature("O02")
def test_a_role_goes_with_what_it_was_given(shop: Shop, unique: Unique) -> None:
    group = unique("grp")
    declared = role(group, grants=[shop.entry("ALL", schema="app"), shop.entry("ALL")])
    shop.engine.four_runs(declared)
    shop.engine.four_runs(role(group, state="absent"))
    assert shop.engine.server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [group]) == []


@pytest.mark.feature("G02", "G06")
def test_a_whole_server_from_nothing_in_one_list(engine: Engine, unique: Unique) -> None:
    """Check mode knows of the database, the schema, the role and the login that objects before would make."""
    name, group, login = unique("db"), unique("grp"), unique("app")
    objects = [
        {"kind": "database", "name": name, "schemas": [{"name": "app"}]},
        user(login, password="x", in_roles=[group]),
        role(group, grants=[{"database": name, "schema": "app", "privileges": ["USAGE"]}]),
        grant(
            "g",
            user=login,
            grants=[
                {"database": name, "privileges": ["CREATE"]},
                {"database": name, "schema": "app", "privileges": ["CREATE"]},
            ],
        ),
    ]
    planned = [one["steps"] for one in engine.run(*objects, check=True)["objects"]]
    done = engine.four_runs(*objects)
    shown = [[step["statement"] for step in steps] for steps in planned]
    sent = [[step["statement"] for step in one["steps"]] for one in done["objects"]]
    assert shown[1:3] == sent[1:3]
    assert set(shown[3]) == set(sent[3])
    more = {"kind": "database", "name": name, "schemas": [{"name": "app"}, {"name": "more"}]}
    engine.four_runs(
        more, grant("h", user=login, grants=[{"database": name, "schema": "more", "privileges": ["CREATE"]}])
    )


@pytest.mark.feature("G02")
def test_many_objects_take_few_statements(shop: Shop, app: str) -> None:
    shop.execute(*(f"CREATE TABLE app.t{number} ()" for number in range(250)), as_role=shop.owner)
    done = shop.engine.four_runs(grant("g", user=app, grants=[shop.entry("SELECT", schema="app")]))
    statements = [step["statement"] for step in done["objects"][0]["steps"] if step["action"] == "grant"]
    on_tables = [one for one in statements if "ON TABLE" in one]
    assert len(on_tables) == 3
    assert len(shop.held(app)) == 1 + 250 + len(_TABLES)
