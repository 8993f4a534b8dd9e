# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be exported of a server, and what was found there: between core.export and the engines' export.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

Objects = list[dict[str, Any]]
"""Entries of a `converge` list."""


@dataclass(frozen=True)
class Chosen:
    """Patterns of names, as in a shell: which databases and accounts are exported."""

    databases: Sequence[str] = ("*",)
    accounts: Sequence[str] = ("*",)

    def has_database(self, name: str) -> bool:
        """Whether a database is wanted."""
        return any(fnmatchcase(name, one) for one in self.databases)

    def has_account(self, name: str) -> bool:
        """Whether a user or role is wanted."""
        return any(fnmatchcase(name, one) for one in self.accounts)


@dataclass
class Exported:
    """What an engine found."""

    objects: Objects = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
