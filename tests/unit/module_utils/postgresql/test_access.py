# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to a table without a server: over which memberships, and whether they are at hand."""

from __future__ import annotations

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.access import explain
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.access_state import (
    Access,
    Given,
    Membership,
    RoleFacts,
)

_EVERYBODY = (Given("public", "own", "USAGE", False), Given("public", "own", "CONNECT", False))


def table(*given: Given, memberships: tuple[Membership, ...] = (), logins: str = "abc") -> Access:
    """A table of own that everybody gets to, with entries and memberships."""
    roles = {name: RoleFacts(name, False, True) for name in logins}
    roles |= {name: RoleFacts(name, name == "root", False) for name in ("own", "root", "pg_read_all_data")}
    entries = (Given("own", "own", "SELECT", False), *given)
    around = (_EVERYBODY[:1], _EVERYBODY[1:])
    return Access("table", "own", False, ("x", "y", "z"), entries, *around, roles=roles, memberships=memberships)


def ways(access: Access, privilege: str = "SELECT") -> dict[str, list[tuple[str, bool]]]:
    """Give by role its paths, each with whether it is at hand."""
    return {
        one["role"]: [(">".join(way["path"]), way["at_hand"]) for way in one["through"]]
        for one in explain(access, privilege)
    }


@pytest.mark.feature("G08")
def test_a_way_is_at_hand_where_all_of_it_inherits() -> None:
    access = table(
        Given("c", "own", "SELECT", False),
        memberships=(
            Membership("b", "c", inherit=True, set=True),
            Membership("a", "b", inherit=True, set=False),
        ),
    )
    assert ways(access) == {
        "own": [("own", True)],
        "root": [("root", True)],
        "pg_read_all_data": [("pg_read_all_data", True)],
        "c": [("c", True)],
        "b": [("b>c", True)],
        "a": [("a>b>c", True)],
    }


@pytest.mark.feature("G08")
@pytest.mark.parametrize(
    ("outer", "inner", "way"),
    [
        ((True, True), (False, True), ("a>b>c", False)),
        ((False, True), (True, True), ("a>b>c", False)),
        ((False, True), (False, True), ("a>b>c", False)),
        # It inherits what b may, which is not to become c.
        ((True, False), (False, True), None),
        ((False, False), (True, True), None),
    ],
)
def test_else_it_takes_a_set_role(
    outer: tuple[bool, bool], inner: tuple[bool, bool], way: tuple[str, bool] | None
) -> None:
    memberships = (Membership("b", "c", *inner), Membership("a", "b", *outer))
    found = ways(table(Given("c", "own", "SELECT", False), memberships=memberships))
    assert found.get("a") == ([way] if way else None)


@pytest.mark.feature("G08")
def test_columns_are_told_together_and_in_their_order() -> None:
    access = table(
        Given("a", "own", "SELECT", True, "z"),
        Given("a", "own", "SELECT", True, "x"),
        Given("b", "own", "SELECT", False, "y"),
        Given("b", "own", "SELECT", False),
    )
    found = {one["role"]: one for one in explain(access, "SELECT")}
    assert found["a"]["columns"] == ["x", "z"]
    assert found["a"]["through"][0]["grantable"]
    assert found["b"]["columns"] is None, "all of the table"


@pytest.mark.feature("G08")
def test_ten_thousand_members_are_no_matter() -> None:
    memberships = tuple(Membership(f"m{number}", "c", inherit=True, set=True) for number in range(10_000))
    access = table(Given("c", "own", "SELECT", False), memberships=memberships)
    access.roles.update({one.member: RoleFacts(one.member, False, True) for one in memberships})  # type: ignore[attr-defined]
    assert len(ways(access)) == 10_004
