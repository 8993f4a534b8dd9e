# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between the versions of PostgreSQL that are served, in one table.

Asked by the planners and by catalog.py with the server's version number, such as 170010.
"""

from __future__ import annotations

OLDEST = 140000
NEWEST_TRIED = 180000

MEMBERSHIP_OPTIONS = 160000
"""Memberships have INHERIT and SET options and a row for each grantor; CREATEROLE is bound to ADMIN options."""
SETTING_PRIVILEGES = 150000
"""GRANT SET ON PARAMETER exists."""
PUBLIC_OF_DATABASE_OWNER = 150000
"""Schema public belongs to pg_database_owner, not to the bootstrap superuser."""
MAINTAIN = 170000
"""Tables have the privilege MAINTAIN."""
DATABASE_LOCALE_PROVIDER = 150000
"""pg_database knows datlocprovider."""


def has(feature: int, version_number: int) -> bool:
    """Whether a server of VERSION_NUMBER has FEATURE, one of the constants of this table."""
    return version_number >= feature


def major(version_number: int) -> int:
    """Give the major version, such as 17."""
    return version_number // 10000
