# SPDX-License-Identifier: GPL-3.0-or-later
"""Character sets and collations in people's words and in the server's."""

from __future__ import annotations

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import charsets

CHARSETS = {"utf8mb4": "utf8mb4_general_ci", "utf8mb3": "utf8mb3_general_ci", "latin1": "latin1_swedish_ci"}
COLLATIONS = {
    "utf8mb4_bin": "utf8mb4",
    "utf8mb3_bin": "utf8mb3",
    "latin1_bin": "latin1",
    "utf8mb4_uca1400_ai_ci": "utf8mb4",
}


def resolve(charset: str | None, collation: str | None, present: str | None = None) -> tuple[str | None, str | None]:
    return charsets.resolve(charset, collation, charsets=CHARSETS, collations=COLLATIONS, present=present)


@pytest.mark.feature("D01")
@pytest.mark.parametrize(
    ("charset", "collation", "expected"),
    [
        (None, None, (None, None)),
        ("UTF8MB4", None, ("utf8mb4", None)),
        ("utf8", None, ("utf8mb3", None)),
        ("utf8", "utf8_bin", ("utf8mb3", "utf8mb3_bin")),
        (None, "latin1_bin", (None, "latin1_bin")),
        ("utf8mb4", "uca1400_ai_ci", ("utf8mb4", "utf8mb4_uca1400_ai_ci")),
        (None, "uca1400_ai_ci", (None, "utf8mb4_uca1400_ai_ci")),
    ],
)
def test_words(charset: str | None, collation: str | None, expected: tuple[str | None, str | None]) -> None:
    assert resolve(charset, collation) == expected


@pytest.mark.feature("D03")
@pytest.mark.parametrize(
    ("charset", "collation", "field"),
    [("klingon", None, "encoding"), (None, "klingon", "collation"), ("latin1", "utf8mb4_bin", "collation")],
)
def test_what_does_not_fit(charset: str | None, collation: str | None, field: str) -> None:
    with pytest.raises(DbopsError) as caught:
        resolve(charset, collation)
    assert (caught.value.reason, caught.value.field) == ("InvalidSpec", field)


def test_a_short_name_is_for_the_character_set_that_is_there() -> None:
    with pytest.raises(DbopsError):
        resolve(None, "uca1400_ai_ci", present="latin1")
