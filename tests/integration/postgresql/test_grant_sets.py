# SPDX-License-Identifier: GPL-3.0-or-later
"""What is declared, what was given and what others declare: taken away is the difference, and never a bit more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine, grant, owner, role, user
from integration.postgresql.shop import Shop

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge

Unique = Callable[[str], str]

_USAGE = "USAGE schema app"


@pytest.fixture
def app(engine: Engine, unique: Unique) -> str:
    """A login with the password x."""
    name = unique("app")
    assert not engine.run(user(name, password="x"))["failed"]
    return name


def owned(name: str, **options: Any) -> dict[str, Any]:
    """Declare a grant with an owner, so that it is remembered what it gave."""
    return grant(name, dbops_owner=owner(name, kind="DatabaseGrant"), **options)


def on_orders(shop: Shop, *privileges: str, **options: Any) -> dict[str, Any]:
    """Declare privileges on one table."""
    return shop.entry(*privileges, schema="app", tables=["orders"], **options)


@pytest.mark.feature("G05")
def test_a_privilege_that_leaves_the_declaration_is_revoked(shop: Shop, app: str) -> None:
    declared = owned("g", user=app, grants=[on_orders(shop, "SELECT", "INSERT"), shop.entry("SELECT", schema="app")])
    shop.engine.four_runs(declared)
    done = shop.engine.four_runs(declared | {"grants": [on_orders(shop, "SELECT")]})
    assert shop.held(app) == {_USAGE, "SELECT app.orders"}
    revoked = [
        one for one in done["objects"][0]["steps"] if one["action"] == "revoke" and "moment" not in one["target"]
    ]
    assert revoked
    assert all(step["destructive"] for step in revoked)
    shop.engine.four_runs(declared | {"grants": []})
    assert shop.held(app) == set()
    assert not shop.may(app, "TABLE app.orders")


@pytest.mark.feature("G05")
def test_deleting_takes_back_what_it_gave_and_nothing_else(shop: Shop, app: str, unique: Unique) -> None:
    group, by_hand = unique("grp"), unique("hand")
    shop.engine.run(role(group), role(by_hand))
    declared = owned("g", user=app, roles=[group], grants=[on_orders(shop, "SELECT"), shop.entry("CREATE")])
    shop.engine.four_runs(declared)
    shop.execute(
        "GRANT INSERT ON app.orders TO {app}",
        "GRANT SELECT ON app.sums TO {app}",
        "GRANT {hand} TO {app}",
        app=app,
        hand=by_hand,
    )
    shop.engine.four_runs(declared | {"state": "absent"})
    assert shop.held(app) == {"INSERT app.orders", "SELECT app.sums"}
    query = "SELECT pg_has_role(%s, %s, 'MEMBER'), pg_has_role(%s, %s, 'MEMBER')"
    assert shop.engine.server.query(query, [app, group, app, by_hand]) == [(False, True)]


@pytest.mark.feature("G05")
def test_what_another_declaration_still_gives_stays(shop: Shop, app: str, unique: Unique) -> None:
    group = unique("grp")
    shop.engine.run(role(group))
    first = owned("first", user=app, roles=[group], grants=[on_orders(shop, "SELECT", "INSERT")])
    second = owned("second", user=app, roles=[group], grants=[shop.entry("SELECT", schema="app")])
    shop.engine.four_runs(first, second)
    shop.engine.four_runs(first | {"state": "absent"})
    assert "SELECT app.orders" in shop.held(app)
    assert "INSERT app.orders" not in shop.held(app)
    member = "SELECT pg_has_role(%s, %s, 'MEMBER')"
    assert shop.engine.server.query(member, [app, group]) == [(True,)]
    shop.engine.four_runs(second | {"state": "absent"})
    assert shop.held(app) == set()
    assert shop.engine.server.query(member, [app, group]) == [(False,)]


@pytest.mark.feature("G05", "G06")
def test_one_of_a_list_takes_nothing_that_another_of_it_gives(shop: Shop, app: str) -> None:
    """The second is new: the ledger does not know it when the first one is worked on."""
    first = owned("first", user=app, grants=[on_orders(shop, "SELECT")])
    shop.engine.four_runs(first)
    moved = [first | {"grants": []}, owned("second", user=app, grants=[on_orders(shop, "SELECT")])]
    done = shop.engine.run(*moved)
    assert not done["failed"]
    assert [one["steps"] for one in done["objects"]] == [[], []], "never a moment without it"
    assert shop.held(app) == {_USAGE, "SELECT app.orders"}
    shop.engine.four_runs(moved[1] | {"state": "absent"})
    assert shop.held(app) == set()


@pytest.mark.feature("G05", "O02")
def test_the_own_entries_of_a_role_and_a_grant_to_it(shop: Shop, unique: Unique) -> None:
    group = unique("grp")
    declared = role(group, grants=[on_orders(shop, "SELECT")], dbops_owner=owner(group, kind="DatabaseRole"))
    given = owned("g", role=group, grants=[on_orders(shop, "SELECT", "DELETE")])
    shop.engine.four_runs(declared, given)
    shop.engine.four_runs(given | {"grants": []})
    assert shop.held(group) == {"SELECT app.orders"}
    shop.engine.run(given)
    shop.engine.run(declared | {"grants": []})
    assert shop.held(group) == {_USAGE, "SELECT app.orders", "DELETE app.orders"}


@pytest.mark.feature("G01", "U08", "L07")
def test_a_membership_by_a_grant_is_not_too_much_for_the_user(engine: Engine, unique: Unique) -> None:
    name, own, given, by_hand = unique("app"), unique("own"), unique("giv"), unique("hand")
    engine.run(role(own), role(given), role(by_hand))
    declared = user(name, in_roles=[own], dbops_owner=owner(name))
    granted = owned("g", user=name, roles=[given, own])
    engine.four_runs(declared, granted)
    for objects in ([declared], [granted], [declared, granted], [granted, declared]):
        assert not engine.run(*objects)["changed"]
    hand = f'GRANT "{by_hand}" TO "{name}" GRANTED BY "{engine.login.user}"'
    engine.server.query(hand)  # type: ignore[arg-type]
    found = engine.one(declared, check=True)["differences"]
    assert [(one["field"], one["actual"]) for one in found] == [("inRoles.extra", by_hand)]
    engine.four_runs(declared)
    engine.four_runs(granted | {"state": "absent"})
    query = "SELECT pg_has_role(%s, %s, 'MEMBER'), pg_has_role(%s, %s, 'MEMBER')"
    assert engine.server.query(query, [name, own, name, given]) == [(True, False)]


@pytest.mark.feature("G05", "D06")
def test_default_privileges_of_a_database_and_of_a_grant(shop: Shop, app: str) -> None:
    default = {"schema": "app", "object_type": "tables", "granted_by": shop.owner}
    database = {"kind": "database", "name": shop.name, "adopt": True, "dbops_owner": owner("db", kind="Database")}
    database |= {"default_privileges": [{"role": app, "privileges": ["SELECT"], **default}]}
    granted = owned("g", user=app, default_privileges=[
        {"database": shop.name, "privileges": ["SELECT", "INSERT"], **default}
    ])  # fmt: skip
    shop.engine.four_runs(database, granted)
    for objects in ([database], [granted]):
        assert not shop.engine.run(*objects)["changed"]

    def given() -> set[str]:
        query = (
            "SELECT x.privilege_type FROM pg_default_acl, aclexplode(defaclacl) x"
            " WHERE x.grantee = quote_ident(%s)::regrole"
        )
        return {row[0] for row in shop.engine.server.query(query, [app], dbname=shop.name)}

    assert given() == {"SELECT", "INSERT"}
    shop.engine.four_runs(granted | {"state": "absent"})
    assert given() == {"SELECT"}
    shop.engine.run(granted)
    shop.engine.run(database | {"default_privileges": []})
    assert given() == {"SELECT", "INSERT"}


@pytest.mark.feature("G04")
def test_the_grant_option_is_added_and_removed_alone(shop: Shop, app: str, unique: Unique) -> None:
    other = unique("oth")
    shop.engine.run(role(other))
    declared = owned("g", user=app, grants=[on_orders(shop, "SELECT", "INSERT")])
    shop.engine.four_runs(declared)
    passing = on_orders(shop, "SELECT", grant_option=True)
    shop.engine.four_runs(declared | {"grants": [on_orders(shop, "SELECT", "INSERT"), passing]})
    assert shop.held(app) == {_USAGE, "SELECT app.orders*", "INSERT app.orders"}
    assert shop.may(app, f'GRANT SELECT ON app.orders TO "{other}"')
    done = shop.engine.four_runs(declared)
    statements = [step["statement"] for step in done["objects"][0]["steps"] if step["destructive"]]
    assert statements == [f'REVOKE GRANT OPTION FOR SELECT ON TABLE "app"."orders" FROM "{app}"']
    assert shop.held(app) == {_USAGE, "SELECT app.orders", "INSERT app.orders"}
    assert shop.may(app, "TABLE app.orders")


@pytest.mark.feature("G04", "G05")
def test_what_was_passed_on_blocks_and_is_named(shop: Shop, app: str, unique: Unique) -> None:
    other = unique("oth")
    shop.engine.run(role(other))
    declared = owned("g", user=app, grants=[on_orders(shop, "SELECT", grant_option=True)])
    shop.engine.four_runs(declared)
    shop.execute("GRANT SELECT ON app.orders TO {other}", other=other, as_role=app)
    for changed in (on_orders(shop, "SELECT"), on_orders(shop, "INSERT")):
        for check in (True, False):
            result = shop.engine.one(declared | {"grants": [changed]}, check=check)
            assert (result["reason"], result["field"]) == ("Blocked", "grants")
            assert f"passed SELECT on table app.orders on to {other}" in result["message"]
    assert {"SELECT app.orders*", "INSERT app.orders"} <= shop.held(app), "the rest was done"
    assert shop.engine.one(declared | {"state": "absent"})["reason"] == "Blocked"
    shop.execute("REVOKE SELECT ON app.orders FROM {other}", other=other, as_role=app)
    shop.engine.four_runs(declared | {"state": "absent"})
    assert shop.held(app) == set()


@pytest.mark.feature("G05", "G06")
def test_revoking_on_a_table_leaves_its_columns(shop: Shop, app: str) -> None:
    """PostgreSQL takes a privilege from all columns along with the table's: given again in the same transaction."""
    by_hand = "GRANT SELECT (total) ON app.orders TO {app} WITH GRANT OPTION"
    columns = on_orders(shop, "SELECT", columns=["id"])
    declared = owned("g", user=app, grants=[on_orders(shop, "SELECT"), columns])
    shop.engine.four_runs(declared)
    shop.execute(by_hand, app=app, as_role=shop.owner)
    shop.engine.four_runs(declared | {"grants": [columns]})
    assert shop.held(app) == {_USAGE, "SELECT app.orders.id", "SELECT app.orders.total*"}
    assert shop.may(app, "SELECT id, total FROM app.orders")
    assert not shop.may(app, "SELECT note FROM app.orders")
    shop.engine.four_runs(declared | {"grants": [on_orders(shop, "SELECT", grant_option=True), columns]})
    shop.engine.four_runs(declared)
    assert shop.held(app) == {_USAGE, "SELECT app.orders", "SELECT app.orders.id", "SELECT app.orders.total*"}
    shop.engine.four_runs(declared | {"grants": [on_orders(shop, "SELECT")]})
    assert shop.held(app) == {_USAGE, "SELECT app.orders", "SELECT app.orders.total*"}


