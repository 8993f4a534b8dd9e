# SPDX-License-Identifier: GPL-3.0-or-later
"""Connecting: every way in which it fails has its reason, and no password goes where it must not."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from integration.postgresql.engine import Document, Engine, user

from localstack.certificates import Authority
from localstack.postgresql import Login, PostgreSQLServer
from localstack.processes import free_port

Unique = Callable[[str], str]
INSTANCE = {"kind": "database_instance"}


def connect(engine: Engine, /, **connection: Any) -> Document:
    """Try to connect; everything must say the same: the server's part and each object."""
    document = engine.run(INSTANCE, user("whoever"), connection=connection, check=True)
    if not document["server"]["reachable"]:
        for result in document["objects"]:
            assert result["failed"]
            assert result["reason"] == document["server"]["reason"]
            assert result["message"] == document["server"]["message"]
    return document


def reason(engine: Engine, **connection: Any) -> str:
    server = connect(engine, **connection)["server"]
    return "" if server["reachable"] else str(server["reason"])


@pytest.mark.feature("I01")
def test_a_server_tells_its_version(engine: Engine) -> None:
    server = connect(engine)["server"]
    assert server["reachable"]
    assert server["version"] == engine.server.query("SHOW server_version")[0][0]
    assert server["admin"] == engine.login.user
    ((identifier,),) = engine.server.query("SELECT system_identifier::text FROM pg_control_system()")
    assert server["system_identifier"] == identifier


@pytest.mark.feature("L10")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"login_password": "sesame"}, "AuthenticationFailed"),
        ({"login_user": "nobody_of_that_name"}, "AuthenticationFailed"),
        ({"login_db": "no_such_database"}, "DependencyNotReady"),
        ({"login_host": "no-such-host.invalid"}, "ConnectionFailed"),
        ({"engine": "mysql"}, "ConnectionFailed"),
        ({"login_port": "no number"}, "InvalidSpec"),
        ({"ca_cert": "/no/such/file"}, "TLSFailed"),
    ],
)
def test_what_is_wrong_has_its_reason(superuser_engine: Engine, options: dict[str, Any], expected: str) -> None:
    superuser_engine.server.query("DROP DATABASE IF EXISTS dbops WITH (FORCE)")
    document = connect(superuser_engine, **options)
    assert document["server"]["reason"] == expected
    assert "sesame" not in str(document)
    assert superuser_engine.login.password not in str(document)


@pytest.mark.feature("L10")
def test_a_closed_port(superuser_engine: Engine) -> None:
    document = connect(superuser_engine, login_port=free_port())
    assert document["server"]["reason"] == "ConnectionFailed"
    assert "refused" in document["server"]["message"]


