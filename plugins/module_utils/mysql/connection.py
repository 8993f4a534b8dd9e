# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions on a server of MySQL or MariaDB: how they are opened, with which settings, and what went wrong if not.

Takes the connection options of a request (core.argument_specs.CONNECTION); mysql/server.py keeps one session for
the length of a run. Every session pins what the server's configuration could have set against us, is bounded by
timeouts, and answers no request for a password in clear text.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import errors, quoting, tls

if TYPE_CHECKING:
    import pymysql

DEFAULT_PORT = 3306
_SECONDS_TO_CANCEL = 2.0
_GRACE = 5.0
"""How long the server gets to say itself that a statement took too long."""
_YEAR = 31536000
_NO_TLS = 2026
_open_sessions: weakref.WeakSet[Session] = weakref.WeakSet()

# Without ANSI_QUOTES, so that double quotes are nothing special; with NO_BACKSLASH_ESCAPES, so that text ends where
# its quote does. The rest makes errors of what would be warnings.
_SQL_MODE = (
    "STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,"
    "NO_BACKSLASH_ESCAPES"
)
# Otherwise GRANT makes accounts, without a password, of names that it does not know. MySQL has no such thing.
_SQL_MODE_OF = {"mysql": _SQL_MODE, "mariadb": f"{_SQL_MODE},NO_AUTO_CREATE_USER"}
_PINNED = {
    "time_zone": "+00:00",
    "autocommit": 1,
    "sql_safe_updates": 0,
    # A limit that the server sets for everybody would cut off what we read.
    "sql_select_limit": 18446744073709551615,
}


class ConnectError(DbopsError):
    """A session could not be opened."""

    def __init__(self, reason: Reason, message: str, *, number: int = 0) -> None:
        """Take the server's error NUMBER, if any."""
        super().__init__(reason, message)
        self.number = number

    @property
    def proven(self) -> bool:
        """Whether the password had been accepted before the server refused."""
        return self.number in errors.PASSWORD_WAS_RIGHT