@pytest.mark.feature("G06")
def test_nobody_ever_sees_a_moment_without_a_privilege(shop: Shop, app: str) -> None:
    """A login reads all the time while the declaration goes to and fro between a table, a column and a schema."""
    entries = [
        on_orders(shop, "SELECT"),
        on_orders(shop, "SELECT", columns=["id"]),
        shop.entry("SELECT", schema="app"),
        on_orders(shop, "SELECT", "INSERT", grant_option=True),
    ]
    declared = owned("g", user=app)
    shop.engine.run(declared | {"grants": entries[:1]})
    stop, refused = threading.Event(), []

    def read() -> None:
        with psycopg.connect(shop.engine.server.login(app, "x").dsn(shop.name), autocommit=True) as connection:
            while not stop.is_set():
                try:
                    connection.execute("SELECT id FROM app.orders")
                except psycopg.Error as error:
                    refused.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for entry in entries[1:] + entries[:1] + entries[2:] + entries[1:3]:
            assert not shop.engine.one(declared | {"grants": [entry]})["failed"]
    finally:
        stop.set()
        reader.join()
    assert refused == []


@pytest.mark.feature("G06")
def test_no_statement_is_sent_when_nothing_differs(shop: Shop, app: str, unique: Unique) -> None:
    group = unique("grp")
    everything = owned(
        "g",
        user=app,
        roles=[group],
        grants=[
            *(shop.entry("ALL"), shop.entry("ALL", schema="app"), on_orders(shop, "ALL", columns=["id"])),
            shop.entry("ALL", schema="app", sequences=["*"], functions=["*"], grant_option=True),
        ],
        default_privileges=[
            {"database": shop.name, "schema": "app", "object_type": "types", "privileges": ["ALL"]}
            | {"granted_by": shop.owner}
        ],
    )
    shop.engine.four_runs(role(group), everything)
    shop.engine.server.query("ALTER SYSTEM SET log_statement = 'ddl'")
    shop.engine.server.reload()
    log = shop.engine.server.log
    before = len(log.read_text(encoding="utf-8", errors="replace"))
    try:
        shop.engine.run(everything)
    finally:
        shop.engine.server.query("ALTER SYSTEM RESET log_statement")
        shop.engine.server.reload()
    sent = log.read_text(encoding="utf-8", errors="replace")[before:]
    assert "GRANT" not in sent
    assert "REVOKE" not in sent


