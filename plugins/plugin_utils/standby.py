# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby run: started ahead of need, it waits on a private unix socket for work and answers object by object.

The other side is the operator (operator/dbops_operator/run), which started this run, made the socket in a folder
of its own and put a one-time nonce beside it. Work and its secrets come through the socket only. The messages
are those of core.protocol:

    out  hello   {protocol, nonce, pid}          in  work    {requests: [request of core.converge, ...]}
    out  alive   {}                              in  cancel  {request, ref}
    out  object  {request, result}               in  end     {}
    out  done    {documents}                     in  job     {ref, action, options, check}
    out  progress {progress}                     in  proceed {}
    out  finishing {}
    out  ended   {result}

Requests of one message are for different servers and are worked on side by side; until they are done `alive` comes
every second, so that a run that is slow is told from one that hangs. After `done` there may be more
work, for what gathered meanwhile, until `end` comes; a ref that was cancelled does not come again. If the other side
vanishes, or this process loses its parent, what is in work ends between two steps and nothing more is said, and the
process ends soon after in any case.

A job is long work for one object (backup/worker.py): instead of results it tells its progress, and `ended` is its end.
It is cancelled as an object is, by its ref and request 0. Before it does what must not be done twice it says
`finishing`, and waits for `proceed`: the other side has noted it then.
"""

from __future__ import annotations

import functools
import json
import os
import queue
import select
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import parse, protocol
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.argument_specs import CONNECTION
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

NONCE = "nonce"
"""Name of the file beside the socket; read and removed before anything is sent."""
MAX_EVENT = 700_000
"""ansible-runner silently empties the result of an event above this many characters (MAX_EVENT_RES)."""
FINISH = "finish"
"""The phase of a job that it must not do twice (backup/restoring.py)."""
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_TO_END = 2.0
_SECONDS_TO_END_JOB = 20.0


def serve(path: str) -> dict[str, Any]:
    """Wait for work on the socket PATH, do it, and give the task's result. Raises AnsibleActionFail without work."""
    _load_driver()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            nonce = _take_nonce(Path(path).with_name(NONCE))
            connection.connect(path)
        except OSError as error:
            raise AnsibleActionFail(f"the socket cannot be served: {error.strerror}: {path}") from error
        peer = _Peer(connection)
        peer.send({"type": "hello", "protocol": protocol.VERSION, "nonce": nonce, "pid": os.getpid()})
        documents: list[dict[str, Any]] = []
        while (work := peer.next_work()) is not None:
            documents += peer.do(work)
    if not documents:
        raise AnsibleActionFail("the standby run was not needed: its socket was closed before work came")
    return _record(documents)


def _take_nonce(file: Path) -> str:
    nonce = file.read_text(encoding="ascii")
    file.unlink()
    return nonce


def _load_driver() -> None:
    """Import what takes time before there is work."""
    import psycopg  # noqa: F401

    import ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.server  # noqa: F401


