# SPDX-License-Identifier: GPL-3.0-or-later
"""Privileges on columns: a REVOKE on their table takes the same ones along, which is not what was declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from foreseen import difference
from integration.mysql.engine import Engine, grant, owner, user

Unique = Callable[[str], str]


@pytest.fixture
def place(engine: Engine, unique: Unique) -> str:
    """A database with a table."""
    name = unique("db")
    engine.query(f"CREATE DATABASE `{name}`")
    engine.query("CREATE TABLE t (a int, b int)", database=name)
    return name


def held(engine: Engine, name: str) -> set[tuple[Any, ...]]:
    """What the server's tables say of a user: privileges on tables, and on columns."""
    tables = engine.query("SELECT '', Table_priv FROM mysql.tables_priv WHERE User = %s AND Table_priv <> ''", [name])
    return {*tables, *engine.query("SELECT Column_name, Column_priv FROM mysql.columns_priv WHERE User = %s", [name])}


def on_table(place: str, *words: str) -> dict[str, Any]:
    return {"database": place, "table": "t", "privileges": list(words)}


def on_column(place: str, column: str, *words: str) -> dict[str, Any]:
    return {**on_table(place, *words), "columns": [column]}


def named(number: int, name: str, **options: Any) -> dict[str, Any]:
    """One of several grants to a user."""
    one = f"g{number}-{name}"
    return grant(name=one, user=name, dbops_owner=owner(one, kind="DatabaseGrant"), **options)


@pytest.mark.feature("G01", "G03")
def test_from_the_table_to_a_column_and_back(engine: Engine, unique: Unique, place: str) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    engine.four_runs(named(0, name, grants=[on_table(place, "SELECT", "INSERT")]))
    engine.four_runs(named(0, name, grants=[on_column(place, "a", "SELECT")]))
    assert held(engine, name) == {("a", "Select")}
    engine.four_runs(named(0, name, grants=[on_table(place, "SELECT")]))
    assert held(engine, name) == {("", "Select")}


@pytest.mark.feature("G01", "G03")
def test_all_that_is_taken_back_at_once(engine: Engine, unique: Unique, place: str) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    declared = named(0, name, grants=[on_table(place, "SELECT"), on_column(place, "a", "SELECT", "INSERT")])
    engine.four_runs(declared)
    engine.four_runs(declared | {"state": "absent"})
    assert held(engine, name) == set()


@pytest.mark.feature("G01", "G03", "A05")
def test_what_others_gave_on_columns_stays(engine: Engine, unique: Unique, place: str) -> None:
    """Another declaration, and somebody by hand."""
    name = unique("app")
    engine.run(user(name, password="x"))
    table = named(0, name, grants=[on_table(place, "SELECT", "INSERT")])
    column = named(1, name, grants=[on_column(place, "a", "SELECT")])
    engine.four_runs(table, column)
    engine.query(f"GRANT SELECT (b), UPDATE (b), INSERT (b) ON `{place}`.t TO %s@'%%'", [name])
    less = table | {"grants": [on_table(place, "INSERT")]}
    assert difference(engine.run(less, column, check=True), engine.run(less, column)) == []
    assert held(engine, name) == {("", "Insert"), ("a", "Select"), ("b", "Select,Insert,Update")}
    assert not engine.run(less, column)["changed"]
    engine.four_runs(table | {"state": "absent"})
    assert held(engine, name) == {("a", "Select"), ("b", "Select,Insert,Update")}


@pytest.mark.feature("G01", "G03")
def test_what_may_not_be_taken_back_is_not_given_again(engine: Engine, unique: Unique, place: str) -> None:
    name = unique("app")
    engine.run(user(name, password="x"))
    entries = [on_table(place, "SELECT"), on_column(place, "a", "SELECT")]
    engine.run(named(0, name, grants=entries))
    spared = named(0, name, grants=entries[1:], allow_destructive=False)
    assert not engine.run(spared)["changed"]
    assert held(engine, name) == {("", "Select"), ("a", "Select")}
