# SPDX-License-Identifier: GPL-3.0-or-later
"""No path leaves the prefix of its store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import paths
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            "..",
            "../x",
            "a/../x",
            "a/..",
            "/etc/passwd",
            "a//b",
            "./a",
            "a/./b",
            "a\nb",
            "a\0b",
            "x#1",
            "d#22/x",
            "a\\b",
        ),
        *("a" * 241, "/".join(["abcdefgh"] * 130), "\u202ea", "\ud800"),
    ],
)
def test_bad_paths_are_refused(path: str) -> None:
    with pytest.raises(DbopsError) as caught:
        paths.checked(path, field="backup")
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.field == "backup"


@pytest.mark.parametrize("path", ["a", "a/b.sql", "...", "a..b", "a b", "ä", "x#1y", "100%"])
def test_good_paths_stay(path: str) -> None:
    assert paths.checked(path, field="backup") == path


def test_prefixes_may_be_empty_and_have_slashes_around() -> None:
    assert paths.checked("", field="prefix", empty=True) == ""
    assert paths.checked("/", field="prefix", empty=True) == ""
    assert paths.checked("/a/b/", field="prefix", empty=True) == "a/b"
    assert paths.joined("", "x") == "x"
    assert paths.joined("a/b", "x") == "a/b/x"
    assert paths.joined("a/b", "") == "a/b"


@given(st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()))
def test_any_name_of_a_database_is_part_of_a_segment(name: str) -> None:
    path = f"{paths.segment(name)}-backup.sql"
    assert "/" not in path
    assert paths.checked(path, field="path") == path


@given(st.text(max_size=60))
def test_what_is_accepted_stays_below_its_prefix(path: str) -> None:
    try:
        accepted = paths.checked(path, field="path")
    except DbopsError:
        return
    parts = accepted.split("/")
    assert all(part not in ("", ".", "..") for part in parts)
    assert paths.joined("prefix", accepted).startswith("prefix/")
