# SPDX-License-Identifier: GPL-3.0-or-later
"""A session for somebody else's SQL: logged in without administrator's rights, gone afterwards.

Called through postgresql/server.py by core.scripts. SET ROLE would not be enough: RESET ROLE climbs back. So there
is a login for this one run, a member of the database's owner and of nothing else, whose sessions begin as the owner.
What it made under its own name goes to the owner at the end. A database that the admin owns gets a role beside it
that does not log in: what a script makes never belongs to an administrator, since a function or view of one would
run with an administrator's rights.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import passwords
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Literal,
    Secret,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import catalog, errors, versions
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acting_as import acting_as
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Session
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.names import role_beside
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import Role, ServerState

if TYPE_CHECKING:
    import psycopg

    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server import Server

PREFIX = "dbops_init_"
LOGIN, BESIDE = "login", "beside"
"""What is made for a script: the login of one run, and the role beside a database that the admin owns."""
Send = Callable[[Sequence[Step]], None]
_PRIVILEGED = ("superuser", "create_role", "create_db", "replication", "bypass_rls")


@contextlib.contextmanager
def script_session(
    server: Server,
    database: str,
    *,
    made: Mapping[str, str],
    remember: Callable[[Mapping[str, str]], None],
    committed: Callable[[Sequence[Step]], None],
) -> Iterator[Callable[[str], None]]:
    """Give what sends one statement in DATABASE with its owner's rights; see core.server. Raises DbopsError.

    Of what it makes, `login` is gone afterwards; `beside` stays as long as the database does.
    """
    send = partial(_apply, server, committed)
    kept = {name: role for name, role in made.items() if name == BESIDE}
    owner = server.state.databases[database].owner
    if owner == server.facts.admin.name:
        owner = role_beside(database)
        if owner != kept.get(BESIDE) and _exists(server, owner):
            text = f"the role {owner} existed before, so it cannot own what init_sql makes; declare an owner"
            raise DbopsError(Reason.NOT_ADOPTED, text, field="owner")
        kept = {BESIDE: owner}
        remember({**made, **kept})
        _make_beside(server, send, owner, database)
    _require_harmless(server, owner)
    if LOGIN in made:
        _clear(server, send, made[LOGIN], owner, database)
    login, password = PREFIX + secrets.token_hex(8), secrets.token_urlsafe(24)
    remember({**kept, LOGIN: login})
    session: Session | None = None
    try:
        _make(server, send, login, password, owner)
        session = server.connector.open_as(login, password, database)
        yield _Sender(session).send
        if session.in_transaction:
            text = "the script leaves a transaction open, so what was done in it is lost; end it with COMMIT"
            raise DbopsError(Reason.INVALID_SPEC, text)
    finally:
        if session is not None:
            session.close()
        _clear(server, send, login, owner, database)
        remember(kept)


class _Sender:
    """Sends statements of a script and says what the server made of them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def send(self, text: str) -> None:
        import psycopg

        try:
            self._session.send_foreign(text)
        except psycopg.errors.ProgrammingError as error:
            if error.sqlstate:
                raise _error(error) from error
            text = "COPY takes its data from a client, which there is none of; use INSERT"
            raise DbopsError(Reason.UNSUPPORTED, text) from error
        except psycopg.Error as error:
            raise _error(error) from error


def _error(error: psycopg.Error) -> DbopsError:
    return errors.statement_error(error, doing=f"SQLSTATE {error.sqlstate or 'unknown'}")


def _require_harmless(server: Server, owner: str) -> None:
    """Refuse an owner with rights that no script must have."""
    role = _role(server, owner)
    dangerous = [name for name in _PRIVILEGED if role and getattr(role, name)]
    if role is None or dangerous:
        rights = f" ({', '.join(dangerous)})" if dangerous else ""
        text = f"the owner {owner} has an administrator's rights{rights}; declare another owner of the database"
        raise DbopsError(Reason.ACCESS_DENIED, text, field="owner")


def _make_beside(server: Server, send: Send, name: str, database: str) -> None:
    """Make the role that stands for the owner where that is the admin itself, and let it make things."""
    target, facts = f"role {name}", server.facts
    if not _exists(server, name):
        send([_step(Statement("CREATE ROLE {}", Identifier(name)), target)])
    if not facts.admin.superuser:
        # So that the admin can read and change what is made.
        member = Statement(_membership(server), Identifier(name), Identifier(facts.admin.name))
        send([_step(member, target)])
    content = server.state.databases[database].content
    mine = (facts.admin.name, "pg_database_owner")
    schemas = [schema for schema, owner in content.schemas.items() if owner in mine] if content else []
    grants = [Statement("GRANT ALL ON DATABASE {} TO {}", Identifier(database), Identifier(name))]
    grants += [Statement("GRANT ALL ON SCHEMA {} TO {}", Identifier(one), Identifier(name)) for one in schemas]
    send([_step(one, f"what {target} may", database=database) for one in grants])


def _membership(server: Server) -> str:
    if versions.has(versions.MEMBERSHIP_OPTIONS, server.facts.version_number):
        return "GRANT {} TO {} WITH INHERIT TRUE, SET TRUE"
    return "GRANT {} TO {}"


def _make(server: Server, send: Send, login: str, password: str, owner: str) -> None:
    verifier = Secret(passwords.scram_verifier(password))
    member, role = Identifier(login), Identifier(owner)
    steps = [
        _step(Statement("CREATE ROLE {} LOGIN CONNECTION LIMIT 1 PASSWORD {}", member, verifier), f"role {login}"),
        # Its sessions begin as the owner, and RESET ROLE leads back there.
        _step(Statement("ALTER ROLE {} SET role = {}", member, Literal(owner)), f"role {login}"),
    ]
    send(steps)
    send([_step(Statement(_membership(server), role, member), f"role {owner} to {login}")])


def _clear(server: Server, send: Send, login: str, owner: str, database: str) -> None:
    """Give what LOGIN owns to OWNER, and drop it."""
    if not _exists(server, login):
        return
    member, role = Identifier(login), Identifier(owner)
    inside = [
        _step(Statement("REASSIGN OWNED BY {} TO {}", member, role), f"what {login} owns", database=database),
        _step(Statement("DROP OWNED BY {}", member), f"privileges of {login}", database=database),
    ]
    send(acting_as([login, owner], inside, _seen(server, [login, owner])))
    send([_step(Statement("DROP ROLE {}", member), f"role {login}")])


def _seen(server: Server, names: Sequence[str]) -> ServerState:
    """Give the server's state with these roles, and what we may do with them, as they are now."""
    admin = server.facts.admin
    looked_at = [*names, admin.name]
    rights = catalog.rights(server.main, looked_at, admin)
    facts = replace(server.facts, admin=replace(admin, **rights))
    return replace(server.state, facts=facts, roles=catalog.roles(server.main, looked_at, admin))


def _step(statement: Statement, target: str, database: str | None = None) -> Step:
    return Step(Action.RUN, target, statement, database=database, changes=False)


def _apply(server: Server, committed: Callable[[Sequence[Step]], None], steps: Sequence[Step]) -> None:
    server.apply(steps, stopped=lambda: False, committed=committed, closing=None)


def _role(server: Server, name: str) -> Role | None:
    return catalog.roles(server.main, [name], server.facts.admin).get(name)


def _exists(server: Server, name: str) -> bool:
    return _role(server, name) is not None
