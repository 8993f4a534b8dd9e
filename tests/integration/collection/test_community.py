# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/community-modules.md: after each task of the community collections, ours for the same finds nothing to change.

They are an independent judge of ours: what they made is what we say that we keep.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_runs import Ansible

from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, binaries
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

PAGE = Path(__file__).resolve().parents[3] / "docs" / "community-modules.md"
THEIR_OPTIONS = ("login_host", "login_port", "login_user", "login_password")


def pairs(heading: str) -> list[list[dict[str, Any]]]:
    """Their task and ours, in the order of the page, of the chapter with this HEADING."""
    (chapter,) = re.findall(rf"(?ms)^## {heading}$(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"))
    blocks = [list(yaml.safe_load_all(block)) for block in re.findall(r"(?ms)^```yaml\n(.*?)^```", chapter)]
    assert all(len(block) == 2 for block in blocks)
    return blocks


def compare(ansible: Ansible, chapter: str, options: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Run the pairs of a CHAPTER on the server that OPTIONS reach, and THEIRS with their names."""
    tasks: list[dict[str, Any]] = []
    for number, (their, our) in enumerate(pairs(chapter)):
        ((their_name, their_options),) = their.items()
        if their_options.get("objs") == "ALL_IN_SCHEMA":
            table = {"login_db": their_options["login_db"], "query": f"CREATE TABLE {their_options['schema']}.one()"}
            tasks.append({"name": "there is a table", "community.postgresql.postgresql_query": {**theirs, **table}})
        tasks.append({"name": f"theirs {number}", their_name: {**theirs, **their_options}})
        tasks.append({"name": f"ours {number}", **our})
    run = ansible.tasks(*tasks, connection=options)
    assert run.status == 0, run.output
    changed = {one["task"]: one["result"]["changed"] for one in run.results if one["task"] != "there is a table"}
    assert changed == {task: task.startswith("theirs") for task in changed}


@pytest.mark.feature("A03")
def test_postgresql(ansible: Ansible) -> None:
    with PostgreSQLServer(embedded_with_tls()) as server:
        options = server.admin.options()
        compare(ansible, "PostgreSQL", options, {name: options[name] for name in THEIR_OPTIONS})


@pytest.mark.feature("A03")
def test_mariadb(ansible: Ansible) -> None:
    with MySQLServer(binaries(MARIADB_11_8)) as server:
        options = {**server.admin.options(), "engine": server.engine}
        theirs = {name: options[name] for name in THEIR_OPTIONS} | {"ca_cert": options["ca_cert"]}
        compare(ansible, "MySQL and MariaDB", options, theirs)
