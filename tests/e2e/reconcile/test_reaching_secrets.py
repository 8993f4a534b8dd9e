# SPDX-License-Identifier: GPL-3.0-or-later
"""What an object writes into its spec never leads the operator to another namespace's Secrets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from reconciling import Operator

from dbops_operator.client import NotFound
from dbops_operator.work import Wait
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
