# SPDX-License-Identifier: GPL-3.0-or-later
"""Patterns of names in grants, and what no server keeps as a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import names

NAMES = st.text(st.sampled_from("ab_%\\ü"), min_size=1, max_size=8)


@pytest.mark.feature("G03")
@given(NAMES, NAMES)
def test_an_escaped_name_is_for_that_name_only(name: str, other: str) -> None:
    pattern = names.escaped(name)
    assert not names.is_wild(pattern)
    assert names.plain(pattern) == name
    assert names.matches(pattern, other) is (name == other)


@given(NAMES, NAMES)
def test_patterns_are_matched_as_by_a_slower_way(pattern: str, name: str) -> None:
    assert names.matches(pattern, name) is slowly(names._parts(pattern), name)


def slowly(parts: list[str], name: str) -> bool:
    if not parts:
        return not name
    first, rest = parts[0], parts[1:]
    if first == "%":
        return any(slowly(rest, name[place:]) for place in range(len(name) + 1))
    return bool(name) and (first in ("_", "\\" + name[0])) and slowly(rest, name[1:])


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("app%", "app", True),
        ("app%", "ap", False),
        ("%", "", True),
        ("a_c", "abc", True),
        ("a\\_c", "abc", False),
        ("a\\_c", "a_c", True),
        ("%b%", "abc", True),
        ("%%c", "c", True),
        ("_", "", False),
    ],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    assert names.matches(pattern, name) is matches


@pytest.mark.feature("D12")
@pytest.mark.parametrize("name", ["", "a\0b", "emoji😀", "blank ", "x" * 65])
def test_what_no_server_keeps(name: str) -> None:
    with pytest.raises(DbopsError) as caught:
        names.check_name(name, field="name")
    assert (caught.value.reason, caught.value.field) == ("InvalidSpec", "name")


@pytest.mark.parametrize("name", [" lead", "ü" * 64, "`'\"\\", "a;b", "日本"])
def test_what_servers_keep(name: str) -> None:
    names.check_name(name, field="name")
    assert names.can_be(name)
