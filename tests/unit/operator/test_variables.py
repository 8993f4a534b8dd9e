# SPDX-License-Identifier: GPL-3.0-or-later
"""From spec to options: every field arrives, absent blocks declare nothing, maps are data, and the engine takes it."""

from __future__ import annotations

from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import argument_specs
from dbops_operator.api import variables
from dbops_operator.api.database import DATABASE
from dbops_operator.api.database_user import DATABASE_USER
from dbops_operator.api.model import parse

REFERENCE = {"instanceRef": {"name": "main"}}


def user(engine: str = "postgres", **spec: Any) -> dict[str, Any]:
    parsed = parse(DATABASE_USER, {"spec": {**REFERENCE, "username": "app", **spec}})
    return variables.database_user(parsed, engine, variables.Login(parsed.username, "p"))


def database(engine: str = "postgres", **spec: Any) -> dict[str, Any]:
    return variables.database(parse(DATABASE, {"spec": {**REFERENCE, "name": "app", **spec}}), engine)


def test_a_user_without_a_block_declares_no_attribute() -> None:
    assert user() == {"kind": "database_user", "name": "app", "password": "p", "verify_login": True}


def test_an_empty_block_declares_the_defaults() -> None:
    made = user(postgres={})
    assert {key: made[key] for key in made if key not in ("kind", "name", "password", "verify_login")} == {
        "login": True,
        "inherit": True,
        "connection_limit": -1,
        "superuser": False,
        "create_db": False,
        "create_role": False,
        "replication": False,
        "bypass_rls": False,
        "valid_until": "infinity",
    }


def test_explicit_false_and_zero_arrive() -> None:
    made = user(postgres={"login": False, "inherit": False, "connectionLimit": 0, "createDB": True})
    assert (made["login"], made["inherit"], made["connection_limit"], made["create_db"]) == (False, False, 0, True)


def test_keys_of_maps_are_data() -> None:
    made = user(postgres={"configParameters": {"myApp.someKey": "x", "work_mem": "1MB"}})
    assert made["config_parameters"] == {"myApp.someKey": "x", "work_mem": "1MB"}


def test_both_lists_of_roles_count() -> None:
    assert user(roles=["a", "b"], postgres={"inRoles": ["b", "c"]})["in_roles"] == ["a", "b", "c"]
    assert user(postgres={"inRoles": []})["in_roles"] == []
    assert "in_roles" not in user(postgres={})


def test_a_database_without_a_block_declares_its_name() -> None:
    assert database() == {"kind": "database", "name": "app"}


def test_everything_of_a_database_arrives() -> None:
    made = database(
        owner="o",
        postgres={
            "lcCollate": "C",
            "isTemplate": True,
            "allowConnections": False,
            "connectionLimit": 0,
            "extensions": [{"name": "citext", "version": "1.6"}, {"name": "hstore", "state": "absent"}],
            "schemas": [{"name": "s", "owner": "x"}, {"name": "t"}],
            "defaultPrivileges": [
                {"role": "r", "schema": "s", "objectType": "tables", "privileges": ["SELECT", "ALL PRIVILEGES"]}
            ],
        },
    )
    assert made == {
        "kind": "database",
        "name": "app",
        "owner": "o",
        "encoding": "UTF8",
        "lc_collate": "C",
        "template": "template0",
        "tablespace": "pg_default",
        "connection_limit": 0,
        "is_template": True,
        "allow_connections": False,
        "extensions": [
            {"name": "citext", "schema": "public", "version": "1.6"},
            {"name": "hstore", "schema": "public", "state": "absent"},
        ],
        "schemas": [{"name": "s", "owner": "x"}, {"name": "t"}],
        "default_privileges": [
            {"role": "r", "schema": "s", "object_type": "tables", "privileges": ["SELECT", "ALL PRIVILEGES"]}
        ],
    }


def test_blocks_of_other_engines_are_ignored() -> None:
    assert database(mysql={}) == database()
    assert user(mysql={"requireSSL": True}) == user()
    assert database("mysql", owner="o", postgres={"template": "template1"}) == database("mysql")
    assert user("mysql", postgres={"superuser": True, "inRoles": ["r"]}) == user("mysql")


def test_a_block_of_mysql_arrives() -> None:
    made = database("mysql", mysql={"charset": "latin1", "collation": "latin1_bin"})
    assert made == {"kind": "database", "name": "app", "encoding": "latin1", "collation": "latin1_bin"}
    account = user("mysql", mysql={"allowedHosts": ["10.%"], "requireSSL": True, "failedLoginAttempts": 3})
    assert (account["allowed_hosts"], account["require_ssl"], account["require_x509"]) == (["10.%"], True, False)
    assert (account["plugin"], account["failed_login_attempts"]) == ("caching_sha2_password", 3)
    # What MariaDB does not have means its default.
    account = user("mariadb", mysql={})
    assert account["allowed_hosts"] == ["%"]
    assert not {"plugin", "failed_login_attempts", "password_lock_time"} & set(account)


def test_options_are_those_of_the_modules() -> None:
    full = {"superuser": True, "inRoles": ["a"], "configParameters": {"a": "b"}, "defaultRole": "a"}
    mine = (user(postgres=full), database(postgres={}), user("mysql", mysql={}), database("mariadb", mysql={}))
    for options in (*mine, variables.database_instance("x")):
        assert set(options) - {"kind"} <= set(argument_specs.KINDS[options["kind"]])
