# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an object was applied: when it is applied anew, and what is left behind."""

from __future__ import annotations

from typing import Any

from dbops_operator import moved
from dbops_operator.keys import Key
from dbops_operator.resolve import Server, parse_instance
from dbops_operator.work import ServerTarget


def server(name: str = "main", host: str = "a", namespace: str = "n", **status: str) -> Server:
    kind = "DatabaseInstance" if namespace else "ClusterDatabaseInstance"
    connection = {"host": host, "port": 5432, "database": "postgres", "secretRef": {"name": "s"}}
    body: dict[str, Any] = {"kind": kind, "spec": {"engine": "postgres", "connection": connection}, "status": status}
    return Server(Key(kind, namespace, name), body, parse_instance(body), ServerTarget("lane", {}))


def applied(on: Server, *, generation: int = 1, before: dict[str, Any] | None = None) -> dict[str, Any]:
    body = {"metadata": {"generation": generation}, "spec": {"name": "a"}, "status": before or {}}
    fields = moved.fields(body, on)
    return {**body, "status": {name: value for name, value in fields.items() if value is not None}}


def test_a_generation_is_applied_once_to_a_server() -> None:
    here = server(serverIdentity="1")
    body = applied(here)
    assert moved.is_applied(body, here)
    edited = {**body, "metadata": {"generation": 2}}
    assert not moved.is_applied({**edited, "spec": {"name": "b"}}, here)
    assert moved.is_applied({**edited, "spec": {"name": "a", "driftPolicy": {"mode": "correct"}}}, here)
    assert not moved.is_applied({"metadata": {"generation": 1}, "spec": {}}, here)


def test_an_acknowledged_change_of_the_server_counts_as_another_server() -> None:
    body = applied(server(serverIdentity="1"))
    assert not moved.is_applied(body, server(serverIdentity="2", serverChangedAt="2026-01-01T00:00:00Z"))


def test_another_instance_is_another_server_unless_it_is_the_same() -> None:
    body = applied(server(serverIdentity="1"))
    assert moved.is_applied(body, server("again", namespace=""))
    assert moved.is_applied(body, server("again", host="alias", serverIdentity="1"))
    assert not moved.is_applied(body, server("other", host="b", serverIdentity="2"))


def test_what_is_left_is_remembered_until_the_object_comes_back() -> None:
    first, second = server(), server("other", host="b", namespace="")
    body = applied(second, before=applied(first)["status"])
    assert [place.instance for place in moved.left_on(body)] == [first.key]
    assert [place.instance for place in moved.elsewhere(body, second.key)] == [first.key]
    assert [place.instance for place in moved.elsewhere(body, first.key)] == [second.key]
    assert moved.left_on(applied(second, before=body["status"])) == moved.left_on(body)
    back = applied(first, before=body["status"])
    assert [place.instance for place in moved.left_on(back)] == [second.key]


def test_what_stays_is_not_remembered() -> None:
    body = {"metadata": {"generation": 1}, "spec": {}, "status": applied(server())["status"]}
    assert moved.fields(body, server("other", host="b"), drops=False)["leftOn"] is None
