# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and memberships on real servers: what is declared is held, active at login, and goes again."""

from __future__ import annotations

from collections.abc import Callable

import pymysql
import pytest
from integration.mysql.engine import Engine, database, grant, owner, role, user

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import errors

Unique = Callable[[str], str]


def members(engine: Engine, name: str) -> set[str]:
    """The roles that a user or role has, as people look for them."""
    if engine.mariadb:
        rows = engine.query("SELECT Role FROM mysql.roles_mapping WHERE User = %s AND Admin_option = 'N'", [name])
    else:
        rows = engine.query("SELECT FROM_USER FROM mysql.role_edges WHERE TO_USER = %s", [name])
    return {row[0] for row in rows}


def may_read(engine: Engine, name: str, where: str) -> bool:
    """Whether a user who has just logged in may read a table of a database, without SET ROLE."""
    with engine.connect(name, "x") as session, session.cursor() as cursor:
        try:
            cursor.execute(f"SELECT * FROM `{where}`.t")
        except engine.denied:
            return False
    return True


def readable(engine: Engine, name: str) -> str:
    """Make a database with a table."""
    engine.query(f"CREATE DATABASE `{name}`")
    engine.query(f"CREATE TABLE `{name}`.t (i int)")
    return name


@pytest.mark.feature("O01")
def test_a_role_is_made_and_dropped(engine: Engine, unique: Unique) -> None:
    name = unique("grp")
    engine.four_runs(role(name))
    query = "SELECT Host, is_role FROM mysql.user WHERE User = %s"
    if engine.mariadb:
        assert engine.query(query, [name]) == [("", "Y")]
    else:
        assert engine.query(query.replace("is_role", "account_locked"), [name]) == [("%", "Y")]
    assert not engine.logs_in(name, "")
    engine.four_runs(role(name, state="absent"))
    assert engine.query("SELECT 1 FROM mysql.user WHERE User = %s", [name]) == []


@pytest.mark.feature("O01", "U08")
def test_roles_of_a_user_are_active_at_login_and_exact(engine: Engine, unique: Unique) -> None:
    name, names = unique("app"), [unique("one"), unique("two"), unique("three")]
    places = [readable(engine, unique("db")) for _ignored in names]
    declared = [
        role(one, grants=[{"level": "database", "database": place, "privileges": ["SELECT"]}])
        for one, place in zip(names, places, strict=True)
    ]
    engine.run(*declared)
    for chosen in (names[:1], names[:2], names, names[1:], names[2:], []):
        done = engine.four_runs(user(name, password="x", in_roles=chosen))
        assert members(engine, name) >= set(chosen)
        assert not members(engine, name) & (set(names) - set(chosen))
        assert sorted(done["objects"][0]["observed"]["in_roles"]) == sorted(chosen)
        for one, place in zip(names, places, strict=True):
            assert may_read(engine, name, place) is (one in chosen)
    engine.four_runs(user(name, state="absent"))
    assert members(engine, name) == set()
    assert engine.query("SELECT 1 FROM mysql.user WHERE User LIKE %s", [f"{name}%"]) == []


@pytest.mark.feature("O01", "U08")
def test_roles_on_every_host(engine: Engine, unique: Unique) -> None:
    name, group, place = unique("app"), unique("grp"), readable(engine, unique("db"))
    given = role(group, grants=[{"database": place, "privileges": ["SELECT"]}])
    engine.four_runs(given, user(name, password="x", allowed_hosts=["127.0.0.1", "10.%"], in_roles=[group]))
    assert may_read(engine, name, place)
    engine.four_runs(user(name, password="x", allowed_hosts=["%"], in_roles=[group]))
    assert may_read(engine, name, place)


@pytest.mark.feature("U08")
def test_without_a_declaration_only_what_was_given_is_taken_back(engine: Engine, unique: Unique) -> None:
    name, ours, theirs = unique("app"), unique("ours"), unique("theirs")
    engine.run(role(ours), role(theirs))
    declared = user(name, password="x", dbops_owner=owner(name))
    engine.four_runs(declared | {"in_roles": [ours]})
    with engine.login.connect() as session, session.cursor() as cursor:
        host = "" if engine.mariadb else "@'%%'"
        cursor.execute(f"GRANT %s{host} TO %s@'%%'", (theirs, name))
    engine.four_runs(declared)
    assert members(engine, name) == {theirs}


