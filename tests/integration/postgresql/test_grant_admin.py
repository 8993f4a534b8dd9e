# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may grant what on a real server, and what is wrong with a declaration: said before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from integration.postgresql.engine import Engine, grant, owner, role, user
from integration.postgresql.shop import Shop, make_shop

Unique = Callable[[str], str]

_DEFAULT = {"database": "x", "schema": "y", "object_type": "types", "granted_by": "z"}


@pytest.fixture
def app(engine: Engine, unique: Unique) -> str:
    """A login with the password x."""
    name = unique("app")
    assert not engine.run(user(name, password="x"))["failed"]
    return name


def owned(name: str, **options: Any) -> dict[str, Any]:
    """Declare a grant with an owner, so that it is remembered what it gave."""
    return grant(name, dbops_owner=owner(name, kind="DatabaseGrant"), **options)


def memberships(engine: Engine) -> list[tuple[Any, ...]]:
    return engine.server.query("SELECT to_jsonb(m) - 'oid' FROM pg_auth_members m ORDER BY 1")


@pytest.mark.feature("G02", "I11")
def test_it_is_granted_in_the_name_of_the_owner(shop: Shop, app: str) -> None:
    """The weak admin is a member of the owner's role for a moment, and never afterwards."""
    before = memberships(shop.engine)
    declared = owned("g", user=app, grants=[shop.entry("SELECT", schema="app"), shop.entry("CREATE")])
    shop.engine.four_runs(declared)
    assert {grantor for _what, _word, grantor, _option in shop.entries(app)} == {shop.owner}
    shop.engine.four_runs(declared | {"state": "absent"})
    assert shop.held(app) == set()
    assert memberships(shop.engine) == before


@pytest.mark.feature("G02", "I11")
def test_objects_of_several_owners(shop: Shop, app: str, unique: Unique) -> None:
    """One owner may not even use the schema that its table is in: the schema's owner is asked as well."""
    second = unique("snd")
    shop.engine.run(role(second))
    shop.execute("ALTER TABLE app.orders OWNER TO {second}", "CREATE TABLE app.mine ()", second=second)
    shop.execute("ALTER TABLE app.mine OWNER TO {second}", second=second)
    declared = owned("g", user=app, grants=[shop.entry("SELECT", schema="app", tables=["orders", "mine", "sums"])])
    shop.engine.four_runs(declared)
    assert {(what, grantor) for what, word, grantor, _option in shop.entries(app) if word == "SELECT"} == {
        ("app.orders", second),
        ("app.mine", second),
        ("app.sums", shop.owner),
    }
    shop.engine.four_runs(declared | {"state": "absent"})
    assert shop.held(app) == set()


