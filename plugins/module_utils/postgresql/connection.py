# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions on a PostgreSQL server: how they are opened, with which settings, and what went wrong if not.

Takes the connection options of a request (core.argument_specs.CONNECTION); postgresql/server.py keeps one session
for the server as a whole and opens one more per database that must be looked into. Every session pins what an
owner of a database or role could have set against us, is bounded by timeouts, and never sends a password in
clear text but over TLS whose server is verified.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.statement import Statement
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import errors, probe, quoting

if TYPE_CHECKING:
    import psycopg
    from psycopg.pq.abc import PGconn

DEFAULT_PORT = 5432
_SECONDS_TO_CANCEL = 2.0
_open_connections: weakref.WeakSet[psycopg.Connection[tuple[Any, ...]]] = weakref.WeakSet()
_REQUIRE_AUTH_LIBPQ = 160000
_VERBOSE = 2
"""PQERRORS_VERBOSE of libpq: errors while connecting then carry SQLSTATE and the server's source file."""
_SQLSTATE = re.compile(r":  ([0-9A-Z]{5}): ")
_AFTER_AUTHENTICATION = re.compile(r", (?:miscinit|postinit)\.c:\d+\s*$")


class ConnectError(DbopsError):
    """A session could not be opened."""

    def __init__(self, reason: Reason, message: str, *, sqlstate: str | None = None, proven: bool = False) -> None:
        """Take the server's SQLSTATE, if any; PROVEN: the password had been accepted before it refused."""
        super().__init__(reason, message)
        self.sqlstate = sqlstate
        self.proven = proven


class Session:
    """One open session. Outside of `transaction` each statement commits by itself."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]], database: str) -> None:
        """Take an open CONNECTION in autocommit mode."""
        self._connection = connection
        _open_connections.add(connection)
        self.database = database
        self.version_number: int = connection.info.server_version

    @property
    def backend_pid(self) -> int:
        """The process that the server said serves us."""
        return self._connection.info.backend_pid

    @property
    def closed(self) -> bool:
        """Whether it was closed, or lost."""
        return self._connection.closed

    def rows(
        self, query: str, parameters: Mapping[str, Any] | Sequence[Any] = (), *, doing: str | None = None
    ) -> list[tuple[Any, ...]]:
        """Give all rows of QUERY, a constant text with psycopg's placeholders. Raises DbopsError.

        DOING says in its message what this is good for.
        """
        import psycopg

        try:
            cursor = self._connection.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise errors.statement_error(error, doing=doing or f"database {self.database}") from error

    def select(self, statement: Statement, *, doing: str) -> list[tuple[Any, ...]]:
        """Give all rows of STATEMENT, for names that are no values. Raises DbopsError, as `rows` does."""
        import psycopg

        try:
            return self._connection.execute(quoting.composed(statement)).fetchall()
        except psycopg.Error as error:
            raise errors.statement_error(error, doing=doing) from error

    def send(self, statement: Statement) -> None:
        """Execute STATEMENT. Raises psycopg.Error, so that the caller can decide about another try."""
        self._connection.execute(quoting.composed(statement))

    def send_foreign(self, text: str | bytes) -> None:
        """Execute a statement that somebody else wrote, in a session of theirs. Raises psycopg.Error."""
        self._connection.execute(text.encode() if isinstance(text, str) else text)

    @contextmanager
    def copy_foreign(self, statement: bytes) -> Iterator[Callable[[bytes], None]]:
        """Execute somebody else's COPY ... FROM STDIN in a session of theirs; give what takes its data."""
        with self._connection.cursor().copy(statement) as copy:
            yield copy.write

    def cancel(self) -> None:
        """Ask the server to give up the statement that runs, from another thread; an answer is not waited for long."""
        import psycopg

        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=_SECONDS_TO_CANCEL)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction was left open."""
        from psycopg.pq import TransactionStatus

        return self._connection.info.transaction_status is not TransactionStatus.IDLE

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside at its end, all of it or nothing."""
        with self._connection.transaction():
            yield

    def close(self) -> None:
        """End the session; what is open in it is rolled back."""
        self._connection.close()


def cancel_all() -> None:
    """Ask the servers of all open sessions to give up the statement that runs, if any; from any thread.

    For a process that nobody waits for any more: a statement that waits for a lock would outlive it.
    """
    import psycopg

    for connection in tuple(_open_connections):
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_SECONDS_TO_CANCEL)


