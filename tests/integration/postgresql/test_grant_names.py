# SPDX-License-Identifier: GPL-3.0-or-later
"""Any names that the server can hold go through grants of every level without becoming SQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from integration.postgresql.engine import Engine, grant, owner, role
from psycopg import sql

_CHARACTERS = st.one_of(
    st.sampled_from(list("\"'`\\%{}$;:-/*().,_ \n\tsAüß😀")),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
)
_NAMES = st.text(_CHARACTERS, min_size=1, max_size=63).filter(lambda name: len(name.encode()) <= 63)
_TAKEN = ("public", "none", "postgres", "PUBLIC", "*", "information_schema")
_DOMAIN = 'dömäin " of %s'
_FREE = _NAMES.filter(lambda name: name not in _TAKEN and not name.startswith("pg_"))

_HELD = """
SELECT has_schema_privilege(r.oid, n.oid, 'USAGE'), has_table_privilege(r.oid, c.oid, 'SELECT'),
       has_column_privilege(r.oid, c.oid, %(column)s, 'UPDATE'), has_sequence_privilege(r.oid, s.oid, 'USAGE'),
       has_function_privilege(r.oid, p.oid, 'EXECUTE WITH GRANT OPTION')
FROM pg_roles r, pg_namespace n
JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind = 'r'
JOIN pg_class s ON s.relnamespace = n.oid AND s.relkind = 'S'
JOIN pg_proc p ON p.pronamespace = n.oid
WHERE r.rolname = %(role)s AND n.nspname = %(schema)s
"""


@pytest.fixture
def database(engine: Engine, unique: Callable[[str], str]) -> str:
    """A database for all names that a test tries."""
    name = unique("names")
    assert not engine.run({"kind": "database", "name": name})["failed"]
    return name


@pytest.mark.feature("G02", "G05", "D12", "O01")
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(grantee=_FREE, schema=_FREE, table=_FREE, column=_FREE, function=_FREE)
@example(grantee='"; DROP ROLE x; --', schema="%s %(x)s {} {0}", table="'; SELECT 1", column='"', function="f(int)")
@example(grantee="😀" * 15, schema="ü" * 31, table="a.b", column="Select", function='f"(')
@example(grantee="\\", schema=" ", table="%", column="{}", function="()")
@example(grantee="user", schema="Case", table="case", column="\n", function="app.f(x")
def test_names_of_any_characters(
    engine: Engine, database: str, grantee: str, schema: str, table: str, column: str, function: str
) -> None:
    assume(len(f"{table}s".encode()) <= 63 and table not in (_DOMAIN, _DOMAIN[:-1]))
    assume(column not in ("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"))
    names = {"r": grantee, "s": schema, "t": table, "q": f"{table}s", "c": column, "f": function, "d": _DOMAIN}
    quoted = {key: sql.Identifier(name) for key, name in names.items()}
    me = sql.Identifier(engine.login.user)

    def run(statement: str) -> None:
        engine.server.query(sql.SQL(statement).format(**quoted, me=me), dbname=database)  # type: ignore[arg-type]

    place = {"database": database, "schema": schema}
    declared = grant(
        "g",
        role=grantee,
        dbops_owner=owner("g", kind="DatabaseGrant"),
        grants=[
            {**place, "privileges": ["SELECT"], "tables": [table]},
            {**place, "privileges": ["UPDATE"], "tables": [table], "columns": [column]},
            {**place, "privileges": ["USAGE"], "sequences": [f"{table}s"]},
            {**place, "privileges": ["EXECUTE"], "functions": [function], "grant_option": True},
        ],
        default_privileges=[
            {**place, "object_type": "tables", "privileges": ["SELECT"], "granted_by": engine.login.user}
        ],
    )
    where = {"role": grantee, "schema": schema, "column": column}
    try:
        run("CREATE SCHEMA {s} AUTHORIZATION {me}")
        run("CREATE TABLE {s}.{t} ({c} int)")
        run("CREATE SEQUENCE {s}.{q}")
        run("CREATE DOMAIN {s}.{d} AS int")
        run("CREATE FUNCTION {s}.{f}({s}.{d}) RETURNS int LANGUAGE sql AS 'SELECT 1'")
        for statement in ("TABLE {s}.{t}", "SEQUENCE {s}.{q}", "FUNCTION {s}.{f}"):
            run(f"ALTER {statement} OWNER TO {{me}}")
        run("REVOKE EXECUTE ON FUNCTION {s}.{f} FROM PUBLIC")
        made = engine.run(role(grantee), declared)
        assert not made["failed"], made["objects"]
        assert engine.server.query(_HELD, where, dbname=database) == [(True,) * 5]
        assert not engine.run(declared)["changed"]
        gone = engine.run(declared | {"state": "absent"})
        assert not gone["failed"], gone["objects"]
        assert engine.server.query(_HELD, where, dbname=database) == [(False,) * 5]
    finally:
        run("DROP SCHEMA {s} CASCADE")
        last = engine.run(role(grantee, state="absent"))
        assert not last["failed"], last["objects"]
