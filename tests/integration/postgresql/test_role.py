# SPDX-License-Identifier: GPL-3.0-or-later
"""Group roles on a real server: attributes and memberships are as declared, judged by the catalogs and by logins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine, owner, role, user
from integration.postgresql.shop import Shop
from psycopg import sql

Unique = Callable[[str], str]

_COLUMNS = {
    "superuser": "rolsuper",
    "create_db": "rolcreatedb",
    "create_role": "rolcreaterole",
    "inherit": "rolinherit",
    "login": "rolcanlogin",
    "replication": "rolreplication",
    "bypass_rls": "rolbypassrls",
}
_PLAIN = dict.fromkeys(_COLUMNS, False) | {"inherit": True}


def attributes(engine: Engine, name: str) -> dict[str, Any]:
    """What pg_authid says of a role, in the words of our options."""
    (row,) = engine.server.query("SELECT to_jsonb(r) FROM pg_authid r WHERE rolname = %s", [name])
    return {option: row[0][column] for option, column in _COLUMNS.items()}


def memberships(engine: Engine, name: str) -> set[str]:
    query = "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = quote_ident(%s)::regrole"
    return {row[0] for row in engine.server.query(query, [name])}


def execute(engine: Engine, statement: str, **names: str) -> None:
    """Run one statement as superuser, with names quoted."""
    quoted = {key: sql.Identifier(name) for key, name in names.items()}
    engine.server.query(sql.SQL(statement).format(**quoted))  # type: ignore[arg-type]


@pytest.mark.feature("O01")
def test_a_role_cannot_log_in_unless_it_says_so(engine: Engine, unique: Unique) -> None:
    name = unique("grp")
    done = engine.four_runs(role(name))
    assert [step["statement"] for step in done["objects"][0]["steps"]] == [f'CREATE ROLE "{name}"']
    assert done["objects"][0]["observed"]["created"]
    assert attributes(engine, name) == _PLAIN
    engine.four_runs(role(name, login=True, inherit=False))
    assert attributes(engine, name) == _PLAIN | {"login": True, "inherit": False}
    assert not engine.run(role(name))["changed"], "not declared, not touched"


@pytest.mark.feature("O01")
def test_every_attribute_is_set_and_taken_away(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("grp")
    on = dict.fromkeys(_COLUMNS, True) | {"inherit": False}
    engine.four_runs(role(name, **on))
    assert attributes(engine, name) == on
    engine.four_runs(role(name, **_PLAIN))
    assert attributes(engine, name) == _PLAIN


@pytest.mark.feature("O01", "L10")
def test_a_weak_admin_mentions_only_what_changes(weak_engine: Engine, unique: Unique) -> None:
    name = unique("grp")
    done = weak_engine.four_runs(role(name, **_PLAIN | {"create_db": True}))
    assert done["objects"][0]["steps"][0]["statement"] == f'CREATE ROLE "{name}" CREATEDB'
    for attribute in ("superuser", "replication", "bypass_rls"):
        refused = weak_engine.one(role(name, **{attribute: True}), check=True)
        assert (refused["reason"], refused["field"]) == ("PrivilegeMissing", attribute)


@pytest.mark.feature("O01")
def test_memberships_are_exactly_as_declared(engine: Engine, unique: Unique) -> None:
    name, first, second, third = unique("grp"), unique("a"), unique("b"), unique("c")
    engine.four_runs(role(first), role(second), role(third), role(name, in_roles=[first, second]))
    assert memberships(engine, name) == {first, second}
    engine.four_runs(role(name, in_roles=[second, third]))
    assert memberships(engine, name) == {second, third}
    assert not engine.run(role(name))["changed"], "not declared, not touched"
    engine.four_runs(role(name, in_roles=[]))
    assert memberships(engine, name) == set()


@pytest.mark.feature("O01")
def test_what_a_role_may_do_reaches_its_members(engine: Engine, unique: Unique) -> None:
    """From a login over two roles to what was granted to the last one."""
    inner, outer, login = unique("in"), unique("out"), unique("app")
    engine.four_runs(
        role(inner),
        role(outer, in_roles=[inner]),
        user(login, password="x", in_roles=[outer]),
    )
    execute(engine, "GRANT pg_monitor TO {inner}", inner=inner)
    with psycopg.connect(engine.server.login(login, "x").dsn()) as connection:
        query = "SELECT pg_has_role('pg_monitor', 'USAGE')"
        assert connection.execute(query).fetchone() == (True,)
    engine.four_runs(role(outer, in_roles=[]))
    with psycopg.connect(engine.server.login(login, "x").dsn()) as connection:
        assert connection.execute(query).fetchone() == (False,)


@pytest.mark.feature("O01")
@pytest.mark.parametrize("inherit", [True, False])
def test_inherit_of_the_member_decides_what_is_at_hand(engine: Engine, unique: Unique, inherit: bool) -> None:
    group, name = unique("grp"), unique("mem")
    engine.four_runs(role(group), role(name, inherit=inherit, in_roles=[group]))
    query = "SELECT pg_has_role(%s, %s, 'USAGE'), pg_has_role(%s, %s, 'MEMBER')"
    assert engine.server.query(query, [name, group] * 2) == [(inherit, True)]
    engine.four_runs(role(name, inherit=not inherit, in_roles=[group]))
    assert engine.server.query(query, [name, group] * 2) == [(not inherit, True)]


@pytest.mark.feature("O01", "L07")
def test_differences_are_named_field_by_field(superuser_engine: Engine, unique: Unique) -> None:
    engine, name, wanted, extra = superuser_engine, unique("grp"), unique("w"), unique("e")
    engine.run(role(wanted), role(extra), role(name))
    execute(engine, "ALTER ROLE {name} CREATEDB NOINHERIT", name=name)
    execute(engine, "GRANT {extra} TO {name}", extra=extra, name=name)
    declared = role(name, create_db=False, inherit=True, superuser=True, in_roles=[wanted])
    found = engine.one(declared, check=True)["differences"]
    assert {(one["field"], one["expected"], one["actual"], one["destructive"]) for one in found} == {
        ("createdb", "false", "true", False),
        ("inherit", "true", "false", False),
        ("superuser", "true", "false", True),
        ("inRoles.missing", wanted, "", False),
        ("inRoles.extra", "", extra, True),
    }


@pytest.mark.feature("O01", "L08", "L09")
def test_the_owner_of_a_role_is_recorded(engine: Engine, unique: Unique) -> None:
    name, group = unique("grp"), unique("a")
    declared = role(name, dbops_owner=owner(name, kind="DatabaseRole"), in_roles=[group])
    engine.four_runs(role(group), declared)
    newer = engine.one(role(name, dbops_owner=owner("newer", kind="DatabaseRole"), create_db=True))
    assert newer["reason"] == "Conflict"
    assert f"DatabaseRole team/{name}" in newer["message"]
    assert engine.one(user(name, dbops_owner=owner("user")))["reason"] == "Conflict", "a login is a role as well"
    before = engine.one(role(group, dbops_owner=owner(group, kind="DatabaseRole")))
    assert before["reason"] == "NotAdopted"
    engine.four_runs(role(group, dbops_owner=owner(group, kind="DatabaseRole"), adopt=True, inherit=False))
    engine.four_runs({key: value for key, value in declared.items() if key != "in_roles"})
    assert memberships(engine, name) == set(), "what it gave and declares no longer is taken back"
    engine.four_runs(declared | {"state": "absent"})
    assert engine.server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]) == []


@pytest.mark.feature("O01", "L10")
def test_a_circle_of_memberships_is_refused_before_anything_is_sent(engine: Engine, unique: Unique) -> None:
    first, second, third = unique("a"), unique("b"), unique("c")
    engine.run(role(third), role(second, in_roles=[third]), role(first, in_roles=[second]))
    before = engine.snapshot()
    for check in (True, False):
        result = engine.one(role(third, in_roles=[first], create_db=True), check=check)
        assert (result["reason"], result["field"]) == ("InvalidSpec", "in_roles")
        assert f"{first} is a member of {third}" in result["message"]
    assert engine.snapshot() == before


@pytest.mark.feature("O01", "L10")
@pytest.mark.parametrize(
    ("options", "reason", "field"),
    [
        ({"in_roles": ["no such role"]}, "DependencyNotReady", "in_roles"),
        ({"in_roles": ["x" * 64]}, "InvalidSpec", "in_roles"),
        ({"in_roles": [""]}, "InvalidSpec", "in_roles"),
        ({"name": "pg_mine"}, "AccessDenied", "name"),
        ({"name": "public"}, "AccessDenied", "name"),
        ({"name": "ü" * 32}, "InvalidSpec", "name"),
        ({"create_db": "perhaps"}, "InvalidSpec", "create_db"),
        ({"state": "absent", "reassign_owned_to": "no such role"}, "DependencyNotReady", "reassign_owned_to"),
    ],
)
def test_bad_input_names_the_field(
    engine: Engine, unique: Unique, options: dict[str, Any], reason: str, field: str
) -> None:
    name, beside = unique("grp"), unique("b")
    engine.run(role(name))
    bad, good = engine.run(role(**{"name": name, **options}), role(beside))["objects"]
    assert (bad["reason"], bad["field"]) == (reason, field), bad
    assert not good["failed"], "the others are still done"
    assert attributes(engine, beside) == _PLAIN


@pytest.mark.feature("O01")
def test_a_role_that_owns_something_stays_until_that_is_given_away(engine: Engine, unique: Unique) -> None:
    name, heir, database = unique("grp"), unique("heir"), unique("db")
    engine.run(role(name), role(heir), {"kind": "database", "name": database, "owner": name})
    blocked = engine.one(role(name, state="absent"))
    assert blocked["reason"] == "Blocked"
    assert f'database "{database}"' in blocked["message"] or f"database {database}" in blocked["message"]
    engine.four_runs(role(name, state="absent", reassign_owned_to=heir))
    query = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"
    assert engine.server.query(query, [database]) == [(heir,)]


@pytest.mark.feature("O01", "U09", "G04")
def test_a_role_goes_with_what_others_than_the_owners_gave_it(shop: Shop, unique: Unique) -> None:
    """A role with grant options gave it privileges, which DROP OWNED leaves, and it passed some of them on."""
    name, middle, last = unique("grp"), unique("mid"), unique("lst")
    shop.engine.run(role(name), role(middle), role(last))
    shop.execute(
        "GRANT USAGE ON SCHEMA app TO {middle} WITH GRANT OPTION",
        "GRANT SELECT, UPDATE (note) ON app.orders TO {middle} WITH GRANT OPTION",
        "GRANT EXECUTE ON FUNCTION app.total(text, int[]) TO {middle} WITH GRANT OPTION",
        "GRANT CREATE ON DATABASE {db} TO {middle} WITH GRANT OPTION",
        middle=middle,
        db=shop.name,
        as_role=shop.owner,
    )
    given = ("USAGE ON SCHEMA app", "SELECT, UPDATE (note) ON app.orders", "CREATE ON DATABASE {db}")
    for giver, taker in ((middle, name), (name, last)):
        for what in (*given, "EXECUTE ON FUNCTION app.total(text, int[])"):
            statement = f"GRANT {what} TO {{taker}} WITH GRANT OPTION"
            shop.execute(statement, taker=taker, db=shop.name, as_role=giver)
    before = shop.held(middle)
    done = shop.engine.four_runs(role(name, state="absent"))
    assert all(step["destructive"] for step in done["objects"][0]["steps"] if step["statement"].endswith("CASCADE"))
    assert shop.engine.server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]) == []
    assert shop.held(last) == set(), "what it had passed on went with it"
    assert shop.held(middle) == before


@pytest.mark.feature("O01", "D12")
@pytest.mark.parametrize("pattern", ['{}"quote', "{}'apostrophe", "{} space", "{}.dot", "{}%s", "{}{{}}", "{}Ünï😀"])
def test_any_name_is_quoted_right(engine: Engine, unique: Unique, pattern: str) -> None:
    name = pattern.format(unique("n"))
    group = f"{name}g"
    engine.four_runs(role(group), role(name, in_roles=[group]))
    query = "SELECT pg_has_role(%s, %s, 'MEMBER')"
    assert engine.server.query(query, [name, group]) == [(True,)]
    engine.four_runs(role(name, state="absent"), role(group, state="absent"))
    assert engine.server.query("SELECT 1 FROM pg_roles WHERE rolname IN (%s, %s)", [name, group]) == []
