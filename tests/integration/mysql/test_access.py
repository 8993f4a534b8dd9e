# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what with a table, and through what: every account logs in and tries it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from integration.mysql.engine import Engine, database, grant, role, user

from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MYSQL_9_7, binaries

Unique = Callable[[str], str]
Answer = dict[tuple[str, str], dict[str, Any]]

_TRIES = {
    "SELECT": "SELECT {columns} FROM {table}",
    "INSERT": "INSERT INTO {table} ({columns}) VALUES (1)",
    "UPDATE": "UPDATE {table} SET {columns} = 1",
    "DELETE": "DELETE FROM {table} WHERE 0",
}

_COLUMNS = ("id", "note", "price")


@dataclass
class Shop:
    """A database with a table of three columns, the engine that is asked, and the accounts that try."""

    engine: Engine
    name: str
    table: str = "orders"

    @property
    def path(self) -> str:
        """The table in a statement."""
        return f"`{self.name}`.`{self.table}`"

    def execute(self, *statements: str, **parameters: str) -> None:
        """Do as root what nobody declared; {db} is the database, {table} the table."""
        places = {"db": f"`{self.name}`", "table": self.path, **parameters}
        for statement in statements:
            self.engine.query(statement.format(**places))

    def account(self, name: str, host: str = "%", *roles: str, default: Iterable[str] = ()) -> str:
        """Make an account whose password is `x`, with ROLES, some of them DEFAULT ones."""
        self.engine.query(f"CREATE USER `{name}`@'{host}' IDENTIFIED BY 'x'")
        for one in roles:
            self.engine.query(f"GRANT `{one}` TO `{name}`@'{host}'")
        for one in default:
            to = "FOR" if self.engine.mariadb else "TO"
            self.engine.query(f"SET DEFAULT ROLE `{one}` {to} `{name}`@'{host}'")
        return name

    def tried(self, name: str, *before: str) -> set[tuple[str, str]]:
        """Log in, try every privilege with every column, and give which could be used."""
        found = set()
        with self.engine.connect(name, "x", autocommit=False) as session, session.cursor() as cursor:
            for statement in before:
                cursor.execute(statement)
            for privilege, statement in _TRIES.items():
                for column in _COLUMNS:
                    try:
                        cursor.execute(statement.format(columns=column, table=self.path))
                    except self.engine.denied:
                        continue
                    found.add((privilege, column))
        return found

    def ask(self, *privileges: str) -> Answer:
        """Ask the engine; give the answer by account and privilege."""
        options = {"privileges": list(privileges)} if privileges else {}
        question = {"kind": "database_access", "database": self.name, "table": self.table, **options}
        result = self.engine.one(question)
        assert not result["failed"], result
        assert not result["changed"]
        return {(one["role"], one["privilege"]): one for one in result["observed"]["access"]}

    def judge(self, *names: str, host: str = "%") -> Answer:
        """Let the accounts log in and try every column; they must be able to do exactly what the answer says."""
        answer = self.ask()
        for name in names:
            says = {
                (privilege, column)
                for privilege in _TRIES
                for column in _COLUMNS
                for who in (f"{name}@{host}", "PUBLIC")
                if _has(answer.get((who, privilege)), column)
            }
            assert self.tried(name) == says, name
        return answer


def _has(entry: dict[str, Any] | None, column: str) -> bool:
    ways = [one for one in entry["through"] if one["at_hand"]] if entry else []
    return any(not one["columns"] or column in one["columns"] for one in ways)


def shop_on(engine: Engine, name: str) -> Shop:
    """Make the shop's database, for which nobody has any privilege yet."""
    shop = Shop(engine, name)
    engine.query(f"CREATE DATABASE `{name}`")
    shop.execute("CREATE TABLE {table} (id int, note int, price int)")
    return shop


@pytest.fixture
def shop(engine: Engine, unique: Unique) -> Shop:
    """A shop on each server, asked for by each kind of admin."""
    return shop_on(engine, unique("shop"))


def through(entry: dict[str, Any]) -> list[tuple[str, list[str], bool]]:
    """Give kind, path and whether it is at hand of each way."""
    return [(one["kind"], one["path"], one["at_hand"]) for one in entry["through"]]


