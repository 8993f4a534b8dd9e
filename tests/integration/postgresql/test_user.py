# SPDX-License-Identifier: GPL-3.0-or-later
"""Users on a real server: attributes, passwords, settings and memberships are as declared, judged by the catalogs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from integration.postgresql.engine import Engine, user

Unique = Callable[[str], str]

_COLUMNS = {
    "superuser": "rolsuper",
    "create_db": "rolcreatedb",
    "create_role": "rolcreaterole",
    "inherit": "rolinherit",
    "login": "rolcanlogin",
    "replication": "rolreplication",
    "bypass_rls": "rolbypassrls",
    "connection_limit": "rolconnlimit",
}


def attributes(engine: Engine, name: str) -> dict[str, Any]:
    """What pg_authid says of a role, in the words of our options."""
    (row,) = engine.server.query("SELECT to_jsonb(r) FROM pg_authid r WHERE rolname = %s", [name])
    return {option: row[0][column] for option, column in _COLUMNS.items()}


def memberships(engine: Engine, name: str) -> set[str]:
    rows = engine.server.query(
        "SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid"
        " JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = %s",
        [name],
    )
    return {row[0] for row in rows}


def settings(engine: Engine, name: str) -> list[str]:
    rows = engine.server.query(
        "SELECT setconfig FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole"
        " WHERE rolname = %s AND setdatabase = 0",
        [name],
    )
    return sorted(rows[0][0]) if rows else []


@pytest.mark.feature("U01", "U07")
def test_a_login_is_made_and_logs_in(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    password = "pass'wörd \\ \" %s {}"
    done = engine.four_runs(user(name, password=password, verify_login=True))
    (result,) = done["objects"]
    assert result["credentials"]["status"] == "True"
    assert result["observed"]["created"]
    assert engine.logs_in(name, password)
    assert not engine.logs_in(name, "another")


@pytest.mark.feature("U10")
def test_a_password_reaches_the_server_as_a_verifier_only(engine: Engine, unique: Unique) -> None:
    name, password = unique("app"), "topsecret-48151623"
    engine.server.query("ALTER SYSTEM SET log_statement = 'all'")
    engine.server.reload()
    try:
        done = engine.four_runs(user(name, password=password))
        done |= {"second": engine.run(user(name, password=password + "2"))}
    finally:
        engine.server.query("ALTER SYSTEM RESET log_statement")
        engine.server.reload()
    log = engine.server.log.read_text(encoding="utf-8", errors="replace")
    assert f'CREATE ROLE "{name}"' in log
    assert "SCRAM-SHA-256$4096:" in log
    assert password not in log
    assert password not in str(done)
    assert "SCRAM-SHA-256" not in str(done)
    assert "PASSWORD '********'" in done["objects"][0]["steps"][0]["statement"]


@pytest.mark.feature("U01")
def test_every_attribute_is_set_and_taken_away(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("app")
    flags = ("superuser", "create_db", "create_role", "replication", "bypass_rls")
    on = dict.fromkeys(flags, True) | {"inherit": False, "connection_limit": 0, "login": True}
    engine.four_runs(user(name, **on))
    assert attributes(engine, name) == on
    off = dict.fromkeys(flags, False) | {"inherit": True, "connection_limit": -1, "login": False}
    engine.four_runs(user(name, **off))
    assert attributes(engine, name) == off


@pytest.mark.feature("U01")
def test_what_is_not_declared_is_left_alone(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("app")
    engine.server.query("CREATE ROLE " + name + " LOGIN CREATEDB BYPASSRLS CONNECTION LIMIT 7")  # type: ignore[arg-type]
    before = attributes(engine, name)
    assert not engine.run(user(name))["changed"]
    engine.four_runs(user(name, create_db=False))
    assert attributes(engine, name) == before | {"create_db": False}


def test_a_weak_admin_never_mentions_what_it_may_not_say(weak_engine: Engine, unique: Unique) -> None:
    """NOSUPERUSER takes a superuser to say even where it changes nothing."""
    name = unique("app")
    declared = user(name, superuser=False, replication=False, bypass_rls=False, inherit=True, create_db=True)
    done = weak_engine.four_runs(declared)
    assert done["objects"][0]["steps"][0]["statement"] == f'CREATE ROLE "{name}" CREATEDB LOGIN'


@pytest.mark.feature("U01")
@pytest.mark.parametrize(
    ("declared", "stored"),
    [("2040-05-06T07:08:09Z", "2040-05-06 07:08:09+00"), ("2040-05-06T07:08:09.5+02:00", "2040-05-06 05:08:09.5+00")],
)
def test_valid_until(engine: Engine, unique: Unique, declared: str, stored: str) -> None:
    name = unique("app")
    engine.four_runs(user(name, valid_until=declared))
    query = "SELECT rolvaliduntil = %s::timestamptz FROM pg_authid WHERE rolname = %s"
    assert engine.server.query(query, [stored, name]) == [(True,)]
    engine.four_runs(user(name, valid_until="infinity"))
    assert engine.server.query(query, ["infinity", name]) == [(True,)]


@pytest.mark.feature("U01")
def test_settings_are_stored_as_the_server_understands_them(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    parameters = {
        "search_path": '"$user", Public, "We,ird ""x"',
        "work_mem": "8MB",
        "timezone": "Europe/Berlin",
        "statement_timeout": 5000,
        "jit": False,
        "application_name": "it's \\ one",
    }
    engine.four_runs(user(name, password="x", config_parameters=parameters))
    assert settings(engine, name) == sorted(
        [
            'search_path="$user", public, "We,ird ""x"',
            *("work_mem=8MB", "TimeZone=Europe/Berlin", "statement_timeout=5000", "jit=off"),
            "application_name=it's \\ one",
        ]
    )
    engine.four_runs(user(name, config_parameters={"work_mem": None, "jit": None}))
    assert len(settings(engine, name)) == 4


@pytest.mark.feature("U01", "I11")
def test_settings_that_take_a_privilege(superuser_engine: Engine, weak_engine: Engine, unique: Unique) -> None:
    """One that only superusers may set, and one that no server knows, such as an application's own."""
    name, tenant = unique("app"), f"app.{unique('t')}"
    declared = user(name, config_parameters={tenant: "a b", "log_statement": "all"})
    refused = weak_engine.one(declared, check=True)
    assert (refused["reason"], refused["field"]) == ("PrivilegeMissing", "config_parameters")
    assert f"GRANT SET ON PARAMETER {tenant}" in refused["message"]
    for parameter in (tenant, "log_statement"):
        weak_engine.server.query(f"GRANT SET ON PARAMETER {parameter} TO {weak_engine.login.user}")  # type: ignore[arg-type]
    weak_engine.four_runs(declared)
    assert settings(weak_engine, name) == sorted([f"{tenant}=a b", "log_statement=all"])
    superuser_engine.four_runs(user(name, config_parameters={tenant: "c"}))
    weak_engine.server.query(f"REVOKE SET ON PARAMETER {tenant}, log_statement FROM {weak_engine.login.user}")  # type: ignore[arg-type]


