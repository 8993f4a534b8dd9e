# SPDX-License-Identifier: GPL-3.0-or-later
"""Memberships in a circle are found in a list, and only those that close it are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import parse
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason


def role(name: str, *in_roles: str, **options: Any) -> dict[str, Any]:
    return {"kind": "database_role", "name": name, "in_roles": list(in_roles), **options}


def user(name: str, *in_roles: str) -> dict[str, Any]:
    return {"kind": "database_user", "name": name, "in_roles": list(in_roles)}


def grant(name: str, member: str, *roles: str) -> dict[str, Any]:
    return {"kind": "database_grant", "name": name, "role": member, "roles": list(roles)}


def wrong(*objects: dict[str, Any]) -> dict[str, tuple[str | None, str]]:
    """Give field and message by ref of what was refused."""
    found = {one.ref: one.error for one in parse.entries(objects, "postgres") if isinstance(one, parse.Invalid)}
    assert {error.reason for error in found.values()} <= {Reason.INVALID_SPEC}
    return {ref: (error.field, error.message) for ref, error in found.items()}


@pytest.mark.feature("O01", "G01", "L10")
def test_what_closes_a_circle_is_named() -> None:
    found = wrong(role("a", "b"), role("b", "c", "d"), grant("g", "c", "a"), role("d"), user("e", "a"))
    assert {ref: field for ref, (field, _ignored) in found.items()} == {
        "database_role/a": "in_roles",
        "database_role/b": "in_roles",
        "database_grant/g": "roles",
    }
    message = found["database_role/a"][1]
    assert any(path in message for path in ("a in b in c in a", "b in c in a in b", "c in a in b in c"))


@pytest.mark.feature("O01", "L10")
def test_every_circle_of_a_list_is_found() -> None:
    assert set(wrong(role("a", "b"), role("b", "a"), role("c", "d"), role("d", "c"), role("e", "a"))) == {
        f"database_role/{name}" for name in "abcd"
    }


@pytest.mark.feature("O01")
def test_many_ways_are_no_circle() -> None:
    assert wrong(role("a", "b", "c"), role("b", "d"), role("c", "d"), role("d"), user("u", "a", "d")) == {}


@pytest.mark.feature("O01", "L08")
def test_what_others_declare_is_left_to_the_server() -> None:
    """Objects of a batch come from different people: who comes second is wrong, and not both."""
    owners = [{"cluster": "c", "kind": "DatabaseRole", "namespace": name, "name": name} for name in "ab"]
    assert wrong(role("a", "b", dbops_owner=owners[0]), role("b", "a", dbops_owner=owners[1])) == {}
    assert len(wrong(role("a", "b", dbops_owner="site"), role("b", "a", dbops_owner="site"))) == 2
    assert wrong(role("a", "b", dbops_owner="site"), role("b", "a", dbops_owner="other")) == {}
