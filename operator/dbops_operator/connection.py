# SPDX-License-Identifier: GPL-3.0-or-later
"""From an instance's spec and the content of its Secrets to the options of a connection. Pure; resolve.py calls it.

What comes out is `ServerTarget.connection`: the collection's connection options, secrets included.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator.api.database_instance import (
    TLS,
    Connection,
    CredentialsSecretRef,
    DatabaseInstanceSpec,
    MySQLConnection,
)
from dbops_operator.settings import parse_duration

Body = Mapping[str, Any]

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""From the most lenient to the strictest."""
_DEFAULT_PORTS = {"postgres": 5432, "mysql": 3306, "mariadb": 3306}
_DEFAULT_DATABASE = "postgres"
# `tls` of the MySQL block, as ssl_mode says it. Without verification a server could be anybody: that is `require`.
_MYSQL_TLS = {"disabled": "disable", "preferred": "prefer", "required": "require", "skip-verify": "require"}
# PostgreSQL's own way of writing a timeout; a bare number is milliseconds.
_TIMEOUT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*")
_TIMEOUT_UNITS = {None: 0.001, "us": 0.000001, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def credentials_reference(connection: Connection) -> CredentialsSecretRef:
    """Which Secret holds the admin's name and password. Raises InvalidSpec when none is named."""
    reference = connection.secret_ref or connection.existing_secret
    if reference is None:
        raise DbopsError(
            Reason.INVALID_SPEC,
            "spec.connection.secretRef must name the Secret with the user name and password",
            field="spec.connection.secretRef",
        )
    return reference


def ssl_mode(spec: DatabaseInstanceSpec) -> str:
    """How connections are encrypted: of `tls` and the engine's block the stricter; `tls.enabled` never plain text."""
    by_tls = "disable"
    if spec.tls and spec.tls.enabled:
        by_tls = spec.tls.mode if spec.tls.mode != "disable" else "require"
    by_block = "disable"
    if spec.engine == "postgres" and spec.postgres:
        by_block = spec.postgres.ssl_mode
    elif spec.engine != "postgres":
        by_block = _MYSQL_TLS[spec.mysql.tls if spec.mysql else "preferred"]
    return max(by_tls, by_block, key=SSL_MODES.index)


def tls_secret_name(spec: DatabaseInstanceSpec) -> str | None:
    """Which Secret holds the TLS material, if any is used."""
    if spec.tls is None or spec.tls.secret_ref is None:
        return None
    used = spec.tls.enabled or ssl_mode(spec) in ("verify-ca", "verify-full")
    return spec.tls.secret_ref.name if used else None


def secret_text(secret: Body, key: str) -> str | None:
    """The value of a KEY in a Secret; None when it is not there. Raises InvalidSpec when it is no text."""
    encoded = (secret.get("data") or {}).get(key)
    if encoded is None:
        return None
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        metadata = secret["metadata"]
        raise DbopsError(
            Reason.INVALID_SPEC, f"key {key} of Secret {metadata['namespace']}/{metadata['name']} is not UTF-8 text"
        ) from error


def required_text(secret: Body, key: str) -> str:
    """The value of a KEY that must be there and not be empty. Raises DependencyNotReady: it may still come."""
    value = secret_text(secret, key)
    if not value:
        metadata = secret["metadata"]
        raise DbopsError(
            Reason.DEPENDENCY_NOT_READY, f"Secret {metadata['namespace']}/{metadata['name']} has no key {key}"
        )
    return value


def options(spec: DatabaseInstanceSpec, *, credentials: Body, tls: Body | None) -> dict[str, Any]:
    """Give the connection options from the SPEC and the content of its Secrets."""
    reference = credentials_reference(spec.connection)
    # A user name with a line break or blank around it is a typing error of `echo | base64`; passwords are exact.
    username = required_text(credentials, reference.keys.username if reference.keys else "username").strip()
    made: dict[str, Any] = {
        "engine": spec.engine,
        "login_host": spec.connection.host,
        "login_port": port(spec),
        "login_user": username,
        "login_password": required_text(credentials, reference.keys.password if reference.keys else "password"),
        "ssl_mode": ssl_mode(spec),
    }
    made |= _of_postgres(spec) if spec.engine == "postgres" else _of_mysql(spec)
    if tls is not None and spec.tls is not None:
        made |= tls_material(spec.tls, tls, mode=made["ssl_mode"])
    elif made["ssl_mode"] in ("verify-ca", "verify-full"):
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"TLS mode {made['ssl_mode']} needs the authority's certificate: name its Secret in spec.tls.secretRef",
            field="spec.tls.secretRef",
        )
    return made


