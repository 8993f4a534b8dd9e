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
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.privileges import GRANT_OPTION
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import Facts, ServerState, Wanted

_FUNCTIONS = (
    "with the binary log on, functions and triggers are made by accounts with SUPER only (error 1419), unless the "
    "server has log_bin_trust_function_creators = ON"
)


def wanted(desired: DesiredInstance) -> Wanted:
    """Nothing beyond what is always read, unless what nobody declares is to be listed."""
    return Wanted(unmanaged=frozenset({desired.name} if desired.discover else ()))


def plan(_desired: DesiredInstance, state: ServerState, _memory: Mapping[str, Any]) -> Plan:
    """Give an empty plan, with warnings for what should be known."""
    facts = state.facts
    made = Plan()
    if facts.dialect.version_number // 100 > versions.NEWEST_TRIED[facts.dialect.flavour] // 100:
        made.warnings.append(f"{facts.dialect.title} is newer than what was tried")
    if facts.replica and not facts.read_only:
        made.warnings.append("the server replicates from another one and is not read-only; changes belong there")
    return made


def observed(desired: DesiredInstance, state: ServerState) -> dict[str, Any]:
    """Give the facts for the result."""
    facts = state.facts
    return {
        "engine": facts.dialect.flavour,
        "version": facts.version,
        "version_number": facts.dialect.version_number,
        "system_identifier": facts.identity,
        "in_recovery": facts.replica,
        "read_only": facts.read_only or facts.super_read_only,
        "pooler": facts.pooler,
        "admin": str(facts.admin.name),
        "capabilities": capabilities(facts, ledger_problem=state.ledger_problem),
        **({"unmanaged": state.unmanaged} if desired.discover else {}),
    }


def capabilities(facts: Facts, *, ledger_problem: str | None) -> list[dict[str, Any]]:
    """Give what our account can do: name, whether it is available, and what would make it so."""
    admin, dialect = facts.admin, facts.dialect
    account = f"{quoted(admin.name.user)}@{quoted(admin.name.host)}"

    def grant(privileges: str) -> str:
        return f"an administrator can allow it: GRANT {privileges} ON *.* TO {account}"

    mysql = dialect.flavour == "mysql"
    everything = frozenset(dialect.privileges_at("database"))
    lacking = sorted(everything - {one for one in everything if admin.may(one)})
    ends = dialect.connection_admin
    rows = [
        (
            "writable",
            not (facts.read_only or facts.super_read_only),
            "the server is read-only; point at the primary",
        ),
        ("directConnection", not facts.pooler, "a pooler is in between; connect to the server itself"),
        ("createDatabase", admin.may("CREATE") and admin.may("DROP"), grant("CREATE, DROP, ALTER")),
        ("alterDatabase", admin.may("ALTER"), grant("ALTER")),
        ("createUser", admin.may("CREATE USER"), grant("CREATE USER")),
        ("readAccounts", admin.reads_accounts, f"{grant('SELECT')}; without it {admin.accounts_problem}"),
        (
            "createRole",
            admin.may("CREATE USER") or (mysql and admin.may("CREATE ROLE")),
            grant("CREATE ROLE" if mysql else "CREATE USER"),
        ),
        (
            "administerRoles",
            # On MariaDB nobody may do it for roles of others, not even root.
            mysql and (admin.may("ROLE_ADMIN") or admin.may("SUPER")),
            grant("ROLE_ADMIN")
            if mysql
            else f"for each role that {account} did not make: GRANT <role> TO {account} WITH ADMIN OPTION",
        ),
        (
            "grantAnything",
            not lacking and admin.may(GRANT_OPTION),
            f"what it lacks it cannot give: {', '.join(lacking) or GRANT_OPTION}; "
            + grant(f"{', '.join(lacking) or 'USAGE'}")
            + " WITH GRANT OPTION",
        ),
        ("seeSessions", admin.may("PROCESS"), grant("PROCESS")),
        ("endSessions", admin.may(ends) or admin.may("SUPER"), grant(ends)),
        (
            "changeSystemAccounts",
            admin.may("SYSTEM_USER") if mysql else True,
            f"needed for accounts that have SYSTEM_USER themselves; {grant('SYSTEM_USER')}",
        ),
        (
            "seeAllDefinitions",
            not mysql or admin.may("EVENT"),
            f"events of other accounts cannot be seen; {grant('EVENT')}",
        ),
        (
            "createFunctionsAndTriggers",
            not facts.binary_log or facts.trusts_function_creators or admin.may("SUPER"),
            _FUNCTIONS,
        ),
        ("ledger", ledger_problem is None, ledger_problem or ""),
    ]
    return [
        {"name": row, "available": available, "message": "" if available else message}
        for row, available, message in rows
    ]