@pytest.mark.feature("G08")
def test_every_level(shop: Shop, unique: Unique) -> None:
    """What is declared by our own vocabulary, at each level that there is."""
    names = [unique(one) for one in ("all", "base", "table", "column", "nobody")]
    everywhere, on_database, on_table, on_column, nobody = names
    place = {"database": shop.name}
    entries = {
        on_database: {"level": "database", "privileges": ["SELECT", "INSERT"], **place, "grant_option": True},
        on_table: {"level": "table", "privileges": ["SELECT", "DELETE"], "table": "orders", **place},
        on_column: {"level": "column", "privileges": ["SELECT", "UPDATE"], "table": "orders", "columns": ["id", "note"]}
        | place,
    }
    done = shop.engine.run(
        *(user(one, password="x") for one in names),
        *(grant(name=one, user=one, grants=[entry]) for one, entry in entries.items()),
    )
    assert not done["failed"], done["objects"]
    shop.execute("GRANT SELECT ON *.* TO `{name}`@'%'", name=everywhere)
    answer = shop.judge(*names)
    expected = {everywhere: "global", on_database: "database", on_table: "table", on_column: "column"}
    for name, kind in expected.items():
        account = f"{name}@%"
        assert through(answer[account, "SELECT"]) == [(kind, [account], True)]
        assert answer[account, "SELECT"]["effective"]
    assert answer[f"{on_database}@%", "INSERT"]["through"][0]["grantable"]
    assert answer[f"{on_column}@%", "UPDATE"]["columns"] == ["id", "note"]
    assert (f"{nobody}@%", "SELECT") not in answer
    assert ("root@%", "DELETE") in answer


@pytest.mark.feature("G08")
def test_through_roles(shop: Shop, unique: Unique) -> None:
    """A default role, one within it, and one that takes a SET ROLE first; the role's own entry as well."""
    inner, outer, later = unique("inner"), unique("outer"), unique("later")
    name, other = unique("app"), unique("other")
    table = {"level": "table", "database": shop.name, "table": "orders"}
    done = shop.engine.run(
        role(inner, grants=[{**table, "privileges": ["SELECT"]}]),
        role(outer, in_roles=[inner], grants=[{**table, "privileges": ["INSERT"]}]),
        user(name, password="x", in_roles=[outer]),
    )
    assert not done["failed"], done["objects"]
    shop.execute("CREATE ROLE `{later}`", "GRANT DELETE ON {table} TO `{later}`", later=later)
    shop.account(other, "%", later)
    answer = shop.judge(name, other)
    of = (lambda one: one) if shop.engine.mariadb else (lambda one: f"{one}@%")
    account = f"{name}@%"
    assert through(answer[account, "SELECT"]) == [("table", [account, of(outer), of(inner)], True)]
    assert through(answer[account, "INSERT"]) == [("table", [account, of(outer)], True)]
    assert through(answer[of(outer), "SELECT"]) == [("table", [of(outer), of(inner)], True)]
    assert not answer[of(outer), "SELECT"]["login"]
    entry = answer[f"{other}@%", "DELETE"]
    assert through(entry) == [("table", [f"{other}@%", of(later)], False)]
    assert not entry["effective"]
    assert ("DELETE", "id") in shop.tried(other, f"SET ROLE `{later}`")


@pytest.mark.feature("G08")
@pytest.mark.parametrize("wild", [("%",), ("%", "{start}%"), ("{start}%", "{escaped}"), ("{escaped}", "%"), ("{any}",)])
def test_database_patterns(superuser_engine: Engine, unique: Unique, wild: tuple[str, ...]) -> None:
    """Of rows for databases only one counts; which one differs between servers, and with a role that is active."""
    shop = shop_on(superuser_engine, unique("shop"))
    places = {
        "start": shop.name[:4],
        "escaped": shop.name.replace("_", "\\_"),
        "any": "_" * len(shop.name),
    }
    patterns = [one.format(**places) for one in wild]
    plain, active, through_role, holder, empty = (unique(one) for one in ("plain", "active", "role", "hold", "empty"))
    for one in (holder, empty):
        shop.engine.query(f"CREATE ROLE `{one}`")
    shop.account(plain)
    shop.account(active, "%", empty, default=[empty])
    shop.account(through_role, "%", holder, default=[holder])
    try:
        for who in (f"`{plain}`@'%'", f"`{active}`@'%'", f"`{holder}`"):
            for privilege, pattern in zip(("SELECT", "INSERT"), patterns, strict=False):
                shop.engine.query(f"GRANT {privilege} ON `{pattern}`.* TO {who}")
        answer = shop.judge(plain, active, through_role)
    finally:
        # Who may enter every database may enter the ledger, which others trust.
        for who in (f"`{plain}`@'%'", f"`{active}`@'%'", f"`{through_role}`@'%'"):
            shop.engine.query(f"DROP USER {who}")
        shop.engine.query(f"DROP ROLE `{holder}`, `{empty}`")
    found = [one for key, one in answer.items() if key[0] == f"{plain}@%"]
    assert len(found) == 1, "one row counts"
    assert {one["pattern"] for one in found[0]["through"]} <= set(patterns)


