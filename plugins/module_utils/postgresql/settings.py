# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a role (`ALTER ROLE ... SET`): comparing and setting them as the server understands them; pure.

Called by user.py. Some settings are lists of names. Given as one string, `a, b` would become the one name "a, b";
so it is split here as the server splits it, and set as a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Literal,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import effects_roles
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState

# Those with the flags GUC_LIST_INPUT and GUC_LIST_QUOTE in the server's guc_tables.c.
LISTS_OF_NAMES = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
_NOT_LISTED = frozenset({"role"})
"""A setting that everybody may set and that pg_settings does not show."""
_NOT_PER_ROLE = frozenset({"internal", "postmaster", "sighup", "backend", "superuser-backend"})


def names_in(value: str) -> list[str]:
    """Split a list of names as the server's SplitIdentifierString does; names without quotes become lower case.

    Raises ValueError for what is no list of names.
    """
    found: list[str] = []
    rest = value.strip()
    while rest:
        if rest.startswith('"'):
            name, rest = _quoted_name(rest)
        else:
            name, comma, after = rest.partition(",")
            name, rest = name.strip().lower(), comma + after
            if not name or any(c.isspace() or c == '"' for c in name):
                raise ValueError(value)
        found.append(name)
        rest = rest.strip()
        if rest:
            if not rest.startswith(",") or not rest[1:].strip():
                raise ValueError(value)
            rest = rest[1:].strip()
    return found


def _quoted_name(text: str) -> tuple[str, str]:
    name, position = "", 1
    while True:
        end = text.find('"', position)
        if end < 0:
            raise ValueError(text)
        name += text[position:end]
        if text[end + 1 : end + 2] != '"':
            return name, text[end + 1 :]
        name += '"'
        position = end + 2


def same(name: str, declared: str, stored: str) -> bool:
    """Whether the setting NAME has the DECLARED value when the server stores STORED."""
    if name not in LISTS_OF_NAMES:
        return declared == stored
    try:
        return names_in(declared) == names_in(stored)
    except ValueError:
        return False


def plan_settings(
    role: str, declared: Mapping[str, str | None], stored: Mapping[str, str], state: ServerState, plan: Plan
) -> None:
    """Add to PLAN what gives ROLE the DECLARED settings, None taking one away; others are left alone."""
    now = {name.lower(): value for name, value in stored.items()}
    for name, value in declared.items():
        key = name.lower()
        # Who acts as a role from the login on has its rights.
        takes = key == "role" and key in now
        if value is None:
            if key in now:
                step = _reset(role, key, now[key], takes=takes)
                plan.add(step, Difference(f"configParameters.{name}", "", now[key], destructive=takes))
        elif key not in now or not same(key, value, now[key]):
            _require_settable(name, state)
            effect = partial(effects_roles.set_parameter, name=role, parameter=name, value=value)
            statement = _set(role, name, value)
            before = now.get(key)
            target = f"role {role}"
            step = Step(Action.ALTER, target, statement, before, value, destructive=takes, effect=effect)
            plan.add(step, Difference(f"configParameters.{name}", value, before or "", destructive=takes))


def _reset(role: str, name: str, before: str, *, takes: bool) -> Step:
    statement = Statement("ALTER ROLE {} RESET {}", Identifier(role), parameter(name))
    effect = partial(effects_roles.set_parameter, name=role, parameter=name, value=None)
    return Step(Action.ALTER, f"role {role}", statement, before=before, destructive=takes, effect=effect)


def _set(role: str, name: str, value: str) -> Statement:
    return Statement("ALTER ROLE {} SET {} TO {}", Identifier(role), parameter(name), value_of(name, value))


def value_of(name: str, value: str) -> Part:
    """Give the VALUE of the setting NAME as it stands behind TO. Raises DbopsError for what is no list of names."""
    if name.lower() not in LISTS_OF_NAMES:
        return Literal(value)
    try:
        parts = names_in(value)
    except ValueError:
        text = f"{name} is a list of names; {value!r} is none"
        raise DbopsError(Reason.INVALID_SPEC, text, field="config_parameters") from None
    return Joined([Literal(part) for part in parts or [""]])


def parameter(name: str) -> Identifier:
    """Give the setting NAME; one of an extension has a name in parts, such as `app.tenant`."""
    return Identifier(*name.split("."))


def _require_settable(name: str, state: ServerState) -> None:
    if name.lower() in _NOT_LISTED:
        return
    setting = state.settings.get(name.lower())
    if setting is None:
        text = f"the server has no setting {name!r}"
        raise DbopsError(Reason.INVALID_SPEC, text, field="config_parameters")
    if setting.context in _NOT_PER_ROLE:
        text = f"{name} cannot be set for a role (its context is {setting.context})"
        raise DbopsError(Reason.INVALID_SPEC, text, field="config_parameters")
    if not setting.settable:
        admin = state.facts.admin.name
        text = f"{admin} may not set {name}; a superuser can allow it: GRANT SET ON PARAMETER {name} TO {quoted(admin)}"
        raise DbopsError(Reason.PRIVILEGE_MISSING, text, field="config_parameters")
