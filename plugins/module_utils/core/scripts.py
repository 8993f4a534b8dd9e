# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a database's init_sql: what is pending, statement by statement, remembered after each.

Called by core.objects when the database is as declared. The session is the engine's (core.server.script_session):
one that logged in without administrator's rights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredDatabase, InitSQL
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import Superseded
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.init_sql import MEMORY, Progress
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Action, Step
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult, StepResult
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.server import Server

_THING = "database"


def run(
    server: Server, desired: DesiredDatabase, result: ObjectResult, *, check: bool, stopped: Callable[[], bool]
) -> None:
    """Run what is pending of DESIRED's init_sql, or tell it if CHECK; say in RESULT how far it came.

    Raises DbopsError for a statement that fails, unless the declaration says to go on.
    """
    if not desired.init_sql:
        raise AssertionError("the caller has looked")
    statements = desired.init_sql.sent
    progress = _progress(server, desired, desired.init_sql)
    if progress.finished:
        _tell(result, progress)
        return
    if check:
        for number in range(progress.done, len(statements)):
            _report(result, desired.name, number, len(statements))
        _tell(result, progress)
        server.foresee_script(desired.name)
        return
    with server.lock(_THING, desired.name):
        try:
            progress = _send(server, desired, statements, result, stopped)
        except DbopsError as error:
            progress = _progress(server, desired, desired.init_sql)
            _tell(result, progress, error=error.message)
            superseded = isinstance(error, Superseded)
            if desired.init_sql.blocks or superseded or error.reason in (Reason.CANCELLED, Reason.CONNECTION_FAILED):
                raise DbopsError(error.reason, f"init_sql: {error.message}", field="init_sql") from error
            result.warnings.append(f"init_sql: {error.message}")
            return
    _tell(result, progress)


def _send(
    server: Server,
    desired: DesiredDatabase,
    statements: Sequence[str],
    result: ObjectResult,
    stopped: Callable[[], bool],
) -> Progress:
    if not desired.init_sql:
        raise AssertionError("the caller has looked")
    # Somebody else may have run it while we waited for the lock.
    server.observe([desired])
    progress = _progress(server, desired, desired.init_sql)
    if progress.finished:
        return progress

    def remember(made: Mapping[str, str]) -> None:
        nonlocal progress
        progress = replace(progress, made=made)
        _record(server, desired, progress)

    def committed(steps: Sequence[Step]) -> None:
        result.steps += [step.result(server.masked(step.statement)) for step in steps]

    session = server.script_session(desired.name, made=progress.made, remember=remember, committed=committed)
    with session as send:
        for number in range(progress.done, len(statements)):
            if stopped():
                raise DbopsError(Reason.CANCELLED, f"cancelled before statement {number + 1}")
            try:
                server.require_current()
                send(statements[number])
            except DbopsError as error:
                text = f"statement {number + 1} of {len(statements)}: {error.message}"
                raise DbopsError(error.reason, text) from error
            progress = replace(progress, done=number + 1)
            _record(server, desired, progress)
            _report(result, desired.name, number, len(statements))
    progress = replace(progress, finished=True)
    _record(server, desired, progress)
    return progress


def _progress(server: Server, desired: DesiredDatabase, declared: InitSQL) -> Progress:
    entry = server.entries.get((_THING, desired.name))
    mine = entry is not None and entry.owner == desired.owner_record
    return Progress.of(declared, entry.applied if entry and mine else {})


def _record(server: Server, desired: DesiredDatabase, progress: Progress) -> None:
    entry = server.entries[_THING, desired.name]
    server.note(replace(entry, applied={**entry.applied, MEMORY: progress.remembered()}))


def _report(result: ObjectResult, database: str, number: int, count: int) -> None:
    """Tell of one statement; its text may hold secrets, and is not told."""
    place = f"init_sql, statement {number + 1} of {count}"
    result.steps.append(StepResult(Action.RUN.value, place, f"-- {place}", database=database))
    result.changed = True


def _tell(result: ObjectResult, progress: Progress, error: str | None = None) -> None:
    result.observed["init_sql"] = {
        "hash": progress.hash,
        "applied": progress.finished,
        "statements_executed": progress.done,
        "error": error,
    }
