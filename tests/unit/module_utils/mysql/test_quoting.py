# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements are rendered once for the server and once for people: nothing leaks, nothing breaks out."""

from __future__ import annotations

import re

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
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.quoting import MASK, masked, rendered

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


def unquoted(name: str) -> str:
    """Read a quoted name as the server does: two backticks are one, and a single one ends it."""
    assert name[0] == name[-1] == "`"
    assert "`" not in name[1:-1].replace("``", "")
    return name[1:-1].replace("``", "`")


def value_of(literal: str) -> str:
    """Read a literal as a server does under any sql_mode."""
    if literal.startswith("_utf8mb4 0x"):
        return bytes.fromhex(literal.removeprefix("_utf8mb4 0x")).decode()
    assert literal[0] == literal[-1] == "'"
    assert "\\" not in literal, "what a backslash means depends on NO_BACKSLASH_ESCAPES"
    assert "'" not in literal[1:-1].replace("''", "")
    return literal[1:-1].replace("''", "'")


@pytest.mark.feature("D12")
@given(TEXT, TEXT)
def test_names_and_values_come_back_as_they_were(name: str, value: str) -> None:
    assert unquoted(rendered(Statement("{}", Identifier(name)))) == name
    assert value_of(rendered(Statement("{}", Literal(value)))) == value


@pytest.mark.feature("D12")
@given(TEXT, TEXT)
def test_people_see_what_the_server_gets(name: str, value: str) -> None:
    statement = Statement("ALTER DATABASE {} COLLATE {}", Identifier(name, name), Literal(value))
    assert rendered(statement) == masked(statement)


@pytest.mark.feature("U10")
@given(TEXT, TEXT)
def test_a_secret_is_never_shown(name: str, secret: str) -> None:
    words = Joined([Keyword("WITH"), Statement("x AS {}", Secret(secret))], " ")
    statement = Statement("CREATE USER {} {}", Identifier(name), words)
    assert masked(statement) == f"CREATE USER {masked(Identifier(name))} WITH x AS {MASK}"


@given(st.text(st.characters(codec="ascii"), min_size=1))
def test_a_hash_is_text_or_digits(secret: str) -> None:
    """Where hashes stand, the grammar takes no character set before digits."""
    shown = rendered(Statement("{}", Secret(secret)))
    if shown.startswith("0x"):
        assert bytes.fromhex(shown[2:]).decode() == secret
    else:
        assert value_of(shown) == secret
        assert re.fullmatch(r"'[ -~]*'", shown)


@given(TEXT)
def test_braces_and_percents_in_names_are_no_placeholders(name: str) -> None:
    statement = Statement("DROP ROLE {}", Identifier(f"{{}}%s{name}"))
    assert rendered(statement).startswith("DROP ROLE `{}%s")


def test_values() -> None:
    statement = Statement("{} {} {} {} {}", Literal(None), Literal(True), Literal(-1), Literal("a'b"), Literal("\\"))
    assert rendered(statement) == "NULL TRUE -1 'a''b' _utf8mb4 0x5c"


@pytest.mark.parametrize("text", ["drop", "A;B", "A'", "A1", "ÄB"])
def test_what_is_no_keyword(text: str) -> None:
    with pytest.raises(ValueError, match="not a keyword"):
        Keyword(text)