@pytest.mark.feature("G02", "I11", "L10")
def test_what_a_weak_admin_may_not_grant_is_said_first(weak_engine: Engine, unique: Unique) -> None:
    engine = weak_engine.own_ledger()
    shop, app = make_shop(engine, unique), unique("app")
    engine.run(user(app, password="x"))
    shop.execute("CREATE TABLE app.theirs ()", "CREATE FUNCTION app.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
    before = engine.snapshot()
    for entry, what in (
        (shop.entry("SELECT", schema="app", tables=["theirs"]), 'SELECT ON TABLE "app"."theirs"'),
        (
            shop.entry("EXECUTE", schema="app", functions=["f"], grant_option=True),
            'EXECUTE ON ROUTINE "app"."f"(integer)',
        ),
        ({"database": "postgres", "privileges": ["CREATE"]}, 'CREATE ON DATABASE "postgres"'),
        ({"database": "postgres", "schema": "public", "privileges": ["CREATE"]}, 'CREATE ON SCHEMA "public"'),
    ):
        result = engine.one(grant("g", user=app, grants=[entry]), check=True)
        assert (result["reason"], result["field"]) == ("PrivilegeMissing", "grants"), result
        assert f'GRANT {what} TO "{engine.login.user}" WITH GRANT OPTION' in result["message"]
        assert result["differences"]
    assert engine.snapshot() == before
    both = shop.entry("SELECT", schema="app", tables=["theirs", "orders"])
    result = engine.one(grant("g", user=app, grants=[both]))
    assert result["reason"] == "PrivilegeMissing"
    assert "SELECT app.orders" in shop.held(app), "what can be done is done"


@pytest.mark.feature("G02", "I11")
def test_with_a_grant_option_of_its_own_a_weak_admin_may(weak_engine: Engine, unique: Unique) -> None:
    engine = weak_engine.own_ledger()
    shop, app, weak = make_shop(engine, unique), unique("app"), engine.login.user
    engine.run(user(app, password="x"))
    shop.execute(
        "CREATE TABLE app.theirs (id int)",
        "GRANT SELECT ON app.theirs, app.orders TO {weak} WITH GRANT OPTION",
        "GRANT USAGE ON SCHEMA app TO {weak}",
        weak=weak,
    )
    declared = owned("g", user=app, grants=[shop.entry("SELECT", schema="app", tables=["theirs", "orders"])])
    engine.four_runs(declared)
    given = {what: grantor for what, word, grantor, _option in shop.entries(app) if word == "SELECT"}
    assert given["app.theirs"] == weak
    assert shop.may(app, "TABLE app.theirs")
    shop.execute("GRANT SELECT ON app.orders TO {app}", app=app, as_role=shop.owner)
    engine.four_runs(declared | {"state": "absent"})
    assert shop.held(app) == set(), "taken back from both who gave it"


@pytest.mark.feature("G04", "I11", "L10")
def test_an_option_on_a_table_is_none_on_its_columns(weak_engine: Engine, unique: Unique) -> None:
    """With it the server lets columns be given, but not passed on."""
    engine = weak_engine.own_ledger()
    shop, other, weak = make_shop(engine, unique), unique("oth"), engine.login.user
    engine.run(role(other))
    shop.execute(
        "CREATE TABLE app.theirs (id int)",
        "GRANT USAGE ON SCHEMA app TO {weak}",
        "GRANT SELECT ON app.theirs TO {weak} WITH GRANT OPTION",
        weak=weak,
    )
    entry = shop.entry("SELECT", schema="app", tables=["theirs"], columns=["id"])
    engine.four_runs(grant("g", role=other, grants=[entry]))
    assert "SELECT app.theirs.id" in shop.held(other)
    for check in (True, False):
        refused = engine.one(grant("g", role=other, grants=[entry | {"grant_option": True}]), check=check)
        assert refused["reason"] == "PrivilegeMissing"
        assert "SELECT on table app.theirs" in refused["message"]


@pytest.mark.feature("L10")
def test_what_is_wrong_with_one_object_is_no_matter_of_others(shop: Shop, app: str, unique: Unique) -> None:
    """Columns of all tables are refused, before somebody asks every table whether it has them."""
    shop.execute("CREATE TABLE app.bare ()")
    wrong = grant("wrong", user=app, grants=[shop.entry("SELECT", schema="app", tables=["*"], columns=["note"])])
    right = grant("right", user=app, grants=[shop.entry("SELECT", schema="app", tables=["orders"])])
    bad, good = shop.engine.run(wrong, right)["objects"]
    assert (bad["reason"], bad["field"]) == ("InvalidSpec", "grants")
    assert not good["failed"], good


@pytest.mark.feature("G02", "L07", "I11")
def test_what_is_held_through_public_is_a_difference_and_no_failure(weak_engine: Engine, unique: Unique) -> None:
    """The server would answer with a warning and grant nothing."""
    engine, app = weak_engine.own_ledger(), unique("app")
    engine.run(user(app, password="x"))
    entries = [
        {"database": "postgres", "privileges": ["CONNECT", "TEMPORARY"]},
        {"database": "postgres", "schema": "public", "privileges": ["USAGE"]},
    ]
    for check in (True, False, False):
        result = engine.one(owned("g", user=app, grants=entries), check=check)
        assert not result["failed"], result
        assert not result["changed"]
        assert {(one["field"], one["expected"]) for one in result["differences"]} == {
            ("grants.database.postgres", "CONNECT, TEMPORARY"),
            ("grants.schema.public", "USAGE"),
        }
        assert len(result["warnings"]) == 3
        assert f"{app} has it all the same" in result["warnings"][0]
        assert result["observed"]["direct_grants"] == 2
        assert {tuple(one["privileges"]) for one in result["observed"]["missing"] if one["effective"]} == {
            ("CONNECT", "TEMPORARY"),
            ("USAGE",),
        }
    lacking = engine.one(owned("g", user=app, grants=[{"database": "postgres", "privileges": ["ALL"]}]))
    assert lacking["reason"] == "PrivilegeMissing"
    assert "CREATE on database postgres" in lacking["message"]
    assert not engine.one(owned("g", user=app, grants=entries, state="absent"))["failed"]


@pytest.mark.feature("G05")
def test_what_somebody_else_gave(shop: Shop, app: str, unique: Unique) -> None:
    """A role with the grant option gave the same, and is one that the admin account may speak for."""
    middle, engine = unique("mid"), shop.engine
    engine.run(role(middle))
    shop.execute(
        "GRANT USAGE ON SCHEMA app TO {m}", "GRANT SELECT ON app.orders TO {m} WITH GRANT OPTION",
        m=middle, as_role=shop.owner,
    )  # fmt: skip
    declared = owned("g", user=app, grants=[shop.entry("SELECT", schema="app", tables=["orders"])])
    engine.four_runs(declared)
    shop.execute("GRANT SELECT ON app.orders TO {app}", app=app, as_role=middle)
    assert len([1 for what, *_ in shop.entries(app) if what == "app.orders"]) == 2
    done = engine.four_runs(declared | {"state": "absent"})
    assert f'SET LOCAL ROLE "{middle}"' in [step["statement"] for step in done["objects"][0]["steps"]]
    assert shop.held(app) == set()


@pytest.mark.feature("G05", "I11")
def test_what_only_another_can_take_back_is_a_warning(weak_engine: Engine, unique: Unique) -> None:
    engine = weak_engine.own_ledger()
    shop, app, middle = make_shop(engine, unique), unique("app"), unique("mid")
    engine.run(user(app, password="x"))
    shop.execute(
        "CREATE ROLE {m}",
        "GRANT USAGE ON SCHEMA app TO {m}",
        "GRANT SELECT ON app.orders TO {m} WITH GRANT OPTION",
        m=middle,
    )
    shop.execute("GRANT SELECT ON app.orders TO {app}", app=app, as_role=middle)
    declared = owned("g", user=app, grants=[shop.entry("SELECT", schema="app", tables=["orders"])])
    engine.four_runs(declared)
    assert [grantor for what, _, grantor, _ in shop.entries(app) if what == "app.orders"] == [middle], "held is held"
    result = engine.one(declared | {"state": "absent"})
    assert not result["failed"]
    assert f"by grant of {middle}" in result["warnings"][0]


@pytest.mark.feature("G02", "L10")
def test_what_is_not_there_waits_and_the_rest_is_done(shop: Shop, app: str, unique: Unique) -> None:
    nothing = unique("no")
    entries = [
        shop.entry("SELECT", schema="app", tables=["orders", "later"]),
        shop.entry("USAGE", schema="soon"),
        shop.entry("EXECUTE", schema="app", functions=["total(date)"]),
        shop.entry("SELECT", schema="app", tables=["orders"], columns=["color"]),
        {"database": nothing, "privileges": ["CONNECT"]},
    ]
    declared = owned("g", user=app, grants=entries, roles=[nothing])
    for check in (True, False):
        result = shop.engine.one(declared, check=check)
        assert (result["reason"], result["field"]) == ("DependencyNotReady", "grants")
        for what in (
            "table app.later",
            "schema soon",
            "function app.total(date)",
            "there are: app.total(integer), app.total(text, integer[])",
            "column color of table app.orders",
            f"database {nothing} does not exist",
        ):
            assert what in result["message"], what
    assert "SELECT app.orders" in shop.held(app)
    shop.execute(
        "CREATE TABLE app.later ()",
        "CREATE SCHEMA soon",
        "ALTER TABLE app.orders ADD color text",
        "CREATE FUNCTION app.total(date) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        as_role=shop.owner,
    )
    shop.engine.run(role(nothing), {"kind": "database", "name": nothing})
    shop.engine.four_runs(declared)
    assert {"SELECT app.later", "USAGE schema soon", "SELECT app.orders.color"} <= shop.held(app)


@pytest.mark.feature("G01", "L10")
def test_who_gets_it_must_be_there(shop: Shop, unique: Unique) -> None:
    name = unique("app")
    for kind in ("user", "role"):
        result = shop.engine.one(grant("g", **{kind: name}, grants=[shop.entry("CONNECT")]))
        assert (result["reason"], result["field"]) == ("DependencyNotReady", kind)
        assert name in result["message"]
        assert not shop.engine.one(grant("g", **{kind: name}, state="absent"))["failed"]


@pytest.mark.feature("G02", "L10")
@pytest.mark.parametrize(
    ("options", "field", "said"),
    [
        ({"role": "another"}, "user", "either a user or a role"),
        ({"user": None}, "user", "either a user or a role"),
        ({"roles": [""]}, "roles", "empty"),
        ({"roles": ["ü" * 32]}, "roles", "64 bytes"),
        ({"grants": [{"privileges": ["SELECT"]}]}, "grants", "does not name its database"),
        ({"grants": [{"privileges": [], "database": "x"}]}, "grants", "privileges is empty"),
        ({"grants": [{"privileges": ["SELEKT"], "database": "x", "schema": "y"}]}, "grants", "SELEKT is no privilege"),
        ({"grants": [{"privileges": ["SELECT"], "database": "x"}]}, "grants", "SELECT is no privilege on databases"),
        ({"grants": [{"privileges": ["CONNECT"], "database": "x", "schema": "y"}]}, "grants", "schemas and tables"),
        (
            {"grants": [{"privileges": ["EXECUTE"], "database": "x", "tables": ["t"]}]},
            "grants",
            "EXECUTE is no privilege on tables; there are: SELECT",
        ),
        (
            {"grants": [{"privileges": ["DELETE"], "database": "x", "tables": ["t"], "columns": ["c"]}]},
            "grants",
            "DELETE is no privilege on columns; there are: SELECT, INSERT, UPDATE, REFERENCES, ALL",
        ),
        ({"grants": [{"privileges": ["SELECT"], "database": "x", "columns": ["c"]}]}, "grants", "need the tables"),
        (
            {"grants": [{"privileges": ["SELECT"], "database": "x", "tables": ["*"], "columns": ["c"]}]},
            "grants",
            "not all tables have the same",
        ),
        ({"grants": [{"privileges": ["SELECT"], "database": "x", "tables": ["t" * 64]}]}, "grants", "64 bytes"),
        ({"grants": [{"privileges": ["SELECT"], "database": "x", "table": "t"}]}, "grants", "MySQL"),
        ({"grants": "x"}, "grants", "list of mappings"),
        ({"user": "PUBLIC", "roles": ["r"]}, "roles", "PUBLIC is everybody"),
        (
            {"user": "PUBLIC", "grants": [{"privileges": ["CONNECT"], "database": "x", "grant_option": True}]},
            "grants",
            "PUBLIC is everybody",
        ),
        ({"default_privileges": [{**_DEFAULT, "privileges": []}]}, "default_privileges", "privileges is empty"),
        (
            {"default_privileges": [{**_DEFAULT, "privileges": ["SELECT"]}]},
            "default_privileges",
            "no privilege on types",
        ),
        (
            {"default_privileges": [{**_DEFAULT, "schema": "ö" * 32, "privileges": ["ALL"]}]},
            "default_privileges",
            "64 bytes",
        ),
    ],
)
def test_bad_input_names_the_field(
    engine: Engine, unique: Unique, options: dict[str, Any], field: str, said: str
) -> None:
    app, beside = unique("app"), unique("b")
    engine.run(user(app))
    before = engine.snapshot()
    for state in ("present", "absent"):
        bad = grant("bad", **{"user": app, "state": state, **options})
        result, good = engine.run(bad, user(beside), check=True)["objects"]
        assert (result["reason"], result["field"]) == ("InvalidSpec", field), result
        assert said in result["message"], result["message"]
        assert not good["failed"], "the others are still done"
    assert engine.snapshot() == before


@pytest.mark.feature("G01", "L10")
def test_the_account_that_manages_the_server_is_left_alone(engine: Engine, unique: Unique) -> None:
    app, admin = unique("app"), engine.login.user
    engine.run(user(app))
    for options, field in (({"user": admin}, "user"), ({"user": app, "roles": [admin]}, "roles")):
        result = engine.one(grant("g", **options), check=True)
        assert (result["reason"], result["field"]) == ("AccessDenied", field)


@pytest.mark.feature("G01", "L10")
def test_memberships_in_a_circle_are_refused(engine: Engine, unique: Unique) -> None:
    first, second, third = unique("a"), unique("b"), unique("c")
    engine.run(role(third), role(second, in_roles=[third]), role(first, in_roles=[second]))
    before = engine.snapshot()
    for declared in (grant("g", role=third, roles=[first]), grant("g", role=third, roles=[third])):
        result = engine.one(declared)
        assert (result["reason"], result["field"]) == ("InvalidSpec", "roles")
    assert engine.snapshot() == before


@pytest.mark.feature("G02", "L10")
def test_a_database_that_takes_no_connections(shop: Shop, app: str) -> None:
    declared = owned("g", user=app, grants=[shop.entry("SELECT", schema="app"), shop.entry("CREATE")])
    closed = f'ALTER DATABASE "{shop.name}" ALLOW_CONNECTIONS '
    shop.engine.server.query(closed + "false")  # type: ignore[arg-type]
    try:
        result = shop.engine.one(declared)
        assert result["reason"] == "DependencyNotReady"
        assert "takes no connections" in result["message"]
    finally:
        shop.engine.server.query(closed + "true")  # type: ignore[arg-type]
    assert shop.held(app) == {f"CREATE database {shop.name}"}, "what needs no session inside is done"
    shop.engine.run(declared)
    shop.engine.server.query(closed + "false")  # type: ignore[arg-type]
    try:
        assert shop.engine.one(declared | {"state": "absent"})["reason"] == "DependencyNotReady"
    finally:
        shop.engine.server.query(closed + "true")  # type: ignore[arg-type]
    shop.engine.four_runs(declared | {"state": "absent"})
    assert shop.held(app) == set(), "it was not forgotten"


@pytest.mark.feature("G02")
def test_default_privileges_wait_for_who_gives_them(shop: Shop, app: str, unique: Unique) -> None:
    default = {"database": shop.name, "object_type": "tables", "privileges": ["SELECT"]}
    maker = unique("mk")
    entries = [
        {**default, "schema": "app", "granted_by": shop.owner},
        {**default, "schema": "app", "granted_by": maker},
        {**default, "schema": "soon", "granted_by": shop.owner},
    ]
    declared = owned("g", user=app, default_privileges=entries)
    result = shop.engine.one(declared)
    assert (result["reason"], result["field"]) == ("DependencyNotReady", "default_privileges")
    assert maker in result["message"]
    assert "schema soon" in result["message"]
    assert result["observed"]["default_privileges"] == 1
    shop.execute("CREATE SCHEMA soon", as_role=shop.owner)
    shop.engine.run(role(maker))
    shop.engine.four_runs(declared)


@pytest.mark.feature("G02", "I11", "L10")
def test_a_weak_admin_speaks_for_nobody_that_it_does_not_administer(weak_engine: Engine, unique: Unique) -> None:
    engine = weak_engine.own_ledger()
    shop, app = make_shop(engine, unique), unique("app")
    engine.run(user(app))
    default = {"database": shop.name, "object_type": "tables", "privileges": ["SELECT"], "schema": "app"}
    result = engine.one(grant("g", user=app, default_privileges=[{**default, "granted_by": "postgres"}]))
    assert (result["reason"], result["field"]) == ("PrivilegeMissing", "default_privileges")
    assert f'GRANT "postgres" TO "{engine.login.user}"' in result["message"]