def _of_postgres(spec: DatabaseInstanceSpec) -> dict[str, Any]:
    made: dict[str, Any] = {"login_db": spec.connection.database or _DEFAULT_DATABASE}
    if spec.postgres:
        made["connect_timeout"] = spec.postgres.connect_timeout
        made["application_name"] = spec.postgres.application_name
        if spec.postgres.statement_timeout:
            made["statement_timeout"] = statement_timeout(spec.postgres.statement_timeout)
    return made


def _of_mysql(spec: DatabaseInstanceSpec) -> dict[str, Any]:
    if spec.mysql is None:
        return {}
    fields = {"connect_timeout": ("timeout",), "statement_timeout": ("read_timeout", "write_timeout")}
    return {option: max(_seconds(spec.mysql, name) for name in names) for option, names in fields.items()}


def _seconds(block: MySQLConnection, name: str) -> int:
    text = getattr(block, name)
    try:
        return max(1, math.ceil(parse_duration(text)))
    except ValueError as error:
        field = f"spec.mysql.{name.partition('_')[0]}" + ("Timeout" if "_" in name else "")
        raise DbopsError(Reason.INVALID_SPEC, f"{field} is a duration such as 30s or 1m", field=field) from error


def port(spec: DatabaseInstanceSpec) -> int:
    """The server's port, or the engine's own."""
    return spec.connection.port or _DEFAULT_PORTS[spec.engine]


def tls_material(tls: TLS, secret: Body, *, mode: str) -> dict[str, str]:
    """Give the TLS options as PEM text. What the spec names must be there; a key pair comes whole or not at all."""
    keys = tls.secret_ref.keys if tls.secret_ref else None
    made: dict[str, str] = {}
    if mode in ("verify-ca", "verify-full"):
        made["ca_cert"] = required_text(secret, keys.ca if keys else "ca.crt")
    elif authority := secret_text(secret, keys.ca if keys else "ca.crt"):
        made["ca_cert"] = authority
    pair = {"ssl_cert": (keys and keys.cert) or None, "ssl_key": (keys and keys.key) or None}
    defaults = {"ssl_cert": "tls.crt", "ssl_key": "tls.key"}
    if any(pair.values()) or all(secret_text(secret, key) for key in defaults.values()):
        made |= {option: required_text(secret, key or defaults[option]) for option, key in pair.items()}
    return made


def statement_timeout(text: str) -> int:
    """Read a statement timeout as PostgreSQL or Go writes it, in whole seconds, rounded up. Raises InvalidSpec."""
    match = _TIMEOUT.fullmatch(text)
    try:
        seconds = float(match[1]) * _TIMEOUT_UNITS[match[2]] if match else parse_duration(text)
    except ValueError as error:
        field = "spec.postgres.statementTimeout"
        raise DbopsError(Reason.INVALID_SPEC, f"{field} is a time such as 30s or 5min", field=field) from error
    return math.ceil(seconds)


def lane(spec: DatabaseInstanceSpec) -> str:
    """The name of the server, shared by all instances that point at it."""
    return f"{spec.engine}://{spec.connection.host.lower()}:{port(spec)}"
