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


@pytest.mark.feature("L07", "U02")
def test_what_keeps_a_user_out_waits_for_consent(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    declared = user(name, password="x", require_ssl=True, account_locked=True, max_user_connections=5)
    declared |= {"end_sessions": True, "dbops_owner": owner(name)}
    assert not engine.run(declared)["failed"]
    changed = "ALTER USER %s@'%%' REQUIRE NONE WITH MAX_USER_CONNECTIONS 9 ACCOUNT UNLOCK"
    engine.query(changed, (name,))
    with engine.connect(name, "x") as session, session.cursor() as cursor:
        spared = engine.one(declared | {"allow_destructive": False})
        assert found(spared) == {
            ("maxUserConnections", "5", "9", False),
            ("requireSSL", "true", "false", True),
            ("accountLocked", "true", "false", True),
        }
        assert [step["after"] for step in spared["steps"]] == [{"maxUserConnections": "5"}]
        cursor.execute("SELECT 1")
    assert engine.logs_in(name, "x")
    assert not engine.one(declared | {"allow_destructive": False})["steps"]
    done = engine.four_runs(declared)["objects"][0]
    assert [step["destructive"] for step in done["steps"]] == [True]
    assert not engine.logs_in(name, "x")
    opened = engine.one(user(name, require_ssl=False, account_locked=False), check=True)
    assert not any(step["destructive"] for step in opened["steps"]), "it lets in"


@pytest.mark.feature("L07", "U08")
def test_what_is_active_by_hand_stays_active_until_there_is_consent(engine: Engine, unique: Unique) -> None:
    name, group, other = unique("app"), unique("grp"), unique("oth")
    declared = user(name, password="x", in_roles=[group]) | {"dbops_owner": owner(name)}
    assert not engine.run(role(group), role(other), declared)["failed"]
    with engine.login.connect() as session, session.cursor() as cursor:
        cursor.execute(f"GRANT `{other}` TO `{name}`@'%'")
        preposition = "FOR" if engine.mariadb else "TO"
        cursor.execute(f"SET DEFAULT ROLE `{other}` {preposition} `{name}`@'%'")
    spared = engine.one(declared | {"allow_destructive": False})
    assert ("inRoles.extra", "", other, True) in found(spared)
    # MariaDB has one default role: that of the declaration takes the other's place.
    assert ("defaultRole", group, other, True) in found(spared) or not engine.mariadb
    assert not any(step["destructive"] for step in spared["steps"])
    assert active_roles(engine, name) == ({other} if engine.mariadb else {group, other})
    done = engine.four_runs(declared)["objects"][0]
    assert all(step["destructive"] for step in done["steps"])
    assert active_roles(engine, name) == {group}


@pytest.mark.feature("L07", "U08")
def test_a_role_too_much_under_several_is_drift(engine: Engine, unique: Unique) -> None:
    """On MariaDB they are under a role of our own, which may have been given another one by hand."""
    name, other, groups = unique("app"), unique("oth"), [unique("a"), unique("b")]
    declared = user(name, password="x", in_roles=groups) | {"dbops_owner": owner(name)}
    assert not engine.run(*map(role, [*groups, other]), declared)["failed"]
    with engine.login.connect() as session, session.cursor() as cursor:
        whom = f"`{name}~roles`" if engine.mariadb else f"`{name}`@'%'"
        cursor.execute(f"GRANT `{other}` TO {whom}")
    spared = engine.one(declared | {"allow_destructive": False})
    field = "defaultRole" if engine.mariadb else "inRoles.extra"
    assert found(spared) == {(field, "", other, True)}
    assert spared["steps"] == []
    done = engine.four_runs(declared)["objects"][0]
    assert [step["destructive"] for step in done["steps"]] == [True]


def active_roles(engine: Engine, name: str) -> set[str]:
    """The roles that a user has from the login on, asked as that user."""
    with engine.connect(name, "x") as session, session.cursor() as cursor:
        cursor.execute("SELECT CURRENT_ROLE()")
        (row,) = cursor.fetchall()
    words = (row[0] or "").replace("`", "").split(",")
    return {word.partition("@")[0] for word in words}
