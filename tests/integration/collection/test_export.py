# SPDX-License-Identifier: GPL-3.0-or-later
"""The module database_export and its playbook: what they write is what the playbook for a whole server takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from ansible_runs import Ansible

from localstack.postgresql import PostgreSQLServer


@pytest.fixture
def names(postgres: PostgreSQLServer, unique: Callable[[str], str]) -> tuple[str, str]:
    """A role and its database, made by hand."""
    role, database = unique("own"), unique("db")
    postgres.query(f'CREATE ROLE "{role}" CREATEDB')
    postgres.query(f'CREATE DATABASE "{database}" OWNER "{role}"')
    return role, database


@pytest.mark.feature("A07")
def test_what_the_playbook_writes_changes_nothing(
    ansible: Ansible, postgres: PostgreSQLServer, names: tuple[str, str]
) -> None:
    role, database = names
    connection = {f"dbops_{name}": value for name, value in postgres.admin.options().items()}
    file = ansible.folder / "server.yml"
    chosen = {"export_file": str(file), "export_databases": [database], "export_accounts": [role]}
    run = ansible.play("dbprovision.dbops.export", variables=connection | chosen)
    assert run.status == 0, run.output
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert written["server_roles"] == [{"name": role, "create_db": True}]
    assert [(one["name"], one["owner"]) for one in written["server_databases"]] == [(database, role)]
    again = ansible.play("dbprovision.dbops.server", "-e", f"@{file}", "--check", variables=connection)
    assert again.status == 0, again.output
    assert again.changed == 0


@pytest.mark.feature("A07")
def test_the_playbook_writes_custom_resources(
    ansible: Ansible, postgres: PostgreSQLServer, names: tuple[str, str]
) -> None:
    role, database = names
    connection = {f"dbops_{name}": value for name, value in postgres.admin.options().items()}
    file = ansible.folder / "server.yml"
    chosen = {"export_databases": [database], "export_accounts": [role], "export_file": str(file)}
    form = {"export_format": "manifests", "export_instance": "main", "export_namespace": "team"}
    run = ansible.play("dbprovision.dbops.export", variables=connection | chosen | form)
    assert run.status == 0, run.output
    written = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    assert [(one["kind"], one["metadata"]["namespace"]) for one in written] == [
        ("DatabaseRole", "team"),
        ("Database", "team"),
    ]
    assert all(one["spec"]["instanceRef"] == {"name": "main"} for one in written)


@pytest.mark.feature("A07")
def test_the_module_says_what_is_missing(ansible: Ansible, postgres: PostgreSQLServer) -> None:
    task = {"dbprovision.dbops.database_export": {"format": "manifests"}}
    run = ansible.tasks(task, connection=postgres.admin.options())
    assert (run.last["reason"], run.last["field"]) == ("InvalidSpec", "instance")


@pytest.mark.feature("A07", "A06")
def test_module_and_action_plugin_give_the_same(
    ansible: Ansible, postgres: PostgreSQLServer, names: tuple[str, str]
) -> None:
    role, database = names
    task = {"dbprovision.dbops.database_export": {"databases": [database], "accounts": [role]}}
    # With an environment the module runs, as it does on another host.
    run = ansible.tasks(task, task | {"environment": {"PGTZ": "UTC"}}, connection=postgres.admin.options())
    assert run.status == 0, run.output
    here, there = (one["result"] for one in run.results)
    assert here["objects"] == there["objects"]
    assert here["variables"] == there["variables"]
    assert not here["changed"]