@pytest.mark.feature("L07", "G06")
def test_differences_name_what_is_missing_and_too_much(shop: Shop, app: str) -> None:
    declared = owned(
        "g",
        user=app,
        grants=[
            on_orders(shop, "SELECT", "INSERT"),
            shop.entry("USAGE", schema="app", sequences=["numbers"]),
            shop.entry("EXECUTE", schema="app", functions=["total(int)"]),
            on_orders(shop, "UPDATE", columns=["note"]),
            shop.entry("CREATE"),
        ],
    )
    shop.engine.four_runs(declared)
    shop.execute(
        "REVOKE INSERT ON app.orders FROM {app}",
        "REVOKE USAGE ON app.numbers FROM {app}",
        "REVOKE EXECUTE ON FUNCTION app.total(int) FROM {app}",
        "REVOKE CREATE ON DATABASE {db} FROM {app}",
        "REVOKE USAGE ON SCHEMA app FROM {app}",
        "REVOKE UPDATE (note) ON app.orders FROM {app}",
        app=app,
        db=shop.name,
    )
    found = shop.engine.one(declared, check=True)["differences"]
    assert {(one["field"], one["expected"], one["actual"]) for one in found} == {
        ("grants.table.app.orders.missing", "INSERT", ""),
        ("grants.sequence.app.numbers", "USAGE", ""),
        ("grants.function.app.total(integer)", "EXECUTE", ""),
        (f"grants.database.{shop.name}", "CREATE", ""),
        ("grants.schema.app", "USAGE", ""),
        ("grants.column.app.orders.note", "UPDATE", ""),
    }
    assert not any(one["destructive"] for one in found)
    shop.engine.four_runs(declared)
    found = shop.engine.one(declared | {"grants": [on_orders(shop, "SELECT", grant_option=True)]}, check=True)[
        "differences"
    ]
    assert {(one["field"], one["expected"], one["actual"], one["destructive"]) for one in found} == {
        ("grants.table.app.orders.grantOption.missing", "SELECT", "", False),
        ("grants.table.app.orders.extra", "", "INSERT", True),
        ("grants.sequence.app.numbers.extra", "", "USAGE", True),
        ("grants.function.app.total(integer).extra", "", "EXECUTE", True),
        (f"grants.database.{shop.name}.extra", "", "CREATE", True),
        ("grants.column.app.orders.note.extra", "", "UPDATE", True),
    }


