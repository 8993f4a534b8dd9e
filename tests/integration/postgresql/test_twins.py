# SPDX-License-Identifier: GPL-3.0-or-later
"""Twin logins under one service role: a new login takes over from an old one, and nothing of what they made is lost.

What a rotation of passwords asks of the server, with the collection's own vocabulary: a stable group role that holds
the privileges and owns what is made, and logins that are its members and act as it from their login on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine, role, user

Unique = Callable[[str], str]


@dataclass(frozen=True)
class Twins:
    """The SERVICE role, which owns the database NAME, and the names of two logins."""

    engine: Engine
    service: str
    name: str
    old: str
    new: str

    def login(self, name: str, **options: Any) -> dict[str, Any]:
        """Declare one of the logins."""
        options = {"password": name, "verify_login": True, **options}
        return user(name, in_roles=[self.service], default_role=self.service, **options)

    def session(self, name: str) -> psycopg.Connection[Any]:
        """Log in as one of them."""
        return psycopg.connect(self.engine.server.login(name, name).dsn(self.name), autocommit=True)

    def owners(self) -> dict[str, str]:
        """Whom the tables and views of the database belong to."""
        query = (
            "SELECT relname, relowner::regrole::text FROM pg_class"
            " WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'v')"
        )
        return dict(self.engine.server.query(query, dbname=self.name))


@pytest.fixture
def twins(engine: Engine, unique: Unique) -> Twins:
    """The service role, its database, and the old login, which has made a table."""
    found = Twins(engine, unique("svc"), unique("db"), unique("old"), unique("new"))
    database = {"kind": "database", "name": found.name, "owner": found.service}
    done = engine.run(
        role(found.service),
        database | {"schemas": [{"name": "app", "owner": found.service}]},
        found.login(found.old),
    )
    assert not done["failed"], done["objects"]
    with found.session(found.old) as session:
        session.execute("CREATE TABLE app.orders (id int)")
        session.execute("INSERT INTO app.orders VALUES (1)")
        session.execute("CREATE VIEW app.recent AS SELECT * FROM app.orders")
    return found


def take_over(twins: Twins) -> None:
    """Make the new login; it works before anything happens to the old one, and can do all that the old one can."""
    done = twins.engine.four_runs(twins.login(twins.new))
    assert done["objects"][0]["credentials"]["status"] == "True"
    assert twins.engine.logs_in(twins.old, twins.old)
    with twins.session(twins.new) as session:
        assert session.execute("SELECT current_user::text, session_user::text").fetchone() == (
            twins.service,
            twins.new,
        )
        session.execute("INSERT INTO app.orders VALUES (2)")
        session.execute("ALTER TABLE app.orders ADD COLUMN note text")
        session.execute("CREATE TABLE app.made_by_new (id int)")


@pytest.mark.feature("R03")
def test_the_old_twin_is_dropped_and_nothing_is_lost(twins: Twins) -> None:
    take_over(twins)
    with twins.session(twins.old) as session:
        session.execute("CREATE TABLE app.made_last (id int)")
        twins.engine.four_runs(user(twins.old, state="absent"))
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert not twins.engine.logs_in(twins.old, twins.old)
    assert set(twins.owners()) == {"orders", "recent", "made_by_new", "made_last"}
    assert set(twins.owners().values()) == {twins.service}
    with twins.session(twins.new) as session:
        assert session.execute("SELECT count(*) FROM app.recent").fetchone() == (2,)
        session.execute("DROP TABLE app.made_last")
    assert not twins.engine.one(twins.login(twins.new))["changed"], "the new one is as it was"


@pytest.mark.feature("R03")
def test_the_old_twin_is_shut_out_and_let_in_again(twins: Twins) -> None:
    take_over(twins)
    shut_out = twins.login(twins.old, login=False, verify_login=False)
    with twins.session(twins.old) as session:
        kept = twins.engine.run(shut_out | {"end_sessions": False})
        assert not kept["failed"], kept["objects"]
        session.execute("SELECT 1")
        twins.engine.run(shut_out)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert not twins.engine.run(shut_out)["changed"]
    assert not twins.engine.logs_in(twins.old, twins.old)
    twins.engine.four_runs(twins.login(twins.old))
    with twins.session(twins.old) as session:
        twins.engine.four_runs(shut_out)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert set(twins.owners().values()) == {twins.service}


@pytest.mark.feature("R03")
def test_the_old_twin_is_kept(twins: Twins) -> None:
    """For the time of grace, or for good: it goes on working beside the new one."""
    with twins.session(twins.old) as session:
        take_over(twins)
        assert session.execute("SELECT count(*) FROM app.made_by_new").fetchone() == (0,)
    done = twins.engine.run(twins.login(twins.old), twins.login(twins.new))
    assert not done["changed"]
    assert {one["credentials"]["status"] for one in done["objects"]} == {"True"}


@pytest.mark.feature("R03", "U09")
def test_what_a_twin_made_as_itself_blocks_and_goes_to_the_service_role(twins: Twins) -> None:
    """RESET ROLE leads back to the service role; SET ROLE NONE leaves it, for whoever was allowed something there."""
    take_over(twins)
    with twins.session(twins.old) as session:
        session.execute(f'GRANT CREATE ON SCHEMA app TO "{twins.old}"')
        session.execute("RESET ROLE")
        assert session.execute("SELECT current_user::text").fetchone() == (twins.service,)
        session.execute("SET ROLE NONE")
        session.execute("CREATE TABLE app.private (id int)")
    assert twins.owners()["private"] == twins.old
    result = twins.engine.one(user(twins.old, state="absent"))
    assert result["reason"] == "Blocked"
    assert [one["name"] for one in result["observed"]["owned_objects"]] == ["private"]
    assert twins.engine.logs_in(twins.old, twins.old), "nothing was changed"
    twins.engine.four_runs(user(twins.old, state="absent", reassign_owned_to=twins.service))
    assert twins.owners()["private"] == twins.service
    with twins.session(twins.new) as session:
        session.execute("DROP TABLE app.private")


@pytest.mark.feature("R03")
def test_all_that_rotations_made_goes_with_the_object(twins: Twins) -> None:
    """Both logins and the service role in one list, once the database is somebody else's."""
    take_over(twins)
    heir = f"{twins.service}_heir"
    done = twins.engine.four_runs(
        role(heir),
        {"kind": "database", "name": twins.name, "owner": heir},
        user(twins.old, state="absent"),
        user(twins.new, state="absent"),
        role(twins.service, state="absent", reassign_owned_to=heir),
    )
    assert not done["failed"]
    query = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
    assert twins.engine.server.query(query, [[twins.old, twins.new, twins.service]]) == []
    assert set(twins.owners().values()) == {heir}