@pytest.mark.feature("O01")
def test_roles_of_roles(engine: Engine, unique: Unique) -> None:
    name, outer, inner, place = unique("app"), unique("outer"), unique("inner"), readable(engine, unique("db"))
    engine.four_runs(
        user(name, password="x", in_roles=[outer]),
        role(outer, in_roles=[inner]),
        role(inner, grants=[{"database": place, "privileges": ["SELECT"]}]),
    )
    assert may_read(engine, name, place)
    engine.four_runs(role(outer, in_roles=[]))
    assert not may_read(engine, name, place)


@pytest.mark.feature("O01", "G01", "L10")
def test_a_circle_of_memberships_is_refused_before_anything_is_sent(engine: Engine, unique: Unique) -> None:
    first, second, third = unique("a"), unique("b"), unique("c")
    engine.run(role(third), role(second, in_roles=[third]), role(first, in_roles=[second]))
    before = engine.snapshot()
    cases = (
        (role(third, in_roles=[first]), "in_roles"),
        (role(third, in_roles=[second]), "in_roles"),
        (grant(name="g", role=third, roles=[first]), "roles"),
    )
    for declared, field in cases:
        for check in (True, False):
            result = engine.one(declared, check=check)
            assert (result["reason"], result["field"]) == ("InvalidSpec", field), result
            assert f"is a member of {third}" in result["message"]
    assert engine.snapshot() == before


@pytest.mark.feature("O01", "L10")
def test_a_circle_that_comes_about_meanwhile_has_its_reason(superuser_engine: Engine, unique: Unique) -> None:
    """What the server says of one that nobody could foresee."""
    engine, first, second = superuser_engine, unique("a"), unique("b")
    engine.run(role(first), role(second, in_roles=[first]))
    # On MariaDB the account that made the roles may give them.
    with engine.login.connect() as session, pytest.raises(pymysql.MySQLError) as refused:
        session.cursor().execute("GRANT %s TO %s", (second, first))
    assert errors.statement_error(refused.value, doing="grant").reason == Reason.INVALID_SPEC


def test_a_role_of_somebody_else_cannot_be_given(engine: Engine, unique: Unique) -> None:
    """On MySQL ROLE_ADMIN is enough; MariaDB asks for ADMIN OPTION, of root as well."""
    group = unique("grp")
    engine.query("CREATE ROLE %s", (group,))
    result = engine.one(user(unique("app"), in_roles=[group]))
    if engine.mariadb:
        assert (result["reason"], result["field"]) == ("PrivilegeMissing", "in_roles")
        assert "WITH ADMIN OPTION" in result["message"]
    else:
        assert not result["failed"]


def test_a_user_is_not_taken_for_a_role(engine: Engine, unique: Unique) -> None:
    name, group = unique("app"), unique("grp")
    engine.run(user(name, password="x"), role(group))
    result = engine.one(role(name))
    assert result["reason"] == "Conflict"
    assert engine.logs_in(name, "x")
    if engine.mariadb:
        assert engine.one(user(group))["reason"] == "Conflict"


@pytest.mark.feature("O01", "O02")
def test_inline_grants_are_exact(engine: Engine, unique: Unique) -> None:
    group, place = unique("grp"), readable(engine, unique("db"))
    declared = role(group, dbops_owner=owner(group, kind="DatabaseRole"))
    host = "" if engine.mariadb else "%"
    entry = {"level": "database", "database": place, "privileges": ["SELECT", "INSERT"]}
    engine.four_runs(declared | {"grants": [entry]})
    pattern = place.replace("_", "\\_")
    who = f"`{group}`" + (f"@`{host}`" if host else "")
    assert engine.grants(group, host) == [f"GRANT SELECT, INSERT ON `{pattern}`.* TO {who}"]
    engine.four_runs(declared | {"grants": [entry | {"privileges": ["SELECT"]}]})
    assert engine.grants(group, host) == [f"GRANT SELECT ON `{pattern}`.* TO {who}"]
    engine.four_runs(declared)
    assert engine.grants(group, host) == []


def test_what_a_role_needs_is_waited_for(engine: Engine, unique: Unique) -> None:
    group, place = unique("grp"), unique("db")
    declared = role(group, grants=[{"database": place, "privileges": ["SELECT"]}])
    result = engine.one(declared)
    assert result["reason"] == "DependencyNotReady"
    assert place in result["message"]
    assert engine.query("SELECT 1 FROM mysql.user WHERE User = %s", [group]), "the role itself is made"
    engine.four_runs(database(place), declared)
