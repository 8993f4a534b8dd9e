# SPDX-License-Identifier: GPL-3.0-or-later
"""A standby run as its other side sees it: a real ansible-playbook at the end of a real socket."""

from __future__ import annotations

import fcntl
import json
import secrets
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
from ansible_runs import BIN, MARK, Ansible

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import protocol
from localstack.postgresql import PostgreSQLServer
from localstack.processes import wait_until

Message = dict[str, Any]


class Standby:
    """The other side of one run: makes the socket and the nonce, starts the run, talks to it."""

    def __init__(self, ansible: Ansible) -> None:
        """Start the run in the folder of ANSIBLE."""
        self.ansible = ansible
        self.folder = ansible.folder / "private"
        self.folder.mkdir(mode=0o700)
        self.nonce = secrets.token_hex(16)
        (self.folder / "nonce").write_text(self.nonce, encoding="ascii")
        path = self.folder / "s"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.settimeout(60)
        self._output = (ansible.folder / "output").open("w+", encoding="utf-8")
        command = [str(BIN / "ansible-playbook"), "-i", "localhost,", "dbprovision.dbops.converge", "-vvv"]
        self.process = subprocess.Popen(
            [*command, "-e", f"converge_socket={path}"], cwd=ansible.folder, env=ansible.environment,
            stdout=self._output, stderr=self._output,
        )  # fmt: skip
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(60)
        self._decoder = protocol.Decoder()
        self._received: list[Message] = []
        self.signs_of_life = 0
        self.hello = self.receive()

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the run, whatever state it is in."""
        self.close()
        self.process.kill()
        self.process.wait()
        self._listener.close()
        self._output.close()

    def send(self, message: Mapping[str, Any]) -> None:
        """Send MESSAGE and return when the run has taken it off the socket."""
        self._connection.sendall(protocol.encode(message))
        self.wait_until_read()

    def send_raw(self, data: bytes) -> None:
        """Send what is no message."""
        self._connection.sendall(data)

    def wait_until_read(self) -> None:
        def unread() -> int:
            count: int = struct.unpack("i", fcntl.ioctl(self._connection, termios.TIOCOUTQ, bytes(4)))[0]
            return count

        wait_until(lambda: unread() == 0, what="the run reads what was sent")

    def receive(self) -> Message:
        """Give the next message but for signs of life, which are counted. Raises EOFError when the run is gone."""
        while not self._received:
            data = self._connection.recv(1 << 16)
            if not data:
                raise EOFError
            for message in self._decoder.feed(data):
                if message["type"] == "alive":
                    self.signs_of_life += 1
                else:
                    self._received.append(message)
        return self._received.pop(0)

    def until_done(self) -> tuple[list[Message], Message]:
        """Give the messages of objects that come, and the last message."""
        objects = []
        while (message := self.receive())["type"] == "object":
            objects.append(message)
        return objects, message

    def close(self) -> None:
        """Vanish."""
        self._connection.close()

    def end(self) -> tuple[int, str]:
        """Tell the run that there is no more work; give its status and output when it has ended by itself."""
        self._connection.sendall(protocol.encode({"type": "end"}))
        status = self.process.wait(timeout=30)
        self._output.seek(0)
        return status, self._output.read()


def work(*requests: Mapping[str, Any]) -> Message:
    return {"type": "work", "requests": list(requests)}


def request(server: PostgreSQLServer, *objects: Mapping[str, Any], **more: Any) -> Message:
    connection = {**server.admin.options(), "application_name": "standby", "lock_timeout": 55}
    return {"connection": connection, "objects": list(objects), **more}


def user(name: str, **options: Any) -> Message:
    return {"kind": "database_user", "ref": name, "name": name, **options}


def sessions(server: PostgreSQLServer) -> int:
    """How many sessions of the run the server has."""
    count: int = server.query("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'standby'")[0][0]
    return count


@contextmanager
def altered_elsewhere(server: PostgreSQLServer, role: str) -> Iterator[psycopg.Connection[Any]]:
    """Keep everybody who wants to alter ROLE waiting, as long as the transaction is open."""
    with psycopg.connect(server.admin_dsn) as connection:
        name = psycopg.sql.Identifier(role)
        connection.execute(psycopg.sql.SQL("ALTER ROLE {} CONNECTION LIMIT 7").format(name))
        yield connection
        connection.rollback()


def wait_for_blocked(server: PostgreSQLServer) -> None:
    query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'standby' AND wait_event_type = 'Lock'"
    wait_until(lambda: bool(server.query(query)), what="the run waits for the other transaction")


@pytest.fixture
def standby(ansible: Ansible) -> Iterator[Standby]:
    with Standby(ansible) as started:
        yield started


@pytest.fixture
def existing(postgres: PostgreSQLServer, unique: Callable[[str], str]) -> str:
    """A role that is there already."""
    name = unique("existing")
    postgres.query(psycopg.sql.SQL("CREATE ROLE {} LOGIN").format(psycopg.sql.Identifier(name)))
    return name


def test_the_run_introduces_itself_with_the_nonce_that_is_gone(standby: Standby) -> None:
    assert standby.hello["type"] == "hello"
    assert standby.hello["protocol"] == protocol.VERSION
    assert standby.hello["nonce"] == standby.nonce
    assert not (standby.folder / "nonce").exists()
    assert standby.hello["pid"] != standby.process.pid
    status = Path(f"/proc/{standby.hello['pid']}/status").read_text(encoding="utf-8")
    assert f"PPid:\t{standby.process.pid}\n" in status


def test_several_requests_are_worked_on_and_the_record_agrees(
    standby: Standby, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    password, text = secrets.token_urlsafe(16), "{{ 7 * 7 }}"
    one, two, three = unique("a"), unique("b"), unique("c") + text
    dead = {"connection": {"login_port": 1, "login_host": "127.0.0.1"}, "objects": [user("nobody")]}
    first = user(one, password=password, verify_login=True, config_parameters={"application_name": text})
    standby.send(
        work(
            request(postgres, first, {"kind": "nonsense", "ref": "wrong"}, user(two, in_roles=[one])),
            dead,
            request(postgres, user(three), check=True),
        )
    )
    objects, last = standby.until_done()
    by_ref = {(one["request"], one["result"]["ref"]): one["result"] for one in objects}
    assert len(by_ref) == len(objects) == 5
    assert last["type"] == "done"
    assert [[(n, o["ref"]) for o in one["objects"]] for n, one in enumerate(last["documents"])] == [
        [(0, one), (0, "wrong"), (0, two)], [(1, "nobody")], [(2, three)],
    ]  # fmt: skip
    for number, document in enumerate(last["documents"]):
        for found in document["objects"]:
            assert by_ref[number, found["ref"]] == found
    assert by_ref[0, one]["credentials"]["status"] == "True"
    assert by_ref[0, "wrong"]["reason"] == "InvalidSpec"
    assert by_ref[1, "nobody"]["reason"] == "ConnectionFailed"
    assert by_ref[2, three]["changed"]
    names = [name for (name,) in postgres.query("SELECT rolname FROM pg_roles")]
    assert one in names
    assert two in names
    assert three not in names, "the third request was a check"
    settings = postgres.query("SELECT setconfig FROM pg_db_role_setting WHERE setrole = %s::regrole", [one])
    assert settings == [([f"application_name={text}"],)]

    status, output = standby.end()
    assert status == 0, output
    record = next(line[len(MARK) :] for line in output.splitlines() if line.startswith(MARK) and "documents" in line)
    assert json.loads(record)["result"]["documents"] == last["documents"]
    for path in standby.ansible.folder.rglob("*"):
        if path.is_file():
            assert password.encode() not in path.read_bytes(), path


def test_more_work_comes_until_the_end(
    standby: Standby, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    one, two = unique("a"), unique("b")
    standby.send(work(request(postgres, user(one))))
    _, first = standby.until_done()
    standby.send(work(request(postgres, user(two, in_roles=[one]))))
    objects, second = standby.until_done()
    assert [(each["request"], each["result"]["ref"], each["result"]["changed"]) for each in objects] == [(0, two, True)]
    status, output = standby.end()
    assert status == 0, output
    record = next(line[len(MARK) :] for line in output.splitlines() if line.startswith(MARK) and "documents" in line)
    assert json.loads(record)["result"]["documents"] == [*first["documents"], *second["documents"]]


def test_a_run_whose_other_side_vanishes_between_two_pieces_of_work_ends(
    standby: Standby, postgres: PostgreSQLServer, unique: Callable[[str], str]
) -> None:
    standby.send(work(request(postgres, user(unique("a")))))
    standby.until_done()
    standby.close()
    assert standby.process.wait(timeout=10) == 0


def test_one_object_is_cancelled_and_its_neighbours_are_not(
    standby: Standby, postgres: PostgreSQLServer, existing: str, unique: Callable[[str], str]
) -> None:
    cancelled, neighbour = unique("c"), unique("n")
    with altered_elsewhere(postgres, existing):
        slow = user(existing, connection_limit=9)
        # Declared first, done first: nothing depends on anything here.
        standby.send(work(request(postgres, slow, user(cancelled), user(neighbour))))
        wait_for_blocked(postgres)
        standby.send({"type": "cancel", "request": 0, "ref": cancelled})
    objects, _ = standby.until_done()
    results = {one["result"]["ref"]: one["result"] for one in objects}
    assert results[cancelled]["reason"] == "Cancelled"
    assert results[existing]["changed"]
    assert results[neighbour]["changed"]
    assert not results[neighbour]["failed"]
    assert postgres.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [cancelled]) == []
    assert standby.end()[0] == 0


def vanish(standby: Standby) -> None:
    standby.close()


def kill_parent(standby: Standby) -> None:
    standby.process.send_signal(signal.SIGKILL)


def talk_nonsense(standby: Standby) -> None:
    standby.send_raw(b"\x00\x00\x00\x02no")


@pytest.mark.parametrize("happening", [vanish, kill_parent, talk_nonsense])
def test_a_run_that_nobody_waits_for_gives_up_on_the_server_and_ends(
    standby: Standby, postgres: PostgreSQLServer, existing: str, happening: Callable[[Standby], None]
) -> None:
    worker = Path(f"/proc/{standby.hello['pid']}")
    with altered_elsewhere(postgres, existing):
        standby.send(work(request(postgres, user(existing, connection_limit=9), user(f"{existing}_next"))))
        wait_for_blocked(postgres)
        happening(standby)
        # The other transaction is still open: only a statement that was given up lets its session end.
        wait_until(lambda: sessions(postgres) == 0, what="the server has no session of the run", timeout=10)
        wait_until(lambda: not worker.exists(), what="the worker is gone", timeout=10)
    standby.process.wait(timeout=10)
    query = "SELECT rolname, rolconnlimit FROM pg_roles WHERE starts_with(rolname, %s)"
    assert postgres.query(query, [existing]) == [(existing, -1)]
    if happening is not vanish:
        # Nobody cancelled anything: whoever hears of it takes it for the wish of somebody who comes again.
        with pytest.raises((EOFError, ConnectionResetError)):
            standby.receive()


@pytest.mark.parametrize("happening", [vanish, kill_parent, talk_nonsense])
def test_a_run_that_is_not_needed_ends(standby: Standby, happening: Callable[[Standby], None]) -> None:
    worker = Path(f"/proc/{standby.hello['pid']}")
    happening(standby)
    status = standby.process.wait(timeout=10)
    wait_until(lambda: not worker.exists(), what="the worker is gone", timeout=10)
    assert status != 0


def test_without_its_socket_a_run_fails_with_a_message(ansible: Ansible) -> None:
    run = ansible.play("dbprovision.dbops.converge", "-e", "converge_socket=/nonexistent/s")
    assert run.status == 2
    assert "/nonexistent/s" in run.last["msg"]
    assert "Traceback" not in run.output


def test_a_module_cannot_wait_on_a_socket(ansible: Ansible) -> None:
    task = {"dbprovision.dbops.converge": {"socket": "/nonexistent/s"}, "environment": {"PGTZ": "UTC"}}
    run = ansible.tasks(task)
    assert run.status == 2
    assert "local connection only" in run.last["msg"]
