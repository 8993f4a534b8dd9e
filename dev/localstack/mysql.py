# SPDX-License-Identifier: GPL-3.0-or-later
"""Real MySQL and MariaDB servers on loopback, each with its own folder, port, passwords and certificates.

Used by the tests. Which programs there are is told by localstack.mysql_binaries. `query` is the independent
judge of what the product did: it goes over the unix socket as root, with nothing that the product uses but
the driver.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pymysql

from localstack.accounts import reachable, server_user
from localstack.certificates import Authority, KeyPair
from localstack.mysql_binaries import MySQLBinaries
from localstack.mysql_data import FILE_SETTINGS, new_data_directory, server_files
from localstack.processes import Server, ServerError, free_port, wait_until

SUPERUSER = "root"

# Nothing must survive the machine, but what was committed must survive `kill`: the log is written at each
# commit, and never flushed to the disk. A value of None stands for an option without one.
_SETTINGS: Mapping[str, str | None] = {
    "bind-address": "127.0.0.1",
    "innodb-buffer-pool-size": "32M",
    "innodb-doublewrite": "OFF",
    "innodb-flush-log-at-trx-commit": "2",
    "innodb-flush-method": "nosync",
    "innodb-log-buffer-size": "2M",
    # An account for `localhost` is for the socket alone, one for 127.0.0.1 or `%` for TCP.
    "skip-name-resolve": None,
    "sync-binlog": "0",
}
_ENGINE_SETTINGS: Mapping[str, Mapping[str, str | None]] = {
    "mysql": {
        "mysqlx": "OFF",
        "secure-file-priv": "NULL",
        "skip-log-bin": None,
        # With its usual sizes it takes half a gigabyte of memory, and half of that with these.
        "performance-schema-digests-size": "200",
        "table-definition-cache": "400",
        "table-open-cache": "400",
    },
    # Without it, the log of DDL and the files of databases are flushed to the disk all the same.
    "mariadb": {"debug-no-sync": None},
}
_NO_TLS: Mapping[str, Mapping[str, str | None]] = {"mysql": {"tls-version": ""}, "mariadb": {"skip-ssl": None}}

# What managed clouds give their admin.
_WEAK_ADMIN = (
    "CREATE, DROP, ALTER, CREATE USER, RELOAD, PROCESS, SELECT, INSERT, UPDATE, DELETE, SHOW VIEW, TRIGGER, LOCK TABLES"
)
_WEAK_ADMIN_GRANTS: Mapping[str, Sequence[str]] = {
    "mysql": (
        f"GRANT {_WEAK_ADMIN} ON *.* TO %s@'%%' WITH GRANT OPTION",
        "GRANT CONNECTION_ADMIN, ROLE_ADMIN ON *.* TO %s@'%%'",
    ),
    "mariadb": (f"GRANT {_WEAK_ADMIN}, CONNECTION ADMIN ON *.* TO %s@'%%' WITH GRANT OPTION",),
}


@dataclass(frozen=True)
class MySQLLogin:
    """How to reach a server as one of its users."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    ca_certificate: Path | None = None

    def connect(self, database: str | None = None, **options: Any) -> pymysql.Connection[Any]:
        """Log in over TCP, in autocommit mode; TLS is verified in full where the server has it."""
        tls: dict[str, Any] = {"ssl_disabled": True}
        if self.ca_certificate:
            tls = {"ssl_ca": str(self.ca_certificate), "ssl_verify_cert": True, "ssl_verify_identity": True}
        usual = {"autocommit": True, "connect_timeout": 10, "database": database, **tls}
        return pymysql.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, **{**usual, **options}
        )

    def options(self) -> dict[str, Any]:
        """The same as options of the collection's modules."""
        options: dict[str, Any] = {
            "login_host": self.host,
            "login_port": self.port,
            "login_user": self.user,
            "login_password": self.password,
        }
        if self.ca_certificate:
            options |= {"ssl_mode": "verify-full", "ca_cert": str(self.ca_certificate)}
        return options


