# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of statements and steps that several planners make; pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Identifier, Literal, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import effects
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import quoted
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import AccountName, Facts


def step(action: Action, target: str, statement: Statement, **more: Any) -> Step:
    """Make a step. None is part of a transaction: what defines something commits by itself on these engines."""
    return Step(action, target, statement, transactional=False, **more)


def account(name: AccountName) -> Statement:
    """Give an account, or a role of MariaDB, as statements name it."""
    if not name.host:
        return Statement("{}", Identifier(name.user))
    return Statement("{}@{}", Identifier(name.user), Identifier(name.host))


def shown(name: AccountName) -> str:
    """Give an account inside of SQL that a message proposes."""
    return f"{quoted(name.user)}@{quoted(name.host)}" if name.host else quoted(name.user)


def require_rights(facts: Facts) -> None:
    """Refuse before anything is tried where accounts can be neither seen nor changed."""
    admin = facts.admin
    if not admin.reads_accounts:
        text = f"{admin.name} may not read the server's tables of accounts: {admin.accounts_problem}"
        raise DbopsError(Reason.PRIVILEGE_MISSING, text)
    if not admin.may("CREATE USER"):
        text = (
            f"{admin.name} may not change accounts; an administrator can allow it: "
            f"GRANT CREATE USER ON *.* TO {shown(admin.name)}"
        )
        raise DbopsError(Reason.PRIVILEGE_MISSING, text)


def end_sessions(numbers: Iterable[int], *, of: str, facts: Facts, look_again: bool) -> list[Step]:
    """Give the steps that end the sessions with these NUMBERS. Raises DbopsError where our account may not."""
    ending = sorted(numbers)
    admin, privilege = facts.admin, facts.dialect.connection_admin
    if ending and not (admin.may(privilege) or admin.may("SUPER")):
        text = (
            f"{admin.name} may not end the sessions of {of}; an administrator can allow it: "
            f"GRANT {privilege} ON *.* TO {shown(admin.name)}"
        )
        raise DbopsError(Reason.PRIVILEGE_MISSING, text, field="end_sessions")
    return [
        step(
            Action.RUN,
            f"session {number} of {of}",
            Statement("KILL CONNECTION {}", Literal(number)),
            changes=False,
            look_again=look_again and number == ending[-1],
            effect=partial(effects.end_session, number=number),
        )
        for number in ending
    ]
