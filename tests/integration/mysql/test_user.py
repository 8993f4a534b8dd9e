# SPDX-License-Identifier: GPL-3.0-or-later
"""Users on real servers: accounts, passwords, limits and locks are as declared, judged by the server and by logins."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from integration.mysql.engine import Engine, database, user

Unique = Callable[[str], str]


def hosts(engine: Engine, name: str) -> list[str]:
    """The hosts that the server has accounts of a user for."""
    return sorted(row[0] for row in engine.query("SELECT Host FROM mysql.user WHERE User = %s", [name]))


def created(engine: Engine, name: str, host: str = "%") -> str:
    """The server's own word about an account."""
    ((statement,),) = engine.query("SHOW CREATE USER %s@%s", (name, host))
    return str(statement)


@pytest.mark.feature("U03", "U07")
def test_a_login_is_made_and_logs_in(engine: Engine, unique: Unique) -> None:
    name, password = unique("app"), "pass'wörd \\ \" %s {} €"
    done = engine.four_runs(user(name, password=password, verify_login=True))
    (result,) = done["objects"]
    assert result["credentials"]["status"] == "True"
    assert result["observed"]["created"]
    assert result["observed"]["allowed_hosts"] == ["%"]
    assert [one["field"] for one in result["differences"]] == ["exists"]
    assert engine.logs_in(name, password)
    assert not engine.logs_in(name, "another")
    engine.four_runs(user(name, password="another", verify_login=True))
    assert engine.logs_in(name, "another")
    assert not engine.logs_in(name, password)
    assert not engine.one(user(name, password="third", update_password="on_create"))["changed"]


@pytest.mark.feature("I02", "I03", "U02")
def test_the_plugin_is_the_engines_own(engine: Engine, unique: Unique) -> None:
    """The API writes MySQL's plugin into every declaration; on MariaDB it stands for the default."""
    for plugin in (None, "caching_sha2_password", "sha256_password"):
        name = unique("app")
        done = engine.four_runs(user(name, password="x", **({"plugin": plugin} if plugin else {})))
        expected = "mysql_native_password" if engine.mariadb else plugin or "caching_sha2_password"
        assert done["objects"][0]["observed"]["plugin"] == expected
        assert engine.logs_in(name, "x")


