# SPDX-License-Identifier: GPL-3.0-or-later
"""A table with all that decides who may do what with it, as plain values.

Filled by catalog_access.py, read by access.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class TableName(NamedTuple):
    """Which table."""

    database: str
    schema: str
    table: str


class Given(NamedTuple):
    """One entry of an access control list; the grantee `public` is everybody."""

    grantee: str
    grantor: str
    privilege: str
    grantable: bool
    column: str = ""


class RoleFacts(NamedTuple):
    """A role as far as access is concerned."""

    name: str
    superuser: bool
    login: bool


class Membership(NamedTuple):
    """One way from a member to a role: what it may do is at hand, or it can become the role."""

    member: str
    role: str
    inherit: bool
    set: bool


@dataclass(frozen=True)
class Access:
    """What was read of a table and of what stands around it."""

    type: str
    owner: str
    row_security: bool
    columns: tuple[str, ...]
    on_table: tuple[Given, ...]
    on_schema: tuple[Given, ...]
    on_database: tuple[Given, ...]
    roles: Mapping[str, RoleFacts] = field(default_factory=dict)
    memberships: tuple[Membership, ...] = ()
