# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries of one namespace to get at what is another's: each is refused with a reason, and changes nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from reconciling import Operator

from dbops_operator.client import ApiError
from dbops_operator.keys import Key
from dbops_operator.work import Human, Wait
from localstack.mysql import MySQLServer
from localstack.postgresql import PostgreSQLServer

READY = ("True", "ReconcileSuccess")
DENIED = ("False", "AccessDenied")


@dataclass
class Tenants:
    """A namespace that the instance `main` of another namespace serves, and what the latter has on the server."""

    operator: Operator
    team: str
    theirs: str
    """Database and login of the other namespace, by the same name."""

    @property
    def there(self) -> dict[str, Any]:
        return {"instanceRef": {"name": "main", "namespace": self.operator.namespace}}

    async def attempt(self, kind: str, called: str, spec: dict[str, Any], **metadata: Any) -> Key:
        """An object of the team, reconciled once."""
        key = await self.operator.create(kind, called.replace("_", "-"), spec, namespace=self.team, **metadata)
        await self.operator.run(key)
        return key


async def prepare(operator: Operator, team: str, theirs: str) -> Tenants:
    operator.cluster.kubectl("create", "namespace", team)
    here = {"instanceRef": {"name": "main"}}
    for kind, spec in (("DatabaseUser", {"username": theirs}), ("Database", {"name": theirs})):
        key = await operator.create(kind, "theirs", {**here, **spec})
        await operator.run(key)
        assert await operator.ready(key) == READY
    return Tenants(operator, team, theirs)


@pytest_asyncio.fixture
async def tenants(operator: Operator, postgres: PostgreSQLServer, unique: Callable[[str], str]) -> Tenants:
    team = unique("team").replace("_", "-")
    await operator.instance(postgres, accessPolicy={"namespaces": {"names": [team]}})
    return await prepare(operator, team, unique("theirs"))


SNAPSHOT = """
SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconfig::text,
       ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = r.oid ORDER BY 1)
FROM pg_roles r UNION ALL
SELECT datname, false, false, false, false, false, datacl::text, ARRAY[datdba::regrole::text] FROM pg_database
WHERE datname <> 'dbops' ORDER BY 1
"""

TRIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "another's login": ("DatabaseUser", {"username": "{theirs}"}, "Conflict"),
    "another's login by consent of one's own": (
        "DatabaseUser",
        {"username": "{theirs}", "metadata": {"annotations": {"dbops.dbprovision.io/adopt": "true"}}},
        "Conflict",
    ),
    "another's role": ("DatabaseRole", {"roleName": "{theirs}"}, "Conflict"),
    "the admin": ("DatabaseUser", {"username": "{admin}"}, "*"),
    "a predefined role as one's own": ("DatabaseRole", {"roleName": "pg_read_all_data"}, "*"),
    "another's database": ("Database", {"name": "{theirs}"}, "Conflict"),
    "the admin's database": ("Database", {"name": "postgres"}, "*"),
    "a template": ("Database", {"name": "template1"}, "*"),
    "the ledger": ("Database", {"name": "dbops"}, "*"),
    "membership in a predefined role": (
        "DatabaseUser",
        {"username": "{mine}", "postgres": {"inRoles": ["pg_execute_server_program"]}},
        "AccessDenied",
    ),
    "membership in another's role": ("DatabaseUser", {"username": "{mine}", "roles": ["{theirs}"]}, "AccessDenied"),
    "membership in the admin": (
        "DatabaseRole",
        {"roleName": "{mine}", "postgres": {"inRoles": ["{admin}"]}},
        "AccessDenied",
    ),
    "sessions as another": (
        "DatabaseUser",
        {"username": "{mine}", "postgres": {"defaultRole": "{theirs}"}},
        "AccessDenied",
    ),
    **{
        attribute: ("DatabaseUser", {"username": "{mine}", "postgres": {attribute: True}}, "AccessDenied")
        for attribute in ("superuser", "createRole", "createDB", "replication", "bypassRLS")
    },
    "a role with an attribute": (
        "DatabaseRole",
        {"roleName": "{mine}", "postgres": {"createRole": True}},
        "AccessDenied",
    ),
    "a setting that loads code": (
        "DatabaseUser",
        {"username": "{mine}", "postgres": {"configParameters": {"Session_Preload_Libraries": "evil"}}},
        "AccessDenied",
    ),
    "an untrusted extension": (
        "Database",
        {"name": "{mine}", "postgres": {"extensions": [{"name": "file_fdw"}]}},
        "AccessDenied",
    ),
    "a database for another": ("Database", {"name": "{mine}", "owner": "{theirs}"}, "AccessDenied"),
    "a schema for another": (
        "Database",
        {"name": "{mine}", "postgres": {"schemas": [{"name": "s", "owner": "{theirs}"}]}},
        "AccessDenied",
    ),
    "a copy": ("Database", {"name": "{mine}", "postgres": {"template": "{theirs}"}}, "AccessDenied"),
    "another's role as owner by auto-ownership": (
        "Database",
        {"name": "{mine}", "postgres": {"ownership": {"autoOwnership": True, "roleName": "{theirs}"}}},
        "*",
    ),
    "privileges on another's database": (
        "DatabaseRole",
        {"roleName": "{mine}", "postgres": {"grants": [{"database": "{theirs}", "privileges": ["CONNECT"]}]}},
        "AccessDenied",
    ),
    "a password from another namespace": (
        "DatabaseUser",
        {
            "username": "{mine}",
            "existingPasswordSecret": {"name": "main-admin", "namespace": "{owner}", "key": "password"},
        },
        "AccessDenied",
    ),
    "a script from another namespace": (
        "Database",
        {"name": "{mine}", "initSQL": {"secretRef": {"name": "main-admin", "namespace": "{owner}", "key": "password"}}},
        "AccessDenied",
    ),
    "a token": (
        "DatabaseUser",
        {
            "username": "{mine}",
            "passwordSecret": {
                "secretName": "loot",
                "secretTemplate": {
                    "type": "kubernetes.io/service-account-token",
                    "annotations": {"kubernetes.io/service-account.name": "default"},
                },
            },
        },
        "*",
    ),
    "a token by annotation": (
        "DatabaseUser",
        {
            "username": "{mine}",
            "passwordSecret": {
                "secretName": "loot",
                "secretTemplate": {"annotations": {"kubernetes.io/service-account.name": "default"}},
            },
        },
        "*",
    ),
    "a template that never ends": (
        "DatabaseUser",
        {
            "username": "{mine}",
            "passwordSecret": {
                "secretName": "loot",
                "secretTemplate": {"data": {"x": '{{define "a"}}{{template "a"}}{{end}}{{template "a"}}'}},
            },
        },
        "*",
    ),
}


@pytest.mark.feature("I10")
async def test_nothing_of_another_namespace_is_reached(
    tenants: Tenants, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    before = postgres.query(SNAPSHOT)
    for number, (tried, (kind, spec, reason)) in enumerate(TRIES.items()):
        words = {
            "{theirs}": tenants.theirs,
            "{mine}": unique("mine"),
            "{admin}": postgres.admin.user,
            "{owner}": tenants.operator.namespace,
        }
        text = json.dumps(spec)
        for word, name in words.items():
            text = text.replace(word, name)
        wanted = json.loads(text)
        metadata = wanted.pop("metadata", {})
        if kind == "Database":
            wanted["deletionProtection"] = False
        try:
            key = await tenants.attempt(kind, f"attempt-{number}", {**tenants.there, **wanted}, **metadata)
        except ApiError:
            # The schema refuses it already.
            assert reason == "*", tried
            continue
        await _is_refused(tenants, key, reason, tried)
        assert postgres.query(SNAPSHOT) == before, tried


async def _is_refused(tenants: Tenants, key: Key, reason: str, tried: str) -> None:
    """Check that the object is refused, not tried again and again, and goes without a trace."""
    operator = tenants.operator
    status, why = (await operator.ready(key)) or ("", "")
    assert status == "False", tried
    assert why == reason or reason == "*", (tried, why)
    assert not await operator.exists(operator.key("Secret", "loot", namespace=tenants.team)), tried
    writes = operator.api.writes
    assert isinstance(await operator.run(key), Human | Wait), tried
    assert operator.api.writes == writes, tried
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key), (tried, await operator.status(key))