@pytest.mark.feature("G05")
def test_deleting_when_who_got_it_is_gone(shop: Shop, app: str) -> None:
    declared = owned("g", user=app, grants=[on_orders(shop, "SELECT")])
    shop.engine.four_runs(declared)
    shop.execute("DROP OWNED BY {app}", "DROP ROLE {app}", app=app)
    waiting = shop.engine.one(declared)
    assert (waiting["reason"], waiting["field"]) == ("DependencyNotReady", "user")
    result = shop.engine.one(declared | {"state": "absent"})
    assert not result["failed"]
    assert result["steps"] == []


@pytest.mark.feature("G05")
def test_deleting_when_the_database_is_gone(shop: Shop, app: str) -> None:
    declared = owned("g", user=app, grants=[on_orders(shop, "SELECT")])
    shop.engine.four_runs(declared)
    shop.engine.inside.remove(shop.name)
    shop.engine.run({"kind": "database", "name": shop.name, "state": "absent", "end_sessions": True})
    assert shop.engine.one(declared)["reason"] == "DependencyNotReady"
    result = shop.engine.one(declared | {"state": "absent"})
    assert not result["failed"]
    assert result["steps"] == []


@pytest.mark.feature("G05")
def test_all_together_go_in_any_order(shop: Shop, app: str, unique: Unique) -> None:
    group = unique("grp")
    objects = [
        role(group, dbops_owner=owner(group, kind="DatabaseRole"), grants=[shop.entry("ALL", schema="app")]),
        owned("g", user=app, roles=[group], grants=[shop.entry("ALL", schema="app"), shop.entry("ALL")]),
    ]
    shop.engine.four_runs(*objects)
    gone = [user(app, state="absent"), *(one | {"state": "absent"} for one in objects)]
    shop.engine.four_runs(*gone)
    query = "SELECT 1 FROM pg_roles WHERE rolname IN (%s, %s)"
    assert shop.engine.server.query(query, [app, group]) == []


