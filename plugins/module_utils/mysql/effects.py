# SPDX-License-Identifier: GPL-3.0-or-later
"""What steps change on MySQL and MariaDB, noted in the observed state.

Bound by the planners to their steps (core.plan.Step.effect) and called once a step is sent, or in check mode would
have been: so the next plan of a list sees the server as this one leaves it. Nothing here touches a server.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import is_wild, plain
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    AccountName,
    Database,
    RoleGrant,
    ServerState,
    Target,
)

_NOTHING: frozenset[str] = frozenset()


def make_account(state: ServerState, *, account: Account) -> None:
    """A user at a host, or a role, is made."""
    name = account.name
    state.accounts[name.user] = {**state.accounts.get(name.user, {}), name.host: account}
    state.made_roles |= {name}


def alter_account(state: ServerState, *, name: AccountName, attributes: Mapping[str, Any]) -> None:
    """Something of an account gets another value."""
    account = state.accounts.get(name.user, {}).get(name.host)
    if account:
        state.accounts[name.user] = {**state.accounts[name.user], name.host: replace(account, **attributes)}


def end_session(state: ServerState, *, number: int) -> None:
    """A session is over, whoever's it was."""
    for accounts in state.accounts.values():
        for host, one in accounts.items():
            if number in one.sessions:
                accounts[host] = replace(one, sessions=tuple(each for each in one.sessions if each != number))
    for key, database in state.databases.items():
        if number in database.sessions:
            left = tuple(each for each in database.sessions if each != number)
            state.databases[key] = replace(database, sessions=left)


def drop_account(state: ServerState, *, name: AccountName) -> None:
    """An account is gone: nobody has it as a role any more, and it holds nothing."""
    rest = {host: one for host, one in state.accounts.get(name.user, {}).items() if host != name.host}
    if rest:
        state.accounts[name.user] = rest
    else:
        state.accounts.pop(name.user, None)
    state.made_roles -= {name}
    for accounts in state.accounts.values():
        for host, one in accounts.items():
            if any(grant.role == name for grant in one.roles):
                roles = tuple(grant for grant in one.roles if grant.role != name)
                default = "" if one.default_role == name.user and not name.host else one.default_role
                accounts[host] = replace(one, roles=roles, default_role=default)
    for held in state.privileges_in.values():
        held.pop(name, None)


def give_role(state: ServerState, *, role: AccountName, to: AccountName) -> None:
    """An account gets a role; it is no default yet."""
    account = state.accounts.get(to.user, {}).get(to.host)
    if account and all(grant.role != role for grant in account.roles):
        alter_account(state, name=to, attributes={"roles": (*account.roles, RoleGrant(role))})


def take_role(state: ServerState, *, role: AccountName, of: AccountName) -> None:
    """An account loses a role. What is MariaDB's default stays named, though it is active no more."""
    account = state.accounts.get(of.user, {}).get(of.host)
    if account:
        roles = tuple(grant for grant in account.roles if grant.role != role)
        alter_account(state, name=of, attributes={"roles": roles})


def set_defaults(state: ServerState, *, name: AccountName, roles: Collection[AccountName]) -> None:
    """These roles of an account, and no others, are active from the login on (MySQL)."""
    account = state.accounts.get(name.user, {}).get(name.host)
    if account:
        changed = tuple(grant._replace(default=grant.role in roles) for grant in account.roles)
        alter_account(state, name=name, attributes={"roles": changed})


def grant(state: ServerState, *, name: AccountName, items: Mapping[Target, frozenset[str]]) -> None:
    """An account gets privileges; their databases are patterns as the grant tables have them."""
    for target, words in items.items():
        _change(state, name, target, add=words, take=_NOTHING)


def revoke(state: ServerState, *, name: AccountName, items: Mapping[Target, frozenset[str]]) -> None:
    """An account loses privileges; with those on a table go the same ones on its columns."""
    for target, words in items.items():
        for one in (target, *(_columns(state, name, target) if target.level == "table" else ())):
            _change(state, name, one, add=_NOTHING, take=words)


def _columns(state: ServerState, name: AccountName, table: Target) -> list[Target]:
    account = state.accounts.get(name.user, {}).get(name.host)
    held = [account.privileges] if account else []
    held += [those[name] for those in state.privileges_in.values() if name in those]
    found = {one for those in held for one in those if one.level == "column"}
    return [one for one in found if (one.database, one.name) == (table.database, table.name)]


def _change(
    state: ServerState, name: AccountName, target: Target, *, add: frozenset[str], take: frozenset[str]
) -> None:
    account = state.accounts.get(name.user, {}).get(name.host)
    if account:
        held = _changed(account.privileges, target, add, take)
        alter_account(state, name=name, attributes={"privileges": held})
    literal = target.level != "database" or state.facts.partial_revokes
    exact = literal or not is_wild(target.database)
    database = state.facts.fold(target.database if literal else plain(target.database))
    if exact and database in state.privileges_in:
        those = state.privileges_in[database]
        left = _changed(those.get(name, {}), target, add, take)
        if left:
            those[name] = left
        else:
            those.pop(name, None)


def _changed(
    held: Mapping[Target, frozenset[str]], target: Target, add: frozenset[str], take: frozenset[str]
) -> dict[Target, frozenset[str]]:
    words = (held.get(target, _NOTHING) | add) - take
    rest = {one: those for one, those in held.items() if one != target}
    return {**rest, target: words} if words else rest


def make_database(state: ServerState, *, key: str, database: Database) -> None:
    """A database is made."""
    state.databases[key] = database


def alter_database(state: ServerState, *, key: str, options: Mapping[str, Any]) -> None:
    """A database gets other defaults."""
    if key in state.databases:
        state.databases[key] = replace(state.databases[key], **options)


def drop_database(state: ServerState, *, key: str) -> None:
    """A database is gone with all that is in it; privileges on its name live on."""
    state.databases.pop(key, None)
    for target in state.targets:
        if state.facts.fold(target.database) == key:
            state.targets[target] = False
    state.definitions = {
        user: tuple(one for one in those if state.facts.fold(one.database) != key)
        for user, those in state.definitions.items()
    }
