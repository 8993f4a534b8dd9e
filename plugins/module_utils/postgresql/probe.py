# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a connection failed when libpq gives no SQLSTATE: asked of the server itself, without any password.

Called by postgresql/connection.py after a failure. It goes the first steps of a connection by hand (TCP, TLS,
the start packet) and judges by what comes back, never by text, which may be in any language.
https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_PROTOCOL_3 = 196608
_MAX_MESSAGE = 65536
_METHODS = {0: "none", 3: "password", 5: "md5", 7: "gss", 9: "sspi", 10: "scram-sha-256"}


@dataclass(frozen=True)
class Finding:
    """What the server did: a REASON with words, or the SQLSTATE that it answered with, or what it asks for."""

    reason: Reason | None = None
    message: str = ""
    sqlstate: str | None = None
    method: str | None = None
    """How it wants the user to prove itself, in the words of libpq's require_auth."""


def probe(options: Mapping[str, Any], *, host: str, port: int, user: str, database: str, seconds: float) -> Finding:
    """Ask the server at HOST (a name, an address or a folder with its socket) and PORT."""
    try:
        with _connect(host, port, seconds) as plain:
            if host.startswith("/") or options["ssl_mode"] in ("disable", "allow"):
                return _start(plain, user, database)
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                return Finding(Reason.TLS_FAILED, "the server does not offer TLS") if _strict(options) else Finding()
            with _context(options).wrap_socket(plain, server_hostname=host) as secured:
                return _start(secured, user, database)
    except ssl.SSLCertVerificationError as error:
        return Finding(Reason.TLS_FAILED, f"the server's certificate is refused: {error.verify_message}")
    except ssl.SSLError as error:
        return Finding(Reason.TLS_FAILED, f"TLS failed: {error.reason or 'no common protocol'}")
    except TimeoutError:
        return Finding(Reason.CONNECTION_FAILED, "it does not answer")
    except socket.gaierror:
        return Finding(Reason.CONNECTION_FAILED, "the host name cannot be resolved")
    except ConnectionRefusedError:
        return Finding(Reason.CONNECTION_FAILED, "nothing listens there (connection refused)")
    except OSError as error:
        return Finding(Reason.CONNECTION_FAILED, f"no connection ({type(error).__name__})")


def _strict(options: Mapping[str, Any]) -> bool:
    return options["ssl_mode"] in ("require", "verify-ca", "verify-full")


def _connect(host: str, port: int, seconds: float) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port), timeout=seconds)
    local = socket.socket(socket.AF_UNIX)
    local.settimeout(seconds)
    try:
        local.connect(f"{host}/.s.PGSQL.{port}")
    except BaseException:
        local.close()
        raise
    return local


def _context(options: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = options["ssl_mode"] == "verify-full"
    verified = options["ssl_mode"] in ("verify-ca", "verify-full")
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    if options.get("ca_file"):
        context.load_verify_locations(cafile=options["ca_file"])
    if options.get("cert_file"):
        context.load_cert_chain(options["cert_file"], options.get("key_file"))
    return context


def _start(connection: socket.socket, user: str, database: str) -> Finding:
    """Send the start packet and read the first message: an error with its SQLSTATE, or how to authenticate."""
    words = (b"user", user.encode(), b"database", database.encode(), b"")
    body = struct.pack("!I", _PROTOCOL_3) + b"\0".join(words) + b"\0"
    connection.sendall(struct.pack("!I", len(body) + 4) + body)
    kind = _read(connection, 1)
    (length,) = struct.unpack("!I", _read(connection, 4))
    if not 4 < length <= _MAX_MESSAGE:
        return Finding(Reason.CONNECTION_FAILED, "what answers is no PostgreSQL server")
    message = _read(connection, length - 4)
    if kind == b"E":
        fields = {part[:1]: part[1:] for part in message.split(b"\0") if part}
        return Finding(sqlstate=fields.get(b"C", b"").decode("ascii", "replace") or None)
    if kind == b"R":
        (code,) = struct.unpack("!I", message[:4])
        return Finding(method=_METHODS.get(code, f"method {code}"))
    return Finding(Reason.CONNECTION_FAILED, "what answers is no PostgreSQL server")


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data