@dataclass
class Connector:
    """Opens sessions on one server. `close` gives back the files in memory that hold TLS material."""

    options: Mapping[str, Any] = field(repr=False)
    _files: ExitStack = field(default_factory=ExitStack, repr=False)
    _paths: dict[str, str] = field(default_factory=dict, repr=False)

    def __enter__(self) -> Self:
        """Prepare the TLS files."""
        names = {"ca_cert": "ca_file", "ssl_cert": "cert_file", "ssl_key": "key_file"}
        for option, name in names.items():
            if self.options.get(option):
                self._paths[name] = self._path(option, str(self.options[option]))
        return self

    def __exit__(self, *_: object) -> None:
        """Close the TLS files."""
        self._files.close()

    @property
    def tcp_host(self) -> str:
        """Host name or address, also where the admin account goes through a socket."""
        return str(self.options["login_host"])

    @property
    def host(self) -> str:
        """Host name, address, or folder of the socket."""
        return str(self.options.get("login_unix_socket") or self.tcp_host)

    @property
    def port(self) -> int:
        """TCP port, also part of the socket's name."""
        return int(self.options.get("login_port") or DEFAULT_PORT)

    @property
    def database(self) -> str:
        """Where to be when nothing else is said."""
        return str(self.options.get("login_db") or "postgres")

    @property
    def verified(self) -> bool:
        """Whether the server proves by TLS that it is the right one."""
        return self.options["ssl_mode"] in ("verify-ca", "verify-full") and not self.host.startswith("/")

    def open(self, database: str) -> Session:
        """Open a session of the admin account in DATABASE. Raises ConnectError."""
        user, password = self.options.get("login_user") or "postgres", self.options.get("login_password")
        pgconn = self._connect(user, password, database, self.methods() if password else None)
        return Session(self._session(pgconn), database)

    def open_as(self, user: str, password: str, database: str) -> Session:
        """Open a session of another login, with its own settings. Raises ConnectError."""
        pgconn = self._connect(user, password, database, self.methods(), plain=True)
        return Session(self._session(pgconn), database)

    def methods(self) -> str:
        """Give the authentication methods that the server may ask for, as libpq's require_auth."""
        # A server may let us in without asking (trust, peer); it may not ask for the password in clear text
        # unless it has proven who it is. md5 is for servers that still have such a verifier.
        return "none,scram-sha-256,md5" + (",password" if self.verified else "")

    def try_login(self, user: str, password: str, database: str) -> None:
        """Log in once over TCP with exactly this USER and PASSWORD, and leave. Raises ConnectError.

        A server that asks for no password proves nothing: that is refused as well.
        """
        by_tcp = Connector({**self.options, "login_unix_socket": None})
        with by_tcp:
            methods = "scram-sha-256,md5" + (",password" if by_tcp.verified else "")
            by_tcp._connect(user, password, database, methods, plain=True).finish()

    def _path(self, option: str, value: str) -> str:
        if "-----BEGIN" not in value:
            if not os.access(value, os.R_OK):
                raise DbopsError(Reason.TLS_FAILED, f"{option}: the file {value} cannot be read", field=option)
            return value
        # Text goes into memory only: a file that has no name and ends with us.
        descriptor = os.memfd_create(option)
        self._files.callback(os.close, descriptor)
        os.fchmod(descriptor, 0o600)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(value.encode())
        return f"/proc/self/fd/{descriptor}"

    def _settings(self) -> str:
        """Pin by startup options what `ALTER ROLE ... SET` and `ALTER DATABASE ... SET` may have set against us."""
        seconds = {name: int(self.options[name]) for name in ("statement_timeout", "lock_timeout")}
        pinned = {
            "role": "none",
            "search_path": "pg_catalog",
            "default_transaction_read_only": "off",
            "default_transaction_isolation": "read\\ committed",
            "statement_timeout": f"{seconds['statement_timeout']}s",
            "lock_timeout": f"{seconds['lock_timeout']}s",
            "idle_in_transaction_session_timeout": f"{max(60, 2 * seconds['statement_timeout'])}s",
            "DateStyle": "ISO",
            "row_security": "on",
            "standard_conforming_strings": "on",
        }
        return " ".join(f"-c {name}={value}" for name, value in pinned.items())

    def _parameters(self, user: str | None, password: str | None, database: str) -> dict[str, str]:
        parameters = {
            "host": self.host,
            "port": str(self.port),
            "dbname": database,
            "sslmode": "disable" if self.host.startswith("/") else str(self.options["ssl_mode"]),
            "gssencmode": "disable",
            "client_encoding": "UTF8",
            "target_session_attrs": "any",
            "application_name": str(self.options["application_name"]),
        }
        if user:
            parameters["user"] = user
        if password:
            parameters["password"] = password
        names = {"ca_file": "sslrootcert", "cert_file": "sslcert", "key_file": "sslkey"}
        return parameters | {names[name]: path for name, path in self._paths.items()}

    def _connect(
        self, user: str | None, password: str | None, database: str, methods: str | None, *, plain: bool = False
    ) -> PGconn:
        """Connect within `connect_timeout` all in all: libpq's own timeout is per address, and only when blocking."""
        from psycopg import pq
        from psycopg.conninfo import make_conninfo

        parameters = self._parameters(user, password, database)
        if methods:
            if pq.version() < _REQUIRE_AUTH_LIBPQ:
                text = "libpq 16 or newer is needed, so that no server can ask for the password in clear text"
                raise ConnectError(Reason.UNSUPPORTED, text)
            parameters["require_auth"] = methods
        if not plain:
            parameters["options"] = self._settings()
        seconds = max(1, int(self.options["connect_timeout"]))
        pgconn = pq.PGconn.connect_start(make_conninfo(**parameters).encode())
        _make_verbose(pgconn)
        if _finish(pgconn, time.monotonic() + seconds):
            pgconn.nonblocking = 1
            return pgconn
        waiting = pgconn.status != pq.ConnStatus.BAD
        text = "" if waiting else pgconn.error_message.decode("utf-8", "replace")
        pgconn.finish()
        if waiting:
            raise ConnectError(Reason.CONNECTION_FAILED, f"{self}: no answer within {seconds} s")
        raise self._failure(text, user=user or "", database=database, methods=methods, seconds=seconds)

    def _failure(self, text: str, *, user: str, database: str, methods: str | None, seconds: int) -> ConnectError:
        found = _SQLSTATE.search(text)
        if found:
            return self._refused(found.group(1), user, database, proven=bool(_AFTER_AUTHENTICATION.search(text)))
        options = {"ssl_mode": self.options["ssl_mode"], **self._paths}
        finding = probe.probe(options, host=self.host, port=self.port, user=user, database=database, seconds=seconds)
        if finding.reason:
            return ConnectError(finding.reason, f"{self}: {finding.message}")
        if finding.sqlstate:
            return self._refused(finding.sqlstate, user, database)
        if methods and finding.method and finding.method not in methods.split(","):
            asked = {"none": "asks for no password, which proves nothing", "password": _CLEAR_TEXT}
            said = asked.get(finding.method, f"wants authentication by {finding.method}, which is not used")
            return ConnectError(Reason.AUTHENTICATION_FAILED, f"{self}: the server {said}")
        first = text.strip().splitlines()[0] if text.strip() else "the connection was lost"
        return ConnectError(Reason.CONNECTION_FAILED, f"{self}: {first}"[:500])

    def _refused(self, sqlstate: str, user: str, database: str, *, proven: bool = False) -> ConnectError:
        reason, remedy = errors.reason_of(sqlstate)
        text = f"{self}: user {user!r}, database {database!r}: {remedy}"
        return ConnectError(reason, text, sqlstate=sqlstate, proven=proven)

    def _session(self, pgconn: PGconn) -> psycopg.Connection[tuple[Any, ...]]:
        import psycopg

        connection: psycopg.Connection[tuple[Any, ...]] = psycopg.Connection(pgconn)
        connection.autocommit = True
        # Each statement is sent once; prepared ones would only break behind a pooler.
        connection.prepare_threshold = None
        return connection

    def __str__(self) -> str:
        """Name the server for people."""
        return self.host if self.host.startswith("/") else f"{self.host}:{self.port}"