@pytest.mark.parametrize("parameter", ["no_such_setting", "max_connections", "server_version"])
def test_what_no_role_can_have_as_a_setting(engine: Engine, unique: Unique, parameter: str) -> None:
    result = engine.one(user(unique("app"), config_parameters={parameter: "1"}), check=True)
    assert (result["reason"], result["field"]) == ("InvalidSpec", "config_parameters")


@pytest.mark.feature("U01")
def test_the_default_role_is_taken_at_login(engine: Engine, unique: Unique) -> None:
    name, group = unique("app"), unique("grp")
    declared = user(name, password="x", in_roles=[group], default_role=group)
    engine.four_runs(user(group, login=False), declared)
    import psycopg

    with psycopg.connect(engine.server.login(name, "x").dsn()) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (group,)
    engine.four_runs(user(name, default_role=""))
    assert settings(engine, name) == []


@pytest.mark.feature("U08")
def test_memberships_are_exactly_as_declared(engine: Engine, unique: Unique) -> None:
    name, first, second, third = unique("app"), unique("a"), unique("b"), unique("c")
    groups = [user(one, login=False) for one in (first, second, third)]
    engine.four_runs(*groups, user(name, in_roles=[first, second]))
    assert memberships(engine, name) == {first, second}
    engine.four_runs(user(name, in_roles=[second, third]))
    assert memberships(engine, name) == {second, third}
    assert not engine.run(user(name))["changed"], "not declared, not touched"
    engine.four_runs(user(name, in_roles=[]))
    assert memberships(engine, name) == set()


