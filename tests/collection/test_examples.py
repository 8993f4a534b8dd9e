# SPDX-License-Identifier: GPL-3.0-or-later
"""Every EXAMPLES block of the modules runs as it stands: from the tarball, on a server of its own.

With the newest ansible-core and with the oldest that is served. Where to connect comes in by default.
"""

from __future__ import annotations

import ast
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from collection.cores import NAME, ROOT, Core

from localstack.postgresql import PostgreSQLServer

MODULES = NAME / "plugins" / "modules"
CONNECTION = (
    "login_host", "login_port", "login_user", "login_password", "login_unix_socket", "ssl_mode", "ca_cert"
)  # fmt: skip
# Secrets that the examples refer to.
VARIABLES = {
    "orders_app_password": "one secret", "orders_owner_password": "another secret", "admin_password": "unused",
    "s3_access_key": "unused", "s3_secret_key": "unused",
}  # fmt: skip
# In this order, so that each finds what an earlier one makes: the owner of the database first.
ORDER = (
    "converge",
    "database_user",
    "database",
    "database_role",
    "database_grant",
    "database_backup",
    "database_backup_info",
    "database_restore",
    "database_access_info",
    "database_export",
    "database_instance_info",
)
# What the names of files in the examples say.
STARTED = "2026-11-30T03:00:00Z"
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


def examples(modules: Path, module: str) -> list[dict[str, Any]]:
    """The tasks of a module's EXAMPLES, with the test's server and a folder instead of invented servers and stores."""
    tree = ast.parse((modules / f"{module}.py").read_text(encoding="utf-8"))
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
                if "storage" in options:
                    options["storage"] = {"type": "file", "file": {"path": "{{ store }}"}}
                    options.update({"tools_path": ["{{ tools }}"]} if module != "database_backup_info" else {})
                    options.update({"started": STARTED} if module == "database_backup" else {})
    return tasks


def test_every_module_has_examples() -> None:
    assert sorted(ORDER) == sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


@pytest.mark.feature("A01", "A02")
def test_the_examples_of_the_modules_run(
    core: Core, installed: Path, tmp_path: Path, own_server: PostgreSQLServer
) -> None:
    modules = installed / MODULES
    # A database that one example drops is there again for the next.
    before = {**BEFORE, "database_role": examples(modules, "database")[:1]}
    tasks = [task for module in ORDER for task in (*before.get(module, ()), *examples(modules, module))]
    assert len(tasks) > len(ORDER)
    ansible = core.ansible(tmp_path / "ansible", installed)
    store = tmp_path / "store"
    store.mkdir()
    variables = {**VARIABLES, "store": str(store), "tools": str(own_server.binaries.directory)}
    run = ansible.tasks(*tasks, connection=own_server.admin.options(), variables=variables)
    assert run.status == 0, run.output
    assert len(run.results) == len(tasks)


def test_the_oldest_is_what_the_collection_asks_for(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        member = archive.extractfile("meta/runtime.yml")
        assert member
        runtime = yaml.safe_load(member)
    lock = (ROOT / "requirements" / "oldest.txt").read_text(encoding="utf-8")
    assert f"ansible-core=={runtime['requires_ansible'].removeprefix('>=')} " in lock
