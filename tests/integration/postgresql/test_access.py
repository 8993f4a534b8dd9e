# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what with a table, and through what: the answer is held against the server's own functions and logins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from integration.postgresql.engine import grant, role, user
from integration.postgresql.shop import Shop

Unique = Callable[[str], str]
Answer = dict[tuple[str, str], dict[str, Any]]


def ask(shop: Shop, table: str = "orders", schema: str | None = "app", *privileges: str) -> Answer:
    """Ask the engine; give the answer by role and privilege."""
    options = {"privileges": list(privileges)} if privileges else {}
    result = shop.engine.one(
        {"kind": "database_access", "database": shop.name, "schema": schema, "table": table, **options}
    )
    assert not result["failed"], result
    assert not result["changed"]
    return {(one["role"], one["privilege"]): one for one in result["observed"]["access"]}


def kinds(entry: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in entry["through"]}


def judge(shop: Shop, answer: Answer, table: str, privilege: str) -> None:
    """Compare with what the server says of every role."""
    query = (
        "SELECT rolname, rolcanlogin, has_table_privilege(oid, %(table)s::regclass, %(word)s),"
        " has_any_column_privilege(oid, %(table)s::regclass, %(column)s),"
        " has_schema_privilege(oid, (SELECT relnamespace FROM pg_class WHERE oid = %(table)s::regclass), 'USAGE'),"
        " has_database_privilege(oid, current_database(), 'CONNECT') FROM pg_roles"
    )
    on_columns = privilege in ("SELECT", "INSERT", "UPDATE", "REFERENCES")
    parameters = {"table": table, "word": privilege, "column": privilege if on_columns else "SELECT"}
    everybody = answer.get(("PUBLIC", privilege))
    for name, login, whole, some, usage, connect in shop.engine.server.query(query, parameters, dbname=shop.name):
        one = answer.get((name, privilege))
        at_hand = bool(one and any(way["at_hand"] for way in one["through"]))
        says = at_hand or (everybody is not None)
        assert says == (some if on_columns else whole), name
        reaches = usage and (connect or not login)
        assert bool((one and one["effective"]) or (everybody and everybody["effective"])) == (says and reaches), name
        if one and at_hand and one["columns"] is None and not everybody:
            assert whole or not all(way["at_hand"] for way in one["through"] if not way["columns"]), name


@pytest.mark.feature("G08")
def test_every_way_to_a_table(shop: Shop, unique: Unique) -> None:
    """An owner, superusers, a direct grant, a column, two roles in a row, a predefined role, PUBLIC, SET ROLE."""
    names = ("direct", "column", "inner", "outer", "chained", "reader", "becomes", "nobody")
    direct, column, inner, outer, chained, reader, becomes, nobody = (unique(one) for one in names)
    logins = [
        *(user(name, password="x") for name in (direct, column, reader, nobody)),
        user(chained, password="x", in_roles=[outer]),
        user(becomes, password="x", inherit=False, in_roles=[outer]),
    ]
    entry = shop.entry("SELECT", schema="app", tables=["orders"])
    done = shop.engine.run(
        role(inner),
        role(outer, in_roles=[inner]),
        *logins,
        grant("d", user=direct, grants=[entry | {"grant_option": True}]),
        grant("c", user=column, grants=[entry | {"columns": ["id", "note"]}]),
        grant("i", role=inner, grants=[entry, shop.entry("UPDATE", schema="app", tables=["orders"])]),
    )
    assert not done["failed"], done["objects"]
    shop.execute("GRANT pg_read_all_data TO {reader}", reader=reader)
    answer = ask(shop)
    for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"):
        judge(shop, answer, "app.orders", privilege)
    assert kinds(answer[shop.owner, "SELECT"]) == {"owner"}
    assert kinds(answer["postgres", "DELETE"]) == {"superuser"}
    assert kinds(answer[direct, "SELECT"]) == {"grant"}
    assert answer[direct, "SELECT"]["through"][0]["grantor"] == shop.owner
    assert answer[direct, "SELECT"]["through"][0]["grantable"]
    assert answer[column, "SELECT"]["columns"] == ["id", "note"]
    assert answer[column, "SELECT"]["effective"]
    assert answer[chained, "UPDATE"]["through"][0]["path"] == [chained, outer, inner]
    assert kinds(answer[reader, "SELECT"]) == {"predefined"}
    assert answer[reader, "SELECT"]["through"][0]["path"] == [reader, "pg_read_all_data"]
    assert not answer[becomes, "SELECT"]["effective"]
    assert not answer[becomes, "SELECT"]["through"][0]["at_hand"]
    assert (nobody, "SELECT") not in answer
    for name in (direct, column, chained, reader, becomes, nobody):
        for privilege, statement in (
            ("SELECT", "SELECT id FROM app.orders"),
            ("UPDATE", "UPDATE app.orders SET id = 1"),
        ):
            may = (name, privilege) in answer and answer[name, privilege]["effective"]
            assert shop.may(name, statement) == may, (name, privilege)


