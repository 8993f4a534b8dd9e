# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of work: what is needed first, what goes last and in reverse."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    DefaultPrivilege,
    DesiredDatabase,
    DesiredUser,
    Schema,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.order import needs, ordered


def user(name: str, **options: Any) -> DesiredUser:
    return DesiredUser(kind="database_user", ref=f"user/{name}", name=name, **options)


def database(name: str, **options: Any) -> DesiredDatabase:
    return DesiredDatabase(kind="database", ref=f"database/{name}", name=name, **options)


def test_owners_come_before_their_databases_and_go_after_them() -> None:
    present = [database("d", owner="o"), user("m", in_roles=("o",)), user("o")]
    refs = [one.ref for one in ordered(present)]
    assert refs.index("user/o") < refs.index("database/d")
    assert refs.index("user/o") < refs.index("user/m")
    absent = [user("o", present=False), database("d", owner="o", present=False), user("new")]
    assert [one.ref for one in ordered(absent)] == ["user/new", "database/d", "user/o"]


def test_everything_that_is_referred_to_is_needed() -> None:
    declared = database(
        "d",
        owner="a",
        schemas=(Schema("s", "b"), Schema("t", "gone", present=False)),
        default_privileges=(DefaultPrivilege("c", "s", "tables", ("SELECT",), "d"),),
    )
    assert needs(declared) == {("role", name) for name in "abcd"}
    assert needs(user("x", in_roles=("a",), default_role="b")) == {("role", "a"), ("role", "b")}
    assert needs(user("x", in_roles=("a",), reassign_owned_to="h", present=False)) == {("role", "h")}


def test_a_circle_keeps_its_order() -> None:
    circle = [user("a", in_roles=("b",)), user("b", in_roles=("a",))]
    assert ordered(circle) == circle


@given(st.lists(st.integers(0, 9), min_size=10, max_size=10))
def test_nothing_is_lost(parents: list[int]) -> None:
    users = [user(str(n), in_roles=(str(parent),) if parent < n else ()) for n, parent in enumerate(parents)]
    result = [one.name for one in ordered(users)]
    assert sorted(result) == sorted(one.name for one in users)
    for one in users:
        for role in one.in_roles or ():
            assert result.index(role) < result.index(one.name)
