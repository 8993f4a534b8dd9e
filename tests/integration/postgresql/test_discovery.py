# SPDX-License-Identifier: GPL-3.0-or-later
"""What no declaration manages is listed, and nothing is done to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from integration.postgresql.engine import Engine, owner, role, user
from psycopg import sql


@pytest.mark.feature("I13")
def test_what_nobody_declares_is_listed(engine: Engine, unique: Callable[[str], str]) -> None:
    mine, theirs = (
        {kind: unique(f"{who}{kind[:2]}") for kind in ("databases", "users", "roles")} for who in ("mine", "its")
    )
    declared = [
        role(mine["roles"], dbops_owner=owner("role", namespace=mine["roles"])),
        user(mine["users"], dbops_owner=owner("user", namespace=mine["users"])),
        {"kind": "database", "name": mine["databases"], "owner": mine["roles"]}
        | {"dbops_owner": owner("db", namespace=mine["databases"])},
    ]
    done = engine.run(*declared)
    assert not done["failed"], done["objects"]
    for statement, kind in (
        ("CREATE DATABASE {}", "databases"),
        ("CREATE USER {}", "users"),
        ("CREATE ROLE {}", "roles"),
    ):
        engine.server.query(sql.SQL(statement).format(sql.Identifier(theirs[kind])))
    before = engine.snapshot()
    instance = {"kind": "database_instance"}
    found = engine.one(instance | {"discover": True})
    assert not found["changed"]
    assert engine.snapshot() == before
    for kind, names in found["observed"]["unmanaged"].items():
        assert theirs[kind] in names
        assert not {*mine.values(), "postgres", "template1", "dbops", "pg_monitor", engine.login.user} & set(names)
    assert "unmanaged" not in engine.one(instance)["observed"]
    # Once one of them is adopted it is somebody's, and as it was.
    adopted = user(theirs["users"], dbops_owner=owner("it", namespace=theirs["users"]), adopt=True)
    if engine.weak:
        grant = sql.SQL("GRANT {} TO {} WITH ADMIN OPTION")
        engine.server.query(grant.format(sql.Identifier(theirs["users"]), sql.Identifier(engine.login.user)))
    before = engine.snapshot()
    result = engine.one(adopted)
    assert not result["failed"], result
    assert result["steps"] == []
    assert engine.snapshot() == before
    assert theirs["users"] not in engine.one(instance | {"discover": True})["observed"]["unmanaged"]["users"]
