# SPDX-License-Identifier: GPL-3.0-or-later
"""Any name that the server can hold goes through make, look, alter, grant and drop without becoming SQL."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from integration.mysql.engine import Document, Engine, database, grant, role, user

# Everything that these servers keep in names, and what is special to SQL, formats and templates more often than by
# chance. Case and accents are told apart by the server or not, depending on the table: one name at a time.
_CHARACTERS = st.one_of(
    st.sampled_from(list("\"'`\\%{}$;:-/*().,_@# sAüß")),
    st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="\0"),
)
_BLANKS = " \t\n\v\f\r"
_NAMES = st.text(_CHARACTERS, min_size=1, max_size=25).filter(
    lambda name: name == name.strip(_BLANKS) and name.lower() not in _TAKEN
)
_TAKEN = ("mysql", "sys", "dbops", "information_schema", "performance_schema", "root", "weak_admin", "none", "public")
_SETTINGS = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def right(document: Document, *, changed: bool) -> Document:
    assert not document["failed"], document
    assert document["changed"] is changed, document
    return document


def through(engine: Engine, place: str, name: str, group: str) -> None:
    """Make everything with these names, look, alter, take back and drop."""
    entry = {"database": place, "privileges": ["SELECT", "INSERT"]}
    declared: list[dict[str, Any]] = [
        database(place, encoding="utf8mb4"),
        role(group, grants=[entry]),
        user(name, password="x", in_roles=[group], allowed_hosts=["%", "10.%"]),
        grant(user=name, dbops_owner="names", grants=[entry | {"privileges": ["DELETE"]}]),
    ]
    try:
        right(engine.run(*declared), changed=True)
        right(engine.run(*declared), changed=False)
        right(engine.run(*declared, check=True), changed=False)
        accounts = engine.query("SELECT User, Host FROM mysql.user WHERE BINARY User = %s ORDER BY Host", [name])
        assert accounts == [(name, "%"), (name, "10.%")]
        query = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE BINARY SCHEMA_NAME = %s"
        assert engine.query(query, [place]) == [(place,)]
        lines = engine.grants(name)
        quoted = place.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%").replace("`", "``")
        assert any(line.startswith(f"GRANT DELETE ON `{quoted}`.* TO ") for line in lines), lines
        assert engine.logs_in(name, "x")
        altered = [database(place, encoding="latin1"), user(name, password="y", max_user_connections=3)]
        right(engine.run(*altered), changed=True)
        right(engine.run(*altered), changed=False)
        right(engine.run(grant(user=name, dbops_owner="names", grants=[])), changed=True)
        assert not any("DELETE" in line for line in engine.grants(name))
    finally:
        going = [one | {"state": "absent"} for one in declared]
        right(engine.run(*going), changed=True)
    assert engine.query("SELECT 1 FROM mysql.user WHERE BINARY User IN (%s, %s)", [name, group]) == []
    assert engine.query(query, [place]) == []


@pytest.mark.feature("D12", "G03")
@settings(_SETTINGS, max_examples=15)
@given(place=_NAMES, name=_NAMES, group=_NAMES)
@example(place="`; DROP DATABASE mysql; --", name="'; --", group='"')
@example(place="\\", name="\\'", group="\\`")
@example(place="%", name="%", group="_")
@example(place="%s %(x)s {} {0}", name="%s{}", group="%%")
@example(place="ü" * 25, name="日本語", group="a@b")
@example(place="select", name="user", group="table")
def test_names_of_any_characters(weak_engine: Engine, place: str, name: str, group: str) -> None:
    if group != name:
        through(weak_engine, place, name, group)


@pytest.mark.slow
@pytest.mark.feature("D12", "G03")
@settings(_SETTINGS, max_examples=300)
@given(place=_NAMES, name=_NAMES, group=_NAMES)
def test_many_names_of_any_characters(superuser_engine: Engine, place: str, name: str, group: str) -> None:
    if group != name:
        through(superuser_engine, place, name, group)
