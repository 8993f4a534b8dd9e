# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a restored database in the place of another one on MySQL and MariaDB, where databases cannot be renamed.

Called by mysql/place.py. Tables are moved, old and new ones together, by one RENAME TABLE, which is atomic. What cannot
be moved (views, triggers, routines, events) is made anew from the dump tool's own text: the new ones by the restore's
login, the old ones, should it come to that, as they were. Before anything is touched that text is kept in a table of
the fresh database; as long as it is there the swap is not finished, and `recover` takes it back, also after a crash.
https://dev.mysql.com/doc/refman/9.4/en/rename-table.html, https://mariadb.com/kb/en/rename-table/
"""

from __future__ import annotations

import datetime
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import tools
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql import code
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.dump import Dumping, dump
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.load import Loading, load
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.login import RestoreLogin, send
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.rewriting import Rewriting, Selection
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import (
    Identifier,
    Joined,
    Literal,
    Part,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import quoting
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.names import OBJECT_CHARACTERS
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.server import Server

RECORD = "dbops_swap"
"""The table of the fresh database that says what a swap does, until it is finished."""
_TABLES = """
SELECT TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = %s AND TABLE_TYPE IN ('BASE TABLE', 'SEQUENCE', 'SYSTEM VERSIONED') AND TABLE_NAME <> %s
ORDER BY TABLE_NAME
"""
_CREATE_RECORD = """
CREATE TABLE {} (previous varchar(64), code longtext NOT NULL, made bool NOT NULL, replaced int NOT NULL)
CHARACTER SET utf8mb4
"""
_REFERRING = """
SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME FROM information_schema.KEY_COLUMN_USAGE
WHERE REFERENCED_TABLE_SCHEMA = %s AND TABLE_SCHEMA <> %s
"""


@dataclass(frozen=True)
class _Record:
    """What has to be known to take a swap back."""

    previous: str | None
    """The database that keeps what was there."""
    code: bytes
    """What had a definer, as the dump tool writes it."""
    made: bool
    """Whether the final database was made for the swap."""
    replaced: int
    """How many tables there were."""


@dataclass(frozen=True)
class Swapping:
    """What is swapped, where and by whom."""

    server: Server
    login: RestoreLogin
    password: str | None = field(repr=False)
    fresh: str
    final: str
    tools_path: Sequence[str] = ()


def previous_name(name: str, moment: datetime.datetime) -> str:
    """Give the name of the database that keeps what was replaced, within the server's 64 characters."""
    suffix = f"_before_{moment:%Y%m%d%H%M%S}"
    return name[: OBJECT_CHARACTERS - len(suffix)] + suffix


def problems(server: Server, login: RestoreLogin, final: str) -> Iterator[DbopsError]:
    """Give what would keep us from bringing the database FINAL back, were the swap to fail; reads only."""
    rows = server.main.rows(_REFERRING, [final, final])
    if rows:
        tables = ", ".join(f"{schema}.{table}" for schema, table in rows)
        text = f"foreign keys of other databases refer to tables of {final}, and would follow the old ones: {tables}"
        yield DbopsError(Reason.BLOCKED, text, field="target.database")
    yield from code.problems(server, login, final)


def has_content(server: Server, database: str) -> bool:
    """Whether there is anything in DATABASE."""
    return bool(tables(server, database)) or code.there(server, database)


def tables(server: Server, database: str) -> list[str]:
    """Give the tables and sequences of DATABASE that can be moved."""
    return [name for (name,) in server.main.rows(_TABLES, [database, RECORD])]


def swap(swapping: Swapping, *, made: bool, events: bytes) -> str | None:
    """Put what is in the fresh database in its place, and keep what was there; MADE: the final one was just made.

    EVENTS are what was put aside while loading. Gives the name of the database that keeps it; None when there was
    nothing. Whatever fails, all is as it was.
    """
    server, fresh, final = swapping.server, swapping.fresh, swapping.final
    new = code_of(swapping, fresh, events=False)
    old = b"" if made else code_of(swapping, final, events=True)
    replaced = [] if made else tables(server, final)
    content = bool(replaced) or code.there(server, final)
    previous = previous_name(final, datetime.datetime.now(datetime.UTC)) if content else None
    _record(swapping, _Record(previous, old, made=made, replaced=len(replaced)))
    try:
        if previous:
            send(server, Statement("CREATE DATABASE {}", Identifier(previous)), f"database {previous}")
        code.drop(server, final)
        code.drop_triggers(server, fresh)
        _move(server, [(final, replaced, previous or ""), (fresh, tables(server, fresh), final)])
        for text in (new, events):
            _replay(swapping, text, final, by_login=True)
        _check(swapping, [new, events])
        if previous:
            _as_it_was(swapping, old, previous, events=False)
    except BaseException:
        recover(server, swapping.login, fresh=fresh, final=final, tools_path=swapping.tools_path)
        raise
    # This finishes it: from here on nothing is taken back.
    send(server, Statement("DROP TABLE {}", Identifier(fresh, RECORD)), f"record of {fresh}")
    send(server, Statement("DROP DATABASE {}", Identifier(fresh)), f"database {fresh}")
    return previous


