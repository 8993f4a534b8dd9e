# SPDX-License-Identifier: GPL-3.0-or-later
"""The server itself as an object: its version and identity, and what our account can and cannot do there; pure.

Called through the table of kinds.py. The preflight names what is missing before anything is tried, each with the
statement that would give it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredInstance
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Facts, ServerState, Wanted


def wanted(desired: DesiredInstance) -> Wanted:
    """Nothing beyond what is always read, unless what nobody declares is to be listed."""
    return Wanted(unmanaged=frozenset({desired.name} if desired.discover else ()))


def plan(_desired: DesiredInstance, state: ServerState, _memory: Mapping[str, Any]) -> Plan:
    """Give an empty plan, with a warning for a version that nobody has tried."""
    facts = state.facts
    made = Plan()
    if versions.major(facts.version_number) > versions.major(versions.NEWEST_TRIED):
        made.warnings.append(f"PostgreSQL {facts.version} is newer than what was tried")
    return made


def observed(desired: DesiredInstance, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result."""
    facts = state.facts
    return {
        "version": facts.version,
        "version_number": facts.version_number,
        "system_identifier": facts.system_identifier,
        "in_recovery": facts.in_recovery,
        "read_only": facts.read_only,
        "pooler": facts.pooler,
        "admin": facts.admin.name,
        "capabilities": capabilities(facts, ledger_problem=state.ledger_problem),
        **({"unmanaged": state.unmanaged} if desired.discover else {}),
    }


def capabilities(facts: Facts, *, ledger_problem: str | None) -> list[dict[str, Any]]:
    """Give what our account can do: name, whether it is available, and what would make it so."""
    admin = facts.admin
    name = quoted(admin.name)
    modern = versions.has(versions.MEMBERSHIP_OPTIONS, facts.version_number)
    by_superuser = "a superuser can allow it: "
    attribute = f"{by_superuser}ALTER ROLE {name} "
    rows = [
        ("writable", not (facts.in_recovery or facts.read_only), "the server is read-only; point at the primary"),
        ("directConnection", not facts.pooler, "a pooler is in between; connect to the server itself"),
        ("createDatabase", admin.create_db, f"{attribute}CREATEDB"),
        ("createRole", admin.create_role, f"{attribute}CREATEROLE"),
        ("superuser", admin.superuser, "needed only to make superusers, and for extensions that are not trusted"),
        (
            "replicationRoles",
            admin.superuser or (modern and admin.replication and admin.create_role),
            f"{attribute}REPLICATION" if modern else "only a superuser can make roles with REPLICATION",
        ),
        (
            "bypassRlsRoles",
            admin.superuser or (modern and admin.bypass_rls and admin.create_role),
            f"{attribute}BYPASSRLS" if modern else "only a superuser can make roles with BYPASSRLS",
        ),
        (
            "readVerifiers",
            admin.reads_verifiers,
            f"passwords are compared by trying to log in; {by_superuser}GRANT pg_read_all_data TO {name}",
        ),
        (
            "signalSessions",
            admin.superuser or admin.signals_sessions,
            f"{by_superuser}GRANT pg_signal_backend TO {name}",
        ),
        (
            "changeForeignRoles",
            admin.superuser or (not modern and admin.create_role),
            f"for each role that {admin.name} did not make, {by_superuser}GRANT <role> TO {name} WITH ADMIN OPTION",
        ),
        ("ledger", ledger_problem is None, ledger_problem or ""),
    ]
    return [
        {"name": row, "available": available, "message": "" if available else message}
        for row, available, message in rows
    ]
