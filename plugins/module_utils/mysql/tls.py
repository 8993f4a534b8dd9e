# SPDX-License-Identifier: GPL-3.0-or-later
"""How TLS is spoken with a server of MySQL or MariaDB: options in, a context of Python's ssl out.

Called by mysql/connection.py, once per run, for every session alike. Certificates and keys are paths or PEM text;
text never becomes a file that has a name.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

STRICT = ("require", "verify-ca", "verify-full")
"""Modes of ssl_mode in which nothing is ever sent in plain text."""
_PEM = "-----BEGIN"


def context(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """Give the context for the connection OPTIONS; None where TLS is not to be used. Raises DbopsError."""
    mode = options["ssl_mode"]
    if mode == "disable" or options.get("login_unix_socket"):
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = mode == "verify-full"
    made.verify_mode = ssl.CERT_REQUIRED if mode in ("verify-ca", "verify-full") else ssl.CERT_NONE
    # From Python 3.13 on this refuses the authority that MySQL makes for itself, whose certificate is of an old form.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    _load_authority(made, options.get("ca_cert"))
    _load_own(made, options.get("ssl_cert"), options.get("ssl_key"))
    return made


def _load_authority(made: ssl.SSLContext, value: str | None) -> None:
    if not value:
        if made.verify_mode is ssl.CERT_REQUIRED:
            made.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        if _PEM in value:
            made.load_verify_locations(cadata=value)
        else:
            made.load_verify_locations(cafile=_readable("ca_cert", value))
    except (ssl.SSLError, ValueError) as error:
        raise _unusable("ca_cert") from error


def _load_own(made: ssl.SSLContext, certificate: str | None, key: str | None) -> None:
    if not certificate:
        if key:
            raise DbopsError(Reason.INVALID_SPEC, "ssl_key is of no use without ssl_cert", field="ssl_cert")
        return
    with ExitStack() as files:
        paths = [_path(files, "ssl_cert", certificate), _path(files, "ssl_key", key) if key else None]
        try:
            # Without an answer for a passphrase the terminal would be asked for one.
            made.load_cert_chain(str(paths[0]), paths[1], password="")
        except (ssl.SSLError, ValueError, OSError) as error:
            raise _unusable("ssl_key" if key else "ssl_cert") from error


def _path(files: ExitStack, option: str, value: str) -> str:
    if _PEM not in value:
        return _readable(option, value)
    # Text goes into memory only: a file that has no name and ends with us.
    descriptor = os.memfd_create(option)
    files.callback(os.close, descriptor)
    os.fchmod(descriptor, 0o600)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(value.encode())
    return f"/proc/self/fd/{descriptor}"


def _readable(option: str, path: str) -> str:
    if not os.access(path, os.R_OK):
        raise DbopsError(Reason.TLS_FAILED, f"{option}: the file {path} cannot be read", field=option)
    return path


def _unusable(option: str) -> DbopsError:
    return DbopsError(Reason.TLS_FAILED, f"{option} is not usable: not PEM, or a key that does not fit", field=option)