def _with_connection(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a job with the defaults of those that reach the server, if it has any."""
    given = {name: value for name, value in options.items() if name in CONNECTION}
    return {**options, **(parse.connection(given) if "login_host" in given else {})}


def _record(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The result that stays: the documents, or only their size where the event could not carry them."""
    result = {"changed": any(one["changed"] for one in documents), "documents": documents}
    if len(json.dumps(result)) > MAX_EVENT:
        counts = [{"truncated": True, "count": len(one.get("objects", ()))} for one in documents]
        result["documents"] = counts
    return result


class _Peer:
    """The operator at the other end: what it asks for, what it cancels, and whether it is still there."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        # What to do next; None: nothing more.
        self._given: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._cancelled: set[tuple[int, str]] = set()
        self._gone = False
        self._at_work = False
        self._has_job = False
        self._proceed = threading.Event()
        threading.Thread(target=self._listen, args=(os.getppid(),), daemon=True, name="dbops-standby").start()

    def send(self, message: Mapping[str, Any]) -> None:
        frame = protocol.encode(message)
        with self._sending:
            if self._gone:
                # Only the run's parent may be gone: what is given up for that was cancelled by nobody.
                return
            try:
                self._connection.sendall(frame)
            except OSError:
                # Whoever asked is gone: the reader notices as well and ends this run.
                self._gone = True

    def done(self, message: Mapping[str, Any]) -> None:
        """Send the MESSAGE that ends a piece of work; whether the other side stays or goes is of no interest then."""
        self._at_work = False
        self.send(message)

    def next_work(self) -> Mapping[str, Any] | None:
        """Wait for a message with work; None when there is no more."""
        return self._given.get()

    def do(self, work: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Do what a message asks for, tell its end, and give the documents that came of it."""
        if work["type"] == "job":
            result = self._do_job(work)
            self.done({"type": "ended", "result": result})
            return [result]
        requests = list(work["requests"])
        with ThreadPoolExecutor(max_workers=max(1, len(requests))) as pool:
            documents = list(pool.map(self.converge, range(len(requests)), requests))
        self.done({"type": "done", "documents": documents})
        return documents

    def _do_job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        # Imported here: most runs never need the stores' client.
        from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import worker

        ref = (0, str(job["ref"]))
        self._has_job = True
        try:
            return worker.run(
                job["action"],
                _with_connection(job["options"]),
                check=bool(job["check"]),
                progress=functools.partial(self._tell, ref),
                cancelled=lambda: self._gone or ref in self._cancelled,
            )
        finally:
            self._has_job = False

    def _tell(self, ref: tuple[int, str], progress: Mapping[str, Any]) -> None:
        self.send({"type": "progress", "progress": dict(progress)})
        if progress["phase"] != FINISH:
            return
        self.send({"type": "finishing"})
        while not self._proceed.wait(_SECONDS_BETWEEN_LOOKS):
            if self._gone or ref in self._cancelled:
                raise DbopsError(Reason.CANCELLED, "the work was cancelled")

    def converge(self, number: int, request: Mapping[str, Any]) -> dict[str, Any]:
        return converge(
            request,
            on_result=lambda one: self.send({"type": "object", "request": number, "result": one.to_dict()}),
            cancelled=lambda ref: self._gone or (number, ref) in self._cancelled,
        )

    def _listen(self, parent: int) -> None:
        try:
            self._read_messages(parent)
        except (OSError, ValueError, KeyError, TypeError, protocol.ProtocolError):
            # The socket was closed, by us at the end or by the other side, or what came is no message of ours.
            pass
        finally:
            self._end()

    def _read_messages(self, parent: int) -> None:
        """Take messages until the other side is gone, or the process that started us."""
        decoder = protocol.Decoder()
        while os.getppid() == parent:
            readable, _ignored, _ignored = select.select([self._connection], [], [], _SECONDS_BETWEEN_LOOKS)
            if not readable:
                if self._at_work:
                    self.send({"type": "alive"})
            else:
                data = self._connection.recv(1 << 16)
                if not data:
                    return
                for message in decoder.feed(data):
                    self._take(message)

    def _take(self, message: Mapping[str, Any]) -> None:
        if message["type"] in ("work", "job"):
            self._at_work = True
            self._given.put(message)
        elif message["type"] == "proceed":
            self._proceed.set()
        elif message["type"] == "end":
            self._given.put(None)
        elif message["type"] == "cancel":
            self._cancelled.add((int(message["request"]), str(message["ref"])))

    def _end(self) -> None:
        self._gone = True
        self._given.put(None)
        if not self._at_work:
            return
        # What is in work stops between two steps, and a statement that hangs is given up on the server. Nobody reads
        # what this process would still say, so it does not stay for longer than that takes.
        from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import connection as mysql
        from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import connection as postgresql

        postgresql.cancel_all()
        mysql.cancel_all()
        # What a job has begun outside, an upload or a database, takes longer to be taken back.
        threading.Event().wait(_SECONDS_TO_END_JOB if self._has_job else _SECONDS_TO_END)
        if self._at_work:
            os._exit(1)