@pytest.mark.feature("U08")
def test_a_membership_that_somebody_else_granted_is_revoked_in_their_name(
    superuser_engine: Engine, weak_engine: Engine, unique: Unique
) -> None:
    name, group = unique("app"), unique("grp")
    weak_engine.four_runs(user(group, login=False), user(name, in_roles=[group]))
    superuser_engine.four_runs(user(name, in_roles=[]))
    assert memberships(superuser_engine, name) == set()
    superuser_engine.four_runs(user(name, in_roles=[group]))
    refused = weak_engine.one(user(name, in_roles=[]))
    assert refused["reason"] == "PrivilegeMissing"
    assert 'GRANTED BY "postgres"' in refused["message"]
    assert memberships(superuser_engine, name) == {group}


@pytest.mark.feature("U08")
def test_a_membership_without_set_and_with_admin_becomes_a_plain_one(superuser_engine: Engine, unique: Unique) -> None:
    engine, name, group = superuser_engine, unique("app"), unique("grp")
    engine.four_runs(user(group, login=False), user(name))
    engine.server.query(f"GRANT {group} TO {name} WITH ADMIN TRUE, SET FALSE")  # type: ignore[arg-type]
    engine.four_runs(user(name, in_roles=[group]))
    query = "SELECT pg_has_role(%s, %s, 'SET'), pg_has_role(%s, %s, 'MEMBER WITH ADMIN OPTION')"
    assert engine.server.query(query, [name, group, name, group]) == [(True, False)]