@pytest.mark.feature("G05")
def test_without_an_owner_absent_takes_back_what_is_listed(shop: Shop, app: str, unique: Unique) -> None:
    group = unique("grp")
    shop.engine.run(role(group))
    listed = grant("g", user=app, roles=[group], grants=[on_orders(shop, "SELECT", "INSERT")])
    shop.engine.four_runs(listed)
    assert not shop.engine.run(listed | {"grants": [], "roles": []})["changed"], "nothing is remembered"
    fewer = listed | {"roles": [], "grants": [on_orders(shop, "INSERT")], "state": "absent"}
    shop.engine.four_runs(fewer)
    assert shop.held(app) == {"SELECT app.orders"}
    shop.engine.four_runs(listed | {"state": "absent"})
    assert shop.held(app) == set()
    member = "SELECT pg_has_role(%s, %s, 'MEMBER')"
    assert shop.engine.server.query(member, [app, group]) == [(False,)]


@pytest.mark.feature("G05", "L08")
def test_without_an_owner_nothing_is_taken_from_a_declaration_unless_forced(shop: Shop, app: str) -> None:
    declared = owned("g", user=app, grants=[shop.entry("SELECT", schema="app")])
    shop.engine.four_runs(declared)
    listed = grant("playbook", user=app, grants=[on_orders(shop, "SELECT")], state="absent")
    for check in (True, False):
        result = shop.engine.one(listed, check=check)
        assert result["reason"] == "Conflict"
        assert "DatabaseGrant team/g" in result["message"]
    assert "SELECT app.orders" in shop.held(app)
    shop.engine.four_runs(listed | {"force": True})
    assert "SELECT app.orders" not in shop.held(app)
    shop.engine.four_runs(declared)


@pytest.mark.feature("G05")
def test_a_run_that_was_cut_off_leaves_nothing_that_nobody_remembers(shop: Shop, app: str, unique: Unique) -> None:
    """It gave something in one database and was cancelled before the next; then the declaration changes."""
    other = unique("zz")
    shop.engine.run({"kind": "database", "name": other, "schemas": [{"name": "app"}]})
    in_other = {"database": other, "schema": "app", "privileges": ["CREATE"]}
    declared = owned("g", user=app, grants=[shop.entry("CREATE", schema="app"), in_other])
    asked = 0

    def cancelled(_: str) -> bool:
        nonlocal asked
        asked += 1
        return "CREATE schema app" in shop.held(app)

    request = {"connection": shop.engine.options, "objects": [declared]}
    (result,) = converge(request, cancelled=cancelled)["objects"]
    assert result["reason"] == "Cancelled"
    assert asked
    assert "CREATE schema app" in shop.held(app)
    shop.engine.four_runs(declared | {"state": "absent"})
    assert shop.held(app) == set()


