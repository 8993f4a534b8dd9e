# SPDX-License-Identifier: GPL-3.0-or-later
"""A declared server of 200 objects: one task `converge` against the community's modules, the first run and the next.

Each side has a server of its own, and in the end the catalogs of both say the same. The family of MySQL is measured
on MariaDB: mysql_user of community.mysql 3 fails on MySQL 9.7.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from ansible_runs import Ansible
from benchmarks.content import Content, Entry, community_tasks
from benchmarks.measures import Figures

from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, binaries
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

OBJECTS = 200
FIRST, NEXT = 10, 20
"""How many times as fast ours must be."""
TIMEOUT = 3600
"""Seconds; the community's 400 tasks take minutes, and many times that on a machine with other work."""

_POSTGRESQL = """
SELECT 'role', rolname, rolcanlogin::text || rolinherit || (rolpassword IS NOT NULL) FROM pg_authid
UNION ALL SELECT 'member', m.member::regrole::text, concat_ws(' ', roleid::regrole, admin_option, inherit_option)
FROM pg_auth_members m
UNION ALL SELECT 'database', datname, array(SELECT x::text FROM unnest(datacl) x ORDER BY 1)::text FROM pg_database
ORDER BY 1, 2, 3
"""
_SCHEMA = "SELECT array(SELECT x::text FROM unnest(nspacl) x ORDER BY 1) FROM pg_namespace WHERE nspname = 'public'"
# But for default roles, which the community's modules do not set on MariaDB, and ours do.
_MARIADB = """
SELECT 'account', User, CONCAT(Host, ' ', COALESCE(JSON_VALUE(Priv, '$.is_role'), ''), ' ',
  COALESCE(JSON_VALUE(Priv, '$.authentication_string'), '')) FROM mysql.global_priv WHERE User <> 'root'
UNION ALL SELECT 'member', User, CONCAT(Host, ' ', Role) FROM mysql.roles_mapping WHERE User <> 'root'
UNION ALL SELECT 'database', SCHEMA_NAME, CONCAT(DEFAULT_CHARACTER_SET_NAME, ' ', DEFAULT_COLLATION_NAME)
FROM information_schema.SCHEMATA
UNION ALL SELECT 'grant', User, CONCAT_WS(' ', Host, Db, Select_priv, Insert_priv, Update_priv, Grant_priv)
FROM mysql.db ORDER BY 1, 2, 3
"""


def seconds_of(ansible: Ansible, *tasks: Entry, connection: Entry | None = None, changed: bool) -> float:
    """Run TASKS in a playbook; give how long that takes. CHANGED says whether there is something to change."""
    begin = time.perf_counter()
    run = ansible.tasks(*tasks, connection=connection)
    seconds = time.perf_counter() - begin
    assert run.status == 0, run.output[-2000:]
    assert ("changed=0 " not in run.output) == changed, run.output[-2000:]
    return seconds


def compare(figures: Figures, folder: Path, title: str, content: Content, theirs: Any, ours: Any) -> None:
    """Measure the first run and the next on two new servers, THEIRS and OURS; note the figures."""
    ansible = Ansible(folder / "ansible")
    names = ("login_host", "login_port", "login_user", "login_password")
    options = theirs.admin.options()
    tasks = community_tasks(
        content,
        {name: options[name] for name in names}
        | ({} if content.engine == "postgres" else {"ca_cert": options["ca_cert"]}),
    )
    task = {"dbprovision.dbops.converge": {"objects": content.declared()}}
    connection = {**ours.admin.options(), "engine": content.engine}
    for what, least, changed in (("the first run", FIRST, True), ("nothing to change", NEXT, False)):
        slow = seconds_of(ansible, *tasks, changed=changed)
        quick = seconds_of(ansible, task, connection=connection, changed=changed)
        text = f"{quick:.1f} s; as tasks of the community collection {slow:.0f} s: {slow / quick:.0f} times as long"
        figures.note(f"(e) {title}, {OBJECTS} objects in one `converge`, {what}", text)
        assert slow >= least * quick


@pytest.mark.timeout(TIMEOUT)
def test_postgresql(figures: Figures, tmp_path: Path) -> None:
    content = Content("postgres", OBJECTS, passwords=True)
    with PostgreSQLServer(embedded_with_tls()) as theirs, PostgreSQLServer(embedded_with_tls()) as ours:
        compare(figures, tmp_path, "PostgreSQL", content, theirs, ours)
        assert theirs.query(_POSTGRESQL) == ours.query(_POSTGRESQL)
        for name in content.databases:
            assert theirs.query(_SCHEMA, dbname=name) == ours.query(_SCHEMA, dbname=name)


@pytest.mark.timeout(TIMEOUT)
def test_mariadb(figures: Figures, tmp_path: Path) -> None:
    content = Content("mariadb", OBJECTS, passwords=True)
    with MySQLServer(binaries(MARIADB_11_8)) as theirs, MySQLServer(binaries(MARIADB_11_8)) as ours:
        compare(figures, tmp_path, "MariaDB", content, theirs, ours)
        assert theirs.query(_MARIADB) == ours.query(_MARIADB)
