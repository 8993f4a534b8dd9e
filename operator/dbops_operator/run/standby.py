# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of ansible-runner: started ahead of need, given work over its socket, and awaited to its end.

The pool (run/pool.py) starts it and hands a unit of work over, which may be followed by what gathers meanwhile. Results
come object by object over the socket; the runner's event at the end of the task is the record, and a difference between
the two is logged. Nothing secret is in the run's folder, argv or environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import ansible_runner

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import VERSION, ObjectResult
from dbops_operator.run import processes, protocol
from dbops_operator.run.directory import RunFolder
from dbops_operator.work import Job, Outcome, RunFailed, RunNotStarted, Told, UnitOfWork

logger = logging.getLogger(__name__)

PLAYBOOK = "dbprovision.dbops.converge"
SECONDS_TO_GET_READY = 60.0
SECONDS_TO_END = 20.0
SECONDS_OF_SILENCE = 30
"""How long a run may give no sign of life while it is at work; it gives one every second."""
SECONDS_TO_END_JOB = 60.0
"""How long a job may take to end by itself after its deadline."""
SECONDS_TO_TAKE_BACK = 5.0
"""How long it may take when the operator itself ends."""
_CONTENT = {"progress": "progress", "ended": "result"}
_HELLO_SECONDS = 5.0
_SECONDS_BETWEEN_KILLS = 0.05


