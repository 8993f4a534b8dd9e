# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles that are none of the server's: on MariaDB a locked account that stands for one; pure.

Called by user.py, role.py and grant.py. Such an account cannot be granted, so its members get its privileges one by
one, and get or lose what it gets or loses. Who the members are is known from the ledger and from the list that is
worked on; a server without a ledger tells nobody, and there a member follows when it is looked at itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import grant_items
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_compare import Held
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_items import Items
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_privileges import Privileges
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    Declaration,
    ServerState,
    Target,
)

COPIED = "copied"
"""What the ledger calls the privileges that a declaration gave for such roles."""


def is_emulated(name: str, state: ServerState) -> bool:
    """Whether NAME is a locked account that stands for a role."""
    accounts = state.of_user(name)
    if state.facts.dialect.roles_are_accounts or any(one.is_role for one in accounts):
        return False
    return bool(accounts) and all(one.locked for one in accounts)


def copied(names: Iterable[str], state: ServerState) -> Items:
    """Give what members of the roles of these NAMES get, those of the server not counted."""
    found: Items = {}
    for name in names:
        if is_emulated(name, state):
            for one in state.of_user(name):
                grant_items.merge(found, Held(one, state.facts).items())
    return found


def given_by(declarations: Iterable[Declaration], state: ServerState) -> list[Mapping[Target, frozenset[str]]]:
    """Give all privileges of DECLARATIONS, with those for the sake of such roles."""
    found: list[Mapping[Target, frozenset[str]]] = []
    for one in declarations:
        # Not what was copied once: the roles may have lost it since.
        found += [one.privileges, copied(one.roles, state)]
    return found


def plan_copies(
    accounts: Iterable[Account],
    roles: Iterable[str],
    before: Declaration,
    others: Iterable[Declaration],
    state: ServerState,
    made: Plan,
) -> tuple[Items, list[DbopsError]]:
    """Add to MADE what gives a member's ACCOUNTS the privileges of such ROLES, and takes what it had for others BEFORE.

    Gives what the ledger is to remember, and what could not be done.
    """
    wanted = copied(roles, state)
    # Members get what their roles get, which is not in the entry of the member.
    given = grant_items.merge(dict(before.copied), copied(before.roles, state))
    if not wanted and not given:
        return {}, []
    theirs = given_by(others, state)
    work = Privileges(state, made, wanted=wanted, given=given, others=theirs, carried={}, there=True)
    work.plan(accounts)
    return work.remembered, work.problems


def plan_members(role: str, before: Items, after: Items, state: ServerState, made: Plan) -> list[DbopsError]:
    """Add to MADE what gives all members of ROLE what it will have AFTER, and takes what it had BEFORE.

    Gives what could not be done.
    """
    problems: list[DbopsError] = []
    for member in sorted(state.members.get(role, ())):
        declarations = list(state.declared.get(member, {}).values())
        others: list[Mapping[Target, frozenset[str]]] = [one.privileges for one in declarations]
        roles = {name for one in declarations for name in one.roles} - {role}
        others.append(copied(roles, state))
        work = Privileges(state, made, wanted=after, given=before, others=others, carried={}, there=True)
        work.plan(state.of_user(member))
        problems += work.problems
    return problems