@pytest.mark.feature("G08")
def test_rows_of_other_hosts(shop: Shop, unique: Unique) -> None:
    """As long as no role is active, what another account of the same name was given counts for a session that fits."""
    name, group = unique("app"), unique("grp")
    shop.account(name)
    shop.account(name, "127.0.0.1")
    shop.execute("GRANT SELECT ON {db}.* TO `{name}`@'%'", "GRANT INSERT ON {table} TO `{name}`@'%'", name=name)
    answer = shop.judge(name, host="127.0.0.1")
    account = f"{name}@127.0.0.1"
    assert through(answer[account, "SELECT"]) == [("database", [account, f"{name}@%"], True)]
    shop.execute("GRANT DELETE ON {db}.* TO `{name}`@'127.0.0.1'", name=name)
    answer = shop.judge(name, host="127.0.0.1")
    assert (account, "SELECT") not in answer, "the row for the host that says more hides the other one"
    shop.execute("CREATE ROLE `{group}`", "GRANT `{group}` TO `{name}`@'127.0.0.1'", group=group, name=name)
    shop.execute(
        "SET DEFAULT ROLE `{group}` {to} `{name}`@'127.0.0.1'",
        group=group,
        name=name,
        to="FOR" if shop.engine.mariadb else "TO",
    )
    shop.judge(name, host="127.0.0.1")


@pytest.mark.feature("G08")
def test_what_everybody_may(superuser_engine: Engine, unique: Unique) -> None:
    """PUBLIC of MariaDB, with what its roles have; and accounts without a name, whose databases everybody has."""
    shop = shop_on(superuser_engine, unique("shop"))
    name, group = unique("app"), unique("grp")
    shop.account(name)
    if shop.engine.mariadb:
        shop.execute("CREATE ROLE `{group}`", "GRANT UPDATE (note) ON {table} TO `{group}`", group=group)
        shop.execute("GRANT SELECT ON {db}.* TO PUBLIC", "GRANT `{group}` TO PUBLIC", group=group)
        try:
            answer = shop.judge(name)
        finally:
            shop.execute("REVOKE SELECT ON {db}.* FROM PUBLIC", "REVOKE `{group}` FROM PUBLIC", group=group)
        assert through(answer["PUBLIC", "SELECT"]) == [("database", ["PUBLIC"], True)]
        assert through(answer["PUBLIC", "UPDATE"]) == [("column", ["PUBLIC", group], True)]
        assert (f"{name}@%", "SELECT") not in answer, "said once for everybody"
    shop.execute("CREATE USER ''@'%'", "GRANT SELECT ON {db}.* TO ''@'%'")
    try:
        answer = shop.judge(name)
    finally:
        shop.execute("DROP USER ''@'%'")
    assert through(answer[f"{name}@%", "SELECT"]) == [("database", [f"{name}@%", "@%"], True)]


@pytest.fixture(scope="module")
def strict_mysql() -> Iterator[MySQLServer]:
    """MySQL with partial revokes, on which mandatory roles may be set."""
    with MySQLServer(binaries(MYSQL_9_7), settings={"partial-revokes": "ON"}) as server:
        yield server


