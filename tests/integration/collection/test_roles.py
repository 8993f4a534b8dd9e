# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and playbooks without Kubernetes: one kind each with its hooks, and a whole server in one variables file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from ansible_runs import Ansible

from localstack.postgresql import Login, PostgreSQLServer

Unique = Callable[[str], str]


def prefixed(prefix: str, options: dict[str, Any]) -> dict[str, Any]:
    """Options as the variables of a role."""
    return {f"{prefix}_{name}": value for name, value in options.items()}


@pytest.mark.feature("A03")
def test_a_role_per_kind_with_tasks_around_it(
    ansible: Ansible, postgres: PostgreSQLServer, admin: Login, unique: Unique
) -> None:
    user, name = unique("u"), unique("d")
    before = ansible.write("before.yml", [{"name": "before", "ansible.builtin.debug": {"msg": "nothing yet"}}])
    shown = "{{ database_user_result.user.name }} {{ database_user_result.changed }}"
    after = ansible.write("after.yml", [{"name": "after", "ansible.builtin.debug": {"msg": shown}}])
    hooks = {"before": [str(before)], "after": [str(after)]}

    server = ansible.play(
        "dbprovision.dbops.database_instance", variables=prefixed("database_instance", admin.options())
    )
    assert server.status == 0, server.output
    assert server.last["instance"]["admin"] == admin.user

    login = prefixed(
        "database_user", admin.options() | {"name": user, "password": "secret", "verify_login": True} | hooks
    )
    for changed in (True, False):
        run = ansible.play("dbprovision.dbops.database_user", variables=login)
        assert run.status == 0, run.output
        names = [one["task"].rpartition(" : ")[2] for one in run.results]
        assert names.index("before") < names.index("Keep a login as declared") < names.index("after")
        assert run.of(" : after")["msg"] == f"{user} {changed}"
    database = prefixed("database", admin.options() | {"name": name, "owner": user, "schemas": [{"name": "sales"}]})
    planned = ansible.play("dbprovision.dbops.database", "--check", "--diff", variables=database)
    assert planned.changed == 1
    assert f'CREATE DATABASE "{name}"' in planned.output
    assert [ansible.play("dbprovision.dbops.database", variables=database).changed for _ in range(2)] == [1, 0]
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"
    assert postgres.query(owner, [name]) == [(user,)]
    psycopg.connect(postgres.login(user, "secret").dsn(name)).close()

    for playbook, variables in (("database", database), ("database_user", login)):
        gone = ansible.play(f"dbprovision.dbops.{playbook}", variables=variables | {f"{playbook}_state": "absent"})
        assert gone.status == 0, gone.output
        assert gone.changed == 1
    assert postgres.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]) == []
    assert postgres.query(owner, [name]) == []


@pytest.mark.feature("A04", "A05")
def test_a_whole_server_in_one_variables_file(
    ansible: Ansible, postgres: PostgreSQLServer, admin: Login, unique: Unique
) -> None:
    owner, reader, first, second = (unique(prefix) for prefix in ("o", "r", "d", "e"))
    variables = prefixed("server", admin.options()) | {
        "server_users": [
            {"name": reader, "in_roles": [owner], "config_parameters": {"statement_timeout": "30s"}},
            {"name": owner, "password": "secret"},
        ],
        "server_databases": [
            {"name": first, "owner": owner, "extensions": [{"name": "citext"}], "schemas": [{"name": "sales"}]},
            {"name": second, "connection_limit": 3},
        ],
    }
    names = [owner, reader, first, second]
    present = "SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database"

    def there() -> list[str]:
        return sorted(name for (name,) in postgres.query(present) if name in names)

    planned = ansible.play("dbprovision.dbops.server", "--check", "--diff", variables=variables)
    assert planned.status == 0, planned.output
    assert planned.changed == 1
    for name in (owner, reader):
        assert f'CREATE ROLE "{name}"' in planned.output
    for name in (first, second):
        assert f'CREATE DATABASE "{name}"' in planned.output
    assert there() == []

    done = ansible.play("dbprovision.dbops.server", "--diff", variables=variables)
    assert done.status == 0, done.output
    assert done.changed == 1
    assert done.last["queries"] == planned.last["queries"], "the plan is what is then done"
    assert done.last["diff"] == planned.last["diff"]
    assert there() == sorted(names)
    again = ansible.play("dbprovision.dbops.server", variables=variables)
    assert again.status == 0, again.output
    assert again.changed == 0
    assert "changed=0" in again.output
    assert "changed=0" in ansible.play("dbprovision.dbops.server", "--check", "--diff", variables=variables).output
