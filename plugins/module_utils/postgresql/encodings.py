# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of encodings and locales, so that two spellings of the same thing are no difference.

Called by database.py; pure. The names are those of PostgreSQL's src/common/encnames.c, compared as the server
does: letters and digits only, in lower case.
"""

from __future__ import annotations

_SERVER = (  # noqa: SIM905 (a list would be 37 lines)
    "EUC_CN EUC_JP EUC_JIS_2004 EUC_KR EUC_TW ISO_8859_5 ISO_8859_6 ISO_8859_7 ISO_8859_8 KOI8R KOI8U LATIN1 LATIN2 "
    "LATIN3 LATIN4 LATIN5 LATIN6 LATIN7 LATIN8 LATIN9 LATIN10 MULE_INTERNAL SQL_ASCII UTF8 WIN866 WIN874 WIN1250 "
    "WIN1251 WIN1252 WIN1253 WIN1254 WIN1255 WIN1256 WIN1257 WIN1258"
).split()
"""What a database can have; BIG5, GB18030, GBK, JOHAB, SJIS and UHC are for clients only."""

_OTHER_NAMES = {
    "abc": "WIN1258",
    "alt": "WIN866",
    "iso88591": "LATIN1",
    "iso88592": "LATIN2",
    "iso88593": "LATIN3",
    "iso88594": "LATIN4",
    "iso88599": "LATIN5",
    "iso885910": "LATIN6",
    "iso885913": "LATIN7",
    "iso885914": "LATIN8",
    "iso885915": "LATIN9",
    "iso885916": "LATIN10",
    "koi8": "KOI8R",
    "tcvn": "WIN1258",
    "tcvn5712": "WIN1258",
    "unicode": "UTF8",
    "vscii": "WIN1258",
    "win": "WIN1251",
}

SERVER_NAMES = {
    **_OTHER_NAMES,
    **{"".join(filter(str.isalnum, name.lower())): name for name in _SERVER},
    **{f"windows{name[3:]}": name for name in _SERVER if name.startswith("WIN")},
}
"""Every name that the server takes for one of these."""

# The C library has names of its own in locales.
_BY_NAME = SERVER_NAMES | {f"cp{name[3:]}": name for name in _SERVER if name.startswith("WIN")}


def encoding_name(name: str) -> str | None:
    """Give the server's own spelling of an encoding, None for what a database cannot have."""
    return _BY_NAME.get("".join(letter for letter in name.lower() if letter.isascii() and letter.isalnum()))


def same_locale(one: str, other: str) -> bool:
    """Whether two names mean the same locale: `en_US.UTF-8` is `en_US.utf8`, POSIX is C."""
    return _locale_key(one) == _locale_key(other)


def encoding_of_locale(locale: str) -> str | None:
    """Give the encoding that a locale's name says it needs, None for C, POSIX and names that say nothing."""
    _ignored, dot, codeset = locale.partition(".")
    return encoding_name(codeset.partition("@")[0]) if dot else None


def _locale_key(locale: str) -> tuple[str, str, str]:
    rest, _ignored, modifier = locale.partition("@")
    language, _ignored, codeset = rest.partition(".")
    return ("C" if language == "POSIX" else language, encoding_name(codeset) or codeset.lower(), modifier)