@pytest.mark.feature("G06")
def test_somebody_grants_by_hand_all_the_time(shop: Shop, app: str, unique: Unique) -> None:
    """`tuple concurrently updated` is tried again, and what is given by hand meanwhile is not lost."""
    other, stop = unique("oth"), threading.Event()
    shop.engine.run(role(other))
    failed: list[Exception] = []

    def by_hand() -> None:
        while not stop.is_set():
            try:
                shop.execute(
                    "GRANT SELECT ON app.orders TO {other}", "REVOKE INSERT ON app.orders FROM {other}", other=other
                )
            except psycopg.errors.InternalError_:
                continue
            except psycopg.Error as error:
                failed.append(error)

    hand = threading.Thread(target=by_hand)
    hand.start()
    try:
        for number in range(6):
            entry = on_orders(shop, *(("SELECT",) if number % 2 else ("SELECT", "INSERT", "UPDATE")))
            result = shop.engine.one(owned("g", user=app, grants=[entry]))
            assert not result["failed"], result
    finally:
        stop.set()
        hand.join()
    assert failed == []
    assert shop.held(app) == {_USAGE, "SELECT app.orders"}
    assert "SELECT app.orders" in shop.held(other)


@pytest.mark.feature("G05", "G06")
def test_declarations_that_cross_each_other(shop: Shop, app: str) -> None:
    """Two controllers at once: one declaration lets go of what the other one takes up, again and again."""
    entry = on_orders(shop, "SELECT")
    first, second = owned("first", user=app), owned("second", user=app)
    shop.engine.run(first | {"grants": [entry]})
    for _ in range(4):
        runs = [
            threading.Thread(target=shop.engine.run, args=[first | {"grants": []}]),
            threading.Thread(target=shop.engine.run, args=[second | {"grants": [entry]}]),
        ]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
        assert "SELECT app.orders" in shop.held(app)
        first, second = second, first


@pytest.mark.feature("G05")
def test_another_grantee_gets_it_and_the_one_before_loses_it(shop: Shop, app: str, unique: Unique) -> None:
    group, other = unique("grp"), unique("oth")
    shop.engine.run(role(group), user(other, password="x"))
    default = {"database": shop.name, "schema": "app", "object_type": "tables", "granted_by": shop.owner}
    declared = owned(
        "g",
        user=app,
        roles=[group],
        grants=[on_orders(shop, "SELECT", "INSERT"), shop.entry("CREATE")],
        default_privileges=[{**default, "privileges": ["SELECT"]}],
    )
    stays = owned("stays", user=app, grants=[on_orders(shop, "SELECT")])
    shop.engine.four_runs(declared, stays)
    by_hand = "GRANT DELETE ON app.orders TO {app}", "GRANT UPDATE ON app.orders TO {other}"
    shop.execute(*by_hand, app=app, other=other)
    moved = {name: value for name, value in declared.items() if name != "user"} | {"user": other}
    done = shop.engine.four_runs(moved)
    assert any(one["destructive"] for one in done["objects"][0]["differences"])
    assert shop.held(app) == {_USAGE, "SELECT app.orders", "DELETE app.orders"}
    assert {"INSERT app.orders", "SELECT app.orders", "UPDATE app.orders"} <= shop.held(other)
    assert not shop.may(app, "INSERT INTO app.orders DEFAULT VALUES")
    assert shop.may(other, "TABLE app.orders")
    query = "SELECT pg_has_role(%s, %s, 'MEMBER'), pg_has_role(%s, %s, 'MEMBER')"
    assert shop.engine.server.query(query, [app, group, other, group]) == [(False, True)]
    future = "SELECT DISTINCT x.grantee::regrole::text FROM pg_default_acl, aclexplode(defaclacl) x"
    grantees = {row[0] for row in shop.engine.server.query(future, dbname=shop.name)}
    assert (app in grantees, other in grantees) == (False, True)
    # Back, with both declarations in one list; and what it gave last is what goes with it.
    shop.engine.four_runs(stays, declared)
    assert shop.held(other) == {"UPDATE app.orders"}
    shop.engine.four_runs(moved)
    shop.engine.four_runs(declared | {"state": "absent"})
    assert shop.held(other) == {"UPDATE app.orders"}
    assert "SELECT app.orders" in shop.held(app)


