# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the real ansible-runner against a real server: what they do, who may talk to them, how they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import VERSION, ObjectResult
from dbops_operator.metrics import Metrics
from dbops_operator.run import processes, protocol, standby
from dbops_operator.run.pool import Pool
from dbops_operator.run.standby import Run
from dbops_operator.settings import Settings
from dbops_operator.work import Item, Outcome, RunFailed, RunNotStarted, ServerTarget, UnitOfWork
from localstack.postgresql import Login, PostgreSQLServer
from localstack.postgresql_binaries import embedded

_KNOCK = """
import json, os, socket, sys
frame = json.dumps({"type": "hello", "protocol": 4, "nonce": sys.argv[2], "pid": os.getpid()}).encode()
with socket.socket(socket.AF_UNIX) as door:
    door.connect(sys.argv[1])
    door.sendall(len(frame).to_bytes(4, "big") + frame)
    door.settimeout(3)
    try:
        print("out" if door.recv(1) == b"" else "in")
    except TimeoutError:
        print("in")
"""


def unit(login: Login, *names: str, patience: float = 60) -> UnitOfWork:
    target = ServerTarget(f"postgres://{login.host}:{login.port}", login.options())
    items = [Item(name, {"kind": "database_user", "name": name, "password": f"secret-of-{name}"}) for name in names]
    return UnitOfWork(target, items, check=False, patience=patience)


