# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of access control lists are read as PostgreSQL writes them, whatever the names in them are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import aclitems

_NAMES = st.text(st.one_of(st.sampled_from(list('"=/*rw ,{}\\')), st.characters(exclude_characters="\0")), min_size=1)
_WORDS = {"SELECT": "r", "INSERT": "a", "EXECUTE": "X", "USAGE": "U", "TEMPORARY": "T", "CONNECT": "c", "MAINTAIN": "m"}


def written(name: str) -> str:
    """Write a name as putid() of the server's acl.c does."""
    return name if re.fullmatch(r"\w+", name, re.ASCII) else '"' + name.replace('"', '""') + '"'


@pytest.mark.feature("G02", "D12")
@given(grantee=_NAMES, grantor=_NAMES, held=st.dictionaries(st.sampled_from(sorted(_WORDS)), st.booleans()))
def test_any_names_come_back(grantee: str, grantor: str, held: dict[str, bool]) -> None:
    letters = "".join(_WORDS[word] + "*" * option for word, option in held.items())
    found = aclitems.read(f"{written(grantee)}={letters}/{written(grantor)}")
    assert found.grantee == grantee
    assert found.grantor == grantor
    assert found.privileges == frozenset(held)
    assert found.grantable == {word for word, option in held.items() if option}


def test_everybody_has_no_name_and_what_is_unknown_is_no_privilege_of_ours() -> None:
    assert aclitems.read("=r?*w/own") == ("public", "own", frozenset({"SELECT", "UPDATE"}), frozenset())