@pytest.mark.feature("L10", "I12")
def test_a_host_that_swallows_everything(superuser_engine: Engine) -> None:
    """A listening socket whose queue is full drops every further packet, as a firewall does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        began = time.monotonic()
        options = {"login_host": "127.0.0.1", "login_port": listener.getsockname()[1], "connect_timeout": 1}
        assert reason(superuser_engine, **options) == "ConnectionFailed"
        assert time.monotonic() - began < 3
        for filler in fillers:
            filler.close()


@pytest.mark.feature("L10", "I12")
def test_a_server_that_hangs(own_engine: Engine) -> None:
    own_engine.server.pause()
    try:
        began = time.monotonic()
        document = connect(own_engine, connect_timeout=1)
        assert document["server"]["reason"] == "ConnectionFailed"
        assert "within 1 s" in document["server"]["message"]
        assert time.monotonic() - began < 3
    finally:
        own_engine.server.resume()
    assert reason(own_engine) == ""


def test_a_server_that_is_shutting_down_or_starting(own_engine: Engine) -> None:
    own_engine.server.stop()
    assert reason(own_engine) == "ConnectionFailed"
    own_engine.server.start()
    assert reason(own_engine) == ""


@pytest.mark.feature("L10")
def test_a_server_without_a_connection_left(own_engine: Engine) -> None:
    import psycopg

    held: list[psycopg.Connection[Any]] = []
    try:
        with contextlib.suppress(psycopg.OperationalError):
            while len(held) < 50:
                held.append(psycopg.connect(own_engine.server.admin_dsn))
        document = connect(own_engine)
        assert document["server"]["reason"] == "ConnectionFailed"
        assert "no connection left" in document["server"]["message"]
    finally:
        for connection in held:
            connection.close()


# TLS


@pytest.mark.feature("I06")
@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("as_text", [False, True], ids=["file", "text"])
def test_tls_modes(superuser_engine: Engine, mode: str, as_text: bool) -> None:
    engine = superuser_engine
    assert engine.server.authority
    ca = engine.server.authority.certificate
    options = {"ssl_mode": mode, "ca_cert": ca.read_text(encoding="utf-8") if as_text else str(ca)}
    ours = connections_with_tls(engine, options)
    assert ours == (mode not in ("disable", "allow"))


def connections_with_tls(engine: Engine, options: dict[str, Any]) -> bool:
    """Whether the server sees an encrypted session of ours when we connect with these options."""
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core import parse
    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Connector

    with Connector(parse.connection({**engine.options, **options})) as connector:
        session = connector.open("postgres")
        query = "SELECT ssl FROM pg_stat_ssl WHERE pid = %s"
        ((encrypted,),) = engine.server.query(query, [session.backend_pid])
        session.close()
    return bool(encrypted)


@pytest.mark.feature("I06")
def test_a_server_without_tls_is_refused(own_engine: Engine) -> None:
    own_engine.server.query("ALTER SYSTEM SET ssl = off")
    restart_without_tls(own_engine.server)
    try:
        for mode in ("require", "verify-ca", "verify-full"):
            document = connect(own_engine, ssl_mode=mode)
            assert document["server"]["reason"] == "TLSFailed"
            assert "does not offer TLS" in document["server"]["message"]
        assert reason(own_engine, ssl_mode="prefer") == ""
    finally:
        restart_with_tls(own_engine.server)


def restart_without_tls(server: PostgreSQLServer) -> None:
    server._settings["ssl"] = "off"  # type: ignore[index]
    server.restart()


def restart_with_tls(server: PostgreSQLServer) -> None:
    server._settings["ssl"] = "on"  # type: ignore[index]
    server.query("ALTER SYSTEM RESET ssl")
    server.restart()


@pytest.mark.feature("I06")
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
@pytest.mark.parametrize("as_text", [False, True], ids=["file", "text"])
def test_an_unknown_authority_is_refused(superuser_engine: Engine, tmp_path: Path, mode: str, as_text: bool) -> None:
    stranger = Authority(tmp_path / "stranger").certificate
    ca = stranger.read_text(encoding="utf-8") if as_text else str(stranger)
    document = connect(superuser_engine, ssl_mode=mode, ca_cert=ca)
    assert document["server"]["reason"] == "TLSFailed"
    assert "certificate" in document["server"]["message"]


@pytest.mark.feature("I06")
def test_another_host_name_is_refused_by_verify_full_only(own_engine: Engine) -> None:
    server = own_engine.server
    assert server.authority
    pair = server.authority.server("elsewhere", hosts=("db.example.com",))
    good = dict(server._settings)
    server._settings |= {"ssl_cert_file": str(pair.certificate), "ssl_key_file": str(pair.key)}  # type: ignore[operator]
    # A server at work has files that go while they are handed over.
    server.stop()
    server._hand_over()
    server.start()
    try:
        assert reason(own_engine, ssl_mode="verify-full") == "TLSFailed"
        assert reason(own_engine, ssl_mode="verify-ca") == ""
    finally:
        server._settings = good
        server.restart()


@pytest.mark.feature("I06")
@pytest.mark.parametrize("as_text", [False, True], ids=["file", "text"])
def test_a_client_certificate(own_engine: Engine, as_text: bool) -> None:
    server = own_engine.server
    pair = server.client_certificate("postgres")
    paths = {"ssl_cert": pair.certificate, "ssl_key": pair.key}
    options = {name: path.read_text(encoding="utf-8") if as_text else str(path) for name, path in paths.items()}
    server.set_authentication_rules("hostssl all all 127.0.0.1/32 cert")
    try:
        assert reason(own_engine, **options) == ""
        assert reason(own_engine) == "AuthenticationFailed"
    finally:
        server.set_authentication_rules()


@pytest.mark.feature("I06")
def test_sessions_in_single_databases_and_logins_use_the_same_tls(own_engine: Engine, unique: Unique) -> None:
    """With a rule that admits TLS only, whatever is not encrypted fails."""
    server, name = own_engine.server, unique("app")
    server.set_authentication_rules(
        "hostssl all all 127.0.0.1/32 scram-sha-256", "hostnossl all all 127.0.0.1/32 reject"
    )
    try:
        result = own_engine.one(user(name, password="x", verify_login=True))
        assert result["credentials"]["status"] == "True"
        server.query(f"CREATE SCHEMA {name} AUTHORIZATION {name}")  # type: ignore[arg-type]
        result = own_engine.one(user(name, state="absent"))
        assert result["observed"]["owned_objects"][0]["name"] == name
    finally:
        server.set_authentication_rules()


def test_no_password_in_clear_text_without_verified_tls(own_engine: Engine, unique: Unique) -> None:
    server = own_engine.server
    server.set_authentication_rules("host all all 127.0.0.1/32 password")
    try:
        for mode in ("disable", "prefer", "require"):
            document = connect(own_engine, ssl_mode=mode)
            assert document["server"]["reason"] == "AuthenticationFailed"
            assert "clear text" in document["server"]["message"]
        assert reason(own_engine, ssl_mode="verify-ca") == ""
    finally:
        server.set_authentication_rules()


# What answers is not what we hope for.


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of our own on loopback that gives every caller this ANSWER."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stopped = threading.Event()

        def serve() -> None:
            while not stopped.is_set():
                try:
                    caller, _ = listener.accept()
                except OSError:
                    return
                with caller:
                    try:
                        answer(caller)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.feature("L10")
@pytest.mark.parametrize(
    ("sqlstate", "text", "expected"),
    [
        ("28P01", "Passwort-Authentifizierung für Benutzer »x« fehlgeschlagen", "AuthenticationFailed"),
        ("28000", "не найдена запись в pg_hba.conf", "AuthenticationFailed"),
        ("3D000", "データベースは存在しません", "DependencyNotReady"),
        ("53300", "desculpe, muitos clientes conectados", "ConnectionFailed"),
        ("57P03", "das Datenbanksystem startet", "ConnectionFailed"),
        ("08P01", "unsupported startup parameter: options", "Unsupported"),
    ],
)
def test_messages_in_another_language(superuser_engine: Engine, sqlstate: str, text: str, expected: str) -> None:
    def refuse(caller: socket.socket) -> None:
        (length,) = struct.unpack("!I", caller.recv(4, socket.MSG_WAITALL))
        caller.recv(length - 4, socket.MSG_WAITALL)
        fields = {"S": "ФАТАЛЬНО", "V": "FATAL", "C": sqlstate, "M": text, "F": "auth.c", "L": "1", "R": "auth_failed"}
        body = b"".join(f"{key}{value}\0".encode() for key, value in fields.items()) + b"\0"
        caller.sendall(b"E" + struct.pack("!I", len(body) + 4) + body)

    with answering(refuse) as port:
        options = {"login_host": "127.0.0.1", "login_port": port, "ssl_mode": "disable"}
        assert reason(superuser_engine, **options) == expected


def test_something_else_listens_there(superuser_engine: Engine) -> None:
    with answering(lambda caller: caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        options = {"login_host": "127.0.0.1", "login_port": port, "ssl_mode": "disable"}
        assert reason(superuser_engine, **options) == "ConnectionFailed"


@pytest.mark.feature("I11", "I14")
def test_a_pooler_is_recognised(superuser_engine: Engine, unique: Unique) -> None:
    """One that does not pass our settings on, as PgBouncer with ignore_startup_parameters."""
    port, name = superuser_engine.server.port, unique("app")

    def relay(caller: socket.socket) -> None:
        (length,) = struct.unpack("!I", caller.recv(4, socket.MSG_WAITALL))
        words = caller.recv(length - 4, socket.MSG_WAITALL)[4:].split(b"\0")
        settings = dict(zip(words[::2], words[1::2], strict=False))
        settings.pop(b"options", None)
        kept = b"".join(key + b"\0" + value + b"\0" for key, value in settings.items() if key) + b"\0"
        with socket.create_connection(("127.0.0.1", port)) as server:
            server.sendall(struct.pack("!II", len(kept) + 8, 196608) + kept)
            ends = {caller: server, server: caller}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[end].sendall(data)

    with answering(relay) as through:
        options = {"login_host": "127.0.0.1", "login_port": through, "ssl_mode": "disable"}
        document = superuser_engine.run(INSTANCE, user(name), connection=options)
    instance, refused = document["objects"]
    assert instance["observed"]["pooler"]
    missing = [one["name"] for one in instance["observed"]["capabilities"] if not one["available"]]
    assert missing == ["directConnection"]
    assert refused["reason"] == "Unsupported"
    assert not superuser_engine.server.query("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])


# Settings of the session.


@pytest.mark.feature("I12")
def test_settings_of_the_connection_reach_the_server(superuser_engine: Engine) -> None:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core import parse
    from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Connector

    given = {"statement_timeout": 17, "lock_timeout": 3, "application_name": "it's a \\ test"}
    with Connector(parse.connection({**superuser_engine.options, **given})) as connector:
        session = connector.open("postgres")
        names = "statement_timeout", "lock_timeout", "application_name"
        shown = [session.rows("SELECT current_setting(%s)", [name])[0][0] for name in names]
        assert shown == ["17s", "3s", "it's a \\ test"]
        session.close()


@pytest.mark.parametrize("target", ["ROLE {admin}", "DATABASE {database}"])
def test_what_somebody_set_for_our_session_does_not_reach_it(
    own_postgres: PostgreSQLServer, unique: Unique, target: str
) -> None:
    group, name, database = unique("trap"), unique("app"), unique("db")
    engine = Engine(own_postgres, own_postgres.weak_admin())
    engine.options["login_db"] = database
    hostile = {
        "search_path": "public",
        "default_transaction_read_only": "on",
        "statement_timeout": "1ms",
        "lock_timeout": "1ms",
        "role": group,
    }
    where = target.format(admin=engine.login.user, database=database)
    own_postgres.query(f"CREATE DATABASE {database}")  # type: ignore[arg-type]
    own_postgres.query(f"CREATE ROLE {group} ROLE {engine.login.user}")  # type: ignore[arg-type]
    for setting, value in hostile.items():
        own_postgres.query(f"ALTER {where} SET {setting} = '{value}'")  # type: ignore[arg-type]
    try:
        engine.four_runs(user(name))
    finally:
        own_postgres.query(f"ALTER {where} RESET ALL")  # type: ignore[arg-type]


def test_the_socket_of_the_machine(own_postgres: PostgreSQLServer, unique: Unique) -> None:
    """Who comes by socket needs no password there; logins are tried over TCP all the same."""
    engine = Engine(own_postgres, Login("localhost", own_postgres.port, "postgres", ""))
    engine.options |= {"login_unix_socket": str(own_postgres.directory), "login_password": None}
    name = unique("app")
    result = engine.one(user(name, password="x", verify_login=True))
    assert result["credentials"]["status"] == "True", result
