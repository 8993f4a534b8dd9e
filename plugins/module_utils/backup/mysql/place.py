# SPDX-License-Identifier: GPL-3.0-or-later
"""The place where a dump is restored on MySQL and MariaDB: a fresh database and a login for it alone.

Called by mysql/engine.py. Every restore goes into a fresh database first, whose name is made from the target's, so that
the next try finds what a killed one left behind; swap.py puts what is in it in its place.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import RestoreRequest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql import examine, swap
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.login import RestoreLogin, send
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Identifier, Literal, Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import locks
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server

RESTORE, VERIFY = "dbops_restore_", "dbops_verify_"
"""How the names of fresh databases begin: for restores, and for scratch databases of verifications."""
_COLLATIONS = "SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE COLLATION_NAME = %s"


@dataclass(frozen=True)
class Place:
    """What was made for one restore."""

    database: str
    final: str | None
    """The name in the end; None: a scratch database."""
    login: RestoreLogin
    password: str = field(repr=False)


def made_name(server: Server, request: RestoreRequest, *, scratch: bool) -> str:
    """Give the name of the fresh database."""
    digest = hashlib.sha256(server.facts.fold(request.database).encode()).hexdigest()[:16]
    return (VERIFY if scratch else RESTORE) + digest


def prepare(server: Server, request: RestoreRequest, options: Mapping[str, Any], *, scratch: bool) -> Place:
    """Make the place; OPTIONS are the database's own in the manifest. Raises DbopsError."""
    name = made_name(server, request, scratch=scratch)
    _lock(server, name, request.database)
    final = None if scratch else request.database
    account = RestoreLogin(server, final or name)
    if final:
        swap.recover(server, account, fresh=name, final=final, tools_path=request.tools_path)
    drop(server, name)
    current = exists(server, final) if final else False
    create(server, name, _like(server, final) if final and current else options)
    try:
        # What is moved in the end is made by the login as well, in the database that has the final name.
        password = account.open([name, final] if final else [name])
    except BaseException:
        with contextlib.suppress(DbopsError):
            abandon(server, Place(name, final, account, ""), request)
        raise
    return Place(name, final, account, password)


def finish(server: Server, place: Place, request: RestoreRequest, events: bytes) -> str | None:
    """Put what is in the place, and the EVENTS put aside, under its final name.

    Gives the name of the database that keeps what was there.
    """
    if place.final is None:
        raise AssertionError("a scratch database is abandoned")
    made = not exists(server, place.final)
    if made:
        create(server, place.final, _like(server, place.database))
    swapping = swap.Swapping(server, place.login, place.password, place.database, place.final, request.tools_path)
    previous = swap.swap(swapping, made=made, events=events)
    place.login.lock()
    place.login.revoke(place.database)
    place.login.drop_unless_used()
    if previous and not request.in_place:
        drop(server, previous)
        return None
    return previous


def abandon(server: Server, place: Place, request: RestoreRequest) -> None:
    """Take away all that was made. Raises DbopsError for what could not be; the next try removes it."""
    if server.main.closed:
        server.reopen()
    if place.login.exists:
        place.login.end_sessions()
    if place.final:
        swap.recover(server, place.login, fresh=place.database, final=place.final, tools_path=request.tools_path)
    drop(server, place.database)
    if place.login.exists:
        place.login.lock()
        place.login.revoke(place.database)
        place.login.drop_unless_used()


def exists(server: Server, database: str) -> bool:
    """Whether there is a database of this name."""
    fold = server.facts.fold
    rows = server.main.rows("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", [database])
    return any(fold(name) == fold(database) for (name,) in rows)


def create(server: Server, database: str, options: Mapping[str, Any]) -> None:
    """Make DATABASE with the collation of OPTIONS, where the server has that."""
    collation = options.get("collation")
    if collation and server.main.rows(_COLLATIONS, [collation]):
        statement = Statement("CREATE DATABASE {} COLLATE {}", Identifier(database), Literal(str(collation)))
    else:
        statement = Statement("CREATE DATABASE {}", Identifier(database))
    send(server, statement, f"database {database}")


def drop(server: Server, database: str) -> None:
    """Drop DATABASE if it exists."""
    if exists(server, database):
        send(server, Statement("DROP DATABASE {}", Identifier(database)), f"database {database}")


def _like(server: Server, database: str) -> dict[str, Any]:
    return {"collation": examine.found(server, database)[2]}


def _lock(server: Server, name: str, database: str) -> None:
    """Keep others from the same restore for as long as our session lasts."""
    ((taken,),) = server.main.rows("SELECT GET_LOCK(%s, 0)", [locks.key_of("restore", name)])
    if not taken:
        raise DbopsError(Reason.IN_USE, f"another restore of database {database} is at work", field="target")
