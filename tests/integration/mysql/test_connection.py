# SPDX-License-Identifier: GPL-3.0-or-later
"""Connecting: every way in which it fails has its reason, and no password goes where it must not."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest
from integration.mysql.engine import Document, Engine, user

from localstack.certificates import Authority
from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_11_8, MYSQL_9_7, binaries
from localstack.postgresql import PostgreSQLServer
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


@pytest.mark.feature("I02", "I03")
def test_a_server_tells_its_version(engine: Engine) -> None:
    server = connect(engine)["server"]
    assert server["reachable"]
    assert server["version"] == engine.query("SELECT VERSION()")[0][0]
    assert server["engine"] == engine.server.engine
    assert server["admin"] == f"{engine.login.user}@%"
    major, minor, *_ignored = server["version"].split(".")
    assert server["version_number"] // 100 == 100 * int(major) + int(minor)
    if not engine.mariadb:
        assert server["system_identifier"] == engine.query("SELECT @@server_uuid")[0][0]


@pytest.mark.feature("I02", "I03")
def test_the_dialect_follows_what_the_server_is(superuser_engine: Engine, unique: Unique) -> None:
    """Servers of MariaDB are declared as MySQL in the field, and must work as what they are."""
    engine, name = superuser_engine, unique("app")
    other = {"engine": "mysql" if engine.mariadb else "mariadb"}
    document = engine.run(user(name, password="x", verify_login=True), INSTANCE, connection=other)
    assert not document["failed"], document
    assert document["server"]["engine"] == engine.server.engine
    assert engine.logs_in(name, "x")


@pytest.mark.feature("L10")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"login_password": "sesame"}, "AuthenticationFailed"),
        ({"login_password": "sesäme€"}, "AuthenticationFailed"),
        ({"login_user": "nobody_of_that_name"}, "AuthenticationFailed"),
        ({"login_host": "no-such-host.invalid"}, "ConnectionFailed"),
        ({"login_port": "no number"}, "InvalidSpec"),
        ({"ca_cert": "/no/such/file"}, "TLSFailed"),
        ({"ca_cert": "-----BEGIN NOTHING"}, "TLSFailed"),
        ({"ssl_key": "/no/such/file"}, "InvalidSpec"),
        ({"login_unix_socket": "/no/such/socket"}, "ConnectionFailed"),
    ],
)
def test_what_is_wrong_has_its_reason(superuser_engine: Engine, options: dict[str, Any], expected: str) -> None:
    document = connect(superuser_engine, **options)
    assert document["server"]["reason"] == expected, document
    assert "sesame" not in str(document)
    assert superuser_engine.login.password not in str(document)


@pytest.mark.feature("L10")
def test_a_closed_port(superuser_engine: Engine) -> None:
    document = connect(superuser_engine, login_port=free_port())
    assert document["server"]["reason"] == "ConnectionFailed"
    assert "nothing listens" in document["server"]["message"]


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


@pytest.mark.feature("L10")
def test_what_is_no_server_of_this_kind(superuser_engine: Engine, postgres: PostgreSQLServer) -> None:
    options = {"login_host": postgres.host, "login_port": postgres.port, "connect_timeout": 1}
    assert reason(superuser_engine, **options) == "ConnectionFailed"
    with answering(b"SSH-2.0-OpenSSH_9.2p1\r\n") as port:
        document = connect(superuser_engine, login_port=port)
        assert document["server"]["reason"] == "ConnectionFailed"
        assert "no server of MySQL or MariaDB" in document["server"]["message"]


def test_a_server_that_is_shutting_down_or_starting(own_engine: Engine) -> None:
    own_engine.server.stop()
    assert reason(own_engine) == "ConnectionFailed"
    own_engine.server.start()
    assert reason(own_engine) == ""


@pytest.mark.feature("L10")
def test_a_server_without_a_connection_left(own_engine: Engine) -> None:
    held: list[Any] = []
    login = own_engine.server.admin
    try:
        with contextlib.suppress(pymysql.err.OperationalError):
            while len(held) < 50:
                held.append(login.connect())
        document = connect(own_engine)
        assert document["server"]["reason"] == "ConnectionFailed"
        assert "no connection left" in document["server"]["message"]
    finally:
        for connection in held:
            connection.close()


# TLS


def seen_by_server(engine: Engine, options: dict[str, Any]) -> str:
    """The TLS version of a session of ours that is opened with these options, or nothing."""
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core import parse
    from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.connection import Connector

    with Connector(parse.connection({**engine.options, **options})) as connector:
        session = connector.open()
        ((_ignored, version),) = session.rows("SHOW SESSION STATUS LIKE 'Ssl_version'")
        session.close()
    return str(version)


@pytest.mark.feature("I06")
@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
@pytest.mark.parametrize("as_text", [False, True], ids=["file", "text"])
def test_tls_modes(superuser_engine: Engine, mode: str, as_text: bool) -> None:
    engine = superuser_engine
    assert engine.server.authority
    ca = engine.server.authority.certificate
    options = {"ssl_mode": mode, "ca_cert": ca.read_text(encoding="utf-8") if as_text else str(ca)}
    assert seen_by_server(engine, options).startswith("TLS" if mode != "disable" else "")


@pytest.fixture(scope="module", params=[MYSQL_9_7, MARIADB_11_8], ids=["MySQL 9.7", "MariaDB 11.8"])
def plain_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The engine on servers without TLS."""
    with MySQLServer(binaries(request.param), tls=False) as server:
        yield Engine(server, server.admin)


