# SPDX-License-Identifier: GPL-3.0-or-later
"""Exported objects become variables and custom resources, without a server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.export import variables
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.exported import Chosen
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.manifests import Manifests, manifests

_RFC_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def written(*objects: dict[str, Any], engine: str = "postgres") -> Manifests:
    return manifests(objects, engine=engine, instance="main", namespace="team")


@pytest.mark.feature("A07")
def test_variables_are_those_of_the_playbook_without_the_kind() -> None:
    found = variables(
        [
            {"kind": "database_role", "name": "readers"},
            {"kind": "database", "name": "shop", "owner": "readers"},
            {"kind": "database_grant", "role": "readers", "roles": ["pg_monitor"]},
        ]
    )
    assert found == {
        "server_roles": [{"name": "readers"}],
        "server_users": [],
        "server_databases": [{"name": "shop", "owner": "readers"}],
        "server_grants": [{"role": "readers", "roles": ["pg_monitor"]}],
    }


@pytest.mark.feature("A07")
def test_names_of_resources_are_valid_and_differ() -> None:
    names = ["app_db", "App_DB", "app__db", "_", "__", "a" * 63, "A" * 63, "x_" * 31]
    resources = written(*({"kind": "database", "name": name} for name in names)).resources
    called = [one["metadata"]["name"] for one in resources]
    assert [one["spec"]["name"] for one in resources] == names
    assert called[0] == "app-db"
    assert len(set(called)) == len(names)
    assert all(_RFC_1123.fullmatch(name) and len(name) <= 63 for name in called)


@pytest.mark.feature("A07")
def test_a_grant_refers_to_its_grantee_by_the_name_of_the_resource() -> None:
    grant = {"kind": "database_grant", "user": "App_1", "roles": ["readers"]}
    found = written(grant, {"kind": "database_user", "name": "App_1"})
    assert [one["kind"] for one in found.resources] == ["DatabaseUser", "DatabaseGrant"]
    assert found.resources[1]["spec"]["userRef"] == {"name": found.resources[0]["metadata"]["name"]}
    assert found.resources[1]["spec"]["postgres"] == {"roles": ["readers"]}


@pytest.mark.feature("A07")
@pytest.mark.parametrize(
    ("engine", "objects", "warning"),
    [
        ("postgres", [{"kind": "database", "name": "a b"}], "database a b: the API admits only"),
        ("postgres", [{"kind": "database", "name": "a", "owner": "o'b"}], "database a: the API admits only"),
        ("postgres", [{"kind": "database_grant", "role": "PUBLIC"}], "PUBLIC is no resource of this export"),
        ("mysql", [{"kind": "database_user", "name": "a", "password_lifetime": 9}], "password_lifetime has no field"),
        ("mariadb", [{"kind": "database_user", "name": "a", "plugin": "ed25519"}], "plugin ed25519 is no value"),
    ],
)
def test_what_the_api_has_no_words_for_is_said(engine: str, objects: list[dict[str, Any]], warning: str) -> None:
    (text,) = written(*objects, engine=engine).warnings
    assert warning in text


@pytest.mark.feature("A07")
def test_privileges_are_spelled_and_counted_as_the_api_admits() -> None:
    words = [f"P{'A' * number}_ADMIN" for number in range(25)]
    grant = {"kind": "database_grant", "user": "app", "grants": [{"level": "global", "privileges": words}]}
    found = written({"kind": "database_user", "name": "app"}, grant, engine="mysql")
    entries = found.resources[1]["spec"]["mysql"]["grants"]
    assert [len(one["privileges"]) for one in entries] == [20, 5]
    assert all(re.fullmatch("[A-Z][A-Z ]*", word) for one in entries for word in one["privileges"])


@pytest.mark.feature("A07")
def test_patterns_choose_names_with_regard_to_case() -> None:
    chosen = Chosen(databases=["orders*", "sh?p"], accounts=["[ab]*"])
    names = ("orders", "orders_1", "shop", "Shop", "other")
    assert [name for name in names if chosen.has_database(name)] == ["orders", "orders_1", "shop"]
    assert [name for name in ("app", "bob", "carl") if chosen.has_account(name)] == ["app", "bob"]
