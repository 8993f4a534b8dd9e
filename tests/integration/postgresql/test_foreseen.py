# SPDX-License-Identifier: GPL-3.0-or-later
"""A check of a whole list shows the statements that the run sends: what comes early in it counts for what comes late.

Lists of users, roles, databases and grants that go on from what earlier lists have made, with a declaration's name
and without; the check of each is compared with its run, statement by statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from foreseen import Names, difference, lists
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from integration.postgresql.engine import Engine
from psycopg import sql

_USERS, _ROLES, _DATABASES = ("fs_u1", "fs_u2", "fs_u3"), ("fs_r1", "fs_r2", "fs_r3"), ("fs_d1", "fs_d2")
_SCRIPTED = "fs_scripted"
_OPTION = st.sampled_from([False, False, True])
_IN = st.sampled_from(_DATABASES)
_TABLES = {"database": _IN, "schema": st.sampled_from(["app", "public"]), "grant_option": _OPTION}
_NAMED = st.sampled_from([["t"], ["t"], ["*"]])
_WORDS = st.lists(st.sampled_from(["SELECT", "INSERT", "UPDATE"]), min_size=1, max_size=2, unique=True)
_ENTRIES = st.one_of(
    st.fixed_dictionaries(
        {
            "database": _IN,
            "privileges": st.lists(st.sampled_from(["CONNECT", "TEMPORARY", "CREATE"]), min_size=1, unique=True),
            "grant_option": _OPTION,
        }
    ),
    st.fixed_dictionaries(
        {
            "database": _IN,
            "schema": st.sampled_from(["app", "public"]),
            "privileges": st.sampled_from([["USAGE"], ["USAGE", "CREATE"], ["SELECT"]]),
            "grant_option": _OPTION,
        }
    ),
    st.fixed_dictionaries({**_TABLES, "tables": _NAMED, "privileges": _WORDS}),
    st.fixed_dictionaries({**_TABLES, "tables": st.just(["t"]), "columns": st.just(["a"]), "privileges": _WORDS}),
)
_DEFAULTS = st.fixed_dictionaries(
    {
        "role": st.sampled_from([*_USERS[:2], "public"]),
        "schema": st.just("app"),
        "object_type": st.sampled_from(["tables", "sequences"]),
        "privileges": st.sampled_from([["SELECT"], ["SELECT", "UPDATE"]]),
    },
    optional={"granted_by": st.sampled_from(_ROLES)},
)
_OWNERS = st.sampled_from([*_ROLES, _USERS[0]])
_NAMES = Names(
    _USERS,
    _ROLES,
    _DATABASES,
    _ENTRIES,
    user={
        "connection_limit": st.integers(1, 3),
        "inherit": st.booleans(),
        "config_parameters": st.sampled_from([{"work_mem": "8MB"}, {"jit": "off", "search_path": "app, public"}]),
        "reassign_owned_to": st.sampled_from(_ROLES),
    },
    database={
        "owner": _OWNERS,
        "connection_limit": st.integers(1, 3),
        "schemas": st.sampled_from([[{"name": "app"}], [{"name": "app", "owner": _ROLES[0]}], [{"name": "more"}]]),
        "default_privileges": st.lists(_DEFAULTS, max_size=2),
    },
)
_CONTENT = (
    "CREATE SCHEMA IF NOT EXISTS app AUTHORIZATION {}",
    "CREATE TABLE IF NOT EXISTS app.t (a int, b int)",
    "CREATE TABLE IF NOT EXISTS public.t (a int)",
    "ALTER TABLE app.t OWNER TO {}",
    "ALTER TABLE public.t OWNER TO {}",
)


def lay_out(engine: Engine) -> None:
    """Make what lists can build upon, where it is not there."""
    there = {row[0] for row in engine.server.query("SELECT datname FROM pg_database")}
    engine.run(*({"kind": "database", "name": name} for name in _DATABASES if name not in there))
    for name in _DATABASES:
        with psycopg.connect(engine.server.admin.dsn(name), autocommit=True) as connection:
            for statement in _CONTENT:
                connection.execute(sql.SQL(statement).format(sql.Identifier(engine.login.user)))


def clear(engine: Engine) -> None:
    """Leave nothing of the names of these tests."""
    going = {"state": "absent", "force": True}
    databases = [{"kind": "database", "name": name, "end_sessions": True, **going} for name in _DATABASES]
    roles = [{"kind": "database_role", "name": name, **going} for name in (*_USERS, *_ROLES)]
    document = engine.run(*databases, *roles)
    assert not document["failed"], document["objects"]


@pytest.fixture
def prepared(engine: Engine) -> Iterator[Engine]:
    """The engine, and nothing left of the tests' names afterwards."""
    clear(engine)
    yield engine
    clear(engine)


@pytest.mark.feature("A05")
@pytest.mark.parametrize("tries", [60, pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
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
def test_defaults_go_with_who_gives_them(prepared: Engine) -> None:
    giver, heir, getter = _USERS[0], _ROLES[0], _USERS[1]
    defaults = {"role": getter, "schema": "public", "object_type": "tables", "privileges": ["SELECT"]}
    made = prepared.run(
        *({"kind": "database_user", "name": name} for name in (giver, getter)),
        {"kind": "database_role", "name": heir},
        {"kind": "database", "name": _DATABASES[0], "owner": giver, "default_privileges": [defaults]},
    )
    assert not made["failed"], made["objects"]
    # Nothing in this list looks into the database.
    going = [
        {"kind": "database_user", "name": giver, "state": "absent", "reassign_owned_to": heir},
        {"kind": "database_user", "name": getter, "state": "absent"},
    ]
    planned, done = prepared.run(*going, check=True), prepared.run(*going)
    assert not done["failed"], done["objects"]
    assert difference(planned, done) == []


@pytest.mark.feature("A05")
def test_what_depends_on_a_script_is_known_after_it(prepared: Engine) -> None:
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
            "grants": [{"database": _SCRIPTED, "tables": ["t"], "privileges": ["SELECT"]}],
            "dbops_owner": "story",
        },
    ]
    planned, done = prepared.run(*declared, check=True), prepared.run(*declared)
    assert not planned["failed"], [one["message"] for one in planned["objects"]]
    assert not done["failed"], [one["message"] for one in done["objects"]]
    shown, sent = ([step["statement"] for step in one["objects"][2]["steps"]] for one in (planned, done))
    assert "-- known after apply" in shown
    assert any("GRANT SELECT" in one for one in sent)
    assert not prepared.run(*declared)["changed"]
    gone = {"kind": "database", "name": _SCRIPTED, "dbops_owner": "story", "state": "absent", "end_sessions": True}
    assert not prepared.run(gone)["failed"]
