# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between the versions of MySQL and MariaDB that are served, in one table.

Asked by dialects.py with the server's version number, such as 80403 for 8.4.3 or 101107 for 10.11.7. What differs
between the two engines stands there.
"""

from __future__ import annotations

import re

OLDEST = {"mysql": 80000, "mariadb": 100600}
NEWEST_TRIED = {"mysql": 90700, "mariadb": 110800}

DUAL_PASSWORD = 80014
"""MySQL: RETAIN CURRENT PASSWORD."""
HASH_IN_HEXADECIMAL = 80017
"""MySQL: IDENTIFIED WITH ... AS 0x..."""
ACCOUNT_ATTRIBUTES = 80014
"""MySQL: the column User_attributes of mysql.user."""
FAILED_LOGIN = 80019
"""MySQL: FAILED_LOGIN_ATTEMPTS and PASSWORD_LOCK_TIME."""
NATIVE_PASSWORD_REMOVED = 90000
"""MySQL: mysql_native_password is gone."""

_VERSION = re.compile(r"(?:5\.5\.5-)?(\d+)\.(\d+)\.(\d+)")


def number_of(version: str) -> int:
    """Give the number of a VERSION as the server tells it; 0 for what is no version."""
    # Some proxies keep the prefix that MariaDB puts before its version for old replicas.
    found = _VERSION.match(version)
    return 10000 * int(found[1]) + 100 * int(found[2]) + int(found[3]) if found else 0


def flavour_of(version: str, comment: str) -> str | None:
    """Give the engine of a server by its VERSION and version COMMENT: `mysql`, `mariadb`, None for another.

    A server that only speaks MySQL's protocol has catalogs and statements of its own.
    """
    said = f"{version} {comment}".lower()
    if "mariadb" in said:
        return "mariadb"
    if any(word in said for word in ("tidb", "oceanbase", "singlestore", "memsql", "doris", "starrocks")):
        return None
    return "mysql" if number_of(version) else None


def has(feature: int, version_number: int) -> bool:
    """Whether a server of VERSION_NUMBER has FEATURE, one of the constants of this table."""
    return version_number >= feature


def series(version_number: int) -> str:
    """Give the series of a version, such as 10.11."""
    return f"{version_number // 10000}.{version_number // 100 % 100}"
