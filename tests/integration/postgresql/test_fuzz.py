# SPDX-License-Identifier: GPL-3.0-or-later
"""Any options: each object has a result with a reason, nothing half done is called right, no secret shows."""

from __future__ import annotations

from typing import Any

import pytest
from fuzzing import Fuzz, judge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.postgresql.engine import Engine

SECRET = "sesame-71309"
_KINDS = ("database", "database_user", "database_role", "database_grant", "database_access", "database_instance")
# Few names, so that declarations meet each other; and some that must be refused.
_OURS = ("fz1", "fz2", "fz3", "fz.4", 'fz"5', "Fz6 'ü")
_NAMES = st.sampled_from([*_OURS, *_OURS, *_OURS, "postgres", "dbops", "public", "PUBLIC", "pg_monitor", "template0"])
_OBJECTS = st.lists(st.sampled_from(["t", "t", "*", "x"]), max_size=2)
_SCHEMAS = st.sampled_from(["s", "s", "public", "other"])
_LIKELY: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("name", "user", "role", "database", "owner", "granted_by", "default_role"), _NAMES),
    **dict.fromkeys(("roles", "in_roles"), st.lists(_NAMES, max_size=2)),
    **dict.fromkeys(("tables", "sequences"), _OBJECTS),
    "functions": st.lists(st.sampled_from(["f", "f(int)", "s.f", "*", "x()", "f(("]), max_size=2),
    "columns": st.lists(st.sampled_from(["a", "nope"]), max_size=2),
    "schema": _SCHEMAS,
    "schemas": st.lists(st.fixed_dictionaries({"name": _SCHEMAS}, optional={"owner": _NAMES}), max_size=2),
    "extensions": st.lists(
        st.fixed_dictionaries({"name": st.sampled_from(["hstore", "citext", "plpython3u", "nope"])}), max_size=1
    ),
    "table": st.sampled_from(["t", "t", "x"]),
    "state": st.sampled_from(["present", "present", "absent"]),
    "password": st.sampled_from([SECRET, SECRET + "2", "md5" + "0" * 32]),
    "encoding": st.sampled_from(["UTF8", "LATIN1", "KLINGON"]),
    "template": st.sampled_from(["template0", "template1", "fz1"]),
    "tablespace": st.sampled_from(["pg_default", "nope"]),
    **dict.fromkeys(("lc_collate", "lc_ctype"), st.sampled_from(["C", "C.UTF-8", "xx_XX"])),
    "valid_until": st.sampled_from(["2040-01-01T00:00:00Z", "infinity", "tomorrow"]),
    "config_parameters": st.dictionaries(
        st.sampled_from(["work_mem", "search_path", "jit", "nope", "a.b"]), st.sampled_from(["8MB", "off", None, 5])
    ),
    "privileges": st.lists(
        st.sampled_from(["SELECT", "INSERT", "ALL", "USAGE", "CREATE", "CONNECT", "EXECUTE", "FLY", "maintain"]),
        min_size=1,
        max_size=2,
    ),
    "dbops_owner": st.sampled_from(["fuzz", "other"]),
    "verify_login": st.just(False),
    "statement_timeout": st.just(10),
}
_FUZZ = Fuzz(_KINDS, _NAMES, _LIKELY, "MySQL and MariaDB")
_CONTENT = (
    "CREATE SCHEMA s",
    "CREATE TABLE s.t (a int)",
    "CREATE TABLE public.t (a int)",
    "CREATE FUNCTION s.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SEQUENCE s.q",
)


def try_them(engine: Engine, declared: list[dict[str, Any]], *, check: bool) -> None:
    before = engine.snapshot() if check else None
    document = engine.run(*declared, check=check)
    judge(declared, document, secret=SECRET)
    if check:
        assert engine.snapshot() == before
        return
    # Two declarations of one list may undo each other.
    if len(declared) == 1 and not document["failed"]:
        (again,) = engine.run(*declared)["objects"]
        assert again["failed"] or again["warnings"] or not again["steps"], (again, declared)


@pytest.mark.feature("L10")
@pytest.mark.parametrize("tries", [300, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_any_options(superuser_engine: Engine, weak_engine: Engine, tries: int) -> None:
    @settings(
        max_examples=tries // 2,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(_FUZZ.objects(), st.booleans())
    def fuzz(declared: list[dict[str, Any]], check: bool) -> None:
        for engine in (superuser_engine, weak_engine):
            try_them(engine.own_ledger(), declared, check=check)

    names = _OURS[:3]
    for name in names:
        superuser_engine.run({"kind": "database", "name": name}, {"kind": "database_user", "name": name})
        for statement in _CONTENT:
            superuser_engine.server.query(statement, dbname=name)  # type: ignore[arg-type]
    try:
        fuzz()
    finally:
        for name in _OURS:
            database = {"kind": "database", "name": name, "state": "absent", "force": True, "end_sessions": True}
            superuser_engine.run(database)
        going = [{"kind": "database_role", "name": name, "state": "absent", "force": True} for name in _OURS]
        superuser_engine.run(*going)
