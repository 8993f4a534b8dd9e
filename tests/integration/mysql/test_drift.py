# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody changed by hand is found field by field, what would take something away is marked, and is put right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from integration.mysql.engine import Engine, database, grant, owner, role, user

Unique = Callable[[str], str]


def found(result: Mapping[str, Any]) -> set[tuple[str, str, str, bool]]:
    """Field, expected, actual, and whether putting it right takes something away."""
    return {(one["field"], one["expected"], one["actual"], one["destructive"]) for one in result["differences"]}


@pytest.mark.feature("L07", "G06")
def test_drift_of_every_kind(engine: Engine, unique: Unique) -> None:
    place, group, other, name = unique("db"), unique("grp"), unique("oth"), unique("app")
    whole = {"level": "database", "database": place}
    declared = [
        database(place, encoding="utf8mb4", dbops_owner=owner("db", kind="Database", namespace=name)),
        role(group, dbops_owner=owner("grp", kind="DatabaseRole", namespace=name)),
        role(other),
        user(name, password="x", max_user_connections=5, in_roles=[group], account_locked=False)
        | {"dbops_owner": owner("app", namespace=name)},
        grant(user=name, grants=[{**whole, "privileges": ["SELECT", "INSERT"]}])
        | {"dbops_owner": owner("grant", kind="DatabaseGrant", namespace=name)},
    ]
    assert not engine.run(*declared)["failed"]
    engine.query(f"ALTER DATABASE `{place}` CHARACTER SET latin1")
    engine.query("ALTER USER %s@'%%' WITH MAX_USER_CONNECTIONS 9 ACCOUNT LOCK", (name,))
    engine.query("REVOKE INSERT ON `{}`.* FROM %s@'%%'".format(place.replace("_", "\\_")), (name,))
    with engine.login.connect() as session, session.cursor() as cursor:
        cursor.execute(f"GRANT `{other}` TO `{name}`@'%'")
        cursor.execute(f"REVOKE `{group}` FROM `{name}`@'%'")
    before = engine.snapshot()
    document = engine.run(*declared, check=True)
    assert not document["failed"], document["objects"]
    assert engine.snapshot() == before
    of_database, _group, _other, of_user, of_grant = document["objects"]
    assert {one[0] for one in found(of_database)} >= {"charset"}
    assert found(of_user) >= {
        ("maxUserConnections", "5", "9", False),
        ("accountLocked", "false", "true", False),
        ("inRoles.missing", group, "", False),
        ("inRoles.extra", "", other, True),
    }
    assert found(of_grant) == {(f"grants.{place}.*.missing", "INSERT", "", False)}
    assert any(step["destructive"] for step in of_user["steps"])
    assert not any(step["destructive"] for step in of_grant["steps"])
    engine.four_runs(*declared)
    assert engine.logs_in(name, "x")
    assert engine.run(*declared)["objects"][3]["differences"] == []