@pytest.mark.feature("I10")
@pytest.mark.parametrize("reference", ["userRef", "grant on a database"])
async def test_no_grant_reaches_another_namespace(
    tenants: Tenants, unique: Callable[[str], str], reference: str
) -> None:
    user = await tenants.attempt("DatabaseUser", "mine", {**tenants.there, "username": unique("mine")})
    assert await tenants.operator.ready(user) == READY
    foreign = {"userRef": {"name": "theirs", "namespace": tenants.operator.namespace}}
    entry = {"database": tenants.theirs, "privileges": ["CONNECT"]}
    own = {"userRef": {"name": "mine"}, "postgres": {"grants": [entry]}}
    key = await tenants.attempt("DatabaseGrant", "attempt", foreign if reference == "userRef" else own)
    assert await tenants.operator.ready(key) == DENIED


@pytest.mark.feature("I10")
async def test_an_admin_secret_goes_to_no_listener_of_anybodys_choice(
    tenants: Tenants, postgres: PostgreSQLServer
) -> None:
    """Consent to a host is consent to that host; the Secret of the other namespace never leaves for another."""
    secret = tenants.operator.key("Secret", "main-admin")
    await tenants.operator.annotate(secret, allow_from=f"{tenants.team}@db.example.com")
    reference = {"name": "main-admin", "namespace": tenants.operator.namespace}
    connection = {"host": postgres.admin.host, "port": 1, "database": "postgres", "secretRef": reference}
    key = await tenants.attempt("DatabaseInstance", "trap", {"engine": "postgres", "connection": connection})
    assert await tenants.operator.ready(key) == DENIED


@pytest.mark.feature("I10")
@pytest.mark.parametrize(
    ("ceiling", "spec"),
    [
        ({"roleAttributes": ["createDB"]}, {"postgres": {"createDB": True}}),
        ({"roles": ["pg_monitor"]}, {"postgres": {"inRoles": ["pg_monitor"]}}),
        ({"configParameters": ["statement_timeout"]}, {"postgres": {"configParameters": {"statement_timeout": "5s"}}}),
    ],
)
async def test_a_ceiling_admits_what_it_lists(
    tenants: Tenants, unique: Callable[[str], str], ceiling: dict[str, Any], spec: dict[str, Any]
) -> None:
    operator = tenants.operator
    key = await tenants.attempt("DatabaseUser", "app", {**tenants.there, "username": unique("u"), **spec})
    assert await operator.ready(key) == DENIED
    instance = operator.key("DatabaseInstance", "main")
    await operator.patch(instance, {"spec": {"accessPolicy": {"ceiling": ceiling}}})
    await operator.run(instance)
    await operator.run(key)
    assert await operator.ready(key) == READY


@pytest.mark.feature("I10")
async def test_name_patterns_and_quotas(tenants: Tenants) -> None:
    operator = tenants.operator
    prefix = tenants.team.replace("-", "_")
    policy = {"namePatterns": ["{namespace}_*"], "quotas": {"users": 2, "databases": 0}}
    instance = operator.key("DatabaseInstance", "main")
    await operator.patch(instance, {"spec": {"accessPolicy": policy}})
    await operator.run(instance)
    free = await tenants.attempt("DatabaseUser", "free", {**tenants.there, "username": f"x{prefix}_a"})
    assert await operator.ready(free) == DENIED
    assert "{namespace}_*" in (await operator.status(free))["message"]
    first = await tenants.attempt("DatabaseUser", "second", {**tenants.there, "username": f"{prefix}_a"})
    assert await operator.ready(first) == READY
    third = await tenants.attempt("DatabaseUser", "third", {**tenants.there, "username": f"{prefix}_b"})
    assert await operator.ready(third) == DENIED
    assert "quotas.users" in (await operator.status(third))["message"]
    assert first in operator.depends
    none = await tenants.attempt("Database", "none", {**tenants.there, "name": f"{prefix}_d"})
    assert await operator.ready(none) == DENIED
    await operator.run(instance)
    status = await operator.status(instance)
    assert {"namespace": tenants.team, "users": 1} in status["consumers"]
    assert {"namespace": operator.namespace, "users": 1, "databases": 1} in status["consumers"]
    assert status["consumersCount"] == 2
    # Going makes room.
    await operator.delete(free)
    await operator.run(free)
    await operator.run(third)
    assert await operator.ready(third) == READY


