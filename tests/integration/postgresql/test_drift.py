# SPDX-License-Identifier: GPL-3.0-or-later
"""Putting right what somebody changed by hand: what takes access away is marked, and waits where it may not be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest
from integration.postgresql.engine import Engine, owner, role, user
from psycopg import sql

Unique = Callable[[str], str]


def found(result: Mapping[str, Any]) -> set[tuple[str, str, str, bool]]:
    """Field, expected, actual, and whether putting it right takes something away."""
    return {(one["field"], one["expected"], one["actual"], one["destructive"]) for one in result["differences"]}


def execute(engine: Engine, statement: str, **names: str) -> None:
    """Change something by hand, as the account that made it."""
    identifiers = {key: sql.Identifier(name) for key, name in names.items()}
    with psycopg.connect(engine.login.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(**identifiers))  # type: ignore[arg-type]


@pytest.mark.feature("L07", "U01")
def test_what_keeps_a_user_out_waits_for_consent(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    declared = user(name, password="x", login=False, valid_until="2040-01-01T00:00:00Z", connection_limit=5)
    declared |= {"end_sessions": True, "dbops_owner": owner(name)}
    assert not engine.run(declared)["failed"]
    execute(engine, "ALTER ROLE {name} LOGIN VALID UNTIL 'infinity' CONNECTION LIMIT 9", name=name)
    with psycopg.connect(engine.server.login(name, "x").dsn()) as session:
        spared = engine.one(declared | {"allow_destructive": False})
        assert found(spared) == {
            ("connectionLimit", "5", "9", False),
            ("login", "false", "true", True),
            ("validUntil", "2040-01-01T00:00:00+00:00", "infinity", True),
        }
        assert [step["after"] for step in spared["steps"]] == [{"connectionLimit": "5"}]
        session.execute("SELECT 1")
    assert engine.one(declared | {"allow_destructive": False})["steps"] == []
    done = engine.four_runs(declared)["objects"][0]
    assert [step["destructive"] for step in done["steps"]] == [True]
    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        psycopg.connect(engine.server.login(name, "x").dsn())
    opened = engine.one(declared | {"login": True, "valid_until": "2050-01-01T00:00:00Z"}, check=True)
    assert not any(step["destructive"] for step in opened["steps"]), "it lets in"


@pytest.mark.feature("L07", "U08")
def test_what_a_user_acts_as_by_hand_stays_until_there_is_consent(engine: Engine, unique: Unique) -> None:
    name, group, other = unique("app"), unique("grp"), unique("oth")
    declared = user(name, password="x", in_roles=[group, other], default_role=group, inherit=False)
    declared |= {"dbops_owner": owner(name)}
    assert not engine.run(role(group), role(other), declared)["failed"]
    execute(engine, "ALTER ROLE {name} SET role TO {other}", name=name, other=other)
    spared = engine.one(declared | {"allow_destructive": False})
    assert found(spared) == {("configParameters.role", group, other, True)}
    assert spared["steps"] == []
    assert acts_as(engine, name) == other
    done = engine.four_runs(declared)["objects"][0]
    assert [step["destructive"] for step in done["steps"]] == [True]
    assert acts_as(engine, name) == group
    execute(engine, "ALTER ROLE {name} RESET role", name=name)
    again = engine.one(declared | {"allow_destructive": False})
    assert [step["destructive"] for step in again["steps"]] == [False], "nothing was there to take"


@pytest.mark.feature("L07", "O01")
def test_options_of_memberships_stay_until_there_is_consent(engine: Engine, unique: Unique) -> None:
    name, group, joined = unique("mem"), unique("grp"), unique("add")
    declared = role(name, in_roles=[group, joined]) | {"dbops_owner": owner(name, kind="DatabaseRole")}
    assert not engine.run(role(group), role(joined), declared)["failed"]
    execute(engine, "GRANT {group} TO {name} WITH ADMIN OPTION", group=group, name=name)
    execute(engine, "REVOKE {joined} FROM {name}", joined=joined, name=name)
    spared = engine.one(declared | {"allow_destructive": False})
    assert found(spared) == {(f"inRoles.{group}.admin", "", "true", True), ("inRoles.missing", joined, "", False)}
    query = "SELECT pg_has_role(%s, %s, 'MEMBER WITH ADMIN OPTION'), pg_has_role(%s, %s, 'MEMBER')"
    assert engine.server.query(query, [name, group, name, joined]) == [(True, True)]
    done = engine.four_runs(declared)["objects"][0]
    assert [step["destructive"] for step in done["steps"]] == [True]
    assert engine.server.query(query, [name, group, name, group]) == [(False, True)]


@pytest.mark.feature("L07", "D02")
def test_a_database_is_closed_only_with_consent(engine: Engine, unique: Unique) -> None:
    name = unique("db")
    declared = {"kind": "database", "name": name, "dbops_owner": owner(name, kind="Database")}
    declared |= {"allow_connections": False, "connection_limit": 5}
    assert not engine.run(declared)["failed"]
    execute(engine, "ALTER DATABASE {name} ALLOW_CONNECTIONS true", name=name)
    execute(engine, "ALTER DATABASE {name} CONNECTION LIMIT 9", name=name)
    spared = engine.one(declared | {"allow_destructive": False})
    assert found(spared) == {("connectionLimit", "5", "9", False), ("allowConnections", "false", "true", True)}
    query = "SELECT datallowconn, datconnlimit FROM pg_database WHERE datname = %s"
    assert engine.server.query(query, [name]) == [(True, 5)]
    done = engine.four_runs(declared)["objects"][0]
    assert [step["destructive"] for step in done["steps"]] == [True]
    assert engine.server.query(query, [name]) == [(False, 5)]


def acts_as(engine: Engine, name: str) -> str:
    """The role whose rights a session of the user has, asked as that user."""
    with psycopg.connect(engine.server.login(name, "x").dsn()) as session:
        row = session.execute("SELECT current_user").fetchone()
    assert row
    return str(row[0])
