# SPDX-License-Identifier: GPL-3.0-or-later
"""The one entry of the engine: a list of declared objects for one server in, the result document out.

Called by every module, action plugin and standby run. Validate, connect, observe everything at once, then object
by object in the order of dependencies: plan, and where there is something to do, lock, look again, plan again,
apply. An object that fails does not stop the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import (
    argument_specs,
    companions,
    engines,
    identity,
    order,
    parse,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Desired
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import Epoch
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.objects import Objects
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import CancelCheck
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult, document
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.server import Server

Report = Callable[[ObjectResult], None]


def converge(
    request: Mapping[str, Any], *, on_result: Report | None = None, cancelled: CancelCheck | None = None
) -> dict[str, Any]:
    """Bring the objects of REQUEST to their declared state; give the document of core.results.

    REQUEST has `connection`, `objects`, `check`, `acknowledge`, `drop_brake`, `dbops_epoch` and `server_identity`;
    without the last any server will do, and an empty one is held to its own ledger's record. Raises nothing for what
    goes wrong with a server or an object: every object gets a result. ON_RESULT is called with each the moment that it
    is final; CANCELLED is asked with an object's ref between its steps.
    """
    run = _Run(request, on_result or (lambda _: None), cancelled or (lambda _: False))
    return run.document()


class _Run:
    """One call of `converge`: the results so far, by ref."""

    def __init__(self, request: Mapping[str, Any], report: Report, cancelled: CancelCheck) -> None:
        self._request = request
        self._report = report
        self._cancelled = cancelled
        self._results: dict[str, ObjectResult] = {}
        self._parts: dict[str, list[Desired]] = {}
        self._refused: dict[str, tuple[str, DbopsError] | None] = {}
        self._found: dict[str, list[ObjectResult]] = {}

    def document(self) -> dict[str, Any]:
        parsed = parse.entries(
            self._request.get("objects") or [], str((self._request.get("connection") or {}).get("engine", "postgres"))
        )
        declared = [part for one in parsed if isinstance(one, Desired) for part in companions.expand(one)]
        for one in declared:
            self._parts.setdefault(companions.belongs_to(one.ref), []).append(one)
        for entry in parsed:
            if isinstance(entry, parse.Invalid):
                self._final(_failed(entry.ref, entry.error))
        try:
            server = self._on_server(declared)
        except Exception as unexpected:  # noqa: BLE001 (a bug while connecting or observing is every object's result)
            error = unexpected if isinstance(unexpected, DbopsError) else _internal(unexpected)
            server = {"reachable": False, "reason": error.reason.value, "message": error.message}
            for entry in parsed:
                if entry.ref not in self._results:
                    self._final(_failed(entry.ref, error))
        return document([self._results[entry.ref] for entry in parsed], server)

    def _on_server(self, declared: Sequence[Desired]) -> dict[str, Any]:
        options = parse.connection(self._request.get("connection") or {})
        check = bool(self._request.get("check"))
        epoch = None if check else Epoch.from_options(self._request.get("dbops_epoch"))
        with engines.server(options, epoch) as server:
            server.take_over()
            server.observe(declared)
            objects = Objects(
                server,
                check=check,
                acknowledged=tuple(self._request.get("acknowledge") or ()),
                brake=_brake(self._request.get("drop_brake")),
                cancelled=self._cancelled,
                stop=self._another(server),
            )
            self._all(order.ordered(declared), objects)
            return {"reachable": True, "engine": options["engine"]} | server.described()

    def _another(self, server: Server) -> DbopsError | None:
        """Give why nothing may be done: this is not the server that it was. What was acknowledged is written down."""
        expected = self._request.get("server_identity")
        if expected is None:
            return None
        actual, book = server.described()["system_identifier"], server.ledger
        recorded = book.identity if book else None
        acknowledged = tuple(self._request.get("acknowledge") or ())
        stop = identity.changed(expected=expected, recorded=recorded, actual=actual, acknowledged=acknowledged)
        if stop is None and book and actual and recorded not in (None, actual) and not self._request.get("check"):
            # What is in the ledger of a replica comes from its primary.
            with contextlib.suppress(DbopsError):
                server.require_changeable()
                book.settle(actual)
        return stop

    def _all(self, declared: Sequence[Desired], objects: Objects) -> None:
        """Work on the objects in their order; on those that waited for a later one once more at the end."""
        failed: dict[order.Thing, str] = {}
        waiting: list[tuple[Desired, ObjectResult]] = []
        places = {order.thing(one): number for number, one in enumerate(declared)}
        for number, one in enumerate(declared):
            result = self._one(one, ObjectResult(one.ref), objects, failed)
            if result.reason is Reason.DEPENDENCY_NOT_READY:
                if any(places.get(needed, -1) > number for needed in order.needs(one)):
                    waiting.append((one, result))
                    continue
            if result.failed or self._refused.get(companions.belongs_to(one.ref)):
                failed[order.thing(one)] = one.ref
            self._finish(result)
        for one, first in waiting:
            result = ObjectResult(one.ref, changed=first.changed, steps=first.steps)
            self._finish(self._one(one, result, objects, failed))

    def _one(
        self, one: Desired, result: ObjectResult, objects: Objects, failed: Mapping[order.Thing, str]
    ) -> ObjectResult:
        """Work on one object; what went wrong is in the RESULT, beside the steps that were done before."""
        try:
            if any(part.failed for part in self._found.get(companions.belongs_to(one.ref), ())):
                raise DbopsError(Reason.DEPENDENCY_NOT_READY, "what comes before it failed")
            if self._cancelled(companions.belongs_to(one.ref)):
                raise DbopsError(Reason.CANCELLED, "cancelled before it was begun")
            self._work(one, result, objects)
        except DbopsError as error:
            _fail(result, error)
            missing = sorted(companions.belongs_to(failed[needed]) for needed in order.needs(one) if needed in failed)
            if error.reason is Reason.DEPENDENCY_NOT_READY and missing:
                result.message += f" ({', '.join(missing)} failed in this run)"
        except Exception as error:  # noqa: BLE001 (one object's bug must not take the others with it)
            _fail(result, _internal(error))
        return result

    def _work(self, one: Desired, result: ObjectResult, objects: Objects) -> None:
        """Work on one object, unless the declaration that it is a part of is wrong: then on no part of that."""
        whole = companions.belongs_to(one.ref)
        if whole not in self._refused:
            self._refused[whole] = objects.refusal(self._parts[whole])
        refused = self._refused[whole]
        if refused is None:
            objects.converge(one, result)
        elif refused[0] == one.ref:
            raise refused[1]

    def _finish(self, result: ObjectResult) -> None:
        """Take the result of one part; the object is done when all its parts are."""
        ref = companions.belongs_to(result.ref)
        found = self._found.setdefault(ref, [])
        found.append(result)
        if len(found) == len(self._parts[ref]):
            self._final(companions.merged(found))

    def _final(self, result: ObjectResult) -> None:
        self._results[result.ref] = result
        self._report(result)


def _brake(options: Mapping[str, Any] | None) -> dict[str, int]:
    defaults = argument_specs.SERVER["drop_brake"]["options"]
    return {name: int((options or {}).get(name, spec["default"])) for name, spec in defaults.items()}


def _failed(ref: str, error: DbopsError) -> ObjectResult:
    result = ObjectResult(ref)
    _fail(result, error)
    return result


def _fail(result: ObjectResult, error: DbopsError) -> None:
    result.failed, result.reason, result.message, result.field = True, error.reason, error.message, error.field


def _internal(error: Exception) -> DbopsError:
    """Name a bug by its type and place; its text may hold anything, also values."""
    return DbopsError(Reason.INTERNAL_ERROR, f"{type(error).__name__} at {_place(error)}; please report it")


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if not trace:
        return "an unknown place"
    name = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{name}:{trace.tb_lineno}"
