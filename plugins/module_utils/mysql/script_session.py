# SPDX-License-Identifier: GPL-3.0-or-later
"""A session for somebody else's SQL on MySQL and MariaDB: an account for that one database, locked when it is over.

Called through mysql/server.py by core.scripts. What a script makes has its account as definer, and views and routines
run with their definer's rights: so it is never the admin's, nor that of a login which somebody uses, and it stays as
long as the database does. Between runs it is locked, and nobody knows its password.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Keyword,
    Part,
    Secret,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import (
    errors,
    grant_statements,
    hashes,
    names,
    privileges,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_privileges import lacking_rights
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import AccountName, Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.steps import account

if TYPE_CHECKING:
    import pymysql

    from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server

DEFINER = "definer"
"""What is made for a script: the account that is the definer of what scripts make in one database."""
Send = Callable[[Sequence[Step]], None]
_IN_TRANSACTION = 1
"""SERVER_STATUS_IN_TRANS of the protocol."""


def definer(database: str) -> AccountName:
    """Give the account of a DATABASE, within the 32 characters that MySQL allows."""
    return AccountName(f"dbops_init_{hashlib.sha256(database.encode()).hexdigest()[:16]}", "%")


@contextlib.contextmanager
def script_session(
    server: Server,
    database: str,
    *,
    made: Mapping[str, str],
    remember: Callable[[Mapping[str, str]], None],
    committed: Callable[[Sequence[Step]], None],
) -> Iterator[Callable[[str], None]]:
    """Give what sends one statement in DATABASE; see core.server. Raises DbopsError."""
    send = partial(_apply, server, committed)
    name = definer(database)
    exists = bool(server.main.rows("SELECT 1 FROM mysql.user WHERE user = %s", [name.user]))
    if exists and made.get(DEFINER) != name.user:
        text = f"the account {name} existed before, so it cannot be the definer of what init_sql makes; drop it"
        raise DbopsError(Reason.NOT_ADOPTED, text, field="init_sql")
    remember({DEFINER: name.user})
    password = secrets.token_urlsafe(24)
    _set(server, send, name, password, "ALTER" if exists else "CREATE", "ACCOUNT UNLOCK")
    connection = None
    try:
        _grant(server, send, name, database)
        connection = server.connector.open_as(name.user, password, database)
        with server.at_work(int(connection.thread_id())):  # type: ignore[no-untyped-call]
            yield _Sender(connection).send
        if connection.server_status & _IN_TRANSACTION:  # type: ignore[attr-defined]
            text = "the script leaves a transaction open, so what was done in it is lost; end it with COMMIT"
            raise DbopsError(Reason.INVALID_SPEC, text)
    finally:
        if connection is not None:
            connection.close()
        _set(server, send, name, secrets.token_urlsafe(24), "ALTER", "ACCOUNT LOCK")


class _Sender:
    """Sends statements of a script and says what the server made of them."""

    def __init__(self, connection: pymysql.Connection[Any]) -> None:
        self._connection = connection

    def send(self, text: str) -> None:
        import pymysql

        try:
            with self._connection.cursor() as cursor:
                cursor.execute(text)
                # A procedure may answer more than once.
                while cursor.nextset():
                    continue
        except pymysql.MySQLError as error:
            raise errors.statement_error(error, doing=f"error {errors.number_of(error)}") from error


def _set(server: Server, send: Send, name: AccountName, password: str, verb: str, lock: str) -> None:
    dialect = server.facts.dialect
    plugin = dialect.default_plugin
    identified = Statement(dialect.identified, Identifier(plugin), Secret(hashes.make(password, plugin)))
    arguments: tuple[Part, ...] = (Keyword(verb), account(name), identified, Keyword(lock))
    send([_step(Statement("{} USER {}{} {}", *arguments), f"user {name}")])


def _grant(server: Server, send: Send, name: AccountName, database: str) -> None:
    """Give all that there is on the database, as far as our account has it to give."""
    dialect = server.facts.dialect
    plain = Target(privileges.DATABASE, server.facts.fold(database))
    words = privileges.at_level(plain.level, flavour=dialect.flavour, version_number=dialect.version_number)
    words = tuple(word for word in words if word != privileges.GRANT_OPTION)
    ours = frozenset(word for word in words if not lacking_rights(server.state, plain, frozenset({word})))
    target = plain._replace(database=names.escaped(database))
    send(list(grant_statements.grants(name, {target: ours}, dialect)))


def _step(statement: Statement, target: str) -> Step:
    return Step(Action.RUN, target, statement, changes=False, transactional=False)


def _apply(server: Server, committed: Callable[[Sequence[Step]], None], steps: Sequence[Step]) -> None:
    server.apply(steps, stopped=lambda: False, committed=committed, closing=None)
