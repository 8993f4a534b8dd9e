# SPDX-License-Identifier: GPL-3.0-or-later
"""A check of a whole list shows the statements that the run sends: what comes early in it counts for what comes late.

Lists of users, roles, databases and grants that go on from what earlier lists have made, with a declaration's name
and without; the check of each is compared with its run, statement by statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from foreseen import Names, difference, lists
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from integration.mysql.engine import Engine

_USERS, _ROLES, _DATABASES = ("fs_u1", "fs_u2", "fs_u3"), ("fs_r1", "fs_r2", "fs_r3"), ("fs_d1", "fs_d2")
_SCRIPTED = "fs_scripted"
_OPTION = st.sampled_from([False, False, True])
_IN = st.sampled_from(_DATABASES)
_WORDS = st.lists(st.sampled_from(["SELECT", "INSERT", "UPDATE"]), min_size=1, max_size=2, unique=True)
_TABLE = {"database": _IN, "table": st.just("t"), "privileges": _WORDS}
_ENTRIES = st.one_of(
    st.fixed_dictionaries({"database": _IN, "privileges": _WORDS, "grant_option": _OPTION}),
    st.fixed_dictionaries({**_TABLE, "grant_option": _OPTION}),
    st.fixed_dictionaries({**_TABLE, "columns": st.just(["a"])}),
)
_NAMES = Names(
    _USERS,
    _ROLES,
    _DATABASES,
    _ENTRIES,
    user={
        "max_user_connections": st.integers(1, 3),
        "account_locked": st.booleans(),
        "allowed_hosts": st.sampled_from([["%"], ["%", "localhost"], ["localhost"]]),
    },
    database={"encoding": st.sampled_from(["utf8mb4", "latin1"])},
)


def lay_out(engine: Engine) -> None:
    """Make what lists can build upon, where it is not there."""
    for name in _DATABASES:
        engine.server.query(f"CREATE DATABASE IF NOT EXISTS {name}")
        engine.server.query(f"CREATE TABLE IF NOT EXISTS {name}.t (a int, b int)")


def clear(engine: Engine) -> None:
    """Leave nothing of the names of these tests."""
    going = {"state": "absent", "force": True, "end_sessions": True}
    engine.run(*({"kind": "database", "name": name, **going} for name in _DATABASES))
    engine.run(*({"kind": "database_user", "name": name, **going} for name in _USERS))
    going.pop("end_sessions")
    engine.run(*({"kind": "database_role", "name": name, **going} for name in _ROLES))


@pytest.fixture
def prepared(engine: Engine) -> Iterator[Engine]:
    """The engine, and nothing left of the tests' names afterwards."""
    clear(engine)
    yield engine
    clear(engine)


@pytest.mark.feature("A05")
@pytest.mark.parametrize("tries", [30, pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_a_check_shows_what_is_then_sent(prepared: Engine, tries: int) -> None:
    told: list[list[dict[str, Any]]] = []

    # One long story: each list goes on from what those before it have made, so none can be made smaller.
    @settings(
        max_examples=tries,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(lists(_NAMES))
    def story(declared: list[dict[str, Any]]) -> None:
        lay_out(prepared)
        told.append(declared)
        found = difference(prepared.run(*declared, check=True), prepared.run(*declared))
        assert not found, "\n".join([*found, f"lists: {told!r}"])

    story()


@pytest.mark.feature("A05")
def test_what_is_made_by_a_script_is_there_for_what_comes_after(prepared: Engine) -> None:
    declared = [
        {
            "kind": "database",
            "name": _SCRIPTED,
            "dbops_owner": "story",
            "init_sql": {"script": "CREATE TABLE t (a int)"},
        },
        {"kind": "database_user", "name": _USERS[0], "dbops_owner": "story"},
        {
            "kind": "database_grant",
            "name": "g0",
            "user": _USERS[0],
            "grants": [{"database": _SCRIPTED, "table": "t", "privileges": ["SELECT"]}],
            "dbops_owner": "story",
        },
    ]
    planned, done = prepared.run(*declared, check=True), prepared.run(*declared)
    assert not planned["failed"], [one["message"] for one in planned["objects"]]
    assert not done["failed"], [one["message"] for one in done["objects"]]
    shown, sent = ([step["statement"] for step in one["objects"][2]["steps"]] for one in (planned, done))
    assert shown == sent
    assert not prepared.run(*declared)["changed"]
    gone = {"kind": "database", "name": _SCRIPTED, "dbops_owner": "story", "state": "absent", "end_sessions": True}
    assert not prepared.run(gone)["failed"]