@pytest.mark.feature("I06")
def test_a_server_without_tls_is_refused(plain_engine: Engine, unique: Unique) -> None:
    for mode in ("require", "verify-ca", "verify-full"):
        document = connect(plain_engine, ssl_mode=mode)
        assert document["server"]["reason"] == "TLSFailed"
        assert "does not offer TLS" in document["server"]["message"]
    assert reason(plain_engine, ssl_mode="prefer") == ""
    done = plain_engine.one(user(unique("app"), password="x", verify_login=True))
    assert done["credentials"]["status"] == "True"


@pytest.mark.feature("I06")
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
@pytest.mark.parametrize("as_text", [False, True], ids=["file", "text"])
def test_an_unknown_authority_is_refused(superuser_engine: Engine, tmp_path: Path, mode: str, as_text: bool) -> None:
    stranger = Authority(tmp_path / "stranger").certificate
    ca = stranger.read_text(encoding="utf-8") if as_text else str(stranger)
    for value in (ca, None):
        document = connect(superuser_engine, ssl_mode=mode, ca_cert=value)
        assert document["server"]["reason"] == "TLSFailed"
        assert "certificate" in document["server"]["message"]


@pytest.mark.feature("I06")
def test_another_host_name_is_refused_by_verify_full_only(own_engine: Engine) -> None:
    server = own_engine.server
    assert server.authority
    pair = server.authority.server("elsewhere", hosts=("db.example.com",))
    good = dict(server._settings)
    server._settings |= {"ssl-cert": str(pair.certificate), "ssl-key": str(pair.key)}  # type: ignore[operator]
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
def test_a_client_certificate(superuser_engine: Engine, unique: Unique, as_text: bool) -> None:
    """An admin account that must prove itself by one; what logs in to try a password uses it as well."""
    engine, name = superuser_engine, unique("admin")
    pair = engine.server.client_certificate(name)
    engine.query("CREATE USER %s@'%%' IDENTIFIED BY 'x' REQUIRE SUBJECT %s", (name, f"/CN={name}"))
    engine.query("GRANT ALL ON *.* TO %s@'%%' WITH GRANT OPTION", (name,))
    paths = {"ssl_cert": pair.certificate, "ssl_key": pair.key}
    options = {option: path.read_text(encoding="utf-8") if as_text else str(path) for option, path in paths.items()}
    login = {"login_user": name, "login_password": "x"}
    assert reason(engine, **login) == "AuthenticationFailed"
    assert reason(engine, **login, **options) == ""
    declared = user(unique("app"), password="x", require_x509=True, verify_login=True)
    (result,) = engine.run(declared, connection={**login, **options})["objects"]
    assert result["credentials"]["status"] == "True"


