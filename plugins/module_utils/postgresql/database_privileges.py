# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of default privileges: what roles get on objects that somebody will make in a schema.

Called by database_content.py; pure. Compared per grantor, schema, type of object and grantee: exactly for what is
declared, and for what this declaration once gave (the ledger remembers) down to nothing. What only somebody else
gave is left alone. Nothing is revoked to be granted again.
https://www.postgresql.org/docs/current/sql-alterdefaultprivileges.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DefaultPrivilege, DesiredDatabase
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Keyword,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database_work import Work

PRIVILEGES = {
    "tables": ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"),
    "sequences": ("USAGE", "SELECT", "UPDATE"),
    "functions": ("EXECUTE",),
    "types": ("USAGE",),
}
_ALL = frozenset({"ALL", "ALL PRIVILEGES"})
PUBLIC = "public"
"""No role can have this name: it stands for everybody."""


class Key(NamedTuple):
    """Whose privileges, on what, given by whom."""

    grantor: str
    schema: str
    object_type: str
    grantee: str

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.object_type} of {self.grantor} in {self.schema} to {self.grantee}"


def plan_default_privileges(desired: DesiredDatabase, memory: Mapping[str, Any], work: Work) -> None:
    """Add to WORK what must be granted and revoked, and to its plan what the ledger is to remember."""
    wanted = _wanted(desired.default_privileges or (), work)
    given = _given(memory)
    held = {Key(one.grantor, one.schema, one.object_type, one.grantee): one for one in work.content.default_acls}
    gone = {schema.name for schema in desired.schemas if not schema.present}
    for key in dict.fromkeys([*wanted, *given]):
        if key.schema in gone:
            continue
        has = held[key].privileges if key in held else frozenset()
        target = wanted.get(key, has - given.get(key, frozenset()))
        _plan_one(key, Action.GRANT, target - has, work)
        _plan_one(key, Action.REVOKE, has - target, work)
    if wanted:
        work.plan.applied["default_privileges"] = [[*key, sorted(privileges)] for key, privileges in wanted.items()]


def _wanted(declared: Iterable[DefaultPrivilege], work: Work) -> dict[Key, frozenset[str]]:
    wanted: dict[Key, frozenset[str]] = {}
    declared_schemas = work.declared_schemas
    for one in declared:
        grantor = one.granted_by or work.database_owner
        grantee = PUBLIC if one.role in (PUBLIC, "PUBLIC") else one.role
        work.require_role(grantor, field="default_privileges")
        if grantee != PUBLIC:
            work.require_role(grantee, field="default_privileges")
        if one.schema not in work.content.schemas and one.schema not in declared_schemas:
            raise DbopsError(
                Reason.DEPENDENCY_NOT_READY,
                f"schema {one.schema} of database {work.database} does not exist; declare it in schemas",
                field="default_privileges",
            )
        key = Key(grantor, one.schema, one.object_type, grantee)
        wanted[key] = wanted.get(key, frozenset()) | _privileges(one, work.state.facts.version_number)
    return wanted


def _privileges(declared: DefaultPrivilege, version_number: int) -> frozenset[str]:
    known = PRIVILEGES[declared.object_type]
    here = {name for name in known if name != "MAINTAIN" or versions.has(versions.MAINTAIN, version_number)}
    names = {" ".join(name.upper().split()) for name in declared.privileges}
    if names & _ALL:
        return frozenset(here)
    for name in sorted(names - here):
        if name in known:
            raise DbopsError(
                Reason.UNSUPPORTED,
                f"privilege {name} is not known to PostgreSQL {versions.major(version_number)}",
                field="default_privileges",
            )
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"{name} is no privilege on {declared.object_type}; there are: {', '.join(known)}, ALL",
            field="default_privileges",
        )
    return frozenset(names)


def _given(memory: Mapping[str, Any]) -> dict[Key, frozenset[str]]:
    return {
        Key(grantor, schema, object_type, grantee): frozenset(privileges)
        for grantor, schema, object_type, grantee, privileges in memory.get("default_privileges", ())
    }


def _plan_one(key: Key, action: Action, privileges: frozenset[str], work: Work) -> None:
    if not privileges:
        return
    ordered = [name for name in PRIVILEGES[key.object_type] if name in privileges]
    grants = action is Action.GRANT
    template = "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} REVOKE {} ON {} FROM {}"
    if grants:
        template = "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT {} ON {} TO {}"
    grantee: Part = Keyword("PUBLIC") if key.grantee == PUBLIC else Identifier(key.grantee)
    statement = Statement(
        template,
        Identifier(key.grantor),
        Identifier(key.schema),
        Joined([Keyword(name) for name in ordered]),
        Keyword(key.object_type.upper()),
        grantee,
    )
    text = f"{', '.join(ordered)} on {key}"
    work.add(action, f"default privileges on {key}", statement, roles=(key.grantor,), destructive=not grants)
    name = "defaultPrivileges.missing" if grants else "defaultPrivileges.extra"
    work.differs(name, text if grants else "", "" if grants else text, destructive=not grants)
