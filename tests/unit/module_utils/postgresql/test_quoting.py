# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements are rendered once for the server and once for people: nothing leaks, nothing breaks out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Literal,
    Secret,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.quoting import MASK, composed, masked

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@pytest.mark.feature("D12")
@given(TEXT, TEXT)
def test_people_see_what_the_server_gets(name: str, value: str) -> None:
    statement = Statement("ALTER ROLE {} SET x TO {}", Identifier(name), Literal(value))
    assert composed(statement).as_string(None).replace(" E'", "E'") == masked(statement).replace(" E'", "E'")


@pytest.mark.feature("U10")
@given(TEXT, TEXT)
def test_a_secret_is_never_shown(name: str, secret: str) -> None:
    words = Joined([Keyword("LOGIN"), Statement("PASSWORD {}", Secret(secret))], " ")
    statement = Statement("CREATE ROLE {} {}", Identifier(name), words)
    shown = masked(statement)
    assert shown == f"CREATE ROLE {masked(Identifier(name))} LOGIN PASSWORD {MASK}"
    assert repr(Secret(secret)) == "Secret()"


@given(TEXT)
def test_braces_and_percents_in_names_are_no_placeholders(name: str) -> None:
    statement = Statement("DROP ROLE {}", Identifier(f"{{}}%s{name}"))
    assert masked(statement).startswith('DROP ROLE "{}%s')
    assert composed(statement).as_string(None) == masked(statement)


@pytest.mark.parametrize("text", ["drop", "A;B", "A'", "A1", "ÄB"])
def test_what_is_no_keyword(text: str) -> None:
    with pytest.raises(ValueError, match="not a keyword"):
        Keyword(text)


def test_values() -> None:
    statement = Statement("{} {} {} {}", Literal(None), Literal(True), Literal(-1), Literal("a'b\\c"))
    assert masked(statement) == "NULL true -1  E'a''b\\\\c'"
