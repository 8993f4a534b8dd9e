# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of a whole server in one variables file: what a plan shows is what then happens, by the statement.

Also runs docs/whole-server.md, which tells the same with a small file, and compares its output with the page.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_runs import Ansible, Run

from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, binaries
from localstack.postgresql import PostgreSQLServer
from localstack.postgresql_binaries import embedded_with_tls

PAGE = Path(__file__).resolve().parents[3] / "docs" / "whole-server.md"
PLAYBOOK = "dbprovision.dbops.server"
PASSWORDS = {"anna": "a password of anna", "report": "a password of report"}

Variables = dict[str, Any]


@dataclass(frozen=True)
class Words:
    """How an engine calls what the story is about."""

    privileges: tuple[str, ...]
    of_roles: Variables
    of_databases: Variables
    limit: str
    more: str


POSTGRESQL = Words(
    ("CONNECT", "TEMPORARY"),
    {"schema": "app", "privileges": ["USAGE"]},
    {"schemas": [{"name": "app"}]},
    "connection_limit",
    "CREATE",
)
MYSQL = Words(("SELECT", "INSERT"), {"privileges": ["SELECT"]}, {}, "max_user_connections", "UPDATE")


def declared(words: Words) -> Variables:
    """20 databases, 60 users, 15 roles, 200 grants."""
    databases = [f"db{number}" for number in range(20)]
    roles = [f"reader{number}" for number in range(15)]
    users = [f"user{number}" for number in range(60)]
    return {
        "server_dbops_owner": "story",
        "server_roles": [
            {"name": name, "grants": [{"database": database, **copy.deepcopy(words.of_roles)}]}
            for name, database in zip(roles, databases, strict=False)
        ],
        "server_users": [{"name": name, "password": f"password of {name}", words.limit: 5} for name in users],
        "server_databases": [{"name": name, **copy.deepcopy(words.of_databases)} for name in databases],
        "server_grants": [
            {
                "name": f"grant{number}",
                "user": users[number % 60],
                "roles": [roles[(number + number // 60) % 15]],
                "grants": [{"database": databases[(number + number // 60) % 20], "privileges": list(words.privileges)}],
            }
            for number in range(200)
        ],
    }


def removed(variables: Variables, _words: Words) -> None:
    """A database, a user and what they had go."""
    for one in variables["server_grants"]:
        if one["user"] == "user7" or one["name"] == "grant8":
            one["state"] = "absent"
        one["grants"] = [entry for entry in one["grants"] if entry["database"] != "db19"]
    variables["server_users"][7]["state"] = "absent"
    variables["server_databases"][19] |= {"state": "absent", "end_sessions": True}


def renamed(variables: Variables, _words: Words) -> None:
    """Somebody gets another name: a new login with the same grants, and the old one goes."""
    for one in variables["server_grants"]:
        if one["user"] == "user3":
            one["user"] = "user3_new"
    variables["server_users"].append({**variables["server_users"][3], "name": "user3_new"})
    variables["server_users"][3]["state"] = "absent"


def tightened(variables: Variables, words: Words) -> None:
    """Privileges and limits leave the declaration."""
    for one in variables["server_grants"][20:40]:
        one["grants"] = [{**entry, "privileges": [words.privileges[0]]} for entry in one["grants"]]
    variables["server_users"][5][words.limit] = 1


def widened(variables: Variables, words: Words) -> None:
    """More is declared, some of it twice: it is given once."""
    variables["server_roles"][0]["grants"][0]["privileges"].append(words.more)
    for name in ("more", "the same once more"):
        variables["server_grants"].append({"name": name, "user": "user9", "roles": ["reader2", "reader3"]})
    variables["server_databases"].append({"name": "db20", **copy.deepcopy(words.of_databases)})
    entry = {"database": "db20", "privileges": list(words.privileges)}
    variables["server_grants"].append({"name": "new", "user": "user10", "grants": [entry]})


EVENTS: list[Callable[[Variables, Words], None]] = [
    lambda _variables, _words: None,
    removed,
    renamed,
    tightened,
    widened,
]


def statements(run: Run) -> list[list[str]]:
    """What each play of a run sent, or would have."""
    assert run.status == 0, run.output
    return [one["result"]["queries"] for one in run.results if "queries" in one["result"]]


def twice(ansible: Ansible) -> Path:
    """Give a playbook that does it once more in the same process."""
    return ansible.write("twice.yml", [{"import_playbook": PLAYBOOK}] * 2)


def live(ansible: Ansible, login: Variables, words: Words, observe: Callable[[], Any]) -> None:
    """Let all happen: the plan changes nothing and is what is then sent, and the next run sends nothing."""
    variables = declared(words)
    for event in EVENTS:
        event(variables, words)
        given = login | copy.deepcopy(variables)
        before = observe()
        (planned,) = statements(ansible.play(PLAYBOOK, "--check", "--diff", variables=given))
        assert observe() == before
        assert planned
        sent, again = statements(ansible.play(twice(ansible), variables=given))
        assert (sent, again) == (planned, [])


@pytest.mark.feature("A04", "A05")
def test_what_the_plan_shows_is_what_then_happens(ansible: Ansible) -> None:
    with PostgreSQLServer(embedded_with_tls()) as server:
        login = {f"server_{name}": value for name, value in server.weak_admin().options().items()}
        live(ansible, login, POSTGRESQL, lambda: server.query("SELECT rolname FROM pg_roles ORDER BY 1"))
        # And the server itself says so.
        assert server.query("SELECT count(*) FROM pg_roles WHERE rolname ~ '^user'") == [(59,)]
        may = (
            "SELECT has_database_privilege('user20', 'db0', 'TEMPORARY'), pg_has_role('user20', 'reader5', 'MEMBER'),"
            " pg_has_role('user9', 'reader3', 'MEMBER'), has_database_privilege('user10', 'db20', 'TEMPORARY')"
        )
        assert server.query(may) == [(True, True, True, True)]


@pytest.mark.slow
@pytest.mark.feature("A04", "A05")
@pytest.mark.parametrize("version", [MYSQL_9_7, MARIADB_11_8], ids=["MySQL 9.7", "MariaDB 11.8"])
def test_what_the_plan_shows_is_what_then_happens_on_mysql(ansible: Ansible, version: Any) -> None:
    with MySQLServer(binaries(version)) as server:
        options = {**server.weak_admin().options(), "engine": server.engine}
        login = {f"server_{name}": value for name, value in options.items()}
        live(ansible, login, MYSQL, lambda: server.query("SELECT User, Host FROM mysql.user ORDER BY 1, 2"))
        found = server.query("SELECT count(*) FROM mysql.user WHERE User LIKE 'user%' AND User NOT LIKE '%~roles'")
        assert found[0][0] == 59
        rights = server.query("SELECT Insert_priv FROM mysql.db WHERE User = 'user10' AND Db = 'db20'")
        assert [row[0] for row in rights] == ["Y"]


def blocks() -> list[tuple[Variables, str]]:
    """The page's declarations, each with the output that it shows."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"(?ms)^```yaml\n(.*?)^```.*?^```text\n(.*?)^```", text)
    return [(yaml.safe_load(variables), output) for variables, output in found]


def shown(run: Run) -> str:
    """What a run prints about the objects, without the lines of the tests' own callback."""
    assert run.status == 0, run.output
    lines = [line for line in run.output.splitlines() if not line.startswith("dbops-test-result")]
    return "\n".join(lines) + "\n"


@pytest.mark.feature("A05")
def test_the_page_shows_what_really_happens(ansible: Ansible) -> None:
    variables: Variables = {"passwords": PASSWORDS}
    told = blocks()
    with PostgreSQLServer(embedded_with_tls()) as server:
        login = {f"server_{name}": value for name, value in server.weak_admin().options().items()}
        for changed, output in told:
            variables |= changed
            run = ansible.play(PLAYBOOK, "--check", "--diff", variables=login | variables)
            assert output in shown(run), shown(run)
            sent, again = statements(ansible.play(twice(ansible), variables=login | variables))
            assert ([sent], again) == (statements(run), [])
    assert len(told) == PAGE.read_text(encoding="utf-8").count("```yaml")
