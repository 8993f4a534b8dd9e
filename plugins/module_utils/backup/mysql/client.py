# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tools of MySQL and MariaDB are told where to connect and as whom, and what their messages mean.

Called by mysql/dump.py and mysql/load.py. Password and TLS material are in a defaults file that exists in memory only
(client_files.py), never in arguments or environment. TLS is that of the engine's own sessions, and no tool falls back.
https://dev.mysql.com/doc/refman/9.4/en/option-files.html, https://mariadb.com/kb/en/mariadb-command-line-client/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.client_files import ClientFiles
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.processes import Ended, last_lines
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.tools import Tool
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import errors, tls

_VERIFIES_FROM = (11, 4)
"""MariaDB's tools that verify the server by default, by the password where there is no authority, and need TLS then."""
_MYSQL_MODES = {
    "disable": "DISABLED",
    "allow": "PREFERRED",
    "prefer": "PREFERRED",
    "require": "REQUIRED",
    "verify-ca": "VERIFY_CA",
    "verify-full": "VERIFY_IDENTITY",
}
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
# `ERROR 1227 (42000) at line 5: ...` of the clients, `... (1044)` and `Got error: 1045: ...` of the dump tools.
_NUMBERS = (
    re.compile(r"ERROR (\d{4}) \("),
    re.compile(r"[Ee]rror:? (\d{4}):"),
    re.compile(r"\((\d{4})\)\s*$", re.MULTILINE),
)
_COMMAND = "Unknown command '"
_LINE = re.compile(r" at line \d+")
# Errors whose text is about accounts and objects, not about what is in a row.
_TOLD = frozenset(
    {1044, 1045, 1049, 1142, 1143, 1146, 1227, 1305, 1370, 1410, 1412, 1419, 1449, 2002, 2003, 2005, 2026}
)
_OWN = {
    1412: (Reason.CONFLICT, "a table was changed while it was read; it is tried again"),
    1429: (Reason.UNSUPPORTED, "a table of another server cannot be reached"),
}


def defaults_file(
    files: ClientFiles, options: Mapping[str, Any], tool: Tool, *, user: str | None = None, password: str | None = None
) -> str:
    """Keep what the TOOL needs to connect by the connection OPTIONS in memory; give the file's path.

    USER and PASSWORD take the place of the admin account's. Raises DbopsError where the tool would be weaker than our
    own sessions are.
    """
    lines = {
        "user": user or options.get("login_user") or "root",
        "password": (options.get("login_password") or "") if password is None else password,
        **_place(options),
    }
    if not options.get("login_unix_socket"):
        lines |= _mariadb_tls(options, tool, files) if tool.mariadb else _mysql_tls(options, files)
    text = "".join(f'{key}="{str(value).translate(_ESCAPES)}"\n' for key, value in lines.items())
    return files.add("client.cnf", f"[client]\n{text}")


def _place(options: Mapping[str, Any]) -> dict[str, Any]:
    if options.get("login_unix_socket"):
        return {"protocol": "socket", "socket": options["login_unix_socket"]}
    return {"protocol": "tcp", "host": options["login_host"], "port": options.get("login_port") or 3306}


def _own_certificate(options: Mapping[str, Any], files: ClientFiles) -> dict[str, Any]:
    names = {"ssl-ca": "ca_cert", "ssl-cert": "ssl_cert", "ssl-key": "ssl_key"}
    return {key: files.path_of(option, options[option]) for key, option in names.items() if options.get(option)}


def _mysql_tls(options: Mapping[str, Any], files: ClientFiles) -> dict[str, Any]:
    mode = options["ssl_mode"]
    found: dict[str, Any] = {"ssl-mode": _MYSQL_MODES[mode]}
    if mode != "disable":
        found |= _own_certificate(options, files)
    if mode not in tls.STRICT:
        # Without TLS the password is encrypted with the server's public key, as the engine's own sessions do it.
        found["get-server-public-key"] = 1
    return found


def _mariadb_tls(options: Mapping[str, Any], tool: Tool, files: ClientFiles) -> dict[str, Any]:
    mode = options["ssl_mode"]
    if mode == "disable":
        return {"ssl": 0}
    found = {"ssl": 1, **_own_certificate(options, files)}
    if mode in ("verify-ca", "verify-full"):
        return {**found, "ssl-verify-server-cert": 1}
    if mode == "require":
        version = tuple(int(part) for part in tool.version.split(".")[:2])
        if version < _VERIFIES_FROM:
            text = (
                f"{tool.name} {tool.version} goes on without TLS where the server offers none; set ssl_mode: verify-ca"
            )
            raise DbopsError(Reason.TLS_FAILED, text, field="ssl_mode")
        return {**found, "ssl-verify-server-cert": 1}
    return {**found, "ssl-verify-server-cert": 0}


def require_success(tool: Tool, ended: Ended, *, doing: str, denied: str = "") -> None:
    """Raise DbopsError, with the reason that the server's error number has, for a tool that did not exit with 0.

    DENIED says what a privilege that is missing means.
    """
    if ended.status == 0:
        return
    if ended.status < 0:
        raise DbopsError(Reason.INTERNAL_ERROR, f"{doing}: {tool.name} was ended by signal {-ended.status}")
    found = next((match for pattern in _NUMBERS if (match := pattern.search(ended.messages))), None)
    number = int(found.group(1)) if found else 0
    if not number and _COMMAND in ended.messages:
        text = f"{doing}: the dump holds a command of the client, and those are not executed"
        raise DbopsError(Reason.INVALID_SPEC, text)
    if not number:
        raise DbopsError(Reason.INTERNAL_ERROR, f"{doing}: {tool.name} failed: {last_lines(ended.messages)}")
    at_login = "connect" in ended.messages or f"ERROR {number} (28000):" in ended.messages
    reason, remedy = _OWN.get(number) or errors.reason_of(number, at_login=at_login)
    if reason is Reason.INTERNAL_ERROR and number == errors.SYNTAX:
        reason, remedy = Reason.INVALID_SPEC, "the server does not understand a statement of the dump"
    if reason is Reason.PRIVILEGE_MISSING and denied:
        remedy = denied
    # Other texts may hold what is in a row.
    line = _LINE.search(ended.messages)
    told = last_lines(ended.messages) if number in _TOLD else f"error {number}{line.group() if line else ''}"
    raise DbopsError(reason, f"{doing}: {remedy} ({tool.name}: {told})"[:1000])
