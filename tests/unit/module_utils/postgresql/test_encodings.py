# SPDX-License-Identifier: GPL-3.0-or-later
"""Two spellings of one encoding or locale are the same thing."""

from __future__ import annotations

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.encodings import (
    encoding_name,
    encoding_of_locale,
    same_locale,
)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("UTF8", "UTF8"),
        ("utf-8", "UTF8"),
        ("Unicode", "UTF8"),
        ("iso_8859_1", "LATIN1"),
        ("ISO-8859-15", "LATIN9"),
        ("ISO_8859_5", "ISO_8859_5"),
        ("windows-1252", "WIN1252"),
        ("KOI8-R", "KOI8R"),
        ("sql_ascii", "SQL_ASCII"),
        ("GBK", None),
        ("ütf8", None),
        ("", None),
    ],
)
def test_encodings(written: str, name: str | None) -> None:
    assert encoding_name(written) == name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("en_US.UTF-8", "en_US.utf8", True),
        ("C", "POSIX", True),
        ("C", "C.UTF-8", False),
        ("de_DE.UTF-8@euro", "de_DE.utf8", False),
        ("de_DE.utf8", "en_US.utf8", False),
        ("ru_RU.KOI8-R", "ru_RU.koi8r", True),
    ],
)
def test_locales(one: str, other: str, same: bool) -> None:
    assert same_locale(one, other) is same


@pytest.mark.parametrize(
    ("locale", "encoding"),
    [("C", None), ("en_US", None), ("en_US.UTF-8", "UTF8"), ("de_DE.ISO-8859-15@euro", "LATIN9")],
)
def test_what_a_locale_needs(locale: str, encoding: str | None) -> None:
    assert encoding_of_locale(locale) == encoding
