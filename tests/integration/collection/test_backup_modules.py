# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules, roles and playbooks of backups with real `ansible-playbook`; server and folder are the judges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_runs import Ansible
from psycopg.sql import SQL, Identifier

from localstack.postgresql import PostgreSQLServer

STARTED = "2026-01-02T03:04:05Z"


@pytest.fixture
def shop(postgres: PostgreSQLServer, unique: Callable[[str], str]) -> Iterator[str]:
    """A database with rows; it goes with all that was restored beside it."""
    name = unique("shop")[-30:].lstrip("_")
    postgres.query(SQL("CREATE DATABASE {}").format(Identifier(name)))
    postgres.query("CREATE TABLE orders AS SELECT generate_series(1, 100) AS id", dbname=name)
    yield name
    for (one,) in postgres.query("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{name}%"]):
        postgres.query(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(one)))


def options(postgres: PostgreSQLServer, folder: Path, **more: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    storage = {"type": "file", "file": {"path": str(folder)}}
    return {"storage": storage, "tools_path": [str(postgres.binaries.directory)], **more}


@pytest.mark.feature("B01", "B07", "B10", "T01", "A02")
def test_made_verified_listed_restored_and_removed(
    ansible: Ansible, postgres: PostgreSQLServer, shop: str, tmp_path: Path
) -> None:
    backup = options(postgres, tmp_path / "store", database=shop, started=STARTED)
    path = f"{shop}-{shop}-20260102-030405.dump.gz"
    listing = {"storage": backup["storage"]}
    target = {"backup": path, "target": {"database": f"{shop}_new"}}
    run = ansible.tasks(
        {"dbprovision.dbops.database_backup": backup, "check_mode": True},
        {"dbprovision.dbops.database_backup": backup},
        {"dbprovision.dbops.database_backup": backup},
        {"dbprovision.dbops.database_backup": {**backup, "state": "verified"}},
        {"dbprovision.dbops.database_backup_info": listing},
        {"dbprovision.dbops.database_restore": {**options(postgres, tmp_path / "store"), **target}},
        {"dbprovision.dbops.database_backup": {**backup, "state": "absent"}},
        {"dbprovision.dbops.database_backup": {**backup, "state": "absent"}},
        connection=postgres.admin.options(),
    )
    assert run.status == 0, run.output
    results = [one["result"] for one in run.results]
    assert [bool(one["changed"]) for one in results] == [True, True, False, False, False, True, True, False]
    assert results[1]["backup"]["path"] == path
    assert results[3]["verification"]["verified"]
    assert [one["path"] for one in results[4]["backups"]] == [path]
    assert postgres.query("SELECT count(*), sum(id) FROM orders", dbname=f"{shop}_new") == [(100, 5050)]
    assert list((tmp_path / "store").rglob("*.*")) == []
    assert postgres.admin.password not in run.output


@pytest.mark.feature("A03", "B10", "T01")
def test_by_the_playbooks(ansible: Ansible, postgres: PostgreSQLServer, shop: str, tmp_path: Path) -> None:
    connection = {f"dbops_{name}": value for name, value in postgres.admin.options().items()}
    given = options(postgres, tmp_path / "store")
    backup = {f"database_backup_{name}": value for name, value in {**given, "database": shop}.items()}
    backup |= {"database_backup_started": STARTED, "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    first = ansible.play("dbprovision.dbops.backup", variables={**connection, **backup})
    assert (first.status, first.changed) == (0, 1), first.output
    verified = ansible.play("dbprovision.dbops.verify", variables={**connection, **backup})
    assert (verified.status, verified.changed) == (0, 0), verified.output
    wanted = {**given, "backup": f"{shop}-{shop}-20260102-030405.dump.gz", "target": {"database": f"{shop}_new"}}
    restore = {f"database_restore_{name}": value for name, value in wanted.items()}
    done = ansible.play("dbprovision.dbops.restore", variables={**connection, **restore})
    assert (done.status, done.changed) == (0, 1), done.output
    assert postgres.query("SELECT count(*) FROM orders", dbname=f"{shop}_new") == [(100,)]


@pytest.mark.feature("T01", "T04")
def test_in_place_needs_an_acknowledgement(
    ansible: Ansible, postgres: PostgreSQLServer, shop: str, tmp_path: Path
) -> None:
    backup = options(postgres, tmp_path / "store", database=shop, started=STARTED)
    target = {"database": shop, "in_place": True}
    restore = options(postgres, tmp_path / "store", backup=f"{shop}-{shop}-20260102-030405.dump.gz", target=target)
    acknowledged = {**restore, "target": {**target, "acknowledge_data_loss": "I-UNDERSTAND-DATA-LOSS"}}
    connection = postgres.admin.options()
    assert ansible.tasks({"dbprovision.dbops.database_backup": backup}, connection=connection).status == 0
    postgres.query("DELETE FROM orders", dbname=shop)
    run = ansible.tasks({"dbprovision.dbops.database_restore": restore}, connection=connection)
    assert run.status != 0
    assert run.last["reason"] == "AcknowledgementNeeded", run.last
    assert "Traceback" not in run.output
    assert postgres.query("SELECT count(*) FROM orders", dbname=shop) == [(0,)]
    run = ansible.tasks({"dbprovision.dbops.database_restore": acknowledged}, connection=connection)
    assert run.status == 0, run.output
    assert postgres.query("SELECT count(*) FROM orders", dbname=shop) == [(100,)]
