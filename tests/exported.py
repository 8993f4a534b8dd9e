# SPDX-License-Identifier: GPL-3.0-or-later
"""Exported custom resources as the operator reads them: parsed by the API's models, then mapped to options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dbops_operator.api import grant_variables, variables
from dbops_operator.api.database import DATABASE
from dbops_operator.api.database_grant import DATABASE_GRANT
from dbops_operator.api.database_role import DATABASE_ROLE
from dbops_operator.api.database_user import DATABASE_USER
from dbops_operator.api.model import parse


def operator_objects(resources: Sequence[Mapping[str, Any]], *, engine: str) -> list[dict[str, Any]]:
    """Give what the operator would declare of RESOURCES, but for passwords."""
    names: dict[tuple[str, str], str] = {}
    found: list[dict[str, Any]] = []
    for one in resources:
        called = one["metadata"]["name"]
        if one["kind"] == "Database":
            found.append(variables.database(parse(DATABASE, one), engine))
        elif one["kind"] == "DatabaseUser":
            login = parse(DATABASE_USER, one)
            names["user", called] = login.username
            options = variables.database_user(login, engine, variables.Login(login.username, ""))
            found.append({name: value for name, value in options.items() if name not in ("password", "verify_login")})
        elif one["kind"] == "DatabaseRole":
            role = parse(DATABASE_ROLE, one)
            names["role", called] = role.role_name
            found.append(grant_variables.database_role(role, engine))
        else:
            grant = parse(DATABASE_GRANT, one)
            ref = ("user", grant.user_ref.name) if grant.user_ref else ("role", grant.role_ref.name)  # type: ignore[union-attr]
            found.append(grant_variables.database_grant(grant, engine) | {ref[0]: names[ref]})
    return found
