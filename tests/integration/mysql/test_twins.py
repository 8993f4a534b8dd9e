# SPDX-License-Identifier: GPL-3.0-or-later
"""Twin logins under one service role: a new login takes over from an old one, and nothing of what they made is lost.

Tables belong to nobody on these engines. Views, routines, triggers and events have a definer, and stop working
without it. On MariaDB that can be the service role itself (DEFINER = CURRENT_ROLE). Else it is the login: as such it
cannot be dropped, but it can be locked, and stays as the definer that nobody logs in as.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from integration.mysql.engine import Engine, database, role, user

from localstack.mysql import MySQLServer

Unique = Callable[[str], str]


@dataclass(frozen=True)
class Twins:
    """The SERVICE role with all that can be done in the database NAME, and the names of two logins."""

    engine: Engine
    service: str
    name: str
    old: str
    new: str

    def login(self, name: str, **options: Any) -> dict[str, Any]:
        """Declare one of the logins."""
        options = {"password": name, "verify_login": True, **options}
        return user(name, in_roles=[self.service], **options)

    def session(self, name: str) -> Any:
        """Log in as one of them."""
        return self.engine.connect(name, name, self.name)

    def does(self, name: str, *statements: str) -> list[tuple[Any, ...]]:
        """Log in and do something; give what the last statement says."""
        with self.session(name) as session, session.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


_PRIVILEGES = (
    *("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER"),
    *("SHOW VIEW", "TRIGGER", "LOCK TABLES"),
)


def make_twins(engine: Engine, unique: Unique) -> Twins:
    """Make the service role, its database, and the old login, which makes a table."""
    # With `_` in the database's name MySQL's definers would act without the grants on it (see the notes of
    # database_role).
    place = unique("db").replace("_", "")
    found = Twins(engine, unique("svc"), place, unique("old"), unique("new"))
    grants = [{"level": "database", "database": found.name, "privileges": list(_PRIVILEGES)}]
    done = engine.run(database(found.name), role(found.service, grants=grants), found.login(found.old))
    assert not done["failed"], done["objects"]
    found.does(found.old, "CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1)")
    # What the weak admin has not to give.
    to = found.service if engine.mariadb else f"{found.service}`@`%"
    engine.query(f"GRANT CREATE VIEW, CREATE ROUTINE, EXECUTE ON `{found.name}`.* TO `{to}`")
    return found


@pytest.fixture
def twins(engine: Engine, unique: Unique) -> Twins:
    """On each server, by each kind of admin."""
    return make_twins(engine, unique)


@pytest.fixture(params=["superuser", "weak admin"])
def mariadb_twins(request: pytest.FixtureRequest, mariadb: MySQLServer, unique: Unique) -> Twins:
    """On MariaDB, by each kind of admin."""
    admin = mariadb.admin if request.param == "superuser" else mariadb.weak_admin()
    return make_twins(Engine(mariadb, admin), unique)


def take_over(twins: Twins) -> None:
    """Make the new login; it works before anything happens to the old one, and can do all that the old one can."""
    done = twins.engine.four_runs(twins.login(twins.new))
    assert done["objects"][0]["credentials"]["status"] == "True"
    twins.does(twins.old, "INSERT INTO orders VALUES (2)")
    twins.does(
        twins.new,
        "INSERT INTO orders VALUES (3)",
        "ALTER TABLE orders ADD COLUMN note text",
        "CREATE TABLE made_by_new (id int)",
    )


def tables(twins: Twins) -> set[str]:
    """The tables of the database."""
    query = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
    return {name for (name,) in twins.engine.query(query, [twins.name])}


@pytest.mark.feature("R03")
def test_the_old_twin_is_dropped_and_nothing_is_lost(twins: Twins) -> None:
    take_over(twins)
    with twins.session(twins.old) as session, session.cursor() as cursor:
        cursor.execute("CREATE TABLE made_last (id int)")
        twins.engine.four_runs(user(twins.old, state="absent"))
        with pytest.raises(twins.engine.lost):
            cursor.execute("SELECT 1")
    assert not twins.engine.logs_in(twins.old, twins.old)
    assert tables(twins) == {"orders", "made_by_new", "made_last"}
    assert twins.does(twins.new, "DROP TABLE made_last", "SELECT COUNT(*) FROM orders") == [(3,)]
    assert not twins.engine.one(twins.login(twins.new))["changed"], "the new one is as it was"


@pytest.mark.feature("R03")
def test_the_old_twin_is_shut_out_and_let_in_again(twins: Twins) -> None:
    take_over(twins)
    shut_out = twins.login(twins.old, account_locked=True, verify_login=False)
    with twins.session(twins.old) as session, session.cursor() as cursor:
        twins.engine.four_runs(shut_out)
        with pytest.raises(twins.engine.lost):
            cursor.execute("SELECT 1")
    assert not twins.engine.logs_in(twins.old, twins.old)
    twins.engine.four_runs(twins.login(twins.old, account_locked=False))
    assert twins.engine.logs_in(twins.old, twins.old)


@pytest.mark.feature("R03")
def test_the_old_twin_is_kept(twins: Twins) -> None:
    """For the time of grace, or for good: it goes on working beside the new one."""
    with twins.session(twins.old) as session, session.cursor() as cursor:
        take_over(twins)
        cursor.execute("SELECT COUNT(*) FROM made_by_new")
        assert cursor.fetchall() == ((0,),)
    done = twins.engine.run(twins.login(twins.old), twins.login(twins.new))
    assert not done["changed"]
    assert {one["credentials"]["status"] for one in done["objects"]} == {"True"}


_MADE = (
    "CREATE {definer} VIEW recent AS SELECT id FROM orders",
    "CREATE {definer} TRIGGER counted BEFORE INSERT ON orders FOR EACH ROW SET NEW.id = NEW.id + 100",
    "CREATE {definer} FUNCTION total() RETURNS int READS SQL DATA RETURN (SELECT COUNT(*) FROM orders)",
)


@pytest.mark.feature("R03", "U09")
def test_a_definer_stays_locked_and_what_it_made_goes_on_working(twins: Twins) -> None:
    engine = twins.engine
    if engine.mariadb:
        # Its definers act without roles: what they make needs privileges of their own.
        engine.query(f"GRANT ALL ON `{twins.name}`.* TO `{twins.old}`@'%'")
    take_over(twins)
    twins.does(twins.old, *(one.format(definer="") for one in _MADE))
    result = engine.one(user(twins.old, state="absent"))
    assert (result["reason"], result["changed"]) == ("Blocked", False)
    assert {one["name"] for one in result["observed"]["owned_objects"]} == {"recent", "counted", "total"}
    assert "keep the account locked" in result["message"]
    assert engine.logs_in(twins.old, twins.old), "nothing was changed"
    with twins.session(twins.old) as session, session.cursor() as cursor:
        engine.four_runs(twins.login(twins.old, account_locked=True, verify_login=False))
        with pytest.raises(engine.lost):
            cursor.execute("SELECT 1")
    assert not engine.logs_in(twins.old, twins.old)
    assert twins.does(twins.new, "SELECT COUNT(*) FROM recent") == [(3,)]
    assert twins.does(twins.new, "SELECT total()") == [(3,)]
    twins.does(twins.new, "INSERT INTO orders VALUES (1, 'x')")
    assert twins.does(twins.new, "SELECT MAX(id) FROM orders") == [(101,)]
    twins.does(twins.new, "DROP VIEW recent", "DROP TRIGGER counted")
    engine.query(f"DROP FUNCTION `{twins.name}`.total")
    engine.four_runs(user(twins.old, state="absent"))


@pytest.mark.feature("R03", "U09")
@pytest.mark.parametrize("several", [False, True], ids=["one role", "several roles"])
def test_the_service_role_is_the_definer_on_mariadb(mariadb_twins: Twins, unique: Unique, several: bool) -> None:
    twins, engine = mariadb_twins, mariadb_twins.engine
    if several:
        other = unique("other")
        engine.run(role(other), twins.login(twins.old) | {"in_roles": [twins.service, other]})
    take_over(twins)
    twins.does(twins.old, *(one.format(definer="DEFINER = CURRENT_ROLE") for one in _MADE))
    if several:
        # With several roles, the one that is active is our own of all of them.
        result = engine.one(user(twins.old, state="absent"))
        assert (result["reason"], result["changed"]) == ("Blocked", False), result
        assert {one["name"] for one in result["observed"]["owned_objects"]} == {"recent", "counted", "total"}
        return
    engine.four_runs(user(twins.old, state="absent"))
    assert twins.does(twins.new, "SELECT COUNT(*) FROM recent") == [(3,)]
    assert twins.does(twins.new, "SELECT total()") == [(3,)]
    twins.does(twins.new, "INSERT INTO orders VALUES (1, 'x')")
    assert twins.does(twins.new, "SELECT MAX(id) FROM orders") == [(101,)]
    result = engine.one(role(twins.service, state="absent"))
    assert result["reason"] == "Blocked", "the service role is their definer"
