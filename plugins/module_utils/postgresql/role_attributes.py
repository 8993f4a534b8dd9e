# SPDX-License-Identifier: GPL-3.0-or-later
"""What logins and group roles have in common on PostgreSQL, where both are roles: names, attributes, facts; pure.

Called by user.py and role.py. An attribute that does not change is never mentioned in a statement, since even
`NOSUPERUSER` takes a superuser to say.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredRole, DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import effects_roles, memberships, versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import check_name, quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Role, ServerState

# Option, keyword of CREATE ROLE, and field name in differences.
_FLAGS = (
    ("superuser", "SUPERUSER", "superuser"),
    ("create_db", "CREATEDB", "createdb"),
    ("create_role", "CREATEROLE", "createrole"),
    ("inherit", "INHERIT", "inherit"),
    ("login", "LOGIN", "login"),
    ("replication", "REPLICATION", "replication"),
    ("bypass_rls", "BYPASSRLS", "bypassrls"),
)
NEW = Role("", False, False, False, True, False, False, False, -1, None, verifier="")
"""What the server makes of CREATE ROLE when nothing else is said."""
_RESERVED = frozenset({"public", "none"})


@dataclass
class Compared:
    """The words for CREATE or ALTER ROLE, the differences that they end, and what the role has from then on."""

    parts: list[tuple[Part, Difference, dict[str, Any]]] = field(default_factory=list)

    def add(self, word: Part, difference: Difference, **attributes: Any) -> None:
        """Add one attribute."""
        self.parts.append((word, difference, attributes))

    def only(self, *, destructive: bool) -> Compared:
        """Give the attributes whose change takes something away, or those where it does not."""
        return Compared([part for part in self.parts if part[1].destructive == destructive])

    @property
    def words(self) -> list[Part]:
        """The words of the statement."""
        return [part[0] for part in self.parts]

    @property
    def differences(self) -> list[Difference]:
        """What the statement ends."""
        return [part[1] for part in self.parts]

    @property
    def attributes(self) -> dict[str, Any]:
        """What the role has from then on."""
        return {name: value for part in self.parts for name, value in part[2].items()}


def check_names(desired: DesiredUser | DesiredRole, state: ServerState) -> None:
    """Refuse names that no role can have, and the account that manages the server."""
    check_name(desired.name, field="name")
    # An empty default role takes the setting away.
    default_role = desired.default_role if isinstance(desired, DesiredUser) else None
    joined = {"in_roles": desired.in_roles or (), "default_role": (default_role,) if default_role else ()}
    heir = () if desired.reassign_owned_to is None else (desired.reassign_owned_to,)
    for option, names in (*joined.items(), ("reassign_owned_to", heir)):
        for name in names:
            check_name(name, field=option)
    if desired.name.startswith("pg_") or desired.name in _RESERVED:
        text = f"{desired.name!r} is a name that PostgreSQL keeps for itself"
        raise DbopsError(Reason.ACCESS_DENIED, text, field="name")
    admin = state.facts.admin.name
    if desired.name == admin:
        raise DbopsError(Reason.ACCESS_DENIED, f"{admin!r} is the account that manages this server", field="name")
    for option, names in joined.items():
        if admin in names or desired.name in names:
            text = f"{option} names {admin if admin in names else desired.name!r}, which nobody becomes a member of"
            raise DbopsError(Reason.ACCESS_DENIED, text, field=option)


def require_creatable(role: Role | None, state: ServerState) -> None:
    """Say before trying that our account may not make a role that is missing."""
    admin = state.facts.admin
    if role is None and not admin.create_role:
        text = (
            f"{admin.name} may not create roles; a superuser can allow it: ALTER ROLE {quoted(admin.name)} CREATEROLE"
        )
        raise DbopsError(Reason.PRIVILEGE_MISSING, text)


def compare(desired: DesiredUser | DesiredRole, role: Role | None, state: ServerState) -> Compared:
    """Give what CREATE or ALTER ROLE has to say."""
    now = role or NEW
    found = Compared()
    for option, keyword, name in _FLAGS:
        value = getattr(desired, option)
        if value is None or value == getattr(now, option):
            continue
        _require_attribute(option, keyword, now, state)
        expected, actual = _text(value), _text(getattr(now, option))
        # A group role that can log in is none; a user that cannot is locked out.
        takes = option == "superuser" or (option == "login" and not value and isinstance(desired, DesiredUser))
        difference = Difference(name, expected, actual, destructive=takes)
        found.add(Keyword(keyword if value else f"NO{keyword}"), difference, **{option: value})
    return found


def add_step(
    name: str,
    role: Role | None,
    compared: Compared,
    state: ServerState,
    made: Plan,
) -> None:
    """Add to the plan MADE the step that creates the role, or those that alter it."""
    if role is None:
        _add_step(name, None, compared, made, destructive=False)
        return
    for destructive in (False, True):
        some = compared.only(destructive=destructive)
        if some.parts:
            memberships.require_admin_option(name, state, field="name")
            _add_step(name, role, some, made, destructive=destructive)


def _add_step(name: str, role: Role | None, compared: Compared, made: Plan, *, destructive: bool) -> None:
    words, differences, attributes = compared.words, compared.differences, compared.attributes
    template = ("ALTER ROLE {} {}" if role else "CREATE ROLE {} {}") if words else "CREATE ROLE {}"
    arguments: list[Part] = [Identifier(name), *([Joined(words, " ")] if words else [])]
    made.steps.append(
        Step(
            Action.ALTER if role else Action.CREATE,
            f"role {name}",
            Statement(template, *arguments),
            before={one.field: one.actual for one in differences} if role else None,
            after={one.field: one.expected for one in differences},
            destructive=destructive,
            effect=partial(effects_roles.alter, name=name, attributes=attributes)
            if role
            else partial(effects_roles.make, role=replace(NEW, name=name, **attributes)),
        )
    )
    made.differences += differences if role else [Difference("exists", "true", "false")]


def _require_attribute(option: str, keyword: str, now: Role, state: ServerState) -> None:
    """Say before trying that our account may not give or take an attribute."""
    admin = state.facts.admin
    if admin.superuser or option in ("login", "inherit", "create_role"):
        return
    modern = versions.has(versions.MEMBERSHIP_OPTIONS, state.facts.version_number)
    has = {"create_db": admin.create_db, "replication": admin.replication, "bypass_rls": admin.bypass_rls}
    if option == "superuser":
        allowed = False
    elif modern:
        allowed = has[option]
    else:
        allowed = option == "create_db"
    if not allowed:
        who = "only a superuser can" if option == "superuser" or not modern else "only an account that has it can"
        text = f"{admin.name} may not change {keyword} of {now.name or 'a new role'}: {who}"
        raise DbopsError(Reason.PRIVILEGE_MISSING, text, field=option)


def _text(value: bool) -> str:
    return "true" if value else "false"


def until_text(value: datetime.datetime | str | None) -> str:
    """Show when a role expires."""
    return value.isoformat() if isinstance(value, datetime.datetime) else value or "infinity"


def observed(name: str, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result."""
    role = state.roles.get(name)
    if role is None:
        return {"exists": name in state.role_names, "name": name}
    facts: dict[str, Any] = {"exists": True, "name": role.name}
    facts |= {flag[0]: getattr(role, flag[0]) for flag in _FLAGS}
    facts |= {
        "connection_limit": role.connection_limit,
        "valid_until": None if role.valid_until is None else until_text(role.valid_until),
        "config_parameters": dict(role.config_parameters),
        "in_roles": sorted({row.role for row in role.member_of}),
    }
    if role.dependencies:
        facts["owned_objects"] = [
            {"database": one.database, "schema": one.schema, "name": one.name, "type": one.type}
            for one in role.dependencies.owned
        ]
        facts["owned_objects_count"] = role.dependencies.owned_count
    return facts
