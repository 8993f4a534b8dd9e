# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a user: declared user and observed accounts in, steps out; pure.

Called through the table of kinds.py. A user is one account for each host, all with the same password. What one
account needs stands in user_account.py, roles in memberships.py, and how a user is removed in user_drop.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    declared,
    emulation,
    grant_items,
    hashes,
    memberships,
    user_account,
    user_drop,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_privileges import together
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import BLANKS, HOST_CHARACTERS, check_name
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    AccountName,
    Facts,
    ServerState,
    Wanted,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import end_sessions, require_rights

EVERYWHERE = "%"
_REPORTED = (
    *("plugin", *user_account.LIMITS, "password_lifetime", "failed_login_attempts", "password_lock_time"),
    "second_password",
)


def wanted(desired: DesiredUser) -> Wanted:
    """Give what must be read: the user, its roles, and what it is the definer of when an account is to go."""
    going = not desired.present or desired.allowed_hosts is not None
    return Wanted(
        users=frozenset({desired.name, memberships.umbrella(desired.name), *(desired.in_roles or ())}),
        memberships=frozenset((desired.name, role) for role in desired.in_roles or ()),
        definers=frozenset({desired.name, memberships.umbrella(desired.name)} if going else ()),
    )


def plan(desired: DesiredUser, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Compare and give the steps. Raises DbopsError for what cannot or must not be done."""
    check_user(desired.name, state.facts)
    require_rights(state.facts)
    accounts = {one.name.host: one for one in state.of_user(desired.name)}
    require_no_role(desired.name, accounts.values())
    if not desired.present:
        return user_drop.plan(desired, state)
    _check(desired, state.facts)
    made = Plan(creates=not accounts)
    if made.creates:
        made.differences.append(Difference("exists", "true", "false"))
    hosts = _hosts(desired, accounts)
    passwords = user_account.Passwords(desired, rounds=state.facts.digest_rounds)
    for host in hosts:
        name = AccountName(desired.name, host)
        user_account.plan_account(desired, name, accounts.get(host), state.facts, passwords, made)
    made.steps += _end_sessions(desired, hosts, accounts, state.facts)
    staying = [accounts.get(host) or Account(AccountName(desired.name, host)) for host in hosts]
    memberships.plan_in_roles(
        desired.name, desired.in_roles, staying, memory, state, made, takes=desired.allow_destructive
    )
    extra = [one for host, one in accounts.items() if host not in hosts]
    user_drop.plan_hosts(desired.name, extra, state, made)
    made.applied = {"in_roles": list(desired.in_roles or ())}
    _plan_copies(desired, staying, memory, state, made)
    return made


def _end_sessions(
    desired: DesiredUser, hosts: Sequence[str], accounts: Mapping[str, Account], facts: Facts
) -> list[Step]:
    """Give what ends the sessions of a user who is locked: they would live on."""
    there = [accounts[host] for host in hosts if host in accounts]
    if not (desired.account_locked and desired.end_sessions and there):
        return []
    if not desired.allow_destructive and not all(one.locked for one in there):
        return []
    return end_sessions(there[0].sessions, of=f"user {desired.name}", facts=facts, look_again=False)


def _plan_copies(
    desired: DesiredUser, accounts: Sequence[Account], memory: Mapping[str, Any], state: ServerState, made: Plan
) -> None:
    """Give and take the privileges of roles that are none of the server's."""
    before = declared.from_ledger(desired.ref, memory, roles="in_roles")
    others = state.others(desired.name, ("role", desired.name))
    remembered, problems = emulation.plan_copies(accounts, desired.in_roles or (), before, others, state, made)
    made.waits = together(problems)
    if remembered:
        made.applied[emulation.COPIED] = grant_items.to_ledger(remembered)
        ahead = grant_items.merge(dict(before.copied), remembered)
        made.ahead = made.applied | {emulation.COPIED: grant_items.to_ledger(ahead)}


def check_user(name: str, facts: Facts) -> None:
    """Refuse what no account can be called, and accounts that are not to be touched."""
    check_name(name, field="name", characters=facts.dialect.user_characters)
    if facts.dialect.trims_start and name[0] in BLANKS:
        text = f"name {name!r} begins with a blank, which {facts.dialect.title} cuts off"
        raise DbopsError(Reason.INVALID_SPEC, text, field="name")
    if name in facts.dialect.system_accounts:
        text = f"{name!r} is an account that the server keeps for itself"
        raise DbopsError(Reason.ACCESS_DENIED, text, field="name")
    if name == facts.admin.name.user:
        raise DbopsError(Reason.ACCESS_DENIED, f"{name!r} is the account that manages this server", field="name")


def require_no_role(name: str, accounts: Any) -> None:
    """Refuse to take a role for a user."""
    if any(one.is_role for one in accounts):
        text = f"{name} is a role; declare another name, or a role"
        raise DbopsError(Reason.CONFLICT, text, field="name")


def _hosts(desired: DesiredUser, accounts: Mapping[str, Account]) -> list[str]:
    """Give the hosts that the user shall have; without a declaration those that there are."""
    if desired.allowed_hosts is None:
        return list(accounts) or [EVERYWHERE]
    # The server keeps hosts in lower case.
    return list(dict.fromkeys(host.lower() for host in desired.allowed_hosts)) or [EVERYWHERE]


def _check(desired: DesiredUser, facts: Facts) -> None:
    _check_hosts(desired)
    _check_values(desired, facts)
    dialect = facts.dialect
    if desired.plugin and desired.plugin not in dialect.plugins:
        there = ", ".join(sorted(name for name, own in dialect.plugins.items() if own))
        text = f"{dialect.title} has no plugin {desired.plugin}; there are {there}"
        raise DbopsError(Reason.UNSUPPORTED, text, field="plugin")
    for option in ("retain_current_password", "discard_old_password"):
        if getattr(desired, option) and not dialect.dual_password:
            text = f"{dialect.title} has no second password; MySQL has from 8.0.14 on"
            raise DbopsError(Reason.UNSUPPORTED, text, field=option)
    for option in ("failed_login_attempts", "password_lock_time"):
        if getattr(desired, option) and not dialect.failed_login_tracking:
            text = f"{dialect.title} does not count failed logins by account; MySQL does from 8.0.19 on"
            raise DbopsError(Reason.UNSUPPORTED, text, field=option)
    if desired.retain_current_password and desired.discard_old_password:
        text = "retain_current_password and discard_old_password contradict each other"
        raise DbopsError(Reason.INVALID_SPEC, text, field="discard_old_password")
    memberships.check(desired.name, desired.in_roles or (), facts)


def _check_hosts(desired: DesiredUser) -> None:
    for host in desired.allowed_hosts or ():
        check_name(host, field="allowed_hosts", characters=HOST_CHARACTERS)
        if not host.isascii() or " " in host:
            text = f"allowed_hosts: {host!r} is no host, address or pattern"
            raise DbopsError(Reason.INVALID_SPEC, text, field="allowed_hosts")


def _check_values(desired: DesiredUser, facts: Facts) -> None:
    if desired.password == "":
        raise DbopsError(Reason.INVALID_SPEC, "the password is empty", field="password")
    if desired.password and any(hashes.given_hash(desired.password, one) for one in hashes.PLUGINS):
        declared = facts.dialect.plugins.get(desired.plugin) if desired.plugin else None
        plugin = declared or facts.dialect.default_plugin
        if not hashes.given_hash(desired.password, plugin):
            text = f"the password looks like a hash, but not like one of {plugin}"
            raise DbopsError(Reason.INVALID_SPEC, text, field="password")
    ranges = dict.fromkeys(user_account.LIMITS, (0, facts.dialect.highest_limit))
    ranges["password_lifetime"] = (0, user_account.LONGEST_LIFETIME)
    ranges["failed_login_attempts"] = (0, user_account.MOST_ATTEMPTS)
    ranges["password_lock_time"] = (-1, user_account.MOST_ATTEMPTS)
    for option, (lowest, highest) in ranges.items():
        value = getattr(desired, option)
        if value is not None and not lowest <= value <= highest:
            text = f"{option} is {value}; it goes from {lowest} to {highest}"
            raise DbopsError(Reason.INVALID_SPEC, text, field=option)


def observed(desired: DesiredUser, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result: those that differ between hosts are of the account for most of them."""
    accounts = state.of_user(desired.name)
    if not accounts:
        return {"exists": False, "name": desired.name}
    one = next((account for account in accounts if account.name.host == EVERYWHERE), accounts[0])
    facts: dict[str, Any] = {"exists": True, "name": desired.name}
    facts["allowed_hosts"] = [account.name.host for account in accounts]
    facts |= {name: getattr(one, name) for name in _REPORTED}
    facts |= {
        "require_ssl": bool(one.tls),
        "require_x509": one.tls in ("X509", "SPECIFIED"),
        "account_locked": one.locked,
        "in_roles": memberships.observed(accounts),
    }
    owned = state.definitions.get(desired.name)
    if owned is not None and not desired.present:
        owned += state.definitions.get(memberships.umbrella(desired.name), ())
        facts["owned_objects"] = [
            {"database": one.database, "schema": one.database, "name": one.name, "type": one.type} for one in owned
        ]
        facts["owned_objects_count"] = len(owned)
    return facts