@pytest.mark.feature("U10")
def test_the_password_is_compared_with_the_verifier(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.four_runs(user(name, password="one"))
    (verifier,) = engine.server.query("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [name])
    assert not engine.run(user(name, password="one"))["changed"]
    assert engine.server.query("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [name]) == [verifier]
    engine.four_runs(user(name, password="two"))
    assert engine.logs_in(name, "two")
    assert not engine.run(user(name, password="three", update_password="on_create"))["changed"]
    assert engine.logs_in(name, "two")


def test_a_verifier_can_be_given_instead_of_a_password(engine: Engine, unique: Unique) -> None:
    name, other = unique("app"), unique("other")
    engine.four_runs(user(name, password="one"))
    ((verifier,),) = engine.server.query("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [name])
    done = engine.four_runs(user(other, password=verifier))
    assert verifier not in str(done)
    assert engine.logs_in(other, "one")


@pytest.mark.feature("U10")
def test_without_the_right_to_read_verifiers_one_login_decides(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = blind_admin(superuser_engine, unique("blind")), unique("app")
    engine.four_runs(user(name, password="one"))
    before = attempts(engine, name)
    assert not engine.run(user(name, password="one"))["changed"]
    assert attempts(engine, name) == before, "a right password is no failed attempt"
    assert engine.run(user(name, password="two"), check=True)["changed"]
    assert attempts(engine, name) == before + 1, "one attempt and no more"
    engine.four_runs(user(name, password="two"))
    assert engine.logs_in(name, "two")
    engine.four_runs(user(name, password="two", connection_limit=0))


def test_a_password_that_nothing_can_compare_is_set_and_said_so(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = blind_admin(superuser_engine, unique("blind")), unique("app")
    engine.run(user(name, password="one"))
    engine.server.set_authentication_rules(f"host all {name} 127.0.0.1/32 reject")
    try:
        result = engine.one(user(name, password="one"))
    finally:
        engine.server.set_authentication_rules()
    assert result["changed"]
    assert "set every time" in result["warnings"][0]


def test_a_hash_instead_of_a_password_is_refused(engine: Engine, unique: Unique) -> None:
    result = engine.one(user(unique("app"), password="md5" + "0123456789abcdef" * 2))
    assert (result["reason"], result["field"]) == ("InvalidSpec", "password")


def blind_admin(engine: Engine, name: str) -> Engine:
    """An admin that may make roles and not read pg_authid."""
    login = engine.server.login(name, "blind")
    engine.server.query(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'blind'")  # type: ignore[arg-type]
    return Engine(engine.server, login)


def attempts(engine: Engine, name: str) -> int:
    """How often the server refused a password of this user."""
    log = engine.server.log.read_text(encoding="utf-8", errors="replace")
    return log.count(f'password authentication failed for user "{name}"')


@pytest.mark.feature("U07")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"login": False}, "NOLOGIN"),
        ({"connection_limit": 0}, "connection limit 0"),
        ({"valid_until": "2020-01-01T00:00:00Z"}, "expired"),
    ],
)
def test_where_no_login_can_be_tried_it_says_so(
    engine: Engine, unique: Unique, options: dict[str, Any], reason: str
) -> None:
    result = engine.one(user(unique("app"), password="x", verify_login=True, **options))
    assert not result["failed"]
    assert result["credentials"]["status"] == "Unknown"
    assert result["credentials"]["reason"] == "NotVerifiable"
    assert reason in result["credentials"]["message"]


@pytest.mark.feature("U07")
def test_a_server_that_asks_for_no_password_proves_nothing(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("app")
    declared = user(name, password="x", verify_login=True)
    engine.server.set_authentication_rules(f"host all {name} 127.0.0.1/32 trust")
    try:
        assert engine.one(declared)["credentials"]["reason"] == "NotVerifiable"
        engine.server.set_authentication_rules(f"host all {name} 127.0.0.1/32 reject")
        assert engine.one(declared)["credentials"]["reason"] == "NotVerifiable"
    finally:
        engine.server.set_authentication_rules()
    assert engine.one(declared)["credentials"]["status"] == "True"


@pytest.mark.feature("U07")
def test_a_wrong_password_fails_the_object(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name, password="right"))
    result = engine.one(user(name, password="sesame", update_password="on_create", verify_login=True))
    assert result["failed"]
    assert result["reason"] == "AuthenticationFailed"
    assert result["credentials"]["status"] == "False"
    assert "sesame" not in result["message"]


@pytest.mark.feature("D12")
@pytest.mark.parametrize(
    "pattern",
    ["{}-dash", '{}"quote', "{}'apostrophe", "{} space", "{}.dot", "{}\\back", "{}%s", "{}{{}}", "{}Ünï😀", "{}\n"],
)
def test_any_name_is_quoted_right(engine: Engine, unique: Unique, pattern: str) -> None:
    name = pattern.format(unique("n"))
    group = f"{name}g"
    engine.four_runs(user(group, login=False), user(name, password="x", in_roles=[group]))
    assert memberships(engine, name) == {group}
    assert engine.logs_in(name, "x")
    engine.four_runs(user(name, state="absent"), user(group, state="absent"))
    assert engine.server.query("SELECT 1 FROM pg_roles WHERE rolname IN (%s, %s)", [name, group]) == []


@pytest.mark.feature("D12")
def test_a_name_is_measured_in_bytes(engine: Engine, unique: Unique) -> None:
    longest = (unique("n") + "x" * 63)[:63]
    engine.four_runs(user(longest))
    too_long = "ü" * 32
    result = engine.one(user(too_long))
    assert (result["reason"], result["field"]) == ("InvalidSpec", "name")
    assert "64 bytes" in result["message"]
