# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a login: declared user and observed roles in, steps out; pure.

Called through the table of kinds.py. An attribute that does not change is never mentioned in a statement, since
even `NOSUPERUSER` takes a superuser to say. How a login is removed stands in user_drop.py.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import passwords
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Plan, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Literal,
    Part,
    Secret,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import memberships, user_drop, versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import check_name, quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.settings import plan_settings
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Role, ServerState, Wanted

# Option, keyword of CREATE ROLE, field name in differences, and what the server takes when nothing is said.
_FLAGS = (
    ("superuser", "SUPERUSER", "superuser", False),
    ("create_db", "CREATEDB", "createdb", False),
    ("create_role", "CREATEROLE", "createrole", False),
    ("inherit", "INHERIT", "inherit", True),
    ("login", "LOGIN", "login", False),
    ("replication", "REPLICATION", "replication", False),
    ("bypass_rls", "BYPASSRLS", "bypassrls", False),
)
_NEW = Role("", False, False, False, True, False, False, False, -1, None, verifier="")
_MD5 = re.compile(r"md5[0-9a-f]{32}")
_RESERVED = frozenset({"public", "none"})


def wanted(desired: DesiredUser) -> Wanted:
    """Give what must be read: the role, those that it refers to, and what depends on it when it is to go."""
    named = {desired.name, *(desired.in_roles or ()), desired.default_role, desired.reassign_owned_to}
    settings = frozenset(name.lower() for name in desired.config_parameters or ())
    going = frozenset() if desired.present else frozenset({desired.name})
    return Wanted(roles=frozenset(name for name in named if name), dependencies=going, settings=settings)


