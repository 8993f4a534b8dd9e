# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules as users write them: four runs per state, as superuser and as a managed cloud's admin.

The judges are the catalogs, logins, and community.postgresql's modules in the same play.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest
from ansible_runs import Ansible, Run

from localstack.postgresql import Login, PostgreSQLServer

Unique = Callable[[str], str]

SNAPSHOT = """
SELECT 'role', to_jsonb(r)::text FROM pg_authid r
UNION ALL SELECT 'membership', to_jsonb(m)::text FROM pg_auth_members m
UNION ALL SELECT 'setting', to_jsonb(s)::text FROM pg_db_role_setting s
UNION ALL SELECT 'database', (to_jsonb(d) - 'datfrozenxid' - 'datminmxid')::text FROM pg_database d
ORDER BY 1, 2
"""


def in_four_runs(ansible: Ansible, server: PostgreSQLServer, admin: Login, task: Mapping[str, Any]) -> Run:
    """Check, run, check, run: changed, changed, ok, ok, and the checks leave the server as it was."""
    before = server.query(SNAPSHOT)
    check = ansible.tasks(task, connection=admin.options(), arguments=["--check", "--diff"])
    assert check.status == 0, check.output
    assert check.last["changed"]
    assert server.query(SNAPSHOT) == before, "a check changed the server"
    run = ansible.tasks(task, {**task, "check_mode": True}, task, connection=admin.options(), arguments=["--diff"])
    assert run.status == 0, run.output
    assert [one["result"]["changed"] for one in run.results] == [True, False, False]
    # The plan of the check is what was done.
    assert run.results[0]["result"]["queries"] == check.last["queries"]
    assert run.results[0]["result"]["diff"] == check.last["diff"]
    for query in check.last["queries"]:
        assert query in check.output
        assert query in check.last["diff"]["prepared"]
    for one in run.results[1:]:
        assert one["result"]["queries"] == []
        assert one["result"]["diff"] == {"prepared": ""}
    return run


