# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a login: declared user and observed roles in, steps out; pure.

Called through the table of kinds.py. What logins share with group roles stands in role_attributes.py and
memberships.py, how either is removed in role_drop.py.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import passwords
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredUser
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import Difference
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Literal,
    Secret,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import (
    memberships,
    role_attributes,
    role_drop,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.settings import plan_settings
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Role, ServerState, Wanted

_MD5 = re.compile(r"md5[0-9a-f]{32}")


def wanted(desired: DesiredUser) -> Wanted:
    """Give what must be read: the role, those that it refers to, and what depends on it when it is to go."""
    named = {desired.name, *(desired.in_roles or ()), desired.default_role, desired.reassign_owned_to}
    settings = frozenset(name.lower() for name in desired.config_parameters or ())
    going = frozenset({desired.name} if not desired.present or _locks(desired) else ())
    return Wanted(
        roles=frozenset(name for name in named if name),
        memberships=frozenset((desired.name, name) for name in desired.in_roles or ()),
        dependencies=going,
        settings=settings,
    )


def plan(desired: DesiredUser, state: ServerState, memory: Mapping[str, Any]) -> Plan:
    """Compare and give the steps. Raises DbopsError for what cannot or must not be done."""
    role_attributes.check_names(desired, state)
    _check_values(desired)
    role = state.roles.get(desired.name)
    if not desired.present:
        return role_drop.plan(
            role, state, reassign_owned_to=desired.reassign_owned_to, end_sessions=desired.end_sessions
        )
    made = Plan(creates=role is None)
    if desired.default_role and desired.default_role not in state.role_names:
        text = f"the role {desired.default_role!r} does not exist"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="default_role")
    role_attributes.require_creatable(role, state)
    _plan_attributes(desired, role, state, made)
    parameters = _declared_settings(desired, memory)
    plan_settings(desired.name, parameters, role.config_parameters if role else {}, state, made)
    memberships.plan_in_roles(desired, role, memory, state, made)
    if role and _locks(desired) and (desired.allow_destructive or not role.login):
        # They would live on.
        made.steps += role_drop.session_ends(role, state, look_again=False)
    made.applied = {
        "in_roles": list(desired.in_roles or ()),
        "config_parameters": sorted(name for name, value in parameters.items() if value is not None),
    }
    return made


def _locks(desired: DesiredUser) -> bool:
    return desired.present and not desired.login and desired.end_sessions


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


def _is_earlier(until: datetime.datetime | str, present: datetime.datetime | str | None) -> bool:
    """Whether a role that is good until PRESENT will be so for less long; a text is for ever."""
    if not isinstance(until, datetime.datetime):
        return False
    return not isinstance(present, datetime.datetime) or until < present


def _declared_settings(desired: DesiredUser, memory: Mapping[str, Any]) -> dict[str, str | None]:
    """What is declared, and None for what this declaration gave earlier and no longer names."""
    declared = dict(desired.config_parameters or {})
    if desired.default_role is not None:
        declared["role"] = desired.default_role or None
    known = {name.lower() for name in declared}
    return declared | {name: None for name in memory.get("config_parameters", ()) if name.lower() not in known}


def _plan_attributes(desired: DesiredUser, role: Role | None, state: ServerState, made: Plan) -> None:
    now = role or role_attributes.NEW
    compared = role_attributes.compare(desired, role, state)
    limit = desired.connection_limit
    if limit is not None and limit != now.connection_limit:
        difference = Difference("connectionLimit", str(limit), str(now.connection_limit))
        compared.add(Statement("CONNECTION LIMIT {}", Literal(limit)), difference, connection_limit=limit)
    until = moment(desired.valid_until)
    if until is not None and until != (now.valid_until or "infinity"):
        text = until if isinstance(until, str) else until.isoformat()
        actual = role_attributes.until_text(now.valid_until)
        difference = Difference("validUntil", text, actual, destructive=_is_earlier(until, now.valid_until))
        compared.add(Statement("VALID UNTIL {}", Literal(text)), difference, valid_until=until)
    if _password_differs(desired, role):
        if not desired.password:
            raise AssertionError("the caller has looked")
        given = desired.password if passwords.is_verifier(desired.password) else None
        verifier = given or passwords.scram_verifier(desired.password)
        difference = Difference("password", "as declared", "another" if role else "none")
        word = Statement("PASSWORD {}", Secret(verifier))
        compared.add(word, difference, verifier=verifier, password_matches=True)
        if role and role.verifier is None and role.password_matches is None:
            text = "the password can be compared neither by its verifier nor by a login, so it is set every time"
            made.warnings.append(text)
    role_attributes.add_step(desired.name, role, compared, state, made)


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