class Run:
    """One run. `ready` first, then `work` once; `kill` at any time; `ended` is set when nothing of it is left."""

    def __init__(self, folder: RunFolder) -> None:
        """Use the FOLDER, which is removed at the end."""
        self.folder = folder
        self.name = folder.path.name
        self._log = logging.LoggerAdapter(logger, {"run": self.name})
        self.started = time.monotonic()
        self.ended = asyncio.Event()
        self.usable = True
        self._loop = asyncio.get_running_loop()
        self._peer: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = self._loop.create_future()
        self._record: list[Mapping[str, Any]] | None = None
        self._said: list[Mapping[str, Any]] = []
        self._complete = False
        self._output = ""
        self._status = ""
        self._stopping = threading.Event()
        self._server: asyncio.Server | None = None

    async def ready(self) -> None:
        """Start the run and return when it waits for work. Raises RunNotStarted."""
        try:
            self._server = await asyncio.start_unix_server(self._greet, path=str(self.folder.socket))
        except OSError as error:
            self.folder.remove()
            self.ended.set()
            raise RunNotStarted(Reason.INTERNAL_ERROR, f"run {self.name} has no socket: {error}") from error
        threading.Thread(target=self._ansible, name=f"run-{self.name}", daemon=True).start()
        end = asyncio.ensure_future(self.ended.wait())
        either: set[asyncio.Future[Any]] = {self._peer, end}
        await asyncio.wait(either, timeout=SECONDS_TO_GET_READY, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        why = f"{self._peer.exception() or ''}" if self._peer.done() else self._output[-500:]
        if why or not self._peer.done():
            await self.kill()
            raise RunNotStarted(Reason.INTERNAL_ERROR, f"run {self.name} did not get ready: {why}")

    async def work(
        self,
        unit: UnitOfWork,
        *,
        on_result: Callable[[ObjectResult], None],
        cancels: asyncio.Queue[str],
        more: Callable[[Outcome], Awaitable[UnitOfWork | None]],
    ) -> None:
        """Do UNIT, and what MORE gives after it, to the end.

        Raises RunFailed when the run breaks; it is killed when it hangs, and when patience with an object ends.
        """
        self.usable = False
        reader, writer = await self._peer
        sender = asyncio.ensure_future(self._forward(cancels, writer))
        try:
            following: UnitOfWork | None = unit
            while following:
                unit = following
                writer.write(protocol.encode({"type": "work", "requests": [unit.request()]}))
                outcome = await self._with_patience(unit.patience, reader, on_result)
                following = await self._unless_ended(more(outcome))
            writer.write(protocol.encode({"type": "end"}))
            self._complete = True
        except BaseException as error:
            await self.kill()
            if isinstance(error, TimeoutError):
                text = f"run {self.name} took longer than {unit.patience:.0f} s for an object and was ended"
                raise RunFailed(Reason.TIMEOUT, text) from error
            if isinstance(error, protocol.ProtocolError):
                raise RunFailed(Reason.INTERNAL_ERROR, f"run {self.name}: {error}") from error
            raise
        finally:
            sender.cancel()

    async def job(self, job: Job, *, told: Told, cancels: asyncio.Queue[str]) -> Mapping[str, Any]:
        """Do JOB to its end and give its result. Raises RunFailed when the run breaks, or hangs after its deadline.

        When it may not go on, because this call is cancelled or TOLD says so, the run takes back what it has begun
        outside before it is killed.
        """
        self.usable = False
        reader, writer = await self._peer
        sender = asyncio.ensure_future(self._forward(cancels, writer))
        try:
            writer.write(protocol.encode(job.request()))
            async with asyncio.timeout(job.seconds + SECONDS_TO_END_JOB):
                result = await self._end_of_job(reader, writer, told)
            writer.write(protocol.encode({"type": "end"}))
            self._complete = True
            return result
        except TimeoutError as error:
            await self.kill()
            text = f"run {self.name} did not end after its deadline of {job.seconds:.0f} s and was killed"
            raise RunFailed(Reason.TIMEOUT, text) from error
        except protocol.ProtocolError as error:
            await self.kill()
            raise RunFailed(Reason.INTERNAL_ERROR, f"run {self.name}: {error}") from error
        except RunFailed:
            await self.kill()
            raise
        except BaseException:
            cancels.put_nowait(job.ref)
            with suppress(TimeoutError, RunFailed, protocol.ProtocolError):
                async with asyncio.timeout(SECONDS_TO_TAKE_BACK):
                    await self._end_of_job(reader, writer, Told(lambda _: None))
            await self.kill()
            raise
        finally:
            sender.cancel()

    async def _end_of_job(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: Told
    ) -> Mapping[str, Any]:
        while True:
            message = await self._next_message(reader)
            if message is None:
                raise RunFailed(Reason.INTERNAL_ERROR, f"run {self.name} ended before its work was done")
            found = message.get(_CONTENT.get(message["type"], ""))
            if message["type"] in _CONTENT and not isinstance(found, dict):
                raise protocol.ProtocolError(f"a message of type {message['type']} has no content")
            if message["type"] == "progress":
                told.progress(found or {})
            elif message["type"] == "finishing":
                await told.finishing()
                writer.write(protocol.encode({"type": "proceed"}))
            elif message["type"] == "ended":
                self._said.append(found or {})
                return found or {}

    async def _unless_ended(self, more: Awaitable[UnitOfWork | None]) -> UnitOfWork | None:
        """Wait for MORE to do; nothing comes to a run that ends meanwhile: another one does it."""
        coming, end = asyncio.ensure_future(more), asyncio.ensure_future(self.ended.wait())
        either: set[asyncio.Future[Any]] = {coming, end}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
            self._log.error("run %s ended while it waited for more to do", self.name)
            return None
        finally:
            coming.cancel()
            end.cancel()

    async def finish(self) -> None:
        """Wait for the process to end, and judge it; a run that hangs at its end is killed."""
        try:
            async with asyncio.timeout(SECONDS_TO_END):
                await self.ended.wait()
        except TimeoutError:
            self._log.error("run %s did not end by itself and was killed", self.name)
            await self.kill()
        if not self._complete:
            # It broke, was killed, and its objects were told.
            return
        if self._status != "successful":
            self._log.error("run %s did its work, and ended as %s: %s", self.name, self._status, self._output[-500:])
            await self.kill()
        elif self._record != self._said and not _truncated(self._record):
            self._log.error("InternalError: the record of run %s differs from what it said before", self.name)

    async def kill(self) -> None:
        """End all processes of the run and wait until they are gone."""
        self.usable = False
        self._stopping.set()
        if self._server:
            self._server.close()
        if self._peer.done() and not self._peer.cancelled() and not self._peer.exception():
            self._peer.result()[1].close()
        # Again and again: what is being started at this moment is not seen yet.
        while (left := await asyncio.to_thread(processes.of_run, self.folder.path)) or not self.ended.is_set():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.ended.wait(), _SECONDS_BETWEEN_KILLS)
            if left:
                await asyncio.sleep(_SECONDS_BETWEEN_KILLS)
        self.folder.remove()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let in exactly one peer: it knows the nonce, and is a process of this run."""
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # pid, uid, gid
        pid = int.from_bytes(peer[:4], sys.byteorder)
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                hello = await protocol.read(reader)
        except (protocol.ProtocolError, TimeoutError):
            hello = None
        if self._peer.done() or not self._knows_nonce(hello) or not self._is_ours(pid):
            self._log.error("run %s: process %d was turned away from the socket", self.name, pid)
            writer.close()
        elif hello is not None and hello.get("protocol") != protocol.VERSION:
            writer.close()
            text = f"the collection speaks version {hello.get('protocol')!r} of the protocol, not {protocol.VERSION}"
            self._peer.set_exception(protocol.ProtocolError(text))
        else:
            self._peer.set_result((reader, writer))

    def _knows_nonce(self, hello: Mapping[str, Any] | None) -> bool:
        if hello is None or hello.get("type") != "hello":
            return False
        return secrets.compare_digest(str(hello.get("nonce")).encode(), self.folder.nonce.encode())

    def _is_ours(self, pid: int) -> bool:
        return processes.belongs(pid, folder=self.folder.path, ancestor=os.getpid())

    async def _with_patience(
        self, seconds: float, reader: asyncio.StreamReader, on_result: Callable[[ObjectResult], None]
    ) -> Outcome:
        """Take results to the end of a unit. Raises TimeoutError when none comes for so many SECONDS."""
        async with asyncio.timeout(seconds) as limit:

            def take(result: ObjectResult) -> None:
                limit.reschedule(self._loop.time() + seconds)
                on_result(result)

            return await self._results(reader, take)

    async def _results(self, reader: asyncio.StreamReader, on_result: Callable[[ObjectResult], None]) -> Outcome:
        while True:
            message = await self._next_message(reader)
            if message is None:
                raise RunFailed(Reason.INTERNAL_ERROR, f"run {self.name} ended before its work was done")
            if message["type"] == "object":
                on_result(_result(message))
            elif message["type"] == "done":
                documents, outcome = _done(message)
                self._said += documents
                return outcome

    async def _next_message(self, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        """Wait for a message; None when the run is gone. Raises RunFailed when it hangs."""
        reading = asyncio.ensure_future(protocol.read(reader))
        try:
            # Second by second: where this process stands still itself, the run is not silent for longer than one.
            for _ in range(SECONDS_OF_SILENCE):
                await asyncio.wait({reading}, timeout=1.0)
                if reading.done():
                    return reading.result()
        finally:
            reading.cancel()
        text = f"run {self.name} gave no sign of life for {SECONDS_OF_SILENCE} s and was ended"
        raise RunFailed(Reason.TIMEOUT, text)

    async def _forward(self, cancels: asyncio.Queue[str], writer: asyncio.StreamWriter) -> None:
        while True:
            ref = await cancels.get()
            writer.write(protocol.encode({"type": "cancel", "request": 0, "ref": ref}))

    def _ansible(self) -> None:
        """Run ansible-playbook to its end; in a thread of its own, because ansible-runner blocks."""
        try:
            result = ansible_runner.run(
                private_data_dir=str(self.folder.path),
                playbook=PLAYBOOK,
                ident="a",
                quiet=True,
                suppress_output_file=True,
                fact_cache_type="memory",
                settings={"pexpect_timeout": 1, "suppress_ansible_output": True},
                event_handler=self._event,
                cancel_callback=self._stopping.is_set,
            )
            self._status = str(result.status)
            self._log.debug("run %s ended: %s", self.name, result.status)
        except Exception:  # noqa: BLE001 - a thread that dies silently would leave the run unended
            self._log.exception("run %s broke", self.name)
        finally:
            self.folder.remove()
            # At the operator's own end the loop may be closed already.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.ended.set)

    def _event(self, event: Mapping[str, Any]) -> bool:
        """Take the record out of the task's event; keep the end of the output for a run that fails."""
        if event.get("event") in ("runner_on_ok", "runner_on_failed"):
            documents = event["event_data"].get("res", {}).get("documents")
            if documents is not None:
                self._record = documents
        self._output = (self._output + str(event.get("stdout", "")))[-2000:]
        # False: the event is not kept in a file.
        return False


def _result(message: Mapping[str, Any]) -> ObjectResult:
    try:
        return ObjectResult.from_dict(message["result"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise protocol.ProtocolError(f"a result is not as it should be: {error!r}") from error


def _done(message: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], Outcome]:
    try:
        documents = message["documents"]
        version, server = documents[0]["version"], dict(documents[0]["server"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise protocol.ProtocolError(f"the end of the work is not as it should be: {error!r}") from error
    if version != VERSION:
        raise protocol.ProtocolError(f"results of version {version!r} are not known")
    return documents, Outcome(server=server)


def _truncated(record: list[Mapping[str, Any]] | None) -> bool:
    return record is not None and any(one.get("truncated") for one in record)
