# SPDX-License-Identifier: GPL-3.0-or-later
"""The store: what a new sight of an object means, and who edited it."""

from __future__ import annotations

from typing import Any

import pytest

from dbops_operator.keys import Key
from dbops_operator.resources import FIELD_MANAGER
from dbops_operator.store import Change, Store

KEY = Key("DatabaseUser", "team", "app")


def body(version: int = 1, *, kind: str = "DatabaseUser", name: str = "app", **metadata: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": "u",
            "generation": 1,
            "resourceVersion": str(version),
            **metadata,
        },
    }


def ready(version: int, *, status: str = "True", observed: int = 1) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": status, "observedGeneration": observed}]
    return {**body(version), "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (body(2), Change.NONE),
        (body(2, generation=2), Change.SPEC),
        (body(2, labels={"a": "b"}), Change.METADATA),
        (body(2, annotations={"a": "b"}), Change.METADATA),
        (body(2, deletionTimestamp="2026-01-01T00:00:00Z"), Change.DELETION),
        (body(2, uid="another"), Change.RECREATED),
        (body(2, finalizers=["x"]), Change.NONE),
        (ready(2), Change.READINESS),
        (ready(2, status="False"), Change.READINESS),
    ],
)
def test_a_change_says_what_differs(new: dict[str, Any], change: Change) -> None:
    store = Store()
    assert store.put(body()) is Change.APPEARED
    assert store.put(new) == change


def test_only_another_readiness_does_not_concern_the_object_itself() -> None:
    assert not Change.READINESS.concerns_itself
    assert (Change.READINESS | Change.METADATA).concerns_itself


def test_an_edit_and_a_deletion_supersede_work_and_a_label_does_not() -> None:
    assert Change.SPEC.supersedes
    assert Change.DELETION.supersedes
    assert not Change.METADATA.supersedes


def test_a_secret_has_changed_with_its_resource_version() -> None:
    store = Store()
    store.put(body(1, kind="Secret"))
    assert store.put(body(2, kind="Secret")) == Change.SPEC


def test_an_older_sight_is_not_taken() -> None:
    store = Store()
    store.put(body(10, generation=3))
    assert store.put(body(9, generation=2)) is Change.NONE
    seen = store.get(KEY)
    assert seen is not None
    assert seen["metadata"]["generation"] == 3


def test_a_list_tells_what_vanished_in_its_namespace() -> None:
    store = Store()
    store.put(body(name="gone"))
    store.put(body(name="stays"))
    elsewhere = {"kind": "DatabaseUser", "metadata": {"name": "x", "namespace": "other", "resourceVersion": "1"}}
    store.put(elsewhere)
    changes = store.replace("DatabaseUser", [body(name="stays"), body(name="new")], version="9", namespace="team")
    assert sorted(changes) == [
        (Key("DatabaseUser", "team", "gone"), Change.VANISHED),
        (Key("DatabaseUser", "team", "new"), Change.APPEARED),
    ]
    assert store.count("DatabaseUser") == 3


def test_a_list_does_not_take_away_what_was_seen_later() -> None:
    store = Store()
    store.put(body(3, name="gone"))
    store.put(body(5, name="new"))
    gone = Key("DatabaseUser", "team", "gone")
    assert store.retain("DatabaseUser", [], version="4", namespace="team") == [(gone, Change.VANISHED)]
    assert list(store.keys("DatabaseUser")) == [Key("DatabaseUser", "team", "new")]


def test_managed_fields_are_not_kept_but_the_last_editor_is() -> None:
    store = Store()
    fields = [
        {"manager": "kubectl-client-side-apply", "time": "2026-01-01T00:00:01Z"},
        {"manager": "argocd-controller", "time": "2026-01-01T00:00:05Z"},
        {"manager": FIELD_MANAGER, "time": "2026-01-01T00:00:09Z"},
        {"manager": "kubectl-edit", "time": "2026-01-01T00:00:07Z", "subresource": "status"},
    ]
    store.put(body(managedFields=fields))
    seen = store.get(KEY)
    assert seen is not None
    assert "managedFields" not in seen["metadata"]
    assert store.editor(KEY) == "argocd-controller"
    store.remove(KEY)
    assert store.editor(KEY) == ""


def naming(version: int, spec: dict[str, Any], *, kind: str = "Database", name: str = "app") -> dict[str, Any]:
    return {**body(version, kind=kind, name=name), "spec": spec}


@pytest.mark.parametrize(
    "spec",
    [
        {"owner": "role"},
        {"roles": ["other", "role"]},
        {"postgres": {"inRoles": ["role"]}},
        {"postgres": {"defaultRole": "role"}},
        {"postgres": {"schemas": [{"name": "s"}, {"name": "t", "owner": "role"}]}},
        {"postgres": {"defaultPrivileges": [{"role": "role"}]}},
    ],
)
def test_who_names_a_role_is_found(spec: dict[str, Any]) -> None:
    store = Store()
    store.put(naming(1, {"owner": "somebody"}, name="else"))
    store.put(naming(1, spec))
    assert [Key.of(one) for one in store.naming("role", "role")] == [Key("Database", "team", "app")]


def test_who_names_a_role_no_more_or_is_gone_is_not_found() -> None:
    store = Store()
    store.put(naming(1, {"owner": "one"}))
    store.put(naming(2, {"owner": "two"}))
    assert store.naming("role", "one") == []
    assert [one["metadata"]["resourceVersion"] for one in store.naming("role", "two")] == ["2"]
    store.replace("Database", [], version="9")
    assert store.naming("role", "two") == []
    store.put(naming(1, {"owner": "one"}, kind="DatabaseInstance"))
    assert store.naming("role", "one") == []
