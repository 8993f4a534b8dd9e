# SPDX-License-Identifier: GPL-3.0-or-later
"""A table with all that decides who may do what with it, as plain values.

Filled by catalog_access.py, read by access.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import AccountName, RoleGrant, Target


class TableName(NamedTuple):
    """Which table."""

    database: str
    table: str


@dataclass(frozen=True)
class AccountFacts:
    """An account as far as access is concerned."""

    login: bool
    """Whether anybody can log in as it: it is neither locked nor a role of MariaDB."""
    roles: tuple[RoleGrant, ...] = ()
    """Those that it was given; `default`: active from the login on."""
    restricted: frozenset[str] = frozenset()
    """Partial revokes: what it has everywhere, and not in the table's database."""


@dataclass(frozen=True)
class Access:
    """What was read of a table and of what stands around it."""

    type: str
    columns: tuple[str, ...]
    accounts: Mapping[AccountName, AccountFacts] = field(default_factory=dict)
    held: Mapping[AccountName, Mapping[Target, frozenset[str]]] = field(default_factory=dict)
    """Privileges everywhere, on databases by pattern, on the table and on its columns."""
    mandatory: tuple[AccountName, ...] = ()
    """MySQL: roles that every account has."""