@pytest.mark.feature("G08")
def test_what_everybody_may(shop: Shop, unique: Unique) -> None:
    inside, outside = unique("in"), unique("out")
    shop.engine.run(user(inside, password="x"), user(outside, password="x"))
    shop.execute("GRANT SELECT ON app.orders TO PUBLIC", "GRANT USAGE ON SCHEMA app TO {inside}", inside=inside)
    answer = ask(shop)
    judge(shop, answer, "app.orders", "SELECT")
    assert not answer["PUBLIC", "SELECT"]["effective"], "not everybody gets into the schema"
    assert answer[inside, "SELECT"]["effective"]
    assert (outside, "SELECT") not in answer
    assert shop.may(inside, "TABLE app.orders")
    assert not shop.may(outside, "TABLE app.orders")
    shop.execute("GRANT USAGE ON SCHEMA app TO PUBLIC")
    answer = ask(shop)
    judge(shop, answer, "app.orders", "SELECT")
    assert answer["PUBLIC", "SELECT"]["effective"]
    assert (inside, "SELECT") not in answer, "said once for everybody"
    shop.execute(
        "GRANT CONNECT ON DATABASE {db} TO {admin}",
        "REVOKE CONNECT ON DATABASE {db} FROM PUBLIC",
        db=shop.name,
        admin=shop.engine.login.user,
    )
    answer = ask(shop)
    judge(shop, answer, "app.orders", "SELECT")
    assert not answer["PUBLIC", "SELECT"]["effective"]


@pytest.mark.feature("G08")
def test_without_usage_or_connect_it_is_not_effective(shop: Shop, unique: Unique) -> None:
    name = unique("app")
    shop.engine.run(user(name, password="x"))
    shop.execute("GRANT SELECT ON app.orders TO {name}", name=name)
    judge(shop, ask(shop), "app.orders", "SELECT")
    assert not ask(shop)[name, "SELECT"]["effective"]
    assert not shop.may(name, "TABLE app.orders")
    shop.execute("GRANT USAGE ON SCHEMA app TO {name}", name=name)
    assert ask(shop)[name, "SELECT"]["effective"]
    assert shop.may(name, "TABLE app.orders")


@pytest.mark.feature("G08")
def test_it_is_asked_after_what_comes_before_it_in_the_list(shop: Shop, unique: Unique) -> None:
    name = unique("app")
    question = {"kind": "database_access", "database": shop.name, "schema": "app", "table": "sums"}
    given = grant("g", user=name, grants=[shop.entry("SELECT", schema="app", tables=["sums"])])
    document = shop.engine.run(user(name), given, question | {"privileges": ["select"]})
    observed = document["objects"][2]["observed"]
    assert (observed["type"], observed["owner"]) == ("materialized view", shop.owner)
    assert name in {one["role"] for one in observed["access"] if one["effective"]}


@pytest.mark.feature("G08", "L10")
@pytest.mark.parametrize(
    ("options", "reason", "field"),
    [
        ({"table": "no such table"}, "DependencyNotReady", "table"),
        ({"schema": "no such schema"}, "DependencyNotReady", "table"),
        ({"database": "no such database"}, "DependencyNotReady", None),
        ({"privileges": ["EXECUTE"]}, "InvalidSpec", "privileges"),
        ({"privileges": []}, "InvalidSpec", "privileges"),
        ({"table": "ü" * 32}, "InvalidSpec", "table"),
        ({"table": None}, "InvalidSpec", "table"),
        ({"colour": "red"}, "InvalidSpec", "colour"),
    ],
)
def test_what_cannot_be_asked(shop: Shop, options: dict[str, Any], reason: str, field: str | None) -> None:
    question = {"kind": "database_access", "database": shop.name, "schema": "app", "table": "orders", **options}
    result = shop.engine.one(question)
    assert (result["reason"], result["field"]) == (reason, field), result


@pytest.mark.feature("G08")
def test_all_privileges_of_a_table_in_public(shop: Shop) -> None:
    shop.execute("CREATE TABLE public.plain ()", "ALTER TABLE public.plain OWNER TO {o}", o=shop.owner)
    answer = ask(shop, "plain", None, "ALL")
    assert {word for name, word in answer if name == shop.owner} >= {"SELECT", "TRUNCATE", "TRIGGER", "MAINTAIN"}
    for privilege in ("SELECT", "TRUNCATE", "MAINTAIN"):
        judge(shop, answer, "public.plain", privilege)
