# SPDX-License-Identifier: GPL-3.0-or-later
"""An object at each stage of its life, judged by kstatus itself: what Flux waits for, and what it reports as failed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kstatus import kstatus
from published import full_part
from reconciling import Operator

from dbops_operator.api.kinds import KINDS
from localstack.postgresql import PostgreSQLServer

REFERENCE = {"instanceRef": {"name": "main"}}

pytestmark = pytest.mark.feature("L01", "K06")


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_what_nobody_has_looked_at_is_in_progress(operator: Operator, kind: str) -> None:
    key = await operator.create(kind, "unseen", full_part(kind, "spec"))
    assert kstatus(await operator.get(key)) == "InProgress"
    # Objects of the cluster are seen by all tests.
    await operator.delete(key)
    assert not await operator.exists(key)


async def test_a_database_from_its_making_to_its_end(
    operator: Operator, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    name = unique("d")
    key = await operator.create("Database", "app", {**REFERENCE, "name": name, "deletionProtection": False})
    await operator.run(key)
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert kstatus(await operator.get(key)) == "InProgress"
    instance = await operator.instance(postgres)
    assert kstatus(await operator.get(instance)) == "Current"
    await operator.run(key)
    assert kstatus(await operator.get(key)) == "Current"
    await operator.patch(key, {"spec": {"postgres": {"encoding": "LATIN1"}}})
    assert kstatus(await operator.get(key)) == "InProgress"
    await operator.run(key)
    assert await operator.condition(key, "Stalled") == ("True", "ImmutableField")
    assert kstatus(await operator.get(key)) == "Failed"
    await operator.patch(key, {"spec": {"postgres": None}})
    await operator.run(key)
    assert kstatus(await operator.get(key)) == "Current"
    await operator.delete(key)
    assert kstatus(await operator.get(key)) == "Terminating"


async def test_a_server_out_of_reach_is_in_progress(operator: Operator, postgres: PostgreSQLServer) -> None:
    instance = await operator.instance(postgres)
    await operator.patch(instance, {"spec": {"connection": {"port": 1}}})
    await operator.run(instance)
    assert await operator.ready(instance) == ("False", "ConnectionFailed")
    assert kstatus(await operator.get(instance)) == "InProgress"
