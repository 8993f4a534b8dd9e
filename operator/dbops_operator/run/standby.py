# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of ansible-runner: started ahead of need, given one unit of work over its socket, and awaited to its end.

The pool (run/pool.py) starts it and hands the unit over. Results come object by object over the socket; the
runner's event at the end of the task is the record, and a difference between the two is logged. Nothing secret is
in the run's folder, argv or environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ansible_runner

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import VERSION, ObjectResult
from dbops_operator.run import protocol
from dbops_operator.run.directory import RunFolder
from dbops_operator.work import Outcome, RunFailed, UnitOfWork

logger = logging.getLogger(__name__)

PLAYBOOK = "dbprovision.dbops.converge"
SECONDS_TO_GET_READY = 60.0
SECONDS_TO_END = 20.0
_HELLO_SECONDS = 5.0


class Run:
    """One run. `ready` first, then `work` once; `kill` at any time; `ended` is set when nothing of it is left."""

    def __init__(self, folder: RunFolder) -> None:
        """Use the FOLDER, which is removed at the end."""
        self.folder = folder
        self.name = folder.path.name
        self.started = time.monotonic()
        self.ended = asyncio.Event()
        self.usable = True
        self._loop = asyncio.get_running_loop()
        self._peer: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = self._loop.create_future()
        self._record: list[Mapping[str, Any]] | None = None
        self._said: list[Mapping[str, Any]] | None = None
        self._output = ""
        self._worker = 0
        self._stopping = threading.Event()
        self._server: asyncio.Server | None = None

    async def ready(self) -> None:
        """Start the run and return when it waits for work. Raises RunFailed."""
        self._server = await asyncio.start_unix_server(self._greet, path=str(self.folder.socket))
        threading.Thread(target=self._ansible, name=f"run-{self.name}", daemon=True).start()
        end = asyncio.ensure_future(self.ended.wait())
        either: set[asyncio.Future[Any]] = {self._peer, end}
        await asyncio.wait(either, timeout=SECONDS_TO_GET_READY, return_when=asyncio.FIRST_COMPLETED)
        end.cancel()
        if not self._peer.done():
            await self.kill()
            raise RunFailed(Reason.INTERNAL_ERROR, f"run {self.name} did not get ready: {self._output[-500:]}")

    async def work(
        self, unit: UnitOfWork, *, on_result: Callable[[ObjectResult], None], cancels: asyncio.Queue[str]
    ) -> Outcome:
        """Do UNIT. Raises RunFailed when the run breaks; it is killed after the unit's deadline."""
        self.usable = False
        reader, writer = await self._peer
        writer.write(protocol.encode({"type": "work", "requests": [unit.request()]}))
        sender = asyncio.ensure_future(self._forward(cancels, writer))
        try:
            async with asyncio.timeout(unit.deadline):
                return await self._results(reader, on_result)
        except TimeoutError as error:
            await self.kill()
            text = f"run {self.name} took longer than {unit.deadline:.0f} s and was ended"
            raise RunFailed(Reason.TIMEOUT, text) from error
        except BaseException:
            await self.kill()
            raise
        finally:
            sender.cancel()

    async def finish(self) -> None:
        """Wait for the process to end, and judge it; a run that hangs at its end is killed."""
        try:
            async with asyncio.timeout(SECONDS_TO_END):
                await self.ended.wait()
        except TimeoutError:
            logger.error("run %s did not end by itself and was killed", self.name)
            await self.kill()
        if self._said is not None and self._record != self._said and not _truncated(self._record):
            logger.error("InternalError: the record of run %s differs from what it said before", self.name)

    async def kill(self) -> None:
        """End all processes of the run and wait until they are gone."""
        self.usable = False
        self._stopping.set()
        if self._server:
            self._server.close()
        if self._peer.done() and not self._peer.cancelled():
            self._peer.result()[1].close()
        for pid in await asyncio.to_thread(processes, self.folder.path, self._worker):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.ended.wait()

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Let in exactly one peer: it knows the nonce, and is a process of ours."""
        peer = writer.get_extra_info("socket").getsockopt(1, 17, 12)  # SOL_SOCKET, SO_PEERCRED: pid, uid, gid
        pid = int.from_bytes(peer[:4], "little")
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                hello = await protocol.read(reader)
        except (protocol.ProtocolError, TimeoutError):
            hello = None
        known = hello is not None and hello.get("type") == "hello" and hello.get("nonce") == self.folder.nonce
        if not known or self._peer.done() or not protocol.is_descendant(pid, os.getpid()):
            logger.error("run %s: process %d was turned away from the socket", self.name, pid)
            writer.close()
            return
        self._worker = pid
        self._peer.set_result((reader, writer))

    async def _results(self, reader: asyncio.StreamReader, on_result: Callable[[ObjectResult], None]) -> Outcome:
        while True:
            try:
                message = await protocol.read(reader)
            except protocol.ProtocolError as error:
                raise RunFailed(Reason.INTERNAL_ERROR, f"run {self.name}: {error}") from error
            if message is None:
                raise RunFailed(Reason.INTERNAL_ERROR, f"run {self.name} ended before its work was done")
            if message["type"] == "object":
                on_result(ObjectResult.from_dict(message["result"]))
            elif message["type"] == "done":
                self._said = message["documents"]
                document = message["documents"][0]
                if document["version"] != VERSION:
                    raise RunFailed(Reason.INTERNAL_ERROR, f"results of version {document['version']} are not known")
                return Outcome(server=document["server"])

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
            logger.debug("run %s ended: %s", self.name, result.status)
        except Exception:  # a thread that dies silently would leave the run unended
            logger.exception("run %s broke", self.name)
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


def _truncated(record: list[Mapping[str, Any]] | None) -> bool:
    return record is not None and any(one.get("truncated") for one in record)


def processes(folder: Path, worker: int) -> list[int]:
    """Process ids of a run: all that name its FOLDER in their arguments, and its WORKER."""
    found = [worker] if worker else []
    name = os.fsencode(folder) + b"/"
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if name in (process / "cmdline").read_bytes() and int(process.name) != os.getpid():
                found.append(int(process.name))
    return found