@pytest.mark.feature("G08")
@pytest.mark.parametrize("weak", [False, True], ids=["superuser", "weak admin"])
def test_partial_revokes(strict_mysql: MySQLServer, unique: Unique, weak: bool) -> None:
    admin = strict_mysql.weak_admin() if weak else strict_mysql.admin
    shop = shop_on(Engine(strict_mysql, admin), unique("shop"))
    without, again, by_role, group = (unique(one) for one in ("without", "again", "by_role", "grp"))
    shop.engine.query(f"CREATE ROLE `{group}`")
    shop.engine.query(f"GRANT SELECT ON *.* TO `{group}`")
    shop.account(without)
    shop.account(again)
    shop.account(by_role, "%", group, default=[group])
    for name in (without, again, by_role):
        shop.execute("GRANT SELECT, INSERT ON *.* TO `{name}`", "REVOKE SELECT ON {db}.* FROM `{name}`", name=name)
    shop.execute("GRANT SELECT (note) ON {table} TO `{name}`", name=again)
    # With partial revokes this names a database called so, and is no pattern.
    shop.execute("GRANT DELETE ON `{start}%`.* TO `{name}`", start=shop.name[:4], name=without)
    answer = shop.judge(without, again, by_role)
    assert (f"{without}@%", "SELECT") not in answer
    assert answer[f"{again}@%", "SELECT"]["columns"] == ["note"]
    assert through(answer[f"{by_role}@%", "SELECT"]) == [("global", [f"{by_role}@%", f"{group}@%"], True)]


@pytest.mark.feature("G08")
def test_mandatory_roles(strict_mysql: MySQLServer, unique: Unique) -> None:
    shop = shop_on(Engine(strict_mysql, strict_mysql.admin), unique("shop"))
    name, defaults, group, other = (unique(one) for one in ("app", "defaults", "grp", "other"))
    for one in (group, other):
        shop.engine.query(f"CREATE ROLE `{one}`")
    shop.execute("GRANT SELECT ON {table} TO `{group}`", group=group)
    shop.account(name)
    shop.account(defaults, "%", other, default=[other])
    path = [f"{name}@%", f"{group}@%"]
    later = unique("later")
    shop.execute("CREATE ROLE `{later}`", "GRANT DELETE ON {table} TO `{later}`", later=later)
    shop.account(later_user := unique("lazy"), "%", later)
    try:
        for value, all_active in ((f"`{group}`@`%`", "OFF"), (group, "OFF"), (f" '{group}'@'%' , nobody", "ON")):
            shop.engine.query("SET GLOBAL mandatory_roles = %s", [value])
            shop.engine.query(f"SET GLOBAL activate_all_roles_on_login = {all_active}")
            answer = shop.judge(name, defaults, later_user)
            assert through(answer[f"{name}@%", "SELECT"]) == [("table", path, True)]
            assert answer[f"{later_user}@%", "DELETE"]["effective"] is (all_active == "ON")
    finally:
        shop.engine.query("SET GLOBAL mandatory_roles = DEFAULT")
        shop.engine.query("SET GLOBAL activate_all_roles_on_login = DEFAULT")


@pytest.mark.feature("G08")
def test_it_is_asked_after_what_comes_before_it_in_the_list(engine: Engine, unique: Unique) -> None:
    place, name = unique("db"), unique("app")
    engine.run(database(place))
    engine.query(f"CREATE VIEW `{place}`.`Größen & %` AS SELECT 1 AS one")
    entry = {"level": "table", "database": place, "table": "Größen & %", "privileges": ["SELECT"]}
    question = {"kind": "database_access", "database": place, "table": "Größen & %", "privileges": ["select"]}
    document = engine.run(user(name), grant(user=name, grants=[entry]), question)
    assert not document["failed"], document["objects"]
    observed = document["objects"][2]["observed"]
    assert observed["type"] == "view"
    assert f"{name}@%" in {one["role"] for one in observed["access"] if one["effective"]}


@pytest.mark.feature("G08", "L10")
@pytest.mark.parametrize(
    ("options", "reason", "field"),
    [
        ({"table": "no such table"}, "DependencyNotReady", "table"),
        ({"database": "no such database"}, "DependencyNotReady", "table"),
        ({"database": "information_schema", "table": "TABLES"}, "Unsupported", "database"),
        ({"privileges": ["EXECUTE"]}, "InvalidSpec", "privileges"),
        ({"privileges": []}, "InvalidSpec", "privileges"),
        ({"table": "ü" * 65}, "InvalidSpec", "table"),
        ({"schema": "public"}, "InvalidSpec", "schema"),
    ],
)
def test_what_cannot_be_asked(engine: Engine, options: dict[str, Any], reason: str, field: str | None) -> None:
    question = {"kind": "database_access", "database": "mysql", "table": "user", **options}
    result = engine.one(question)
    assert (result["reason"], result["field"]) == (reason, field), result
