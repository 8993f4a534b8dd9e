# SPDX-License-Identifier: GPL-3.0-or-later
"""Character sets and collations as people write them and as the server keeps them; pure.

Called by database.py. `utf8` is what MySQL 8 and MariaDB now call utf8mb3, and MariaDB's collations of the Unicode
standard have a short name that fits several character sets.
"""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason


def charset_name(name: str) -> str:
    """Give a character set as the server calls it."""
    lower = name.strip().lower()
    return "utf8mb3" if lower == "utf8" else lower


def collation_name(name: str, charset: str | None = None) -> str:
    """Give a collation as the server calls it, in full where the CHARSET is known."""
    lower = name.strip().lower()
    if lower.startswith("utf8_"):
        lower = "utf8mb3_" + lower.removeprefix("utf8_")
    return f"{charset}_{lower}" if charset and lower.startswith("uca1400_") else lower


def resolve(
    charset: str | None,
    collation: str | None,
    *,
    charsets: Mapping[str, str],
    collations: Mapping[str, str],
    present: str | None,
) -> tuple[str | None, str | None]:
    """Give the declared CHARSET and COLLATION in the server's words.

    CHARSETS and COLLATIONS are what the server has; PRESENT is the database's character set, if there is one. Raises
    DbopsError with InvalidSpec for what does not exist or fit.
    """
    known = {charset_name(one) for one in charsets}
    of_collation = {collation_name(one): charset_name(its) for one, its in collations.items() if its}
    wanted = charset_name(charset) if charset else None
    if wanted and wanted not in known:
        raise DbopsError(Reason.INVALID_SPEC, f"the server has no character set {charset!r}", field="encoding")
    if not collation:
        return wanted, None
    name = collation_name(collation, wanted or present or "utf8mb4")
    if name not in of_collation:
        raise DbopsError(Reason.INVALID_SPEC, f"the server has no collation {collation!r}", field="collation")
    if wanted and of_collation[name] != wanted:
        text = f"the collation {collation} belongs to the character set {of_collation[name]}, not to {charset}"
        raise DbopsError(Reason.INVALID_SPEC, text, field="collation")
    return wanted, name