class Session:
    """One open session. Each statement commits by itself."""

    def __init__(self, connection: pymysql.Connection[Any], connector: Connector) -> None:
        """Take an open CONNECTION in autocommit mode; CONNECTOR opens another to end what hangs here."""
        self._connection = connection
        self._connector = connector
        self.connection_id = int(self._rows("SELECT CONNECTION_ID()")[0][0])
        _open_sessions.add(self)

    @property
    def handshake_id(self) -> int:
        """The session's number that the server, or what stands before it, told first."""
        return int(self._connection.server_thread_id[0])  # type: ignore[attr-defined]

    @property
    def closed(self) -> bool:
        """Whether it was closed, or lost."""
        return not self._connection.open

    def rows(
        self, query: str, parameters: Mapping[str, Any] | Sequence[Any] = (), *, doing: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Give all rows of QUERY, a constant text with the driver's placeholders. Raises DbopsError.

        DOING says in its message what this is good for.
        """
        import pymysql

        try:
            return self._rows(query, parameters)
        except pymysql.MySQLError as error:
            raise errors.statement_error(error, doing=doing or str(self._connector)) from error

    def send(self, statement: Statement) -> None:
        """Execute STATEMENT. Raises pymysql.MySQLError, so that the caller can decide about another try."""
        self._rows(quoting.rendered(statement))

    def _rows(self, query: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        import pymysql

        try:
            with self._connection.cursor() as cursor:
                cursor.execute(query, parameters or None)
                return list(cursor.fetchall()) if cursor.description else []
        except pymysql.MySQLError as error:
            if errors.timed_out(error):
                # Statements that define something have no time limit on the server: it would go on without us.
                self.cancel()
            raise

    def cancel(self) -> None:
        """End this session on the server, by another one, if that can be had; from any thread."""
        with suppress(DbopsError):
            self._connector.end(self.connection_id)

    def close(self) -> None:
        """End the session."""
        import pymysql

        _open_sessions.discard(self)
        with suppress(pymysql.MySQLError):
            self._connection.close()


def cancel_all() -> None:
    """End all open sessions on their servers, with the statement that runs there, if any; from any thread.

    For a process that nobody waits for any more: a statement that waits for a lock would outlive it.
    """
    for session in tuple(_open_sessions):
        session.cancel()


@dataclass
class Connector:
    """Opens sessions on one server."""

    options: Mapping[str, Any] = field(repr=False)
    _context: ssl.SSLContext | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        """Prepare TLS."""
        self._context = tls.context(self.options)
        return self

    def __exit__(self, *_: object) -> None:
        """Forget the keys."""
        self._context = None

    @property
    def host(self) -> str:
        """Host name or address, also where the admin account goes through a socket."""
        return str(self.options["login_host"])

    @property
    def port(self) -> int:
        """TCP port."""
        return int(self.options.get("login_port") or DEFAULT_PORT)

    @property
    def encrypted(self) -> bool:
        """Whether no session is ever in plain text."""
        return self.options["ssl_mode"] in tls.STRICT

    @property
    def has_certificate(self) -> bool:
        """Whether we prove ourselves by a certificate."""
        return bool(self.options.get("ssl_cert"))

    def open(self) -> Session:
        """Open a session of the admin account. Raises ConnectError."""
        import pymysql

        connection = self._connect(self.options.get("login_user") or "root", self.options.get("login_password") or "")
        try:
            self._pin(connection)
            return Session(connection, self)
        except pymysql.MySQLError as error:
            raise self._failure(error, str(self.options.get("login_user"))) from error

    def try_login(self, user: str, password: str) -> str:
        """Log in once over TCP with exactly this USER and PASSWORD, and leave. Raises ConnectError.

        Gives the account that the server took us for: one without a name may stand before it.
        """
        import pymysql

        with Connector({**self.options, "login_unix_socket": None}) as by_tcp:
            connection = by_tcp._connect(user, password)
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute("SELECT CURRENT_USER()")
                    return str(cursor.fetchall()[0][0])
            except pymysql.MySQLError as error:
                raise by_tcp._failure(error, user) from error

    def open_as(self, user: str, password: str, database: str) -> pymysql.Connection[Any]:
        """Open a session of another account in DATABASE, with the server's own settings. Raises ConnectError."""
        import pymysql

        connection = self._connect(user, password)
        try:
            connection.select_db(database)
        except pymysql.MySQLError as error:
            raise self._failure(error, user) from error
        self._wait_longer(connection)
        return connection

    def end(self, connection_id: int) -> None:
        """End the session of this number, by another session. Raises ConnectError."""
        import pymysql

        quick = replace(self, options={**self.options, "connect_timeout": _SECONDS_TO_CANCEL})
        connection = quick._connect(self.options.get("login_user") or "root", self.options.get("login_password") or "")
        with connection, connection.cursor() as cursor, suppress(pymysql.MySQLError):
            cursor.execute("KILL CONNECTION %s", [connection_id])

    def _connect(self, user: str, password: str) -> pymysql.Connection[Any]:
        """Log in within about `connect_timeout` all in all. Raises ConnectError."""
        import pymysql

        try:
            connection = self._logged_in(user, password, self._context)
        except pymysql.MySQLError as error:
            # The server does not offer TLS; nothing but that was said yet.
            if errors.number_of(error) != _NO_TLS or self.options["ssl_mode"] in tls.STRICT:
                raise self._failure(error, user) from error
            try:
                connection = self._logged_in(user, password, None)
            except pymysql.MySQLError as second:
                raise self._failure(second, user) from second
        return connection

    def _logged_in(self, user: str, password: str, context: ssl.SSLContext | None) -> pymysql.Connection[Any]:
        import pymysql

        seconds = max(1.0, float(self.options["connect_timeout"]))
        deadline = time.monotonic() + seconds
        path = self.options.get("login_unix_socket")
        opened = None if path else self._dial(deadline)
        connection: pymysql.Connection[Any] = pymysql.connections.Connection(
            host=self.host, port=self.port, unix_socket=path, user=user, password=password.encode(),
            ssl=context, ssl_disabled=context is None, local_infile=False, auth_plugin_map=_REFUSED_PLUGINS,
            charset="utf8mb4", collation="utf8mb4_bin", autocommit=None, defer_connect=True,
            program_name=str(self.options["application_name"]),
            connect_timeout=seconds, read_timeout=seconds, write_timeout=seconds,
        )  # fmt: skip
        try:
            connection.connect(opened)
        except (struct.error, ValueError, IndexError, pymysql.InternalError) as error:
            if opened:
                opened.close()
            text = f"{self}: what answers is no server of MySQL or MariaDB"
            raise ConnectError(Reason.CONNECTION_FAILED, text) from error
        return connection

    def _dial(self, deadline: float) -> socket.socket:
        """Connect to the first address that answers before DEADLINE. Raises ConnectError."""
        try:
            addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            raise ConnectError(Reason.CONNECTION_FAILED, f"{self}: the host name cannot be resolved") from None
        problem = "no answer in time"
        for family, kind, protocol, _ignored, address in addresses:
            opened = socket.socket(family, kind, protocol)
            try:
                opened.settimeout(max(0.1, deadline - time.monotonic()))
                opened.connect(address)
            except OSError as error:
                opened.close()
                if not isinstance(error, TimeoutError):
                    refused = isinstance(error, ConnectionRefusedError)
                    problem = "nothing listens there" if refused else f"no connection ({type(error).__name__})"
                continue
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            return opened
        raise ConnectError(Reason.CONNECTION_FAILED, f"{self}: {problem}")

    def _pin(self, connection: pymysql.Connection[Any]) -> None:
        """Set what every session of ours has, and how long it waits."""
        statement, lock = (int(self.options[name]) for name in ("statement_timeout", "lock_timeout"))
        mariadb = "mariadb" in str(connection.server_version).lower()  # type: ignore[attr-defined]
        wanted: dict[str, Any] = {
            "sql_mode": _SQL_MODE_OF["mariadb" if mariadb else "mysql"],
            **_PINNED,
            "lock_wait_timeout": lock or _YEAR,
            "innodb_lock_wait_timeout": lock or _YEAR,
            "wait_timeout": max(600, 2 * statement),
            **({"max_statement_time": statement} if mariadb else {"max_execution_time": 1000 * statement}),
        }
        with connection.cursor() as cursor:
            cursor.execute(f"SET {', '.join(f'{name} = %({name})s' for name in wanted)}", wanted)
            cursor.execute("SET SESSION TRANSACTION READ WRITE")
        self._wait_longer(connection)

    def _wait_longer(self, connection: pymysql.Connection[Any]) -> None:
        """Wait for answers as long as statements may take; so far it was the time to connect."""
        statement, lock = (int(self.options[name]) for name in ("statement_timeout", "lock_timeout"))
        longest = statement + lock + _GRACE if statement and lock else None
        # The driver has no call for it.
        connection._read_timeout = connection._write_timeout = longest  # type: ignore[attr-defined]

    def _failure(self, error: pymysql.MySQLError, user: str) -> ConnectError:
        """Say why no session could be had."""
        number = errors.number_of(error)
        refused = errors.tls_error(error)
        if refused:
            why = getattr(refused, "verify_message", None) or refused.reason or "no common protocol"
            return ConnectError(Reason.TLS_FAILED, f"{self}: TLS failed: {why}"[:500])
        if errors.timed_out(error):
            seconds = self.options["connect_timeout"]
            return ConnectError(Reason.CONNECTION_FAILED, f"{self}: no answer within {seconds} s")
        reason, remedy = errors.reason_of(number, at_login=True)
        text = f"{self}: user {user!r}: {remedy}{errors.said(error)}"
        return ConnectError(reason, text[:1000], number=number)

    def __str__(self) -> str:
        """Name the server for people."""
        return str(self.options.get("login_unix_socket") or f"{self.host}:{self.port}")


class _RefusedPlugin:
    """Stands for ways of authentication in which the server is told the password, or as good as that."""

    def __init__(self, _connection: object) -> None:
        """Take what the driver gives."""

    def authenticate(self, _packet: object) -> None:
        """Refuse."""
        import pymysql

        raise pymysql.OperationalError(2059, "refused")


_REFUSED_PLUGINS: dict[str, Any] = dict.fromkeys(
    ("mysql_clear_password", "dialog", "mysql_old_password"), _RefusedPlugin
)
