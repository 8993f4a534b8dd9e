# SPDX-License-Identifier: GPL-3.0-or-later
"""Observed roles in, the users and group roles that would declare them out; pure.

Called by export.py. What the server gives to a new role anyway is not said, so that nothing compares it. A login is
a user, whatever else it is.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.role_attributes import NEW, until_text
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Facts, Membership, Role

_FLAGS = ("superuser", "create_db", "create_role", "inherit", "replication", "bypass_rls")
_ROLE = "role"


def kind(role: Role) -> str:
    """Give the kind of object that a role is declared as."""
    return "database_user" if role.login else "database_role"


def entry(role: Role, warnings: list[str]) -> dict[str, Any]:
    """Give the object for a ROLE, without memberships."""
    found: dict[str, Any] = {"kind": kind(role), "name": role.name}
    found |= {flag: getattr(role, flag) for flag in _FLAGS if getattr(role, flag) != getattr(NEW, flag)}
    more = _of_user(role, warnings)
    if role.login:
        return found | more
    # A group role has no sessions that these would matter to, unless it gets LOGIN.
    warnings += [f"role {role.name}: {option} can be declared for logins only" for option in more]
    return found


def _of_user(role: Role, warnings: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if role.connection_limit != NEW.connection_limit:
        found["connection_limit"] = role.connection_limit
    if isinstance(role.valid_until, datetime.datetime):
        found["valid_until"] = until_text(role.valid_until)
    elif role.valid_until == "-infinity":
        warnings.append(f"role {role.name}: VALID UNTIL '-infinity' cannot be declared")
    settings = dict(role.config_parameters)
    if _ROLE in settings:
        found["default_role"] = settings.pop(_ROLE)
    if settings:
        found["config_parameters"] = settings
    return found


def memberships(role: Role, facts: Facts, warnings: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Give what is to be added to the object for a ROLE, and the memberships that a grant is to give instead.

    An object with `in_roles` has exactly these, and they are plain ones. A role that has others as well cannot say so.
    """
    rows: dict[str, list[Membership]] = {}
    for row in role.member_of:
        rows.setdefault(row.role, []).append(row)
    # Before, whether a member inherits is said of the member alone.
    options = versions.has(versions.MEMBERSHIP_OPTIONS, facts.version_number)
    plain = [name for name, those in rows.items() if name != facts.admin.name and _plain(role, those, options=options)]
    warnings += [
        f"{role.name} is a member of {name} in a way that cannot be declared (ADMIN, or INHERIT or SET unlike a plain "
        "GRANT gives it, or of the account that manages the server); in_roles of it is left off"
        for name in sorted(rows.keys() - set(plain))
    ]
    if len(plain) < len(rows):
        return {}, sorted(plain)
    return ({"in_roles": sorted(plain)} if plain else {}), []


def _plain(role: Role, rows: Iterable[Membership], *, options: bool) -> bool:
    those = list(rows)
    as_declared = not options or any(row.inherit for row in those) == role.inherit
    return any(row.set for row in those) and as_declared and not any(row.admin for row in those)