def test_another_grantee_when_the_one_before_is_gone(shop: Shop, app: str, unique: Unique) -> None:
    other = unique("oth")
    shop.engine.run(role(other))
    declared = owned("g", user=app, grants=[on_orders(shop, "SELECT")])
    shop.engine.four_runs(declared)
    shop.execute("DROP OWNED BY {app}", "DROP ROLE {app}", app=app)
    del declared["user"]
    shop.engine.four_runs(declared | {"role": other})
    assert shop.held(other) == {_USAGE, "SELECT app.orders"}


@pytest.mark.feature("G05")
def test_everybody_loses_it_when_somebody_gets_it(shop: Shop, app: str, unique: Unique) -> None:
    third = unique("oth")
    shop.engine.run(user(third, password="x"))
    entries = [on_orders(shop, "SELECT"), shop.entry("USAGE", schema="app")]
    shop.engine.four_runs(owned("g", role="PUBLIC", grants=entries))
    assert shop.may(third, "TABLE app.orders")
    shop.engine.four_runs(owned("g", user=app, grants=entries))
    assert not shop.may(third, "TABLE app.orders")
    assert shop.may(app, "TABLE app.orders")


@pytest.mark.feature("G04", "G05")
def test_another_grantee_waits_until_the_one_before_has_nothing_left(shop: Shop, app: str, unique: Unique) -> None:
    other, third = unique("oth"), unique("thi")
    shop.engine.run(role(other), role(third))
    declared = owned("g", user=app, grants=[on_orders(shop, "SELECT", grant_option=True)])
    shop.engine.four_runs(declared)
    shop.execute("GRANT SELECT ON app.orders TO {third}", third=third, as_role=app)
    moved = owned("g", role=other, grants=[on_orders(shop, "SELECT")])
    for check in (True, False, False):
        assert shop.engine.one(moved, check=check)["reason"] == "Blocked"
    shop.execute("REVOKE SELECT ON app.orders FROM {third}", third=third, as_role=app)
    shop.engine.four_runs(moved)
    assert (shop.held(app), shop.held(other)) == (set(), {_USAGE, "SELECT app.orders"})


def test_another_grantee_that_is_made_in_place_of_the_one_before(shop: Shop, app: str, unique: Unique) -> None:
    other = unique("oth")
    declared = owned("g", user=app, grants=[on_orders(shop, "SELECT")])
    shop.engine.four_runs(declared)
    moved = owned("g", user=other, grants=[on_orders(shop, "SELECT")])
    shop.engine.four_runs(user(app, state="absent"), user(other, password="x"), moved)
    assert shop.held(other) == {_USAGE, "SELECT app.orders"}


def test_nothing_moves_to_another_grantee_where_nothing_may_be_taken_away(shop: Shop, app: str, unique: Unique) -> None:
    other = unique("oth")
    shop.engine.run(role(other))
    shop.engine.four_runs(owned("g", user=app, grants=[on_orders(shop, "SELECT")]))
    moved = owned("g", role=other, grants=[on_orders(shop, "SELECT")])
    for check in (True, False):
        result = shop.engine.one(moved | {"allow_destructive": False}, check=check)
        assert (result["failed"], result["changed"], result["steps"]) == (False, False, [])
        assert any(one["destructive"] for one in result["differences"])
    assert (shop.held(app), shop.held(other)) == ({_USAGE, "SELECT app.orders"}, set())
    shop.engine.four_runs(moved)
    assert (shop.held(app), shop.held(other)) == (set(), {_USAGE, "SELECT app.orders"})