def plan(desired: DesiredUser, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Compare and give the steps. Raises DbopsError for what cannot or must not be done."""
    _check(desired, state)
    role = state.roles.get(desired.name)
    if not desired.present:
        return user_drop.plan(desired, role, state)
    made = Plan(creates=role is None)
    _require_rights(desired, role, state)
    _plan_attributes(desired, role, state, made)
    parameters = _declared_settings(desired, memory)
    plan_settings(desired.name, parameters, role.config_parameters if role else {}, state, made)
    given = frozenset(memory.get("in_roles", ()))
    present = role.member_of if role else ()
    if desired.in_roles is not None:
        unwanted = dict.fromkeys(row.role for row in present if row.role not in desired.in_roles)
    else:
        unwanted = dict.fromkeys(row.role for row in present if row.role in given)
    memberships.plan_memberships(desired.name, desired.in_roles or (), unwanted, present, state, made)
    made.applied = {
        "in_roles": list(desired.in_roles or ()),
        "config_parameters": sorted(name for name, value in parameters.items() if value is not None),
    }
    return made


def _check(desired: DesiredUser, state: ServerState) -> None:
    check_name(desired.name, field="name")
    for field, names in (
        ("in_roles", desired.in_roles or ()),
        ("default_role", (desired.default_role,)),
        ("reassign_owned_to", (desired.reassign_owned_to,)),
    ):
        for name in names:
            if name:
                check_name(name, field=field)
    if desired.name.startswith("pg_") or desired.name in _RESERVED:
        text = f"{desired.name!r} is a name that PostgreSQL keeps for itself"
        raise DbopsError(Reason.ACCESS_DENIED, text, field="name")
    admin = state.facts.admin.name
    if desired.name == admin:
        raise DbopsError(Reason.ACCESS_DENIED, f"{admin!r} is the account that manages this server", field="name")
    for field, names in (("in_roles", desired.in_roles or ()), ("default_role", (desired.default_role,))):
        if admin in names or desired.name in names:
            text = f"{field} names {admin if admin in names else desired.name!r}, which no user becomes a member of"
            raise DbopsError(Reason.ACCESS_DENIED, text, field=field)
    _check_values(desired)


def _check_values(desired: DesiredUser) -> None:
    if desired.password == "":
        raise DbopsError(Reason.INVALID_SPEC, "the password is empty", field="password")
    if desired.password and _MD5.fullmatch(desired.password):
        text = "the password looks like an md5 hash, which PostgreSQL gives up; give the password or a SCRAM verifier"
        raise DbopsError(Reason.INVALID_SPEC, text, field="password")
    if desired.password and "\0" in desired.password:
        raise DbopsError(Reason.INVALID_SPEC, "the password contains a NUL character", field="password")
    if desired.connection_limit is not None and desired.connection_limit < -1:
        raise DbopsError(Reason.INVALID_SPEC, "connection_limit is below -1", field="connection_limit")
    parameters = {name.lower() for name in desired.config_parameters or ()}
    if len(parameters) < len(desired.config_parameters or ()):
        text = "config_parameters has the same setting twice (upper and lower case do not count)"
        raise DbopsError(Reason.INVALID_SPEC, text, field="config_parameters")
    if "role" in parameters and desired.default_role:
        text = "config_parameters.role and default_role say the same thing; keep default_role"
        raise DbopsError(Reason.INVALID_SPEC, text, field="config_parameters")
    moment(desired.valid_until)


def moment(text: str | None) -> datetime.datetime | str | None:
    """Read `valid_until`: RFC 3339, or `infinity`. Raises DbopsError with InvalidSpec."""
    if text is None or text in ("infinity", ""):
        return None if text is None else "infinity"
    try:
        parsed = datetime.datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        text = "valid_until is a time with its zone (2030-01-31T00:00:00Z) or infinity"
        raise DbopsError(Reason.INVALID_SPEC, text, field="valid_until")
    return parsed.astimezone(datetime.UTC)


def _declared_settings(desired: DesiredUser, memory: Mapping[str, Any]) -> dict[str, str | None]:
    """What is declared, and None for what this declaration gave earlier and no longer names."""
    declared = dict(desired.config_parameters or {})
    if desired.default_role is not None:
        declared["role"] = desired.default_role or None
    known = {name.lower() for name in declared}
    return declared | {name: None for name in memory.get("config_parameters", ()) if name.lower() not in known}


def _require_rights(desired: DesiredUser, role: Role | None, state: ServerState) -> None:
    if desired.default_role and desired.default_role not in state.role_names:
        text = f"the role {desired.default_role!r} does not exist"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="default_role")
    admin = state.facts.admin
    if role is None and not admin.create_role:
        text = (
            f"{admin.name} may not create roles; a superuser can allow it: ALTER ROLE {quoted(admin.name)} CREATEROLE"
        )
        raise DbopsError(Reason.PRIVILEGE_MISSING, text)


def _plan_attributes(desired: DesiredUser, role: Role | None, state: ServerState, made: Plan) -> None:
    now = role or _NEW
    words: list[Part] = []
    differences: list[Difference] = []
    for option, keyword, field, _ignored in _FLAGS:
        value = getattr(desired, option)
        if value is not None and value != getattr(now, option):
            _require_attribute(option, keyword, now, state)
            words.append(Keyword(keyword if value else f"NO{keyword}"))
            dangerous = option == "superuser"
            differences.append(Difference(field, _text(value), _text(getattr(now, option)), destructive=dangerous))
    limit = desired.connection_limit
    if limit is not None and limit != now.connection_limit:
        words.append(Statement("CONNECTION LIMIT {}", Literal(limit)))
        differences.append(Difference("connectionLimit", str(limit), str(now.connection_limit)))
    until = moment(desired.valid_until)
    if until is not None and until != (now.valid_until or "infinity"):
        text = until if isinstance(until, str) else until.isoformat()
        words.append(Statement("VALID UNTIL {}", Literal(text)))
        differences.append(Difference("validUntil", text, _until(now.valid_until)))
    if _password_differs(desired, role):
        if not desired.password:
            raise AssertionError("the caller has looked")
        verifier = desired.password if passwords.is_verifier(desired.password) else None
        words.append(Statement("PASSWORD {}", Secret(verifier or passwords.scram_verifier(desired.password))))
        differences.append(Difference("password", "as declared", "another" if role else "none"))
        if role and role.verifier is None and role.password_matches is None:
            text = "the password can be compared neither by its verifier nor by a login, so it is set every time"
            made.warnings.append(text)
    if role and not words:
        return
    if role:
        memberships.require_admin_option(desired.name, state, field="name")
    template = ("ALTER ROLE {} {}" if role else "CREATE ROLE {} {}") if words else "CREATE ROLE {}"
    arguments: list[Part] = [Identifier(desired.name), *([Joined(words, " ")] if words else [])]
    made.steps.append(
        Step(
            Action.ALTER if role else Action.CREATE,
            f"role {desired.name}",
            Statement(template, *arguments),
            before={one.field: one.actual for one in differences} if role else None,
            after={one.field: one.expected for one in differences},
        )
    )
    made.differences += differences if role else [Difference("exists", "true", "false")]


def _password_differs(desired: DesiredUser, role: Role | None) -> bool:
    if desired.password is None:
        return False
    if role is None:
        return True
    if desired.update_password == "on_create":  # noqa: S105 (not a password)
        return False
    if role.verifier is None:
        return role.password_matches is not True
    return not passwords.matches(desired.password, role.verifier)


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


def _until(value: datetime.datetime | str | None) -> str:
    return value.isoformat() if isinstance(value, datetime.datetime) else value or "infinity"


def observed(desired: DesiredUser, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result."""
    role = state.roles.get(desired.name)
    if role is None:
        return {"exists": desired.name in state.role_names, "name": desired.name}
    facts: dict[str, Any] = {"exists": True, "name": role.name}
    facts |= {flag[0]: getattr(role, flag[0]) for flag in _FLAGS}
    facts |= {
        "connection_limit": role.connection_limit,
        "valid_until": None if role.valid_until is None else _until(role.valid_until),
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


def predict(desired: DesiredUser, state: ServerState) -> None:
    """Note what a plan that is not applied would have made or removed."""
    if not desired.present:
        state.role_names -= {desired.name}
        state.roles.pop(desired.name, None)
        return
    state.role_names |= {desired.name}
    admin = state.facts.admin
    if admin.administers is not None:
        administers = admin.administers | {desired.name}
        state.facts = replace(state.facts, admin=replace(admin, administers=administers))
