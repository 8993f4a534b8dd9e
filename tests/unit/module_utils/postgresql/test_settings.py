# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of names in settings are split as the server splits them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.settings import names_in, same


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("a", ["a"]),
        ("a, B ,c", ["a", "b", "c"]),
        ('"$user", public', ["$user", "public"]),
        ('"A,b", "say ""x"""', ["A,b", 'say "x"']),
    ],
)
def test_lists(text: str, names: list[str]) -> None:
    assert names_in(text) == names


@pytest.mark.parametrize("text", ["a,", ",a", "a b", 'a"b', '"a', '"a"b', "a,,b"])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        names_in(text)


@given(st.lists(st.text(min_size=1), max_size=4))
def test_quoted_names_come_back(names: list[str]) -> None:
    assert names_in(", ".join('"' + name.replace('"', '""') + '"' for name in names)) == names


def test_only_lists_are_compared_as_lists() -> None:
    assert same("search_path", "A,b", "a, b")
    assert same("search_path", '"$user",public', '"$user", public')
    assert not same("search_path", '"A", b', "a, b")
    assert not same("search_path", "a,", "a,")
    assert not same("work_mem", "8MB", "8 MB")
    assert same("application_name", "a,b", "a,b")
