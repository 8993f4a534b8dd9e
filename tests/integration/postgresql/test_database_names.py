# SPDX-License-Identifier: GPL-3.0-or-later
"""Any name that the server can hold goes through make, look, alter and drop without becoming SQL."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from integration.postgresql.engine import Engine

# Everything but NUL and surrogates, and what is special to SQL, formats and templates more often than by chance.
_CHARACTERS = st.one_of(
    st.sampled_from(list("\"'`\\%{}$;:-/*().,_ \n\tsAüß😀")),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
)
_NAMES = st.text(_CHARACTERS, min_size=1, max_size=63).filter(lambda name: len(name.encode()) <= 63)
_TAKEN = ("postgres", "template0", "template1", "dbops")


def _one(engine: Engine, **declared: Any) -> dict[str, Any]:
    result = engine.one({"kind": "database", **declared})
    assert not result["failed"], result
    return result


@pytest.mark.feature("D12")
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=_NAMES.filter(lambda name: name not in _TAKEN), schema=_NAMES.filter(lambda name: name[:3] != "pg_"))
@example(name='"; DROP DATABASE postgres; --', schema="%s %(x)s {} {0}")
@example(name="😀" * 15 + "ü%", schema="'; SELECT 1; --")
@example(name="\\", schema='"')
@example(name=" ", schema="select")
@example(name="Case Sensitive", schema="Ünïcödé\n\t")
def test_names_of_any_characters(engine: Engine, name: str, schema: str) -> None:
    try:
        made = _one(engine, name=name, schemas=[{"name": schema}])
        assert made["changed"]
        assert {"name": schema, "owner": engine.login.user} in made["observed"]["schemas"]
        query = "SELECT datconnlimit FROM pg_database WHERE datname = %s"
        assert engine.server.query(query, [name]) == [(-1,)]
        query_schema = "SELECT count(*) FROM pg_namespace WHERE nspname = %s"
        assert engine.server.query(query_schema, [schema], dbname=name) == [(1,)]
        privilege = {"role": "PUBLIC", "schema": schema, "object_type": "tables", "privileges": ["SELECT"]}
        altered: dict[str, Any] = {"connection_limit": 3, "default_privileges": [privilege]}
        assert len(_one(engine, name=name, **altered)["steps"]) == 2
        assert engine.server.query(query, [name]) == [(3,)]
        assert not _one(engine, name=name, **altered)["changed"]
    finally:
        _one(engine, name=name, state="absent")
    assert engine.server.query(query, [name]) == []
