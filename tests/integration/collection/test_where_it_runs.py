# SPDX-License-Identifier: GPL-3.0-or-later
"""Each task runs in Ansible's own process where that does the same, and as a module everywhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_runs import Ansible

from localstack.postgresql import PostgreSQLServer

# How a task is written or a play is set up so that the action plugin must hand over.
HANDED_OVER: dict[str, dict[str, Any]] = {
    "become": {"task": {"become": True, "become_method": "same_user"}},
    "environment": {"task": {"environment": {"PGTZ": "UTC"}}},
    "async": {"task": {"async": 60, "poll": 1}},
    "remote": {"play": {"connection": "elsewhere"}},
}


def module_file(name: str) -> str:
    """What Ansible says when it sends a module to the target."""
    return f"dbops/plugins/modules/{name}.py"


@pytest.mark.feature("A02")
@pytest.mark.parametrize("how", HANDED_OVER)
def test_what_the_process_of_ansible_cannot_do_goes_to_the_module(
    ansible: Ansible, postgres: PostgreSQLServer, unique: Callable[[str], str], how: str
) -> None:
    user = unique("u")
    task = {"dbprovision.dbops.database_user": {"name": user, "password": "first", "verify_login": True}}
    run = ansible.tasks(
        task | HANDED_OVER[how].get("task", {}), task | HANDED_OVER[how].get("task", {}),
        connection=postgres.admin.options(), play=HANDED_OVER[how].get("play"), arguments=["-vvv"],
    )  # fmt: skip
    assert run.status == 0, run.output
    assert module_file("database_user") in run.output
    assert [one["result"]["changed"] for one in run.results] == [True, False]
    assert run.last["credentials"]["status"] == "True"
    assert postgres.query("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [user]) == [(True,)]


def test_a_local_task_runs_in_the_process_of_ansible(
    ansible: Ansible, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    task = {"dbprovision.dbops.database_user": {"name": unique("u")}}
    # An interpreter that does not exist: no module could run.
    play = {"vars": {"ansible_python_interpreter": "/nonexistent/python"}}
    run = ansible.tasks(task, connection=postgres.admin.options(), play=play, arguments=["-vvv"])
    assert run.status == 0, run.output
    assert run.changed == 1
    assert module_file("database_user") not in run.output


def test_both_ways_give_the_same_result(
    ansible: Ansible, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    user = unique("u")
    database: dict[str, Any] = {"dbprovision.dbops.database": {"name": unique("d"), "owner": "postgres"}}
    tasks: list[dict[str, Any]] = [
        {"dbprovision.dbops.database_user": {"name": user, "password": "secret", "verify_login": True}},
        database,
        {"dbprovision.dbops.database": {"name": unique("x"), "owner": "nobody_of_this_name"}, "ignore_errors": True},
        {"dbprovision.dbops.converge": {"objects": [{"kind": "database_user", "name": user, "connection_limit": 3}]}},
        {"dbprovision.dbops.database_instance_info": {}},
    ]
    planned = [{**task, "check_mode": True, "diff": True} for task in tasks]
    here = ansible.tasks(*planned, connection=postgres.admin.options())
    there = ansible.tasks(*planned, connection=postgres.admin.options(), play={"environment": {"PGTZ": "UTC"}})
    for run in (here, there):
        assert run.status == 0, run.output
    for one, other in zip(here.results, there.results, strict=True):
        other["result"].pop("invocation", None)
        # Ansible adds these to what a module returns.
        for name in ("warnings", "failed", "exception"):
            one["result"].pop(name, None), other["result"].pop(name, None)
        assert one == other


def test_the_module_says_what_its_host_lacks(
    ansible: Ansible, postgres: PostgreSQLServer, unique: Callable[[str], str], tmp_path: Path
) -> None:
    # An interpreter with Ansible's own isolation from this environment's packages has no driver.
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nexec python3 -S "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    play = {"connection": "elsewhere", "vars": {"ansible_python_interpreter": str(python)}}
    task = {"dbprovision.dbops.database_user": {"name": unique("u")}}
    run = ansible.tasks(task, connection=postgres.admin.options(), play=play)
    assert run.status == 2
    assert "psycopg" in run.last["msg"]
    assert "Traceback" not in run.output


def test_text_from_outside_is_never_a_template(
    ansible: Ansible, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    user, text = unique("u"), "{{ 7 * 7 }} {% if true %}"
    ansible.write("outside.json", f'{{"name": "{user} {text}", "setting": "{text}"}}')
    given = "{{ lookup('file', 'outside.json') | from_json }}"
    tasks: list[dict[str, Any]] = [
        {
            "dbprovision.dbops.database_user": {
                "name": "{{ given.name }}",
                "config_parameters": {"application_name": "{{ given.setting }}"},
            },
            "register": "made",
        },
        {"ansible.builtin.debug": {"msg": "{{ made.user.name }}"}},
    ]
    run = ansible.tasks(*tasks, connection=postgres.admin.options(), play={"vars": {"given": given}})
    assert run.status == 0, run.output
    assert run.last["msg"] == f"{user} {text}"
    settings = "SELECT r.rolname, s.setconfig FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole"
    assert (f"{user} {text}", [f"application_name={text}"]) in postgres.query(settings)
