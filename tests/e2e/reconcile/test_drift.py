# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind that lives on a server, on every engine, through the modes of its drift policy.

A row of drift_cases.py says what is declared and what somebody changes by hand. The server's own catalogs judge what
was left alone and what was put right; the calls into the engine show that nobody looked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from e2e.reconcile.drift_cases import CASES, Case, Server
from reconciling import Operator

from dbops_operator.keys import Key
from dbops_operator.work import Done
from localstack.mysql import MySQLServer
from localstack.postgresql import PostgreSQLServer

ENGINES = ("postgres", "mysql", "mariadb")


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """Part of all names on the server."""
    return unique("d")[-16:].strip("_")


@pytest.fixture
def server(request: pytest.FixtureRequest, case: Case) -> PostgreSQLServer | MySQLServer:
    found: PostgreSQLServer | MySQLServer = request.getfixturevalue(case.engine)
    return found


@pytest_asyncio.fixture
async def instance(operator: Operator, server: PostgreSQLServer | MySQLServer, case: Case, name: str) -> Key:
    """A ready instance of the namespace."""
    if isinstance(server, PostgreSQLServer):
        return await operator.instance(server)
    return await operator.mysql_instance(server.admin, case.engine)


@pytest_asyncio.fixture
async def cluster_instance(operator: Operator, instance: Key, name: str) -> AsyncIterator[Key]:
    """A ready instance of the same server for the whole cluster."""
    spec = (await operator.get(instance))["spec"]
    own = operator.settings.operator_namespace
    for reference in (spec["connection"]["secretRef"], (spec.get("tls") or {}).get("secretRef")):
        if reference:
            await operator.create_secret(reference["name"], await operator.secret(reference["name"]), namespace=own)
    spec["connection"]["secretRef"]["namespace"] = own
    key = await operator.create("ClusterDatabaseInstance", called(name), {**spec, "deletionProtection": False})
    await operator.run(key)
    yield key
    await operator.delete(key)
    await operator.run(key)


def called(name: str) -> str:
    return name.replace("_", "-")


async def declared(operator: Operator, case: Case, name: str) -> Key:
    """The object, applied, in mode ignore; a grant is for a DatabaseUser."""
    spec: dict[str, Any] = {**case.spec(name), "driftPolicy": {"mode": "ignore"}}
    if case.kind.endswith("Grant"):
        reference = {"instanceRef": {"name": "main"}}
        user = await operator.create("DatabaseUser", called(name), {**reference, "username": name})
        await operator.run(user)
        assert await operator.ready(user) == ("True", "ReconcileSuccess")
        spec["userRef"] = {"name": user.name, "namespace": user.namespace}
    if case.kind.startswith("Cluster"):
        spec["clusterInstanceRef"] = {"name": called(name)}
    elif not case.kind.endswith("Grant"):
        spec["instanceRef"] = {"name": "main"}
    key = await operator.create(case.kind, called(name), spec)
    assert isinstance(await operator.run(key), Done), await operator.status(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess"), await operator.status(key)
    return key


async def switch(operator: Operator, key: Key, mode: str) -> None:
    await operator.patch(key, {"spec": {"driftPolicy": {"mode": mode, "interval": "10s"}}})
    assert await operator.run(key) == Done(after=10.0), await operator.status(key)


async def found(operator: Operator, key: Key) -> set[tuple[str, str, str, bool]]:
    """Field, expected, actual, and whether putting it right takes something away."""
    drift = (await operator.status(key))["drift"]
    assert drift["diffsCount"] == len(drift["diffs"])
    assert drift["detected"] == bool(drift["diffs"])
    return {(one["field"], one["expected"], one["actual"], one["destructive"]) for one in drift["diffs"]}


async def stands(operator: Operator, key: Key, *, synced: tuple[str, str]) -> str:
    """Check what holds in every mode; gives the reconcileID."""
    status = await operator.status(key)
    assert status["phase"] == "Ready"
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "Synced") == synced, status
    assert await operator.condition(key, "Stalled") is None
    return str(status["reconcileID"])


async def is_steady(operator: Operator, key: Key) -> None:
    """Further looks change nothing: the first one may take back a remark on what was just changed."""
    reconciled = (await operator.status(key))["reconcileID"]
    await operator.run(key)
    assert (await operator.status(key))["reconcileID"] == reconciled
    writes, before = operator.api.writes, await operator.status(key)
    await operator.run(key)
    assert await operator.status(key) == before
    assert operator.api.writes == writes


IN_SYNC, DIFFERS = ("True", "ReconcileSuccess"), ("False", "DriftDetected")


@pytest.mark.feature("L07")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.engine}")
async def test_modes_of_drift(operator: Operator, cluster_instance: Key, case: Case, server: Server, name: str) -> None:
    case.prepare(server, name)
    key = await declared(operator, case, name)
    before = case.state(server, name)
    case.change(server, name)
    drifted = case.state(server, name)
    assert all(drifted[what] != before[what] for what in before), drifted
    # Nobody looks.
    calls = len(operator.lanes.calls)
    await operator.run(key)
    assert len(operator.lanes.calls) == calls
    first = await stands(operator, key, synced=IN_SYNC)
    assert await found(operator, key) == set()
    # Told, and left alone.
    await switch(operator, key, "detect")
    assert await found(operator, key) == case.found(name)
    assert await stands(operator, key, synced=DIFFERS) == first
    await is_steady(operator, key)
    assert all(call["check"] for call in operator.lanes.calls[calls:])
    assert case.state(server, name) == drifted
    # Put right, but for what takes something away.
    taking = {one for one in case.found(name) if one[3]}
    await switch(operator, key, "correct")
    assert await found(operator, key) == taking
    second = await stands(operator, key, synced=DIFFERS if taking else IN_SYNC)
    assert second != first
    await is_steady(operator, key)
    assert case.state(server, name) == {what: (drifted if what == "taken" else before)[what] for what in before}
    # And that too.
    await operator.annotate(key, allow_destructive_drift="true")
    await operator.run(key)
    assert await found(operator, key) == set()
    third = await stands(operator, key, synced=IN_SYNC)
    assert (third != second) == bool(taking)
    assert case.state(server, name) == before
    await is_steady(operator, key)
    assert await stands(operator, key, synced=IN_SYNC) == third
    assert {"DriftDetected", "DriftCorrected"} <= set(await operator.events(key))
    await remove(operator, key)


async def remove(operator: Operator, key: Key) -> None:
    """Cluster-scoped objects would be in the way of the tests after this one."""
    await operator.patch(key, {"metadata": {"annotations": {"dbops.dbprovision.io/force-delete": "true"}}})
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key), await operator.status(key)