@pytest.mark.feature("I06")
def test_a_server_that_insists_on_tls(own_engine: Engine) -> None:
    own_engine.query("SET GLOBAL require_secure_transport = ON")
    try:
        document = connect(own_engine, ssl_mode="disable", ca_cert=None)
        assert document["server"]["reason"] == "TLSFailed"
        assert reason(own_engine, ssl_mode="require", ca_cert=None) == ""
    finally:
        own_engine.query("SET GLOBAL require_secure_transport = OFF")


# What a server could do to us


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """A server that sends these packets, each after something came, the first one at once; gives its port."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            # A client that asks for TLS and is not offered it may come again without.
            while True:
                try:
                    connection, _ignored = listener.accept()
                except OSError:
                    return
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    for answer in answers:
                        connection.sendall(answer)
                        received.append(connection.recv(4096))
                    received.append(connection.recv(4096))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert b"not-in-clear-text" not in b"".join(received)


def packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


GREETING = (
    b"\x0a8.4.0\0" + struct.pack("<I", 7) + b"12345678\0" + struct.pack("<H", 0xF7FF) + b"\xff\x02\0"
    + struct.pack("<H", 0x00FF) + b"\x15" + b"\0" * 10 + b"123456789012\0mysql_native_password\0"
)  # fmt: skip


@pytest.mark.feature("I06")
@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog", b"mysql_old_password"])
def test_no_password_in_clear_text(superuser_engine: Engine, plugin: bytes) -> None:
    question = b"\xfe" + plugin + b"\0" + (b"\x05Password: " if plugin == b"dialog" else b"12345678")
    with answering(packet(0, GREETING), packet(2, question)) as port:
        options = {"login_password": "not-in-clear-text", "ssl_mode": "prefer", "ca_cert": None, "login_port": port}
        document = connect(superuser_engine, **options)
        assert document["server"]["reason"] == "AuthenticationFailed", document
        assert "way of authentication" in document["server"]["message"]


def test_a_server_that_is_none_of_these(superuser_engine: Engine) -> None:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import versions

    assert versions.flavour_of("8.0.11-TiDB-v7.5.0", "TiDB Server") is None
    assert versions.flavour_of(superuser_engine.server.version, "") == "mysql" or superuser_engine.mariadb


@pytest.mark.feature("I12")
def test_what_is_pinned_for_a_session(superuser_engine: Engine) -> None:
    """Whatever the server's configuration says."""
    from ansible_collections.dbprovision.dbops.plugins.module_utils.core import parse
    from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.connection import Connector

    engine = superuser_engine
    timeout = "max_statement_time" if engine.mariadb else "max_execution_time"
    changed = {"sql_mode": "'ANSI_QUOTES'", "sql_select_limit": "1", "autocommit": "0", "time_zone": "'+05:00'"}
    try:
        for name, value in changed.items():
            engine.query(f"SET GLOBAL {name} = {value}")
        options = parse.connection({**engine.options, "lock_timeout": 7, "statement_timeout": 9})
        with Connector(options) as connector:
            session = connector.open()
            names = ("sql_mode", "autocommit", "time_zone", "lock_wait_timeout", timeout, "character_set_client")
            ((mode, autocommit, zone, lock, statement, charset),) = session.rows(f"SELECT @@{', @@'.join(names)}")
            assert len(session.rows("SELECT * FROM information_schema.COLLATIONS")) > 1
            session.close()
    finally:
        for name in changed:
            engine.query(f"SET GLOBAL {name} = DEFAULT")
    modes = mode.split(",")
    assert "ANSI_QUOTES" not in modes
    assert {"NO_BACKSLASH_ESCAPES", "STRICT_ALL_TABLES"} <= set(modes)
    assert ("NO_AUTO_CREATE_USER" in modes) is engine.mariadb
    assert (autocommit, zone, lock, charset) == (1, "+00:00", 7, "utf8mb4")
    assert float(statement) == (9 if engine.mariadb else 9000)