class MySQLServer:
    """One server. `admin` is root over TCP; `weak_admin()` the admin that managed clouds give."""

    # Not `localhost`, for which the engine's own clients use a socket.
    host = "127.0.0.1"

    def __init__(
        self,
        binaries: MySQLBinaries,
        *,
        settings: Mapping[str, str | None] | None = None,
        tls: bool = True,
        directory: Path | None = None,
    ) -> None:
        """Prepare a server of BINARIES.

        SETTINGS are options of the server program by their names, such as {"log-bin": "binlog"}, and go before
        ours. The data lies in DIRECTORY, or in a temporary one; either is removed at the end.
        """
        self.port = free_port()
        self._user = server_user()
        self.directory = directory or Path(tempfile.mkdtemp(prefix=f"dbops-{binaries.engine}-"))
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = reachable(binaries.directory, user=self._user, name=binaries.directory.name)
        self.binaries = replace(binaries, directory=folder)
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.socket = self.directory / "server.sock"
        self.temporary = self.directory / "tmp"
        self.authority = Authority(self.directory / "certificates") if tls else None
        self._settings = {**_SETTINGS, **_ENGINE_SETTINGS[binaries.engine], **(settings or {})}
        self._process: Server | None = None
        self._weak_admin: MySQLLogin | None = None
        self.admin = self.login(SUPERUSER, secrets.token_urlsafe(18))

    def __enter__(self) -> Self:
        """Make the data directory and start the server."""
        try:
            self.initialize()
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server and remove its data."""
        self.remove()

    @property
    def engine(self) -> str:
        """`mysql` or `mariadb`."""
        return self.binaries.engine

    @property
    def version(self) -> str:
        """The release, such as 9.7.4."""
        return self.binaries.version

    @property
    def process(self) -> Server:
        """The running server's process."""
        assert self._process, "the server was not started"
        return self._process

    def login(self, user: str, password: str) -> MySQLLogin:
        """How to reach this server as USER; makes nothing on the server."""
        ca = self.authority.certificate if self.authority else None
        return MySQLLogin(self.host, self.port, user, password, ca)

    def weak_admin(self) -> MySQLLogin:
        """The admin account of a managed cloud: not all privileges; made at the first call."""
        if not self._weak_admin:
            self._weak_admin = self.make_weak_admin()
        return self._weak_admin

    def make_weak_admin(self, name: str = "weak_admin") -> MySQLLogin:
        """Make an account with what managed clouds give, for every host."""
        login = self.login(name, secrets.token_urlsafe(18))
        self.query("CREATE USER %s@'%%' IDENTIFIED BY %s", (name, login.password))
        for statement in _WEAK_ADMIN_GRANTS[self.engine]:
            self.query(statement, (name,))
        return login

    def client_certificate(self, user: str) -> KeyPair:
        """Issue a certificate for an account with REQUIRE X509, or REQUIRE SUBJECT '/CN=USER'."""
        if not self.authority:
            raise ServerError(f"this {self.engine} server was started without TLS")
        return self.authority.client(f"client-{secrets.token_hex(4)}", common_name=user)

    def initialize(self) -> None:
        """Make the data directory, and what the server reads at its first start."""
        new_data_directory(self.binaries, self.data, user=self._user)
        self.temporary.mkdir(mode=0o700)
        if self.authority:
            pair = self.authority.server("server", hosts=("localhost", self.host))
            tls: Mapping[str, str | None] = {
                "ssl-ca": str(self.authority.certificate),
                "ssl-cert": str(pair.certificate),
                "ssl-key": str(pair.key),
            }
        else:
            tls = _NO_TLS[self.engine]
        self._settings = {**tls, **self._settings}
        first = self._first_statements
        first.touch(mode=0o600)
        password = pymysql.converters.escape_string(self.admin.password)
        first.write_text(
            f"ALTER USER {SUPERUSER}@localhost IDENTIFIED BY '{password}';\n"
            f"CREATE USER {SUPERUSER}@'%' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON *.* TO {SUPERUSER}@'%' WITH GRANT OPTION;\n",
            encoding="utf-8",
        )
        self._hand_over()

    def start(self) -> None:
        """Start the server, also again after `stop` or `kill`, and return when it takes connections."""
        name = f"{self.engine} {self.version}"
        own = (*server_files(self.binaries), *FILE_SETTINGS[self.binaries.engine], f"--datadir={self.data}")
        # A folder of its own for temporary tables: MariaDB removes all that it finds there when it starts, and another
        # server that is using them crashes.
        places = (
            *(f"--port={self.port}", f"--socket={self.socket}", f"--pid-file={self.directory / 'server.pid'}"),
            f"--tmpdir={self.temporary}",
        )
        given = [f"--{key}" if value is None else f"--{key}={value}" for key, value in self._settings.items()]
        first = [f"--init-file={self._first_statements}"] if self._first_statements.exists() else []
        self._process = Server(
            name,
            [self.binaries.server, "--no-defaults", *own, *places, *given, *first],
            log=self.log,
            directory=self.directory,
            environment={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            user=(self._user.pw_uid, self._user.pw_gid) if os.geteuid() == 0 else None,
            remove=self.directory,
        )
        try:
            wait_until(self._answers, what=f"{name} takes connections", timeout=60)
        except TimeoutError as error:
            raise ServerError(f"{error}\n{self.process.end_of_log()}") from error
        self._first_statements.unlink(missing_ok=True)

    def stop(self) -> None:
        """Shut the server down, ending its sessions; the data stays."""
        self.process.stop()

    def restart(self) -> None:
        """Stop and start it: every session is lost, the data stays."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End the server as a crash would; the data stays."""
        self.process.kill()

    def pause(self) -> None:
        """Let the server hang: sessions stay open and nothing answers."""
        self.process.pause()

    def resume(self) -> None:
        """End `pause`."""
        self.process.resume()

    def remove(self) -> None:
        """End the server and remove its data."""
        if self._process:
            self._process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def query(
        self,
        statement: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        database: str | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run one statement as root, in autocommit mode; give its rows, none if it has no result.

        With PARAMETERS a percent sign in the statement is doubled; an account's name is a parameter like any.
        """
        with self._local_connection(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    @property
    def _first_statements(self) -> Path:
        return self.directory / "first.sql"

    def _local_connection(self, database: str | None = None) -> pymysql.Connection[Any]:
        return pymysql.connect(
            unix_socket=str(self.socket), user=SUPERUSER, password=self.admin.password, database=database,
            autocommit=True, connect_timeout=10, program_name="localstack", ssl_disabled=True,
        )  # fmt: skip

    def _answers(self) -> bool:
        self.process.require_running()
        try:
            self._local_connection().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def _hand_over(self) -> None:
        """Give the folder and what we wrote into it to the user that the server runs as."""
        if os.geteuid() != 0:
            return
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, self._user.pw_uid, self._user.pw_gid)
