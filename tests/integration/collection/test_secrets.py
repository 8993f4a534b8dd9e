# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret in anything that a run prints, returns or leaves behind, and no name destroyed by masking one."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_runs import Ansible, Run

from localstack.postgresql import PostgreSQLServer
from localstack.processes import wait_until

# In Ansible's own process; as a module; as a module whose result waits in a file.
WAYS: dict[str, dict[str, Any]] = {
    "action": {},
    "module": {"environment": {"PGTZ": "UTC"}},
    "async": {"async": 60, "poll": 1},
}
LOUD = {"ANSIBLE_INJECT_INVOCATION": "True", "ANSIBLE_DISPLAY_FAILED_STDERR": "False"}


def files(folder: Path) -> Iterator[Path]:
    """All that a run left behind, but for what the test itself wrote."""
    given = {folder / "playbook.yml", folder / "variables.json"}
    return (path for path in folder.rglob("*") if path.is_file() and path not in given)


def assert_kept(ansible: Ansible, run: Run, *words: str) -> None:
    """Fail when one of WORDS is in the output, which the log repeats, or in any file."""
    for word in words:
        assert word not in run.output
        for path in files(ansible.folder):
            assert word.encode() not in path.read_bytes(), path


@pytest.mark.feature("U10")
@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_a_run_says_or_leaves_holds_a_secret(
    ansible: Ansible, postgres: PostgreSQLServer, unique: Callable[[str], str], way: str
) -> None:
    one, two, wrong = (secrets.token_urlsafe(16) for _ in range(3))
    user = unique("u")
    module = "dbprovision.dbops."
    tasks: list[dict[str, Any]] = [
        {f"{module}database_user": {"name": user, "password": "{{ one }}", "verify_login": True}},
        {f"{module}converge": {"objects": [{"kind": "database_user", "name": user, "password": "{{ two }}"}]}},
        # Failures of every sort: on the server, of the login, of the options, of one entry.
        {f"{module}database_user": {"name": user, "password": "{{ one }}", "in_roles": ["no_such_role"]}},
        {f"{module}database_user": {"name": user, "password": "{{ one }}", "login_password": "{{ wrong }}"}},
        {f"{module}database_user": {"name": user, "password": "{{ one }}", "passwort": "{{ two }}"}},
        {f"{module}database_user": {"name": user, "password": "{{ one }}", "connection_limit": "many"}},
        {f"{module}converge": {"objects": [{"kind": "database_user", "name": user, "passwort": "{{ two }}"}]}},
        {f"{module}converge": {"objects": ["password={{ two }}", "{{ two }}"]}},
    ]
    if way == "async":
        # Each costs seconds; wrong options are refused before any module is sent.
        tasks = tasks[:4]
    tasks = [{**task, **WAYS[way], "ignore_errors": True} for task in tasks]
    run = ansible.tasks(
        *tasks, connection=postgres.admin.options() | {"login_password": "{{ admin }}"}, environment=LOUD,
        variables={"one": one, "two": two, "wrong": wrong, "admin": postgres.admin.password},
        arguments=["-vvvv", "--diff"],
    )  # fmt: skip
    assert run.status == 0, run.output
    results = [one for one in run.results if one["result"].get("ansible_job_id") is None or "changed" in one["result"]]
    assert [one["status"] for one in results] == ["ok"] * 2 + ["failed"] * (len(tasks) - 2)
    assert ansible.log.read_text(encoding="utf-8"), "the log was looked at"
    # Ansible's wrapper of async tasks looks every five seconds whether it may tidy up.
    wait_until(lambda: not [*ansible.folder.glob("remote/*/*")], what="Ansible removes what it sent")
    assert_kept(ansible, run, one, two, wrong, postgres.admin.password)
    verifier = postgres.query("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [user])[0][0]
    assert verifier.startswith("SCRAM-SHA-256$")
    assert_kept(ansible, run, verifier.rpartition("$")[2])


@pytest.mark.parametrize("way", ["action", "module"])
def test_a_password_that_is_a_name_destroys_no_result(
    ansible: Ansible, postgres: PostgreSQLServer, unique: Callable[[str], str], way: str
) -> None:
    name = unique("u")
    owner = {"kind": "database_user", "name": name, "password": name, "verify_login": True}
    tasks: list[dict[str, Any]] = [
        {"dbprovision.dbops.converge": {"objects": [owner, {"kind": "database", "name": name, "owner": name}]}},
        {"dbprovision.dbops.database_user": {"name": name, "password": name, "connection_limit": 5}},
    ]
    run = ansible.tasks(
        *({**task, **WAYS[way]} for task in tasks), connection=postgres.admin.options(), arguments=["--diff", "-vvv"]
    )
    assert run.status == 0, run.output
    many, single = (one["result"] for one in run.results)
    assert [one["ref"] for one in many["objects"]] == [f"database_user/{name}", f"database/{name}"]
    assert many["objects"][1]["observed"]["owner"] == name
    assert many["objects"][0]["credentials"]["status"] == "True"
    assert many["queries"][0] == f"CREATE ROLE \"{name}\" LOGIN PASSWORD '********'"
    assert single["user"]["name"] == name
    assert name in single["diff"]["prepared"]
    assert "VALUE_SPECIFIED_IN_NO_LOG" not in str(many | {"invocation": None})


def test_the_invocation_shows_options_without_secrets(
    ansible: Ansible, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    name = unique("u")
    run = ansible.tasks(
        {"dbprovision.dbops.database_user": {"name": name, "password": "hidden-word"}, **WAYS["module"]},
        connection=postgres.admin.options(), environment=LOUD,
    )  # fmt: skip
    shown = run.last["invocation"]["module_args"]
    assert shown["name"] == name
    assert shown["password"] == shown["login_password"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"
    assert shown["ssl_key"] is None
