# SPDX-License-Identifier: GPL-3.0-or-later
"""Observed accounts in, the users and roles that would declare them out; pure.

Called by export.py. All accounts of a user's name are one user with several hosts; where they differ in something,
that is not declared. What the server gives to a new account anyway is not said.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.memberships import observed, umbrella
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Account, Facts

_EVERYWHERE = "%"
# Options, and what they are where nothing was said.
_OPTIONS: dict[str, Any] = {
    "max_queries_per_hour": 0,
    "max_updates_per_hour": 0,
    "max_connections_per_hour": 0,
    "max_user_connections": 0,
    "password_lifetime": None,
    "failed_login_attempts": 0,
    "password_lock_time": 0,
}


@dataclass(frozen=True)
class Exportable:
    """A user with its accounts, or a role."""

    name: str
    accounts: tuple[Account, ...]
    is_role: bool


def sort(name: str, accounts: Sequence[Account], facts: Facts, warnings: list[str]) -> list[Exportable]:
    """Tell whether the ACCOUNTS of one NAME are a user or a role."""
    roles = tuple(one for one in accounts if _is_role(one, accounts, facts))
    users = tuple(one for one in accounts if one not in roles)
    if not name:
        warnings.append("the anonymous account cannot be declared")
    elif roles and users:
        warnings.append(f"{name} is a user and a role, which cannot both be declared")
    elif roles:
        # One that we made ourselves is a part of its user.
        user, mark, _ignored = name.partition(umbrella(""))
        return [] if mark and user else [Exportable(name, roles, is_role=True)]
    else:
        return [Exportable(name, users, is_role=False)]
    return []


def _is_role(one: Account, accounts: Sequence[Account], facts: Facts) -> bool:
    """MySQL tells roles from users by nothing; CREATE ROLE makes a locked account for every host, without password."""
    if not facts.dialect.roles_are_accounts:
        return one.is_role
    alone = len(accounts) == 1 and one.name.host == facts.dialect.role_host
    return alone and one.locked and not one.authentication


def entry(one: Exportable, facts: Facts, refused: Collection[str], warnings: list[str]) -> dict[str, Any]:
    """Give the object for a user or role; nobody is declared a member of REFUSED."""
    roles = _in_roles(one, facts, refused, warnings)
    if one.is_role:
        return {"kind": "database_role", "name": one.name} | roles
    found: dict[str, Any] = {"kind": "database_user", "name": one.name}
    hosts = [account.name.host for account in one.accounts]
    if hosts != [_EVERYWHERE]:
        found["allowed_hosts"] = hosts
    declared = [_attributes(account, facts, warnings) for account in one.accounts]
    for option in dict.fromkeys(option for those in declared for option in those):
        if all(those.get(option) == declared[0].get(option) for those in declared):
            found[option] = declared[0][option]
        else:
            warnings.append(f"the accounts of {one.name} differ in {option}, which cannot be declared")
    return found | roles


def _attributes(one: Account, facts: Facts, warnings: list[str]) -> dict[str, Any]:
    dialect = facts.dialect
    found: dict[str, Any] = {}
    plugin = next((name for name, own in dialect.plugins.items() if own == one.plugin), None)
    if plugin is None:
        warnings.append(f"{one.name} logs in by {one.plugin}, which cannot be declared")
    elif plugin != dialect.default_plugin:
        found["plugin"] = plugin
    if one.tls == "SSL":
        found["require_ssl"] = True
    elif one.tls:
        found["require_x509"] = True
    found |= {option: getattr(one, option) for option, usual in _OPTIONS.items() if getattr(one, option) != usual}
    if one.locked:
        found["account_locked"] = True
    for there, text in (
        (one.tls == "SPECIFIED", "which certificate it must show"),
        (one.second_password, "its second password"),
        (one.expired, "that its password has expired"),
        (one.restrictions, f"that it lacks privileges in {', '.join(sorted(one.restrictions))} (partial revokes)"),
    ):
        if there:
            warnings.append(f"{one.name}: {text} cannot be declared")
    return found


def _in_roles(one: Exportable, facts: Facts, refused: Collection[str], warnings: list[str]) -> dict[str, Any]:
    """Give `in_roles`: all roles, active from the login on; where it is otherwise, it cannot be declared."""
    names = observed(one.accounts)
    if not names:
        return {}
    if any(grant.admin for account in one.accounts for grant in account.roles):
        warnings.append(f"{one.name} may give on roles (ADMIN OPTION), which cannot be declared")
    same = all(observed([account]) == names for account in one.accounts)
    active = one.is_role or all(_all_active(account, names, facts) for account in one.accounts)
    if same and active and not set(names) & set(refused):
        return {"in_roles": names}
    warnings.append(
        f"{one.name} has the roles {', '.join(names)} in a way that cannot be declared (not on every host, not active "
        "from the login on, or the role of an administrator); in_roles of it is left off"
    )
    return {}


def _all_active(one: Account, names: Sequence[str], facts: Facts) -> bool:
    if facts.dialect.several_default_roles:
        return {grant.role.user for grant in one.roles if grant.default} >= set(names)
    return one.default_role == umbrella(one.name.user) or list(names) == [one.default_role]
