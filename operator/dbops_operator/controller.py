# SPDX-License-Identifier: GPL-3.0-or-later
"""The control loop: what the watches saw becomes keys, keys become calls of reconcilers, verdicts become times.

Level-based: a reconciler always reads the newest state. One key is in work at most once; an edit or a delete that
comes meanwhile sets its `cancel`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator.client import ApiError, Client
from dbops_operator.context import Context, Reconcilers
from dbops_operator.events import Events
from dbops_operator.keys import Key
from dbops_operator.logs import Subject, subject
from dbops_operator.metrics import Metrics
from dbops_operator.queue import Queue
from dbops_operator.resources import OWN_KINDS, REFERRED_KINDS
from dbops_operator.settings import Settings
from dbops_operator.store import Body, Change, Changes, Store
from dbops_operator.template_process import TemplateProcess
from dbops_operator.work import Done, Lanes, LongLanes, Priority, Retry, Verdict, verdict

logger = logging.getLogger(__name__)

IN_WORK = 2000
"""Keys in work at a time. Most of them wait for their server's lane, which costs only memory."""
_NOTABLE = (
    Change.APPEARED | Change.SPEC | Change.DELETION | Change.METADATA | Change.READINESS | Change.VANISHED
    | Change.RECREATED
)  # fmt: skip
_in_work: contextvars.ContextVar[Key | None] = contextvars.ContextVar("key_in_work", default=None)


@dataclass
class _KeptBack:
    """What the watch said of an object while we wrote it, and the resourceVersion that our write gave it."""

    change: Change = Change.NONE
    version: str = ""