@pytest.mark.feature("A02", "U01", "U08")
def test_a_login_is_made_changed_and_dropped(
    ansible: Ansible, postgres: PostgreSQLServer, admin: Login, unique: Unique
) -> None:
    name, group = unique("u"), unique("g")
    # The admin makes the group itself: on PostgreSQL 16 and newer a weak one may pass on only such roles.
    with psycopg.connect(admin.dsn(), autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE ROLE {}").format(psycopg.sql.Identifier(group)))
    login = {"name": name, "password": "first secret", "connection_limit": 0, "create_db": True, "in_roles": [group]}
    made = in_four_runs(ansible, postgres, admin, {"dbprovision.dbops.database_user": login})
    assert made.results[0]["result"]["user"]["created"]
    columns = "SELECT rolconnlimit, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = %s"
    assert postgres.query(columns, [name]) == [(0, True, False)]
    assert postgres.query("SELECT pg_has_role(%s, %s, 'MEMBER')", [name, group]) == [(True,)]

    changed = {"name": name, "password": "second secret", "connection_limit": 4, "create_db": False, "in_roles": []}
    in_four_runs(ansible, postgres, admin, {"dbprovision.dbops.database_user": changed})
    assert postgres.query(columns, [name]) == [(4, False, False)]
    assert postgres.query("SELECT pg_has_role(%s, %s, 'MEMBER')", [name, group]) == [(False,)]
    psycopg.connect(postgres.login(name, "second secret").dsn()).close()

    in_four_runs(ansible, postgres, admin, {"dbprovision.dbops.database_user": {"name": name, "state": "absent"}})
    assert postgres.query(columns, [name]) == []


@pytest.mark.feature("A02", "D01", "D02", "D04", "D05", "D06")
def test_a_database_is_made_changed_and_dropped(
    ansible: Ansible, postgres: PostgreSQLServer, admin: Login, unique: Unique
) -> None:
    name, reader = unique("d"), unique("r")
    with psycopg.connect(admin.dsn(), autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE ROLE {}").format(psycopg.sql.Identifier(reader)))
    privileges = {"role": reader, "schema": "sales", "object_type": "tables", "privileges": ["SELECT"]}
    declared = {
        "name": name, "encoding": "UTF8", "lc_collate": "C", "lc_ctype": "C", "template": "template0",
        "extensions": [{"name": "citext", "schema": "public"}], "schemas": [{"name": "sales"}],
        "default_privileges": [privileges],
    }  # fmt: skip
    in_four_runs(ansible, postgres, admin, {"dbprovision.dbops.database": declared})
    facts = "SELECT pg_encoding_to_char(encoding), datcollate, datconnlimit FROM pg_database WHERE datname = %s"
    assert postgres.query(facts, [name]) == [("UTF8", "C", -1)]
    extensions = "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace"
    assert ("public",) in postgres.query(extensions + " WHERE extname = 'citext'", dbname=name)
    with psycopg.connect(admin.dsn(name), autocommit=True) as connection:
        connection.execute("CREATE TABLE sales.t()")
    readable = "SELECT has_table_privilege(%s, 'sales.t', 'SELECT')"
    assert postgres.query(readable, [reader], dbname=name) == [(True,)]

    with psycopg.connect(admin.dsn(name), autocommit=True) as connection:
        connection.execute("DROP TABLE sales.t")
    less = {
        "name": name, "connection_limit": 8, "extensions": [{"name": "citext", "state": "absent"}],
        "schemas": [{"name": "sales", "state": "absent"}, {"name": "stock"}],
    }  # fmt: skip
    in_four_runs(ansible, postgres, admin, {"dbprovision.dbops.database": less})
    assert postgres.query(facts, [name]) == [("UTF8", "C", 8)]
    assert postgres.query(extensions + " WHERE extname = 'citext'", dbname=name) == []
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname IN ('sales', 'stock')"
    assert postgres.query(schemas, dbname=name) == [("stock",)]

    in_four_runs(ansible, postgres, admin, {"dbprovision.dbops.database": {"name": name, "state": "absent"}})
    assert postgres.query(facts, [name]) == []


@pytest.mark.feature("A02", "I11")
def test_the_info_module_says_what_the_account_can_do(
    ansible: Ansible, postgres: PostgreSQLServer, admin: Login
) -> None:
    before = postgres.query(SNAPSHOT)
    run = ansible.tasks(
        {"dbprovision.dbops.database_instance_info": {}, "register": "server"},
        {"dbprovision.dbops.database_instance_info": {}, "check_mode": True},
        {"ansible.builtin.assert": {"that": "server.instance.capabilities | selectattr('name', 'eq', 'createDatabase')"
                                            " | map(attribute='available') | first"}},
        connection=admin.options(),
    )  # fmt: skip
    assert run.status == 0, run.output
    first, second, _ = (one["result"] for one in run.results)
    assert not first["changed"]
    assert first == second
    assert first["instance"]["version_number"] // 10000 == postgres.version
    capabilities = {one["name"]: one["available"] for one in first["instance"]["capabilities"]}
    assert capabilities["superuser"] == (admin == postgres.admin)
    assert capabilities["createDatabase"]
    assert postgres.query(SNAPSHOT) == before


@pytest.mark.feature("A02")
def test_community_modules_agree_with_ours(
    ansible: Ansible, postgres: PostgreSQLServer, admin: Login, unique: Unique
) -> None:
    user, name = unique("u"), unique("d")
    limited = {"name": user, "password": "secret", "connection_limit": 6}
    objects = [{"kind": "database", "name": name, "owner": user}, {"kind": "database_user", **limited}]
    judge = {
        key: value
        for key, value in admin.options().items()
        if key.startswith("login_") or key in ("ssl_mode", "ca_cert")
    }
    info = {**judge, "login_db": "postgres", "filter": ["databases", "roles"]}
    query = {**judge, "login_db": name, "query": "SELECT pg_get_userbyid(datdba) AS owner FROM pg_database "
                                                 "WHERE datname = current_database()"}  # fmt: skip
    theirs = {**judge, "name": user, "password": "secret", "conn_limit": 6}
    tasks: list[dict[str, Any]] = [
        {"dbprovision.dbops.converge": {"objects": objects}},
        {"community.postgresql.postgresql_info": info},
        {"community.postgresql.postgresql_query": query},
    ]
    if admin == postgres.admin:
        # It can compare a password only where it may read the verifier.
        tasks.append({"community.postgresql.postgresql_user": theirs})
    run = ansible.tasks(*tasks, connection=admin.options())
    assert run.status == 0, run.output
    found = run.results[1]["result"]
    assert found["databases"][name]["owner"] == user
    assert user in found["roles"]
    assert run.results[2]["result"]["query_result"] == [{"owner": user}]
    assert not any(one["result"]["changed"] for one in run.results[1:])


def test_one_object_of_a_list_fails_and_the_others_are_done(
    ansible: Ansible, postgres: PostgreSQLServer, unique: Unique
) -> None:
    good, lost = unique("g"), unique("l")
    objects = [{"kind": "database", "name": lost, "owner": "no such role"}, {"kind": "database_user", "name": good}]
    run = ansible.tasks(
        {"dbprovision.dbops.converge": {"objects": objects}, "ignore_errors": True},
        {"dbprovision.dbops.converge": {"objects": objects, "fail_on_object": False}},
        connection=postgres.admin.options(),
    )
    assert run.status == 0, run.output
    failed, let_through = (one["result"] for one in run.results)
    assert [one["status"] for one in run.results] == ["failed", "ok"]
    assert failed["changed"]
    assert not let_through["changed"]
    assert [one["reason"] for one in failed["objects"]] == ["DependencyNotReady", None]
    assert [one["failed"] for one in let_through["objects"]] == [True, False]
    assert f"database/{lost}" in failed["msg"]
    assert "Traceback" not in run.output
    assert postgres.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [good]) == [(1,)]


# What is wrong: options of database_user beside the name, and what the result says: reason, field.
WRONG: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "password of the admin": ({"login_password": "wrong"}, "AuthenticationFailed", None),
    "port": ({"login_port": 1}, "ConnectionFailed", None),
    "TLS": ({"ca_cert": "/nonexistent"}, "TLSFailed", "ca_cert"),
    "engine": ({"engine": "mysql"}, "ConnectionFailed", None),
    "unknown option": ({"nam": "x"}, "InvalidSpec", None),
    "missing role": ({"in_roles": ["no such role"]}, "DependencyNotReady", "in_roles"),
    "name": ({"name": "x" * 64}, "InvalidSpec", "name"),
}


@pytest.mark.parametrize("way", [{}, {"environment": {"PGTZ": "UTC"}}], ids=["action", "module"])
def test_a_failure_has_a_reason_and_no_traceback(
    ansible: Ansible, postgres: PostgreSQLServer, unique: Unique, way: Mapping[str, Any]
) -> None:
    tasks = [
        {
            "name": what,
            "dbprovision.dbops.database_user": {"name": unique("u"), **options},
            "ignore_errors": True,
            **way,
        }
        for what, (options, _, _) in WRONG.items()
    ]
    run = ansible.tasks(*tasks, connection=postgres.admin.options(), arguments=["-vvv"])
    assert run.status == 0, run.output
    assert {one["status"] for one in run.results} == {"failed"}
    found = {one["task"]: (one["result"]["reason"], one["result"]["field"]) for one in run.results}
    assert found == {what: (reason, field) for what, (_, reason, field) in WRONG.items()}
    assert all(one["result"]["msg"] for one in run.results)
    assert "Traceback" not in run.output
