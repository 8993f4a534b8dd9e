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
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, MySQLRelease, binaries
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
    for their, our in pairs(chapter):
        ((their_name, their_options),) = their.items()
        tasks += [{their_name: {**theirs, **their_options}}, our]
    run = ansible.tasks(*tasks, connection=options)
    assert run.status == 0, run.output
    changed = [one["result"]["changed"] for one in run.results]
    assert changed == [True, False] * (len(tasks) // 2), [one["task"] for one in run.results]


@pytest.mark.feature("A03")
def test_postgresql(ansible: Ansible) -> None:
    with PostgreSQLServer(embedded_with_tls()) as server:
        options = server.admin.options()
        compare(ansible, "PostgreSQL", options, {name: options[name] for name in THEIR_OPTIONS})


@pytest.mark.feature("A03")
@pytest.mark.parametrize("release", [MYSQL_9_7, MARIADB_11_8], ids=lambda one: one.engine)
def test_mysql(ansible: Ansible, release: MySQLRelease) -> None:
    with MySQLServer(binaries(release)) as server:
        options = server.admin.options()
        theirs = {name: options[name] for name in THEIR_OPTIONS} | {"ca_cert": options["ca_cert"]}
        compare(ansible, "MySQL and MariaDB", options, theirs)
