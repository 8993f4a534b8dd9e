# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of removing a user, or its accounts for some hosts; pure.

Called by user.py. Views, routines, triggers and events run with the rights of their definer; once that account is
gone they fail, on MariaDB without a word at the time. So a definer is not dropped. The accounts are locked first and
their sessions ended, then everything is looked at again, and only a user that is the definer of nothing goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Identifier, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import effects, memberships
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Account, OwnedObject, ServerState
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import account, end_sessions, step

_MOST = 10
_NEVER = frozenset({"root"})


def plan(desired: DesiredUser, state: ServerState) -> Plan:
    """Give the steps that remove a user on every host. Raises DbopsError, with Blocked while it is a definer."""
    accounts = state.of_user(desired.name)
    made = Plan(drops=bool(accounts))
    if accounts:
        if desired.name in _NEVER:
            text = f"{desired.name!r} is the account that the server was made with"
            raise DbopsError(Reason.ACCESS_DENIED, text, field="name")
        _require_no_definitions(desired.name, accounts, state)
        # DEFINER = CURRENT_ROLE names it where it is the role that is active.
        umbrella = memberships.umbrella(desired.name)
        _require_no_definitions(umbrella, state.of_user(umbrella), state)
        made.differences.append(Difference("exists", "false", "true", destructive=True))
        sessions = accounts[0].sessions if desired.end_sessions else ()
        made.steps += _lock(accounts, look_again=not sessions)
        made.steps += end_sessions(sessions, of=f"user {desired.name}", facts=state.facts, look_again=True)
        made.steps += [_drop(one) for one in accounts]
    made.steps += _drop_umbrella(desired.name, state)
    return made


def plan_role(name: str, existing: Account | None, state: ServerState) -> Plan:
    """Give the steps that remove a role. Raises DbopsError, with Blocked while it is a definer."""
    made = Plan(drops=existing is not None)
    if existing:
        _require_no_definitions(name, [existing], state)
        made.differences.append(Difference("exists", "false", "true", destructive=True))
        native = existing.is_role or state.facts.dialect.roles_are_accounts
        statement = Statement("DROP ROLE {}" if native else "DROP USER {}", account(existing.name))
        effect = partial(effects.drop_account, name=existing.name)
        made.steps.append(step(Action.DROP, f"role {name}", statement, destructive=True, effect=effect))
    return made


def plan_hosts(user: str, extra: Sequence[Account], state: ServerState, made: Plan) -> None:
    """Add to MADE what removes the EXTRA accounts of USER, which stays for other hosts."""
    if not extra:
        return
    _require_no_definitions(user, extra, state)
    made.steps += _lock(extra, look_again=False)
    for one in extra:
        made.steps.append(_drop(one))
        made.differences.append(Difference("hosts.extra", "", one.name.host, destructive=True))


def _lock(accounts: Sequence[Account], *, look_again: bool) -> list[Step]:
    """Keep the user out; give nothing when that is so already."""
    unlocked = [one for one in accounts if not one.locked]
    return [
        step(
            Action.ALTER,
            f"user {one.name}",
            Statement("ALTER USER {} ACCOUNT LOCK", account(one.name)),
            destructive=True,
            look_again=look_again and one is unlocked[-1],
            effect=partial(effects.alter_account, name=one.name, attributes={"locked": True}),
        )
        for one in unlocked
    ]


def _drop(one: Account) -> Step:
    statement = Statement("DROP USER {}", account(one.name))
    effect = partial(effects.drop_account, name=one.name)
    return step(Action.DROP, f"user {one.name}", statement, destructive=True, effect=effect)


def _drop_umbrella(user: str, state: ServerState) -> list[Step]:
    return [
        step(
            Action.DROP,
            f"role {one.name}",
            Statement("DROP ROLE {}", Identifier(one.name.user)),
            destructive=True,
            effect=partial(effects.drop_account, name=one.name),
        )
        for one in state.of_user(memberships.umbrella(user))
        if one.is_role
    ]


def _require_no_definitions(user: str, going: Sequence[Account], state: ServerState) -> None:
    hosts = {one.name.host for one in going}
    owned = [one for one in state.definitions.get(user, ()) if one.host in hosts]
    if not owned:
        return
    shown = ", ".join(map(_shown, owned[:_MOST]))
    more = f" and {len(owned) - _MOST} more" if len(owned) > _MOST else ""
    text = (
        f"{user} is the definer of {len(owned)} objects: {shown}{more}. "
        "Drop them, make them anew with another definer, or keep the account locked: they go on working with it"
    )
    raise DbopsError(Reason.BLOCKED, text[:1000], field="name")


def _shown(one: OwnedObject) -> str:
    return f"{one.type} {one.database}.{one.name}"
