# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules and playbooks on MySQL and MariaDB: four runs per state, judged by logging in and trying what is granted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pymysql
import pytest
from ansible_runs import Ansible

from localstack.mysql import MySQLLogin, MySQLServer

Unique = Callable[[str], str]


def may(server: MySQLServer, user: str, statement: str) -> bool:
    """Whether a user whose password is `x` logs in and may do something."""
    try:
        with server.login(user, "x").connect() as session, session.cursor() as cursor:
            cursor.execute(statement)
    except (pymysql.err.OperationalError, pymysql.err.ProgrammingError):
        return False
    return True


def four_times(module: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A task as check, run, check, run."""
    return [{f"dbprovision.dbops.{module}": dict(options), "check_mode": check} for check in (True, False) * 2]


@pytest.mark.feature("A02", "I02", "I03", "D01", "D02", "U02", "O01", "O02", "G01", "G03", "G05")
def test_every_state_module_in_four_runs(
    ansible: Ansible, mysql_server: MySQLServer, mysql_admin: MySQLLogin, unique: Unique
) -> None:
    place, group, user = unique("db"), unique("grp"), unique("app")
    on_table = {"level": "table", "database": place, "table": "t"}
    read = {"level": "database", "database": place, "privileges": ["SELECT"]}
    changes: list[tuple[str, dict[str, Any]]] = [
        ("database", {"name": place, "encoding": "utf8mb4"}),
        ("database", {"name": place, "encoding": "latin1"}),
        ("database_role", {"name": group, "grants": [read]}),
        ("database_user", {"name": user, "password": "x", "in_roles": [group], "verify_login": True}),
        ("database_grant", {"user": user, "grants": [{**on_table, "privileges": ["INSERT", "UPDATE"]}]}),
        ("database_grant", {"user": user, "grants": [{**on_table, "privileges": ["INSERT", "DELETE"]}]}),
    ]
    owned = {"dbops_owner": "shop"}
    tasks = [task for module, options in changes[:2] for task in four_times(module, options)]
    connection = mysql_admin.options() | {"engine": mysql_server.engine}
    made = ansible.tasks(*tasks, connection=connection)
    assert made.status == 0, made.output
    mysql_server.query(f"CREATE TABLE `{place}`.t (i int)")
    tasks = [task for module, options in changes[2:] for task in four_times(module, options | owned)]
    given = ansible.tasks(*tasks, connection=connection)
    assert given.status == 0, given.output
    for run in (made, given):
        assert [one["result"]["changed"] for one in run.results] == [True, True, False, False] * (len(run.results) // 4)
    assert given.results[5]["result"]["credentials"]["status"] == "True"
    table = f"`{place}`.t"
    assert may(mysql_server, user, f"SELECT * FROM {table}")
    assert may(mysql_server, user, f"INSERT INTO {table} VALUES (1)")
    assert may(mysql_server, user, f"DELETE FROM {table}")
    assert not may(mysql_server, user, f"UPDATE {table} SET i = 2"), "no longer declared"
    assert not may(mysql_server, user, f"DROP TABLE {table}")
    absent = {"state": "absent"}
    gone = ansible.tasks(
        *four_times("database_grant", {"user": user, **absent, **owned}),
        *four_times("database_user", {"name": user, **absent, **owned}),
        *four_times("database_role", {"name": group, **absent, **owned}),
        *four_times("database", {"name": place, **absent}),
        connection=connection,
    )
    assert gone.status == 0, gone.output
    assert [one["result"]["changed"] for one in gone.results] == [True, True, False, False] * 4
    assert not may(mysql_server, user, "SELECT 1")
    assert mysql_server.query("SELECT 1 FROM mysql.user WHERE User IN (%s, %s)", [user, group]) == []
    assert mysql_server.query("SHOW DATABASES LIKE %s", [place]) == []


@pytest.mark.feature("A03", "A04", "A05")
def test_a_whole_server_in_one_variables_file(
    ansible: Ansible, mysql_server: MySQLServer, mysql_admin: MySQLLogin, unique: Unique
) -> None:
    place, group, user = unique("db"), unique("grp"), unique("app")
    connection = mysql_admin.options() | {"engine": mysql_server.engine}
    variables = {f"server_{name}": value for name, value in connection.items()} | {
        "server_databases": [{"name": place}],
        "server_roles": [
            {"name": group, "grants": [{"level": "database", "database": place, "privileges": ["SELECT"]}]}
        ],
        "server_users": [{"name": user, "password": "x", "in_roles": [group]}],
    }
    planned = ansible.play("dbprovision.dbops.server", "--check", "--diff", variables=variables)
    assert planned.status == 0, planned.output
    assert mysql_server.query("SHOW DATABASES LIKE %s", [place]) == []
    assert not may(mysql_server, user, "SELECT 1")
    done = ansible.play("dbprovision.dbops.server", "--diff", variables=variables)
    assert done.status == 0, done.output
    assert done.changed == 1
    assert done.last["queries"] == planned.last["queries"], "the plan is what is then done"
    assert may(mysql_server, user, f"SHOW TABLES FROM `{place}`")
    again = ansible.play("dbprovision.dbops.server", variables=variables)
    assert again.status == 0, again.output
    assert again.changed == 0
