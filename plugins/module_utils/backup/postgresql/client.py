# SPDX-License-Identifier: GPL-3.0-or-later
"""How PostgreSQL's client tools reach a server: with the connection options' own TLS settings, and no secret in argv.

Called by dump.py, listing.py and restore.py. Host, port, user, database and paths go as a connection string; the
password lies in a PGPASSFILE in memory. https://www.postgresql.org/docs/current/libpq-connect.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.client_files import ClientFiles
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.processes import Command
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.tools import Tool
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.connection import Connector

_REQUIRE_AUTH = 16
"""The first major version whose libpq can refuse a server that asks for the password in clear text."""
_PINNED = {"role": "none", "default_transaction_read_only": "off", "row_security": "off"}
"""What `ALTER ROLE ... SET` and `ALTER DATABASE ... SET` may have set against us; the tools set the rest themselves."""


@dataclass(frozen=True)
class Login:
    """Who a tool logs in as."""

    user: str
    password: str | None = field(repr=False)


def admin_login(connector: Connector) -> Login:
    """Give the login of the connection options."""
    password = connector.options.get("login_password")
    return Login(str(connector.options.get("login_user") or "postgres"), str(password) if password else None)


def connecting(
    tool: Tool, arguments: Sequence[str], *, connector: Connector, login: Login, database: str, files: ClientFiles
) -> Command:
    """Give the command of TOOL with ARGUMENTS that connects to DATABASE; FILES hold what it reads while it runs.

    Raises DbopsError where the tool could be made to send the password in clear text.
    """
    from psycopg.conninfo import make_conninfo

    parameters = {
        "host": connector.host,
        "port": str(connector.port),
        "dbname": database,
        "user": login.user,
        "sslmode": "disable" if connector.host.startswith("/") else str(connector.options["ssl_mode"]),
        "gssencmode": "disable",
        "connect_timeout": str(max(2, int(connector.options["connect_timeout"]))),
        "application_name": str(connector.options["application_name"]),
        "client_encoding": "UTF8",
        "options": " ".join(f"-c {name}={value}" for name, value in _PINNED.items()),
        **_tls(connector, files),
    }
    if login.password is not None:
        parameters |= {"passfile": files.add("pgpass", _pgpass(login.password)), **_methods(tool, connector)}
    return Command(
        tool.path, [*arguments, "--dbname=" + make_conninfo(**parameters)], _environment(), files.descriptors
    )


def plain(tool: Tool, arguments: Sequence[str], *, descriptors: Sequence[int] = ()) -> Command:
    """Give the command of TOOL with ARGUMENTS that needs no server."""
    return Command(tool.path, list(arguments), _environment(), tuple(descriptors))


def _environment() -> Mapping[str, str]:
    # libpq looks for certificates that the options do not name under the home directory, as the engine's sessions do.
    return {"HOME": os.environ["HOME"]} if "HOME" in os.environ else {}


def _tls(connector: Connector, files: ClientFiles) -> dict[str, str]:
    names = {"ca_cert": "sslrootcert", "ssl_cert": "sslcert", "ssl_key": "sslkey"}
    given = {name: connector.options.get(option) for option, name in names.items()}
    return {name: files.path_of(name, str(value)) for name, value in given.items() if value}


def _methods(tool: Tool, connector: Connector) -> dict[str, str]:
    if tool.major >= _REQUIRE_AUTH:
        return {"require_auth": connector.methods()}
    if not connector.verified and not connector.host.startswith("/"):
        text = (
            f"{tool.name} {tool.version} cannot refuse a server that asks for the password in clear text: "
            "set ssl_mode to verify-ca or verify-full"
        )
        raise DbopsError(Reason.UNSUPPORTED, text, field="ssl_mode")
    return {}


def _pgpass(password: str) -> str:
    if "\n" in password or "\0" in password:
        text = "PostgreSQL's tools cannot take a password with a line break"
        raise DbopsError(Reason.UNSUPPORTED, text, field="login_password")
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:*:{escaped}\n"
