# SPDX-License-Identifier: GPL-3.0-or-later
"""Which MySQL and MariaDB programs the local stack has, and where they come from: Debian's archive.

Used by localstack.mysql, and by `make build-stack`, which fetches what is missing. Debian stable has no MySQL,
and each suite has one MariaDB, so each release comes from the suite that has it, into a folder of the cache.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from localstack.debian import DebianPackages, Say
from localstack.processes import ServerError

Engine = Literal["mysql", "mariadb"]


@dataclass(frozen=True)
class MySQLRelease:
    """A series of releases such as 10.11, and the packages that have it."""

    engine: Engine
    series: str
    packages: DebianPackages


_MARIADB_PROGRAMS = ("usr/sbin/mariadbd", "usr/bin/mariadb", "usr/bin/mariadb-dump")
# mariadb-server itself has the plugins, ed25519 among them.
_MARIADB = ("mariadb-server-core", "mariadb-server", "mariadb-client-core")

MYSQL_9_7 = MySQLRelease(
    "mysql",
    "9.7",
    DebianPackages(
        "sid",
        ("mysql-server-core", "mysql-client-core"),
        ("usr/sbin/mysqld", "usr/bin/mysql", "usr/bin/mysqldump"),
    ),
)
MARIADB_11_8 = MySQLRelease("mariadb", "11.8", DebianPackages("trixie", _MARIADB, _MARIADB_PROGRAMS))
MARIADB_10_11 = MySQLRelease("mariadb", "10.11", DebianPackages("bookworm", _MARIADB, _MARIADB_PROGRAMS))
RELEASES = (MYSQL_9_7, MARIADB_11_8, MARIADB_10_11)


@dataclass(frozen=True)
class MySQLBinaries:
    """A folder of programs of one release: `bin` to call them, `root` with the files that they read."""

    engine: Engine
    version: str
    directory: Path

    @property
    def server(self) -> Path:
        """Path of the server program."""
        return self.program("mysqld" if self.engine == "mysql" else "mariadbd")

    @property
    def base(self) -> Path:
        """What the server calls its basedir."""
        return self.directory / "root" / "usr"

    def program(self, name: str) -> Path:
        """Path of a program, by its own name: `mysqldump` of MySQL, `mariadb-dump` of MariaDB."""
        return self.directory / "bin" / name


def missing() -> list[MySQLRelease]:
    """Releases that are not in the cache yet."""
    return [release for release in RELEASES if not release.packages.unpacked()]


def build(say: Say) -> None:
    """Fetch what is missing, telling progress through SAY."""
    for release in missing():
        release.packages.unpack(say)


def binaries(release: MySQLRelease) -> MySQLBinaries:
    """The programs of RELEASE, fetched if they are not in the cache."""
    folder = release.packages.unpacked() or release.packages.unpack(print)
    found = MySQLBinaries(release.engine, "", folder)
    text = subprocess.run([str(found.server), "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"Ver (\d+\.\d+\.\d+)", text)
    if not version:
        raise ServerError(f"{found.server} does not tell its version: {text}")
    return MySQLBinaries(release.engine, version.group(1), folder)
