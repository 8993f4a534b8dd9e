# SPDX-License-Identifier: GPL-3.0-or-later
"""What the planners of a database's content share while they plan: what is there, and what was gathered so far.

Made by database_content.py and handed to database_extensions.py and default_privileges.py; pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import DatabaseContent, ServerState


@dataclass
class Work:
    """What the planners of content share: what is there, and the steps, differences and roles gathered so far."""

    database: str
    database_owner: str
    content: DatabaseContent
    state: ServerState
    plan: Plan
    declared_schemas: frozenset[str] = frozenset()
    """Schemas that are there once the declaration is true."""
    steps: list[Step] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)
    """Roles that the admin must be able to act as for these steps."""

    def add(
        self,
        action: Action,
        target: str,
        statement: Statement,
        *,
        roles: tuple[str, ...],
        before: Any = None,
        after: Any = None,
        destructive: bool = False,
        effect: Callable[[ServerState], None] | None = None,
    ) -> None:
        """Add a step in the database that needs the rights of ROLES and of the database's owner."""
        self.roles += [self.database_owner, *(self.real_role(role) for role in roles)]
        self.steps.append(
            Step(
                action,
                target,
                statement,
                before=before,
                after=after,
                destructive=destructive,
                database=self.database,
                effect=effect,
            )
        )

    def differs(self, name: str, expected: str, actual: str, *, destructive: bool = False) -> None:
        """Add a difference."""
        self.plan.differences.append(Difference(name, expected, actual, destructive=destructive))

    def real_role(self, role: str) -> str:
        """Give who stands behind pg_database_owner, which nobody can be made a member of."""
        return self.database_owner if role == "pg_database_owner" else role

    def require_role(self, role: str, *, field: str) -> None:
        """Raise DependencyNotReady for a role that does not exist."""
        if role not in self.state.role_names:
            raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"role {role} does not exist", field=field)
