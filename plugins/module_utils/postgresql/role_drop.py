# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of removing a role: blocked while it owns something, privileges cleared in every database; pure.

Called by user.py and role.py. DROP OWNED drops tables as gladly as it clears privileges. So a login is locked first
and its sessions are ended, then everything is looked at again, and only a role that owns nothing comes near DROP
OWNED. Nothing is ever given to somebody else unless the declaration says to whom.
"""

from __future__ import annotations

from functools import partial

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Identifier, Literal, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    dependencies_grants,
    effects_databases,
    effects_roles,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acting_as import acting_as
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.memberships import require_admin_option
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Dependencies,
    Role,
    ServerState,
)

_SHOWN = 10
_WAIT_MILLISECONDS = 5000


def plan(role: Role | None, state: ServerState, *, reassign_owned_to: str | None, end_sessions: bool) -> Plan:
    """Give the steps that remove ROLE. Raises DbopsError, with Blocked while it owns something."""
    made = Plan()
    if role is None:
        return made
    made.drops = True
    _check(reassign_owned_to, role, state)
    dependencies = role.dependencies or Dependencies()
    if dependencies.owned_count and not reassign_owned_to:
        raise _blocked(role.name, dependencies)
    made.differences.append(Difference("exists", "false", "true", destructive=True))
    made.steps += _lock(role, state, end_sessions=end_sessions)
    # Shared objects ("") come last, in the session and transaction that DROP ROLE is in.
    for database in sorted(dependencies.owned_in | dependencies.privileges_in.keys(), key=lambda one: (not one, one)):
        made.steps += _clear(reassign_owned_to, role.name, database, dependencies, state)
    drop = Statement("DROP ROLE {}", Identifier(role.name))
    effect = partial(effects_roles.drop, name=role.name)
    made.steps.append(Step(Action.DROP, f"role {role.name}", drop, destructive=True, effect=effect))
    return made


def _check(target: str | None, role: Role, state: ServerState) -> None:
    require_admin_option(role.name, state, field="name")
    if not target:
        return
    if target not in state.role_names:
        text = f"the role {target!r}, which is to get what {role.name} owns, does not exist"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="reassign_owned_to")
    if target == role.name:
        text = f"what {role.name} owns cannot be given to itself"
        raise DbopsError(Reason.INVALID_SPEC, text, field="reassign_owned_to")
    known = state.roles.get(target)
    if target == state.facts.admin.name or (known and known.superuser):
        # A function or view of an ordinary user would from then on run with an administrator's rights.
        text = f"{target!r} is an administrator; what a user made must not belong to one"
        raise DbopsError(Reason.ACCESS_DENIED, text, field="reassign_owned_to")


def _blocked(name: str, dependencies: Dependencies) -> DbopsError:
    shown = [
        f"{one.type} {'.'.join(part for part in (one.schema, one.name) if part)}"
        + (f" in database {one.database}" if one.database else "")
        for one in dependencies.owned[:_SHOWN]
    ]
    more = dependencies.owned_count - len(shown)
    listed = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
    text = (
        f"{name} owns {dependencies.owned_count} objects: {listed}. Drop them, set reassign_owned_to, or in each of "
        f"these databases: REASSIGN OWNED BY {quoted(name)} TO another role"
    )
    return DbopsError(Reason.BLOCKED, text[:1000], field="reassign_owned_to")


def _lock(role: Role, state: ServerState, *, end_sessions: bool) -> list[Step]:
    """Keep a login out, and end what it does; give nothing when that is so already."""
    ending = session_ends(role, state, look_again=True) if end_sessions else []
    if not role.login:
        return ending
    statement = Statement("ALTER ROLE {} NOLOGIN", Identifier(role.name))
    effect = partial(effects_roles.alter, name=role.name, attributes={"login": False})
    return [Step(Action.ALTER, f"role {role.name}", statement, look_again=not ending, effect=effect), *ending]


def session_ends(role: Role, state: ServerState, *, look_again: bool) -> list[Step]:
    """Give what ends the sessions of a role, if it has any. Raises DbopsError with PrivilegeMissing."""
    if not role.sessions:
        return []
    admin = state.facts.admin
    if not (admin.superuser or admin.signals_sessions or role.name in admin.inherits):
        text = (
            f"{admin.name} may not end the sessions of {role.name}; a superuser can allow it: "
            f"GRANT pg_signal_backend TO {quoted(admin.name)}"
        )
        raise DbopsError(Reason.PRIVILEGE_MISSING, text, field="end_sessions")
    statement = Statement(
        "SELECT pg_terminate_backend(pid, {}) FROM pg_stat_activity WHERE usename = {}",
        Literal(_WAIT_MILLISECONDS),
        Literal(role.name),
    )
    return [
        Step(
            Action.RUN,
            f"sessions of {role.name}",
            statement,
            transactional=False,
            changes=False,
            look_again=look_again,
            effect=partial(effects_roles.alter, name=role.name, attributes={"sessions": 0}),
        )
    ]


def _clear(target: str | None, name: str, database: str, dependencies: Dependencies, state: ServerState) -> list[Step]:
    """Give away what is owned in DATABASE, if that is declared, and clear the privileges held there."""
    where = f" in database {database}" if database else " on databases and tablespaces"
    session = database or None
    steps = []
    rights = [name]
    if database in dependencies.owned_in and target:
        rights.append(target)
        what = f"what {name} owns{where}, to {target}"
        statement = Statement("REASSIGN OWNED BY {} TO {}", Identifier(name), Identifier(target))
        effect = partial(effects_databases.reassign, database=database, name=name, owner=target)
        steps.append(Step(Action.ALTER, what, statement, database=session, destructive=True, effect=effect))
    owners = dependencies.privileges_in.get(database, frozenset())
    if "" in owners and not state.facts.admin.superuser:
        text = (
            f"{name} has privileges{where} on objects of a superuser, which {state.facts.admin.name} cannot revoke; "
            f"a superuser can: DROP OWNED BY {quoted(name)}, in that database"
        )
        raise DbopsError(Reason.PRIVILEGE_MISSING, text)
    # What a role owns has been given away before, or there is nothing: see the module's beginning.
    statement = Statement("DROP OWNED BY {}", Identifier(name))
    what = f"privileges of {name}{where}"
    clear = partial(effects_databases.drop_owned, database=database, name=name)
    steps.append(Step(Action.REVOKE, what, statement, database=session, destructive=True, effect=clear))
    # Without superuser only an object's owner can take back what is held on it.
    steps = acting_as([*rights, *sorted(owners - {""})], steps, state)
    return dependencies_grants.plan(name, dependencies.passed_on.get(database, ()), session, state) + steps