class Controller:
    """The loop of one operator process."""

    def __init__(
        self,
        *,
        store: Store,
        settings: Settings,
        metrics: Metrics,
        reconcilers: Reconcilers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; `client`, both `lanes`, `events` and `templates` are set before `run`."""
        self.client: Client
        self.lanes: Lanes
        self.long_lanes: LongLanes
        self.events: Events
        self.templates: TemplateProcess
        self.beat = clock()
        """When the loop last turned (monotonic seconds)."""
        self.begun = False
        """Whether it turns yet: one that does not lead only watches."""
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._reconcilers = reconcilers
        self._clock = clock
        self._queue = Queue()
        self._news = asyncio.Event()
        self._cancels: dict[Key, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._needed_by: defaultdict[Key, set[Key]] = defaultdict(set)
        self._needs: dict[Key, set[Key]] = {}
        self._kept_back: dict[Key, _KeptBack] = {}

    def seen(self, event: str, body: dict[str, Any]) -> None:
        """Take an event of a watch of our own kinds."""
        key = Key.of(body)
        change = self._store.remove(key) if event == "DELETED" else self._store.put(body)
        self.changed([(key, change)])

    @contextlib.contextmanager
    def writing(self, key: Key) -> Iterator[None]:
        """Keep back what a watch says of KEY while it is written: its echo may be faster than the answer."""
        if key.kind not in REFERRED_KINDS or key in self._kept_back:
            yield
            return
        self._kept_back[key] = kept_back = _KeptBack()
        try:
            yield
        finally:
            del self._kept_back[key]
            seen = self._store.get(key)
            only_ours = seen is not None and seen["metadata"].get("resourceVersion") == kept_back.version
            self._wake_dependants(key, kept_back.change, but=_in_work.get() if only_ours else None)

    def written(self, body: Body) -> None:
        """Take what the API server gave back for a write of ours; the watch's echo of it is then no news."""
        key = Key.of(body)
        if key.kind in REFERRED_KINDS:
            if key in self._kept_back:
                self._kept_back[key].version = body["metadata"]["resourceVersion"]
            # Only metadata is kept, and who wrote it knows of it already.
            body = {name: body[name] for name in ("apiVersion", "kind", "metadata")}
            self._wake_dependants(key, self._store.put(body), but=_in_work.get())
        elif key.kind in OWN_KINDS and not _is_gone(body):
            known = self._store.get(key)
            # The watch may have told already that the object is gone.
            if known and known["metadata"]["uid"] == body["metadata"]["uid"]:
                self.changed([(key, self._store.put(body))])

    def changed(self, changes: Changes) -> None:
        """Wake whom the CHANGES concern."""
        for key, change in changes:
            if not change:
                continue
            if key.kind in OWN_KINDS:
                self._object_changed(key, change)
            if key in self._kept_back:
                self._kept_back[key].change |= change
            else:
                self._wake_dependants(key, change)

    def wake(self, key: Key, priority: Priority) -> None:
        """Have a key looked at."""
        self._queue.add(key, priority, now=self._clock())
        self._news.set()

    async def list_all(self) -> None:
        """Take the present state of all our kinds."""
        for kind in sorted(OWN_KINDS):
            for namespace in self._settings.namespaces or ("",):
                bodies, version = await self.client.list_with_version(kind, namespace)
                self.changed(self._store.replace(kind, bodies, version=version, namespace=namespace))

    async def run(self, stop: asyncio.Event) -> None:
        """Take keys and have them worked on until STOP."""
        stopping = asyncio.ensure_future(stop.wait())
        self.begun = True
        while not stop.is_set():
            self.beat = self._clock()
            self._take_due()
            self._news.clear()
            news = asyncio.ensure_future(self._news.wait())
            at = self._queue.next_time()
            timeout = 5.0 if at is None else min(5.0, max(0.0, at - self._clock()))
            await asyncio.wait({news, stopping}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        stopping.cancel()

    async def drain(self, seconds: float) -> None:
        """Let what is in work end for SECONDS, then take it out of work between two steps."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for cancel in self._cancels.values():
            cancel.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2.0)
        await self.abandon()

    async def abandon(self) -> None:
        """Give up what is in work, wherever it is."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _object_changed(self, key: Key, change: Change) -> None:
        body = self._store.get(key)
        if change & Change.VANISHED or body is None:
            self._queue.forget(key)
            self._metrics.forget(key.kind, key.namespace, key.name)
        if change.supersedes and key in self._cancels:
            self._cancels[key].set()
        if body is None or not change.concerns_itself or not self._mine(key, body):
            return
        self._queue.fresh(key)
        deleted = bool(body["metadata"].get("deletionTimestamp"))
        self.wake(key, Priority.DELETE if deleted else Priority.CHANGE)

    def _mine(self, key: Key, body: Body) -> bool:
        return self._settings.claims(body["metadata"].get("labels")) and self._settings.looks_after(key.namespace)

    def _wake_dependants(self, key: Key, change: Change, *, but: Key | None = None) -> None:
        if change & _NOTABLE:
            for dependant in tuple(self._needed_by.get(key, ())):
                if dependant != but:
                    self.wake(dependant, Priority.DEPENDENCY)

    def _take_due(self) -> None:
        while len(self._tasks) < IN_WORK:
            taken = self._queue.take(now=self._clock())
            if taken is None:
                break
            key, priority, waited = taken
            self._metrics.queue_latency.observe(waited)
            task = asyncio.create_task(self._work(key, priority), name=key.ref)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._metrics.queue_working.set(self._queue.in_work())
        for priority, count in self._queue.depth().items():
            self._metrics.queue_depth.labels(priority.name.lower()).set(count)

    async def _work(self, key: Key, priority: Priority) -> None:
        """Have one key worked on, and tell the queue how it went."""
        _in_work.set(key)
        subject.set(Subject(object=key.ref))
        begin = self._clock()
        needs: set[Key] = set()
        self._cancels[key] = cancel = asyncio.Event()
        decision: Verdict = Retry(Reason.INTERNAL_ERROR)
        try:
            body = self._store.get(key)
            if body is None or self._mine(key, body):
                decision = await self._reconcilers[key.kind](self._context(key, priority, cancel, needs), key)
            else:
                decision = Done()
        except ApiError as error:
            logger.warning("%s: the API server said: %s", key.ref, error)
            decision = Retry(Reason.INTERNAL_ERROR, after=getattr(error, "retry_after", None))
        except DbopsError as error:
            logger.warning("%s: %s: %s", key.ref, error.reason, error.message)
            decision = verdict(error.reason)
        except Exception:  # one object's bug must not end the loop
            logger.exception("%s: a bug, please report it", key.ref)
        finally:
            self._cancels.pop(key, None)
            self._forget_needs(key, needs)
            self._metrics.reconciles.labels(key.kind.lower(), _RESULTS[type(decision).__name__]).inc()
            self._metrics.reconcile_time.labels(key.kind.lower()).observe(self._clock() - begin)
            self._queue.done(key, decision, now=self._clock())
            self._news.set()

    def _context(self, key: Key, priority: Priority, cancel: asyncio.Event, needs: set[Key]) -> Context:
        def depends(on: Key) -> None:
            needs.add(on)
            self._needed_by[on].add(key)

        return Context(
            api=self.client,
            store=self._store,
            lanes=self.lanes,
            long_lanes=self.long_lanes,
            settings=self._settings,
            events=self.events,
            metrics=self._metrics,
            templates=self.templates,
            cancel=cancel,
            priority=priority,
            depends=depends,
            wake=self.wake,
        )

    def _forget_needs(self, key: Key, needs: set[Key]) -> None:
        for former in self._needs.pop(key, set()) - needs:
            self._needed_by[former].discard(key)
            if not self._needed_by[former]:
                del self._needed_by[former]
        if needs:
            self._needs[key] = needs


_RESULTS = {"Done": "success", "Retry": "error", "Wait": "requeue", "Human": "error"}


def _is_gone(body: Body) -> bool:
    """Whether the write took the last finalizer off an object that is being deleted: it is gone then."""
    metadata = body["metadata"]
    return bool(metadata.get("deletionTimestamp")) and not metadata.get("finalizers")
