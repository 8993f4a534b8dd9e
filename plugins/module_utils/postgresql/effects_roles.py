# SPDX-License-Identifier: GPL-3.0-or-later
"""What steps on roles change: attributes, settings and memberships, noted in the observed state.

Bound by the planners to their steps (core.plan.Step.effect) and called once a step is sent, or in check mode would
have been: so the next plan of a list sees the server as this one leaves it. Nothing here touches a server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.privileges import PUBLIC
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Membership, Role, ServerState


def make(state: ServerState, *, role: Role) -> None:
    """A role is made, by us, who may administer it since PostgreSQL 16."""
    admin = state.facts.admin
    state.roles[role.name] = replace(role, verifier=role.verifier if admin.reads_verifiers else None)
    state.role_names |= {role.name}
    if admin.administers is not None:
        state.facts = replace(state.facts, admin=replace(admin, administers=admin.administers | {role.name}))


def alter(state: ServerState, *, name: str, attributes: Mapping[str, Any]) -> None:
    """Some attributes of a role get other values."""
    role = state.roles.get(name)
    if role is None:
        return
    if not state.facts.admin.reads_verifiers:
        attributes = {key: value for key, value in attributes.items() if key != "verifier"}
    state.roles[name] = replace(role, **attributes)


def set_parameter(state: ServerState, *, name: str, parameter: str, value: str | None) -> None:
    """A role gets a setting, or loses one (None); upper and lower case do not count."""
    role = state.roles.get(name)
    if role is None:
        return
    known = {key.lower(): key for key in role.config_parameters}
    kept = {key: one for key, one in role.config_parameters.items() if key.lower() != parameter.lower()}
    if value is not None:
        kept[known.get(parameter.lower(), parameter)] = value
    state.roles[name] = replace(role, config_parameters=kept)


def join(state: ServerState, *, member: str, role: str, inherit: bool) -> None:
    """A role becomes a member of another one, by our grant."""
    had = state.roles.get(member)
    if had is None:
        return
    grantor = _grantor(state)
    row = Membership(role, grantor, inherit=inherit)
    rows = []
    for one in had.member_of:
        if one.role == role and (one.grantor == grantor or not _rows_by_grantor(state)):
            row = replace(one, inherit=inherit, set=True)
        else:
            rows.append(one)
    state.roles[member] = replace(had, member_of=(*rows, row))


def leave(state: ServerState, *, member: str, row: Membership, option: str | None) -> None:
    """A membership ends, or only one of its options does."""
    had = state.roles.get(member)
    if had is None:
        return
    rows = []
    for one in had.member_of:
        if (one.role, one.grantor) != (row.role, row.grantor):
            rows.append(one)
        elif option is not None:
            admin, inherit = one.admin and option != "admin", one.inherit and option != "inherit"
            rows.append(replace(one, admin=admin, inherit=inherit))
    state.roles[member] = replace(had, member_of=tuple(rows))


def drop(state: ServerState, *, name: str) -> None:
    """A role is gone, and with it the memberships in it."""
    state.roles.pop(name, None)
    state.role_names -= {name}
    for other, role in state.roles.items():
        if any(row.role == name for row in role.member_of):
            rows = tuple(row for row in role.member_of if row.role != name)
            state.roles[other] = replace(role, member_of=rows)
    admin = state.facts.admin
    gone = frozenset({name})
    administers = None if admin.administers is None else admin.administers - gone
    rights = replace(admin, administers=administers, member_of=admin.member_of - gone, inherits=admin.inherits - gone)
    state.facts = replace(state.facts, admin=rights)


def reaches(state: ServerState, member: str, role: str, *, inherited: bool) -> bool:
    """Whether MEMBER is a member of ROLE, directly or not, as far as the roles on the way were looked at.

    INHERITED: only by memberships that give it the rights of its roles by themselves.
    """
    return role == PUBLIC or role in set(_roles_of(state, member, inherited=inherited))


def _roles_of(state: ServerState, member: str, *, inherited: bool) -> Iterator[str]:
    seen: set[str] = set()
    waiting = [member]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        known = state.roles.get(name)
        waiting += [row.role for row in known.member_of if row.inherit or not inherited] if known else []


def _grantor(state: ServerState) -> str:
    admin = state.facts.admin
    return state.facts.bootstrap if admin.superuser and _rows_by_grantor(state) else admin.name


def _rows_by_grantor(state: ServerState) -> bool:
    return versions.has(versions.MEMBERSHIP_OPTIONS, state.facts.version_number)
