# SPDX-License-Identifier: GPL-3.0-or-later
"""Any options: each object has a result with a reason, nothing half done is called right, no secret shows."""

from __future__ import annotations

from typing import Any

import pytest
from fuzzing import HOSTILE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.mysql.engine import Engine

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import argument_specs

SECRET = "sesame-71309"
_KINDS = ("database", "database_user", "database_role", "database_grant", "database_instance")
# Few names, so that declarations meet each other; and some that must be refused.
_OURS = ("fz1", "fz2", "fz3", "fz_4", "fz%5", "fz`6'\"\\", "Fz1")
_NAMES = st.sampled_from([*_OURS, *_OURS, *_OURS, "mysql", "dbops", "mariadb.sys", "mysql.session"])
_LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "name": _NAMES,
    "user": _NAMES,
    "role": _NAMES,
    "database": _NAMES,
    "roles": st.lists(_NAMES, max_size=2),
    "in_roles": st.lists(_NAMES, max_size=2),
    "state": st.sampled_from(["present", "present", "absent"]),
    "password": st.sampled_from([SECRET, SECRET + "2", "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"]),
    "encoding": st.sampled_from(["utf8mb4", "latin1", "utf8", "klingon"]),
    "collation": st.sampled_from(["utf8mb4_bin", "latin1_bin", "nope"]),
    "allowed_hosts": st.lists(st.sampled_from(["%", "10.%", "127.0.0.1", "Host", ""]), max_size=2),
    "privileges": st.lists(
        st.sampled_from(["SELECT", "INSERT", "ALL", "GRANT OPTION", "USAGE", "SUPER", "EXECUTE", "FLY", "create view"]),
        min_size=1,
        max_size=2,
    ),
    "level": st.sampled_from(["global", "database", "table", "column", "procedure", "function"]),
    "dbops_owner": st.sampled_from(["fuzz", "other"]),
    "table": st.sampled_from(["t", "t", "x"]),
    "columns": st.lists(st.sampled_from(["a", "nope"]), max_size=2),
    "plugin": st.sampled_from(["caching_sha2_password", "sha256_password", "mysql_native_password", "ed25519"]),
}
_OF_TYPE = {
    "bool": st.booleans(),
    "int": st.integers(0, 40),
    "str": st.sampled_from(["t", "p", "f", "x"]),
    "list": st.lists(st.sampled_from(["t", "x"]), max_size=2),
}


@st.composite
def values(draw: st.DrawFn, name: str, spec: dict[str, Any]) -> Any:
    if draw(st.integers(0, 24)) == 0:
        return draw(HOSTILE)
    if name in _LIKELY:
        return draw(_LIKELY[name])
    if "choices" in spec:
        return draw(st.sampled_from(spec["choices"]))
    if spec.get("elements") == "dict":
        return draw(st.lists(options(spec["options"]), max_size=2))
    return draw(_OF_TYPE.get(spec["type"], HOSTILE))


@st.composite
def options(draw: st.DrawFn, spec: dict[str, Any]) -> dict[str, Any]:
    always = [name for name, one in spec.items() if one.get("required")]
    foreign = {name for those in argument_specs.ONLY["PostgreSQL"].values() for name in those}
    rest = sorted(set(spec) - set(always) - foreign)
    # Options of PostgreSQL are refused as a whole: not every time.
    if draw(st.integers(0, 24)) == 0:
        rest += sorted(foreign & set(spec))
    chosen = draw(st.lists(st.sampled_from(rest), max_size=5, unique=True)) if rest else []
    return {name: draw(values(name, spec[name])) for name in (*always, *chosen)}


@st.composite
def objects(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(_KINDS))
    found = draw(options(argument_specs.KINDS[kind]))
    if kind == "database_grant" and draw(st.integers(0, 9)):
        found = {name: value for name, value in found.items() if name not in ("user", "role")}
        found[draw(st.sampled_from(["user", "role"]))] = draw(_NAMES)
    if draw(st.integers(0, 30)) == 0:
        found |= {draw(st.text(max_size=4)): draw(HOSTILE)}
    return {"kind": kind, **found}


def try_them(engine: Engine, declared: list[dict[str, Any]], *, check: bool) -> None:
    before = engine.snapshot() if check else None
    document = engine.run(*declared, check=check)
    assert document["server"]["reachable"], document["server"]
    assert len(document["objects"]) == len(declared)
    for result in document["objects"]:
        assert result["failed"] is (result["reason"] is not None)
        assert result["reason"] != "InternalError", (result, declared)
        assert bool(result["message"]) is result["failed"]
        if result["reason"] == "InvalidSpec":
            assert result["steps"] == [], "nothing is sent for what is wrong"
    if check:
        assert engine.snapshot() == before
        return
    text = str([{**one, "ref": ""} for one in document["objects"]])
    assert SECRET not in text
    right = [one for one, result in zip(declared, document["objects"], strict=True) if not result["failed"]]
    again = engine.run(*right)
    for result in again["objects"]:
        if not result["failed"] and not result["warnings"]:
            assert result["steps"] == [] or _meet(declared), (result, declared)


def _meet(declared: list[dict[str, Any]]) -> bool:
    """Whether declarations of one list may undo each other, as in a role that is dropped and given."""
    return len(declared) > 1


@pytest.mark.feature("L10")
@pytest.mark.parametrize("tries", [300, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_any_options(superuser_engine: Engine, weak_engine: Engine, tries: int) -> None:
    @settings(
        max_examples=tries // 2,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.lists(objects(), min_size=1, max_size=4), st.booleans())
    def fuzz(declared: list[dict[str, Any]], check: bool) -> None:
        for engine in (superuser_engine, weak_engine):
            try_them(engine, declared, check=check)

    for name in _OURS[:3]:
        superuser_engine.run({"kind": "database", "name": name}, {"kind": "database_user", "name": name})
        superuser_engine.query("CREATE TABLE t (a int)", database=name)
    try:
        fuzz()
    finally:
        for name in _OURS:
            going: list[dict[str, Any]] = [
                {"kind": kind, "name": name, "state": "absent", "force": True} for kind in _KINDS[:3]
            ]
            superuser_engine.run(going[0] | {"end_sessions": True}, going[1])
            superuser_engine.run(going[2])