_CLEAR_TEXT = "asks for the password in clear text, which is sent only over TLS with ssl_mode verify-ca or verify-full"


def _finish(pgconn: PGconn, deadline: float) -> bool:
    """Go through the handshake until DEADLINE; False when it failed or is not through by then."""
    from psycopg import pq

    if pgconn.status == pq.ConnStatus.BAD:
        return False
    wanted = pq.PollingStatus.WRITING
    while True:
        left = deadline - time.monotonic()
        poller = select.poll()
        poller.register(pgconn.socket, select.POLLOUT if wanted == pq.PollingStatus.WRITING else select.POLLIN)
        if left <= 0 or not poller.poll(left * 1000):
            return False
        wanted = pq.PollingStatus(pgconn.connect_poll())
        if wanted in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            return wanted == pq.PollingStatus.OK


def _make_verbose(pgconn: PGconn) -> None:
    """Have errors while connecting carry their SQLSTATE, which psycopg has no call for."""
    _set_verbosity()(getattr(pgconn, "pgconn_ptr"), _VERBOSE)  # noqa: B009 (missing in the protocol class)


@cache
def _set_verbosity() -> Callable[[Any, int], int]:
    """Give libpq's public function, found through the library that psycopg itself has loaded."""
    import importlib.util

    from psycopg import pq
    from psycopg.pq.misc import find_libpq_full_path

    module = {"binary": "psycopg_binary.pq", "c": "psycopg_c.pq"}.get(pq.__impl__)
    found = importlib.util.find_spec(module) if module else None
    function = ctypes.CDLL(found.origin if found else find_libpq_full_path()).PQsetErrorVerbosity
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int], ctypes.c_int
    return function