@pytest.mark.feature("U02")
def test_the_plugin_is_changed_with_the_password_only(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    if engine.mariadb:
        engine.query("CREATE USER %s@'%%' IDENTIFIED VIA unix_socket", (name,))
        engine.four_runs(user(name, password="x", plugin="mysql_native_password"))
        assert engine.logs_in(name, "x")
        return
    engine.run(user(name, password="x"))
    result = engine.one(user(name, plugin="sha256_password"))
    assert (result["reason"], result["field"]) == ("InvalidSpec", "plugin")
    engine.four_runs(user(name, plugin="sha256_password", password="x", update_password="on_create"))
    assert engine.logs_in(name, "x")
    result = engine.one(user(name, plugin="mysql_native_password", password="x"))
    assert (result["reason"], result["field"]) == ("Unsupported", "plugin")


def test_without_a_password_nobody_logs_in(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.four_runs(user(name))
    assert not engine.logs_in(name, "")
    assert not engine.logs_in(name, name)
    engine.four_runs(user(name, password="x"))
    assert engine.logs_in(name, "x")


@pytest.mark.feature("U10")
def test_a_password_reaches_the_server_as_a_hash_only(engine: Engine, unique: Unique) -> None:
    name, password = unique("app"), "topsecret-48151623"
    engine.query("SET GLOBAL general_log = ON")
    try:
        done = engine.four_runs(user(name, password=password, verify_login=True))
        done |= {"second": engine.run(user(name, password=password + "2"))}
    finally:
        engine.query("SET GLOBAL general_log = OFF")
    log = "".join(
        path.read_text(encoding="utf-8", errors="replace") for path in engine.server.data.glob("*.log")
    ) + engine.server.log.read_text(encoding="utf-8", errors="replace")
    assert name in log
    assert password not in log
    text = json.dumps(done)
    assert password not in text
    assert "$A$" not in text
    assert "AS '********'" in text or "USING '********'" in text


@pytest.mark.feature("U03")
def test_a_hash_is_taken_as_it_is(engine: Engine, unique: Unique) -> None:
    first, second = unique("one"), unique("two")
    engine.run(user(first, password="x"))
    ((stored, printed),) = engine.query(
        "SELECT authentication_string, CONCAT('0x', HEX(authentication_string)) FROM mysql.user WHERE User = %s",
        [first],
    )
    engine.four_runs(user(second, password=stored))
    assert engine.logs_in(second, "x")
    assert not engine.one(user(second, password="x"))["changed"]
    assert not engine.one(user(second, password=printed))["changed"]
    result = engine.one(user(second, password=stored, verify_login=True))
    assert (result["credentials"]["status"], result["credentials"]["reason"]) == ("Unknown", "NotVerifiable")
    other = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
    if not engine.mariadb:
        assert engine.one(user(second, password=other))["reason"] == "InvalidSpec"


@pytest.mark.feature("U02")
def test_hosts_are_accounts_of_their_own(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.four_runs(user(name, password="x", allowed_hosts=["127.0.0.1", "10.%", "LocalHost"]))
    assert hosts(engine, name) == ["10.%", "127.0.0.1", "localhost"]
    assert engine.logs_in(name, "x")
    done = engine.four_runs(user(name, password="y", allowed_hosts=["127.0.0.1", "192.168.1.0/255.255.255.0"]))
    assert hosts(engine, name) == ["127.0.0.1", "192.168.1.0/255.255.255.0"]
    assert engine.logs_in(name, "y")
    assert {one["field"] for one in done["objects"][0]["differences"]} >= {"hosts.missing", "hosts.extra", "password"}
    assert [one["destructive"] for one in done["objects"][0]["differences"] if one["field"] == "hosts.extra"] == [
        True,
        True,
    ]
    assert not engine.one(user(name, password="y"))["changed"], "without a declaration hosts are left alone"
    engine.four_runs(user(name, allowed_hosts=[]))
    assert hosts(engine, name) == ["%"]


@pytest.mark.feature("U02")
def test_limits_are_set_and_taken_away(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    limits = {
        "max_queries_per_hour": 100,
        "max_updates_per_hour": 7,
        "max_connections_per_hour": 5,
        "max_user_connections": 3,
    }
    engine.four_runs(user(name, password="x", **limits))
    said = created(engine, name)
    for option, value in limits.items():
        assert f"{option.upper()} {value}" in said
    engine.four_runs(user(name, max_queries_per_hour=0, max_user_connections=4))
    said = created(engine, name)
    assert "MAX_QUERIES_PER_HOUR 100" not in said
    assert "MAX_USER_CONNECTIONS 4" in said
    assert "MAX_UPDATES_PER_HOUR 7" in said, "what is not declared is left alone"
    engine.four_runs(user(name, **dict.fromkeys(limits, 0)))
    said = created(engine, name)
    assert all(f"{option.upper()} {value}" not in said for option, value in limits.items())


@pytest.mark.feature("U02", "I06")
def test_tls_is_required_and_no_longer(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    without = {"ssl_disabled": True, "ssl_ca": None, "ssl_verify_cert": None, "ssl_verify_identity": None}
    pair = engine.server.client_certificate(name)
    certificate = {"ssl_cert": str(pair.certificate), "ssl_key": str(pair.key)}
    for require_ssl, require_x509, plain, encrypted in (
        (False, False, True, True),
        (True, False, False, True),
        (True, True, False, False),
        (True, False, False, True),
        (False, False, True, True),
    ):
        declared = user(name, password="x", require_ssl=require_ssl, require_x509=require_x509)
        engine.four_runs(declared)
        assert engine.logs_in(name, "x", **without) is plain
        assert engine.logs_in(name, "x") is encrypted
        assert engine.logs_in(name, "x", **certificate)


@pytest.mark.feature("U02")
def test_a_stricter_certificate_is_left_alone(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("app")
    engine.query("CREATE USER %s@'%%' REQUIRE SUBJECT '/CN=somebody'", (name,))
    for options in ({"require_x509": True}, {"require_ssl": True}):
        assert not engine.one(user(name, **options))["changed"]
    engine.four_runs(user(name, require_ssl=True, require_x509=False))
    assert "REQUIRE SSL" in created(engine, name)


@pytest.mark.feature("U02")
def test_an_account_is_locked_and_unlocked(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.four_runs(user(name, password="x", account_locked=True))
    assert not engine.logs_in(name, "x")
    result = engine.one(user(name, password="x", verify_login=True))
    assert (result["credentials"]["status"], result["failed"]) == ("Unknown", False)
    engine.four_runs(user(name, account_locked=False))
    assert engine.logs_in(name, "x")


@pytest.mark.feature("U02", "R03")
def test_a_locked_users_sessions_are_ended(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    with engine.connect(name, "x") as session, session.cursor() as cursor:
        engine.run(user(name, account_locked=True, end_sessions=False))
        cursor.execute("SELECT 1")
        engine.run(user(name, account_locked=True))
        with pytest.raises(engine.lost):
            cursor.execute("SELECT 1")
    assert not engine.one(user(name, account_locked=True))["changed"]


@pytest.mark.feature("U02")
def test_the_life_of_a_password(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.four_runs(user(name, password="x", password_lifetime=30))
    assert "PASSWORD EXPIRE INTERVAL 30 DAY" in created(engine, name)
    engine.four_runs(user(name, password_lifetime=0))
    assert "PASSWORD EXPIRE NEVER" in created(engine, name)
    assert not engine.one(user(name))["changed"]


@pytest.mark.feature("U02")
def test_failed_logins_lock_an_account_of_mysql(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    declared = user(name, password="x", failed_login_attempts=2, password_lock_time=3)
    if engine.mariadb:
        result = engine.one(declared)
        assert (result["reason"], result["field"]) == ("Unsupported", "failed_login_attempts")
        assert not engine.one(user(name, password="x", failed_login_attempts=0, password_lock_time=0))["failed"]
        return
    engine.four_runs(declared)
    assert "FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME 3" in created(engine, name)
    for _ignored in range(3):
        assert not engine.one(declared | {"verify_login": True})["failed"], "our own tries lock nobody out"
    engine.four_runs(user(name, password_lock_time=-1))
    assert "PASSWORD_LOCK_TIME UNBOUNDED" in created(engine, name)
    for _ignored in range(2):
        assert not engine.logs_in(name, "wrong")
    assert not engine.logs_in(name, "x")
    engine.four_runs(user(name, failed_login_attempts=0, password_lock_time=0))


@pytest.mark.feature("R02")
def test_two_passwords_at_once(engine: Engine, unique: Unique) -> None:
    name = unique("app")
    engine.run(user(name, password="old"))
    declared = user(name, password="new", retain_current_password=True, verify_login=True)
    if engine.mariadb:
        for option in ("retain_current_password", "discard_old_password"):
            result = engine.one(user(name, **{option: True}))
            assert (result["reason"], result["field"]) == ("Unsupported", option)
        return
    done = engine.four_runs(declared)
    assert "RETAIN CURRENT PASSWORD" in done["objects"][0]["steps"][0]["statement"]
    assert done["objects"][0]["observed"]["second_password"]
    assert engine.logs_in(name, "old")
    assert engine.logs_in(name, "new")
    engine.four_runs(user(name, password="new", discard_old_password=True))
    assert not engine.logs_in(name, "old")
    assert engine.logs_in(name, "new")
    both = user(name, password="new", retain_current_password=True, discard_old_password=True)
    assert engine.one(both)["reason"] == "InvalidSpec"


@pytest.mark.feature("R02")
def test_of_three_passwords_the_last_two_work_on_every_host(engine: Engine, unique: Unique) -> None:
    """The server keeps one old password; a run that only repeats the declaration keeps it."""
    if engine.mariadb:
        return
    name = unique("app")
    hosts = ["127.0.0.1", "10.%"]
    engine.run(user(name, password="first", allowed_hosts=hosts))
    for password in ("second", "third"):
        engine.four_runs(user(name, password=password, allowed_hosts=hosts, retain_current_password=True))
    assert [engine.logs_in(name, one) for one in ("first", "second", "third")] == [False, True, True]
    kept = {host for host in hosts if "additional_password" in _attributes(engine, name, host)}
    assert kept == set(hosts)
    with engine.connect(name, "second") as session, session.cursor() as cursor:
        engine.four_runs(user(name, discard_old_password=True))
        cursor.execute("SELECT 1")
    assert [engine.logs_in(name, one) for one in ("second", "third")] == [False, True]


def _attributes(engine: Engine, name: str, host: str) -> str:
    return str(engine.query("SELECT User_attributes FROM mysql.user WHERE User = %s AND Host = %s", [name, host]))


@pytest.mark.feature("U07")
def test_what_no_login_can_tell_is_said_and_fails_nothing(superuser_engine: Engine, unique: Unique) -> None:
    engine = superuser_engine
    for options, said in (
        ({"allowed_hosts": ["10.1.2.3"]}, "may log in from 10.1.2.3 only"),
        ({"require_x509": True}, "certificate"),
    ):
        result = engine.one(user(unique("app"), password="x", verify_login=True, **options))
        assert not result["failed"]
        assert (result["credentials"]["status"], result["credentials"]["reason"]) == ("Unknown", "NotVerifiable")
        assert said in result["credentials"]["message"]


@pytest.mark.feature("U07")
def test_a_wrong_password_is_found(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("app")
    engine.run(user(name, password="x"))
    result = engine.one(user(name, password="y", update_password="on_create", verify_login=True))
    assert (result["reason"], result["credentials"]["status"]) == ("AuthenticationFailed", "False")


@pytest.mark.feature("U07")
def test_an_account_without_a_name_may_stand_before(superuser_engine: Engine, unique: Unique) -> None:
    engine, name = superuser_engine, unique("app")
    engine.query("CREATE USER ''@'127.0.0.1' IDENTIFIED BY 'x'")
    try:
        # It stands before accounts for every host, that of the admin among them.
        local = {"login_unix_socket": str(engine.server.socket)}
        (result,) = engine.run(user(name, password="x", verify_login=True), connection=local)["objects"]
        assert result["credentials"]["status"] == "Unknown"
        assert "takes a login" in result["credentials"]["message"]
    finally:
        engine.query("DROP USER ''@'127.0.0.1'")


@pytest.mark.feature("D12")
@pytest.mark.parametrize("name", ["quo'te \"`tick", "per%cent_$\\back", "ümläut@host", "semi;-- ", "日本", "A b"])
def test_any_name_is_made_altered_and_dropped(engine: Engine, name: str) -> None:
    name = name.strip()
    engine.four_runs(user(name, password="x", verify_login=True))
    assert hosts(engine, name) == ["%"]
    assert engine.logs_in(name, "x")
    engine.four_runs(user(name, password="y", max_user_connections=3))
    engine.four_runs(user(name, state="absent"))
    assert hosts(engine, name) == []


@pytest.mark.feature("D12")
def test_the_longest_name(engine: Engine) -> None:
    longest = "n" * (80 if engine.mariadb else 32)
    engine.four_runs(user(longest, password="x", verify_login=True))
    engine.four_runs(user(longest, state="absent"))
    result = engine.one(user(longest + "n"))
    assert (result["reason"], result["field"]) == ("InvalidSpec", "name")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "emoji😀"}, "name"),
        ({"name": "blank "}, "name"),
        ({"password": ""}, "password"),
        ({"password": "x" * 300}, "password"),
        ({"allowed_hosts": ["ümläut"]}, "allowed_hosts"),
        ({"allowed_hosts": [""]}, "allowed_hosts"),
        ({"max_user_connections": -1}, "max_user_connections"),
        ({"max_queries_per_hour": 2**40}, "max_queries_per_hour"),
        ({"password_lifetime": 70000}, "password_lifetime"),
        ({"superuser": True}, "superuser"),
        ({"login": False}, "login"),
        ({"connection_limit": 3}, "connection_limit"),
        ({"in_roles": [""]}, "in_roles"),
        ({"in_roles": ["emoji😀"]}, "in_roles"),
    ],
)
def test_bad_values_are_found_before_anything_is_sent(
    superuser_engine: Engine, unique: Unique, options: dict[str, Any], field: str
) -> None:
    engine, good = superuser_engine, unique("good")
    before = engine.snapshot()
    for check in (True, False):
        result = engine.one({**user(unique("app"), password="x"), **options}, check=check)
        assert (result["reason"], result["field"]) == ("InvalidSpec", field), result
    assert engine.snapshot() == before
    done = engine.run({"kind": "database_user", "name": unique("bad"), "password": "x", **options}, user(good))
    assert [one["failed"] for one in done["objects"]] == [True, False]


def test_accounts_that_are_not_to_be_touched(engine: Engine) -> None:
    own = "mariadb.sys" if engine.mariadb else "mysql.session"
    for name in (engine.login.user, own):
        for declared in (user(name, password="x"), user(name, state="absent")):
            result = engine.one(declared)
            assert (result["reason"], result["field"]) == ("AccessDenied", "name")
    assert engine.one(user("root", state="absent"))["reason"] == "AccessDenied"


def test_a_missing_role_is_waited_for(engine: Engine, unique: Unique) -> None:
    result = engine.one(user(unique("app"), in_roles=[unique("none")]))
    assert (result["reason"], result["field"]) == ("DependencyNotReady", "in_roles")


def test_a_user_and_what_it_may_use_in_one_run(engine: Engine, unique: Unique) -> None:
    names = [unique("app") for _ignored in range(5)]
    declared = [user(name, password="x") for name in names] + [database(name) for name in names]
    engine.four_runs(*declared)