def recover(server: Server, login: RestoreLogin, *, fresh: str, final: str, tools_path: Sequence[str]) -> bool:
    """Take back a swap that did not finish, by what is recorded in FRESH; give whether there was one."""
    record = _recorded(server, fresh)
    if record is None:
        return False
    swapping = Swapping(server, login, None, fresh, final, tools_path)
    if record.made:
        send(server, Statement("DROP DATABASE IF EXISTS {}", Identifier(final)), f"database {final}")
    else:
        _take_back(swapping, record)
    send(server, Statement("DROP TABLE {}", Identifier(fresh, RECORD)), f"record of {fresh}")
    return True


def code_of(swapping: Swapping, database: str, *, events: bool) -> bytes:
    """Give all of DATABASE that has a definer, EVENTS (whose sight takes a right) or not, as the tool writes it."""
    server = swapping.server
    tool = tools.mysql("dump", server.engine, server.facts.dialect.version_number, swapping.tools_path)
    options = {"no_data": True, "triggers": True, "routines": True, "events": events, "exclude_tables": [RECORD]}
    text = io.BytesIO()
    dump(Dumping(tool, server.connector.options, database, options), text.write, _unwatched())
    return text.getvalue()


def _take_back(swapping: Swapping, record: _Record) -> None:
    server, fresh, final, previous = swapping.server, swapping.fresh, swapping.final, record.previous
    kept = tables(server, previous) if previous else []
    if kept and previous:
        code.drop_triggers(server, previous)
    code.drop(server, final)
    # Either all tables were moved or none.
    if kept or not record.replaced:
        _move(server, [(final, tables(server, final), fresh), (previous or "", kept, final)])
    _as_it_was(swapping, record.code, final, events=True)
    if previous:
        send(server, Statement("DROP DATABASE IF EXISTS {}", Identifier(previous)), f"database {previous}")


def _move(server: Server, moves: Sequence[tuple[str, Sequence[str], str]]) -> None:
    """Move tables, all of them or none: for each (from, tables, to)."""
    pairs: list[Part] = [
        Statement("{} TO {}", Identifier(source, name), Identifier(target, name))
        for source, names, target in moves
        for name in names
    ]
    if pairs:
        send(server, Statement("RENAME TABLE {}", Joined(pairs)), f"move tables of {moves[0][0]}")


def _as_it_was(swapping: Swapping, text: bytes, database: str, *, events: bool) -> None:
    """Make what had a definer anew in DATABASE, with the same definers; EVENTS or not: they would fire."""
    if code.sets_definers(swapping.server) or not code.is_of(text, swapping.login):
        _replay(swapping, text, database, by_login=False, events=events)
        return
    password = swapping.login.open([swapping.fresh, swapping.final, database])
    _replay(replace(swapping, password=password), text, database, by_login=True, events=events)
    if database != swapping.final:
        swapping.login.revoke(database)
    swapping.login.lock()


def _replay(swapping: Swapping, text: bytes, database: str, *, by_login: bool, events: bool = True) -> None:
    """Make what has a definer anew in DATABASE.

    BY_LOGIN: as the restore's login, which becomes the definer. Else by our own account, with the definers there were.
    """
    server = swapping.server
    if not text:
        return
    selection = Selection(code_only=True, events=events)
    definer = b"DEFINER=CURRENT_USER" if by_login else None
    source = Rewriting(
        io.BytesIO(text), database=database, selection=selection, table=_ignore, own=True, definer=definer
    )
    tool = tools.mysql("client", server.engine, server.facts.dialect.version_number, swapping.tools_path)
    user = swapping.login.name.user if by_login else None
    password = swapping.password if by_login else None
    loading = Loading(tool, server.connector.options, database, user, password)
    load(loading, source, _unwatched(), doing=f"make views, triggers and routines of {database} anew")


def _check(swapping: Swapping, texts: Sequence[bytes]) -> None:
    """Compare what was made anew with what there was in the fresh database."""
    expected = Counter[str]()
    for text in texts:
        expected.update(code.counts(text))
    found = code.counts(code_of(swapping, swapping.final, events="events" in expected))
    if dict(expected) != found:
        problem = f"after the swap database {swapping.final} has {found} and not {dict(expected)}"
        raise DbopsError(Reason.INTERNAL_ERROR, problem)


def _record(swapping: Swapping, record: _Record) -> None:
    table, doing = Identifier(swapping.fresh, RECORD), f"record of {swapping.fresh}"
    send(swapping.server, Statement(_CREATE_RECORD, table), doing)
    values = (record.previous, record.code.hex(), record.made, record.replaced)
    statement = Statement("INSERT INTO {} VALUES ({})", table, Joined([Literal(value) for value in values]))
    send(swapping.server, statement, doing)


def _recorded(server: Server, database: str) -> _Record | None:
    known = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
    if not server.main.rows(known, [database, RECORD]):
        return None
    query = f"SELECT previous, code, made, replaced FROM {quoting.name(database)}.{RECORD}"  # noqa: S608 (quoted)
    rows = server.main.rows(query)
    if not rows:
        # It was cut off before anything was touched.
        return None
    ((previous, old, made, replaced),) = rows
    return _Record(previous, bytes.fromhex(old), made=bool(made), replaced=int(replaced))


def _unwatched() -> Watch:
    """A swap is not cancelled half-way."""
    return Watch(progress=_ignore, cancelled=lambda: False, seconds=None)


def _ignore(_unused: object) -> None:
    """Nobody waits for it."""