@pytest.mark.feature("I10")
async def test_withdrawn_access_changes_nothing_more_and_still_cleans_up(
    tenants: Tenants, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    operator, login = tenants.operator, unique("u")
    user = await tenants.attempt("DatabaseUser", "app", {**tenants.there, "username": login, "postgres": {}})
    assert await operator.ready(user) == READY
    instance = operator.key("DatabaseInstance", "main")
    await operator.patch(instance, {"spec": {"accessPolicy": {"namespaces": {"names": []}}}})
    await operator.run(instance)
    assert instance in operator.depends
    await operator.patch(user, {"spec": {"postgres": {"connectionLimit": 3}}})
    await operator.run(user)
    assert await operator.ready(user) == DENIED
    assert postgres.query("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", [login]) == [(-1,)]
    assert {"namespace": tenants.team, "users": 1} in (await operator.status(instance))["consumers"]
    await operator.delete(user)
    await operator.run(user)
    assert not await operator.exists(user)
    assert not postgres.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [login])


@pytest.mark.feature("I10")
async def test_a_ledger_that_a_stranger_prepared_is_not_entered(
    operator: Operator, unique: Callable[[str], str]
) -> None:
    with PostgreSQLServer() as server:
        server.query("CREATE ROLE stranger LOGIN CREATEDB")
        server.query("CREATE DATABASE dbops OWNER stranger")
        await operator.instance(server, "own")
        key = await operator.create("DatabaseUser", "app", {"instanceRef": {"name": "own"}, "username": unique("u")})
        await operator.run(key)
        status, why = (await operator.ready(key)) or ("", "")
        assert (status, why) == ("False", "Conflict")
        assert "dbops" in (await operator.status(key))["message"]


MYSQL_TRIES: tuple[dict[str, Any], ...] = (
    {"grants": [{"level": "global", "privileges": ["SUPER"]}]},
    {"grants": [{"level": "global", "privileges": ["SELECT"], "withGrantOption": True}]},
    {"grants": [{"level": "database", "database": "{theirs}", "privileges": ["SELECT"]}]},
    {"grants": [{"level": "database", "database": "%", "privileges": ["SELECT"]}]},
    {"grants": [{"level": "table", "database": "mysql", "table": "user", "privileges": ["SELECT"]}]},
    {"roles": ["{theirs}"]},
)


@pytest.mark.feature("I10")
async def test_nothing_of_another_namespace_is_reached_on_mysql(
    operator: Operator, mysql_server: MySQLServer, unique: Callable[[str], str]
) -> None:
    team = unique("team").replace("_", "-")
    instance = await operator.mysql_instance(mysql_server.admin, mysql_server.engine)
    await operator.patch(instance, {"spec": {"accessPolicy": {"namespaces": {"names": [team]}}}})
    await operator.run(instance)
    tenants = await prepare(operator, team, unique("t")[-20:].lstrip("_"))
    login = unique("u")[-20:].lstrip("_")
    user = await tenants.attempt("DatabaseUser", "mine", {**tenants.there, "username": login})
    assert await operator.ready(user) == READY
    before = mysql_server.query(f"SHOW GRANTS FOR '{login}'@'%'")
    for number, tried in enumerate(MYSQL_TRIES):
        block = json.loads(json.dumps(tried).replace("{theirs}", tenants.theirs))
        spec = {"userRef": {"name": "mine"}, "mysql": block}
        assert await operator.ready(await tenants.attempt("DatabaseGrant", f"attempt-{number}", spec)) == DENIED, tried
        if "grants" in block:
            spec = {**tenants.there, "roleName": f"{login}_r", "mysql": {"grants": block["grants"]}}
            key = await tenants.attempt("DatabaseRole", f"attempt-{number}", spec)
            assert await operator.ready(key) == DENIED, tried
    assert mysql_server.query(f"SHOW GRANTS FOR '{login}'@'%'") == before


async def test_the_content_of_an_admin_secret_is_told_nobody(tenants: Tenants, unique: Callable[[str], str]) -> None:
    """Not even as the text of an error about a script."""
    key = await tenants.attempt(
        "Database",
        "attempt",
        {
            **tenants.there,
            "name": unique("mine"),
            "initSQL": {
                "secretRef": {"name": "main-admin", "namespace": tenants.operator.namespace, "key": "password"}
            },
        },
    )
    password = (await tenants.operator.secret("main-admin"))["password"]
    told = json.dumps([await tenants.operator.get(key), await tenants.operator.api.list("Event", tenants.team)])
    assert password not in told
    assert base64.b64encode(password.encode()).decode() not in told
