# SPDX-License-Identifier: GPL-3.0-or-later
"""Every EXAMPLES block of the modules runs as it stands, on a server of its own and with its connection by default."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_runs import Ansible

from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

MODULES = Path(__file__).resolve().parents[3] / "plugins" / "modules"
CONNECTION = ("login_host", "login_port", "login_user", "login_password", "ssl_mode", "ca_cert")
# Secrets that the examples refer to.
VARIABLES = {
    "orders_app_password": "one secret", "orders_owner_password": "another secret", "admin_password": "unused",
}  # fmt: skip
# In this order, so that each finds what an earlier one makes: the owner of the database first.
ORDER = (
    "converge",
    "database_user",
    "database",
    "database_role",
    "database_grant",
    "database_access_info",
    "database_export",
    "database_instance_info",
)
# What examples take for granted.
BEFORE: dict[str, list[dict[str, Any]]] = {
    "database_grant": [
        {"dbprovision.dbops.database_user": {"name": "reports"}},
        {"dbprovision.dbops.database_role": {"name": "orders_reader"}},
    ],
    "database_access_info": [
        {
            "dbprovision.dbops.database": {
                "name": "orders",
                "adopt": True,
                "dbops_owner": "examples",
                "init_sql": {"statements": ["CREATE TABLE sales.orders ()"]},
            }
        }
    ],
}


def examples(module: str) -> list[dict[str, Any]]:
    """The tasks of a module's EXAMPLES, connecting to the test's server instead of the invented one."""
    tree = ast.parse((MODULES / f"{module}.py").read_text(encoding="utf-8"))
    text = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "EXAMPLES"
    )
    tasks: list[dict[str, Any]] = yaml.safe_load(text)
    for task in tasks:
        for action, options in task.items():
            if action.startswith("dbprovision.dbops."):
                for name in CONNECTION:
                    options.pop(name, None)
    return tasks


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgreSQLServer]:
    """The examples have names of their own choice."""
    with PostgreSQLServer(embedded_with_tls()) as server:
        yield server


def test_every_module_has_examples() -> None:
    assert sorted(ORDER) == sorted(path.stem for path in MODULES.glob("*.py"))


@pytest.mark.feature("A02")
def test_the_examples_of_the_modules_run(ansible: Ansible, own_server: PostgreSQLServer) -> None:
    # A database that one example drops is there again for the next.
    before = {**BEFORE, "database_role": examples("database")[:1]}
    tasks = [task for module in ORDER for task in (*before.get(module, ()), *examples(module))]
    assert len(tasks) > len(ORDER)
    run = ansible.tasks(*tasks, connection=own_server.admin.options(), variables=VARIABLES)
    assert run.status == 0, run.output
    assert len(run.results) == len(tasks)