class Work:
    """One unit handed to a pool, and what came of it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.run = ""
        self.results: list[ObjectResult] = []
        self.cancels: asyncio.Queue[str] = asyncio.Queue()
        self.outcomes: list[Outcome] = []

    async def do(self, *units: UnitOfWork) -> None:
        """Have one run do all of UNITS."""
        left = list(units)

        def begin(name: str) -> None:
            self.run = name

        async def more(outcome: Outcome) -> UnitOfWork | None:
            self.outcomes.append(outcome)
            return left.pop(0) if left else None

        first = left.pop(0)
        await self.pool.run(first, on_run=begin, on_result=self.look, cancels=self.cancels, more=more)

    def look(self, result: ObjectResult) -> None:
        """Take a result."""
        self.results.append(result)


@pytest_asyncio.fixture
async def pool(tmp_path: Path) -> AsyncIterator[Pool]:
    """A pool without standby runs: each run is started when there is work."""
    one = Pool(Settings(cluster_id="c", run_directory=tmp_path, standby_runs=0), Metrics())
    yield one
    await one.close()
    assert processes.of_run(tmp_path) == []
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest_asyncio.fixture
async def waiting(pool: Pool) -> Run:
    """A run that waits for work."""
    return await pool._prepare()


async def until(condition: Callable[[], bool]) -> None:
    """Return when CONDITION holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def knock(run: Run, nonce: str, **environment: str) -> str:
    """Try to be the run's worker; tells whether one was let "in" or turned "out"."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _KNOCK, str(run.folder.socket), nonce),
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **environment},
    )
    output, _ = await process.communicate()
    return output.decode().strip()


async def test_a_unit_is_done_and_its_results_come_back(
    pool: Pool, postgres: PostgreSQLServer, unique: Callable[..., str]
) -> None:
    names = [unique("u"), unique("u")]
    work = Work(pool)
    await work.do(unit(postgres.admin, *names))
    assert [outcome.server["reachable"] for outcome in work.outcomes] == [True]
    assert [(one.ref, one.changed, one.failed) for one in work.results] == [(name, True, False) for name in names]
    assert work.run == "r1"
    found = postgres.query("SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)", (names,))
    assert found == [(2,)]


async def test_one_run_does_what_follows_a_unit_and_its_record_holds_all(
    pool: Pool, postgres: PostgreSQLServer, unique: Callable[..., str], waiting: Run, caplog: pytest.LogCaptureFixture
) -> None:
    names = [unique("u"), unique("u"), unique("u")]
    pool._waiting.append(waiting)
    work = Work(pool)
    await work.do(unit(postgres.admin, names[0]), unit(postgres.admin, *names[1:]))
    assert [(one.ref, one.changed) for one in work.results] == [(name, True) for name in names]
    assert len(work.outcomes) == 2
    await asyncio.wait_for(waiting.ended.wait(), 20)
    await waiting.finish()
    assert waiting._record == waiting._said
    assert [[one["ref"] for one in document["objects"]] for document in waiting._said] == [names[:1], names[1:]]
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


async def test_the_folder_of_a_run_holds_no_secret_and_goes_with_it(
    pool: Pool, postgres: PostgreSQLServer, unique: Callable[..., str], waiting: Run
) -> None:
    name = unique("u")
    pool._waiting.append(waiting)
    seen: list[bytes] = []

    class Looking(Work):
        def look(self, result: ObjectResult) -> None:
            super().look(result)
            seen.extend(path.read_bytes() for path in waiting.folder.path.rglob("*") if path.is_file())
            for pid in processes.of_run(waiting.folder.path):
                with suppress(ProcessLookupError):
                    seen.extend(Path(f"/proc/{pid}/{file}").read_bytes() for file in ("cmdline", "environ"))

    work = Looking(pool)
    await work.do(unit(postgres.admin, name))
    assert seen
    assert not any(secret.encode() in content for content in seen for secret in (f"secret-of-{name}", "PGPASSWORD"))
    await asyncio.wait_for(waiting.ended.wait(), 20)
    assert not waiting.folder.path.exists()


async def test_only_the_runs_own_process_is_let_in(waiting: Run, pool: Pool) -> None:
    neighbour = await pool._prepare()
    as_neighbour = {"AWX_ISOLATED_DATA_DIR": f"{neighbour.folder.path}/artifacts/a"}
    as_member = {"AWX_ISOLATED_DATA_DIR": f"{waiting.folder.path}/artifacts/a"}
    fresh = Run(pool._folder.new_run())
    fresh._server = await asyncio.start_unix_server(fresh._greet, path=str(fresh.folder.socket))
    try:
        assert await knock(fresh, fresh.folder.nonce) == "out"
        assert await knock(fresh, fresh.folder.nonce, **as_neighbour) == "out"
        own = {"AWX_ISOLATED_DATA_DIR": f"{fresh.folder.path}/artifacts/a"}
        assert await knock(fresh, "0" * 32, **own) == "out"
        assert await knock(fresh, fresh.folder.nonce, **own) == "in"
        assert await knock(fresh, fresh.folder.nonce, **own) == "out"
    finally:
        fresh._server.close()
        fresh.ended.set()
        await fresh.kill()
    assert await knock(waiting, waiting.folder.nonce, **as_member) == "out"


async def test_a_collection_of_another_version_is_told_at_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "VERSION", 5)
    with pytest.raises(RunNotStarted, match="speaks version 4 of the protocol, not 5"):
        await asyncio.wait_for(pool._prepare(), standby.SECONDS_TO_GET_READY / 2)


async def test_a_run_that_cannot_start_says_why(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "PLAYBOOK", "dbprovision.dbops.nothing")
    with pytest.raises(RunNotStarted, match="nothing"):
        await asyncio.wait_for(pool._prepare(), standby.SECONDS_TO_GET_READY / 2)


async def test_a_unit_that_takes_too_long_is_ended_with_all_its_processes(pool: Pool) -> None:
    with PostgreSQLServer(embedded()) as server:
        server.pause()
        with pytest.raises(RunFailed) as caught:
            await Work(pool).do(unit(server.admin, "app", patience=1))
    assert caught.value.reason is Reason.TIMEOUT
    assert processes.of_run(pool._folder.path) == []


async def test_patience_is_for_one_object(pool: Pool) -> None:
    run = Run(pool._folder.new_run())
    reader, loop = asyncio.StreamReader(), asyncio.get_running_loop()
    end = {"type": "done", "documents": [{"version": VERSION, "server": {"reachable": True}}]}
    given = [{"type": "object", "request": 0, "result": ObjectResult(ref).to_dict()} for ref in "abc"]
    for number, message in enumerate([*given, end], start=1):
        loop.call_later(0.5 * number, reader.feed_data, protocol.encode(message))
    results: list[ObjectResult] = []
    outcome = await run._with_patience(1, reader, results.append)
    assert ([one.ref for one in results], outcome.server) == (["a", "b", "c"], {"reachable": True})
    with pytest.raises(TimeoutError):
        await run._with_patience(1, reader, results.append)


async def test_a_run_that_hangs_is_ended_long_before_patience_ends(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standby, "SECONDS_OF_SILENCE", 3)
    with PostgreSQLServer(embedded()) as server:
        server.pause()
        work = asyncio.create_task(Work(pool).do(unit(server.admin, "app")))
        await until(lambda: any(not run.usable for run in pool._running))
        for pid in processes.of_run(pool._folder.path):
            os.kill(pid, signal.SIGSTOP)
        with pytest.raises(RunFailed, match="gave no sign of life for 3 s and was ended") as caught:
            await asyncio.wait_for(work, 20)
    assert caught.value.reason is Reason.TIMEOUT
    assert processes.of_run(pool._folder.path) == []


async def test_a_run_that_is_slow_is_let_live_and_so_is_one_whose_operator_was_stopped(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standby, "SECONDS_OF_SILENCE", 3)
    with PostgreSQLServer(embedded()) as server:
        server.pause()
        slow = Work(pool)
        work = asyncio.create_task(slow.do(unit(server.admin, "app")))
        await until(lambda: any(not run.usable for run in pool._running))
        # Longer than silence may last: all of this process stands still, then the server goes on hanging.
        time.sleep(4)  # noqa: ASYNC251
        await asyncio.sleep(4)
        server.resume()
        await asyncio.wait_for(work, 20)
    assert [(one.ref, one.failed) for one in slow.results] == [("app", False)]


async def test_a_run_whose_processes_are_killed_fails_its_unit(pool: Pool) -> None:
    with PostgreSQLServer(embedded()) as server:
        server.pause()
        work = asyncio.create_task(Work(pool).do(unit(server.admin, "app")))
        await until(lambda: any(run._peer.done() for run in pool._running))
        for pid in processes.of_run(pool._folder.path):
            os.kill(pid, 9)
        with pytest.raises(RunFailed, match="ended before its work was done"):
            await asyncio.wait_for(work, 20)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "object", "request": 0, "result": {}},
        {"type": "object", "request": 0},
        {"type": "object", "request": 0, "result": {"ref": "a", "reason": "Nonsense"}},
        {"type": "done", "documents": []},
        {"type": "done"},
        {"type": "done", "documents": [{"version": 99, "server": {}}]},
    ],
)
async def test_an_answer_that_makes_no_sense_breaks_the_run(message: dict[str, Any], pool: Pool) -> None:
    run = Run(pool._folder.new_run())
    reader = asyncio.StreamReader()
    reader.feed_data(protocol.encode(message))
    with pytest.raises(protocol.ProtocolError):
        await run._results(reader, lambda _: None)


async def test_runs_that_wait_are_replaced_when_they_end(tmp_path: Path) -> None:
    pool = Pool(Settings(cluster_id="c", run_directory=tmp_path, standby_runs=1), Metrics())
    pool.start()
    try:
        await until(lambda: bool(pool._waiting))
        (first,) = pool._waiting
        await first.kill()
        await until(lambda: bool(pool._waiting) and first not in pool._waiting)
    finally:
        await pool.close()
    assert processes.of_run(tmp_path) == []
