# SPDX-License-Identifier: GPL-3.0-or-later
"""What an object writes into its spec never leads the operator to what is another namespace's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from reconciling import Operator

from dbops_operator.annotation import SKIP_RECONCILE
from dbops_operator.client import NotFound
from dbops_operator.work import Human, Wait
from localstack.postgresql import PostgreSQLServer

LEADING_ELSEWHERE = (
    "../../{vault}/secrets/theirs",
    "../../../namespaces/{vault}/secrets/theirs",
    "..",
    "x/../../theirs",
)


@pytest.mark.parametrize("path", LEADING_ELSEWHERE)
async def test_no_name_leads_to_a_secret_of_another_namespace(
    operator: Operator, postgres: PostgreSQLServer, unique: Callable[[str], str], path: str
) -> None:
    vault = unique("vault").replace("_", "-")
    await operator.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": vault}})
    await operator.create_secret("theirs", {"pw": "their-password"}, namespace=vault)
    await operator.instance(postgres)
    key = await operator.create(
        "DatabaseUser",
        "thief",
        {
            "instanceRef": {"name": "main"},
            "username": unique("u"),
            "existingPasswordSecret": {"name": path.format(vault=vault), "key": "pw"},
            "passwordSecret": {"secretName": "loot"},
        },
    )
    assert isinstance(await operator.run(key), Wait)
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert not await operator.exists(operator.key("Secret", "loot"))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a?b", "a#b", "a%2Fb", "A"])
async def test_the_client_asks_for_no_name_that_nothing_can_have(operator: Operator, name: str) -> None:
    with pytest.raises(NotFound):
        await operator.api.get(operator.key("Secret", name))
    with pytest.raises(NotFound):
        await operator.api.get(operator.key("Secret", "x", namespace=name or ".."))


@pytest.fixture
async def team(operator: Operator, postgres: PostgreSQLServer, unique: Callable[[str], str]) -> str:
    """A namespace that the instance `main` of another namespace serves."""
    name = unique("team").replace("_", "-")
    await operator.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    await operator.instance(postgres, accessPolicy={"namespaces": {"names": [name]}})
    return name


async def test_no_copy_of_another_namespaces_database(
    operator: Operator, team: str, unique: Callable[[str], str]
) -> None:
    theirs, mine, copy = unique("theirs"), unique("mine"), unique("copy")
    here = {"instanceRef": {"name": "main"}, "deletionProtection": False}
    there = {"instanceRef": {"name": "main", "namespace": operator.namespace}, "deletionProtection": False}
    await operator.run(await operator.create("Database", "theirs", {**here, "name": theirs}))
    await operator.run(await operator.create("Database", "mine", {**there, "name": mine}, namespace=team))
    key = await operator.create(
        "Database", "copy", {**there, "name": copy, "postgres": {"template": theirs}}, namespace=team
    )
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "AccessDenied")
    await operator.patch(key, {"spec": {"postgres": {"template": mine}}})
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")


async def test_being_ready_elsewhere_owns_nothing_here(
    operator: Operator, postgres: PostgreSQLServer, team: str, unique: Callable[[str], str]
) -> None:
    """A login that was ready on the team's own instance counts nowhere else, even if nobody looks at it again."""
    login = unique("u")
    admin = {"username": postgres.admin.user, "password": postgres.admin.password}
    await operator.create_secret("own-admin", admin, namespace=team)
    connection = {
        "host": postgres.admin.host,
        "port": postgres.admin.port,
        "database": "postgres",
        "secretRef": {"name": "own-admin"},
    }
    own = await operator.create(
        "DatabaseInstance", "own", {"engine": "postgres", "connection": connection, "postgres": {}}, namespace=team
    )
    await operator.run(own)
    user = await operator.create(
        "DatabaseUser", "u", {"instanceRef": {"name": "own"}, "username": login}, namespace=team
    )
    await operator.run(user)
    assert await operator.ready(user) == ("True", "ReconcileSuccess")
    shared = {"name": "main", "namespace": operator.namespace}
    await operator.patch(user, {"metadata": {"annotations": {SKIP_RECONCILE: "true"}}, "spec": {"instanceRef": shared}})
    await operator.run(user)
    key = await operator.create(
        "Database",
        "d",
        {"instanceRef": shared, "name": unique("d"), "owner": login, "deletionProtection": False},
        namespace=team,
    )
    assert isinstance(await operator.run(key), Wait)
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert user in operator.depends
