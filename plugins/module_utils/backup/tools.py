# SPDX-License-Identifier: GPL-3.0-or-later
"""Which client tool dumps and restores which server: found by name and version, never by luck.

Dumps are made and read by tools of the server's own major version: pg_dump 18 writes what a server 15 refuses, and
mariadb-dump and mysqldump are not interchangeable. Called by the engines before any work; a tool that is missing is
Unsupported, with the name of the package that has it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

Version = tuple[int, ...]
_SECONDS_TO_ANSWER = 20
_POSTGRESQL_FOLDERS = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin", "/opt/bitnami/postgresql/bin")
"""Where Debian's, PGDG's and Bitnami's packages have the tools of one major version."""
_MYSQL_TOOLS = {
    ("mysql", "dump"): ("mysqldump",),
    ("mysql", "client"): ("mysql",),
    ("mariadb", "dump"): ("mariadb-dump", "mysqldump"),
    ("mariadb", "client"): ("mariadb", "mysql"),
}
# MariaDB's tools have version numbers of their own, and those of MySQL may begin with their path.
_MARIADB_VERSION = re.compile(r"(\d+\.\d+\.\d+)-MariaDB")
_MYSQL_VERSION = re.compile(r" Ver (\d+\.\d+\.\d+)")
_VERSION = re.compile(r"\b(\d+(?:\.\d+)+|\d+(?=(?:beta|rc|devel)))")


@dataclass(frozen=True)
class Tool:
    """A client tool on this machine."""

    name: str
    path: str
    version: str
    """As it says itself, such as `17.10`."""
    mariadb: bool = False
    """Whether it comes with MariaDB; the tools of MySQL have some of the same names."""

    @property
    def major(self) -> int:
        """The first number of its version."""
        return int(self.version.split(".")[0])

    def beside(self, name: str) -> Tool:
        """Give the tool NAME out of the same folder. Raises DbopsError when there is none."""
        found = _inspect(str(Path(self.path).with_name(name)))
        if found is None:
            raise DbopsError(Reason.UNSUPPORTED, f"{name} is missing beside {self.path}")
        return found


def postgresql(name: str, major: int, tools_path: Sequence[str] = ()) -> Tool:
    """Give PostgreSQL's tool NAME (pg_dump, pg_restore, psql) of exactly the MAJOR version. Raises DbopsError."""
    folders = [*tools_path, *(folder.format(major=major) for folder in _POSTGRESQL_FOLDERS)]
    package = f"postgresql-client-{major} (Debian), postgresql{major} (PGDG)"
    return find([name], folders, lambda tool: tool.major == major, wanted=f"{name} {major}", package=package)


def mysql(purpose: str, flavour: str, version_number: int, tools_path: Sequence[str] = ()) -> Tool:
    """Give the tool for PURPOSE (`dump` or `client`) of a server of FLAVOUR (`mysql` or `mariadb`). Raises DbopsError.

    It must be of the same major version, and not older than the server's series: VERSION_NUMBER is such as 101107.
    """
    mariadb, number = flavour == "mariadb", (version_number // 10000, version_number // 100 % 100)
    series = ".".join(map(str, number))
    names = _MYSQL_TOOLS[flavour, purpose]
    package = "mariadb-client" if mariadb else f"mysql-client-core, mysql-client ({series})"

    def fits(tool: Tool) -> bool:
        version = tuple(int(part) for part in tool.version.split(".")[:2])
        return tool.mariadb is mariadb and version[0] == number[0] and version >= number

    return find(names, tools_path, fits, wanted=f"{names[0]} {series}", package=package)


def find(
    names: Sequence[str], folders: Sequence[str], fits: Callable[[Tool], bool], *, wanted: str, package: str
) -> Tool:
    """Give the first tool that FITS: by folder, those of PATH last, and by name. Raises DbopsError.

    WANTED and PACKAGE say in the error what was looked for and what has it.
    """
    seen: list[str] = []
    for path in _candidates(names, folders):
        tool = _inspect(path)
        if tool and fits(tool):
            return tool
        if tool:
            seen.append(f"{path} is {tool.version}")
    found = f"; found: {', '.join(seen)}" if seen else ""
    text = f"{wanted} is needed and is not on this machine{found}. Install {package}, or name its folder in tools_path"
    raise DbopsError(Reason.UNSUPPORTED, text, field="tools_path")


def _candidates(names: Sequence[str], folders: Sequence[str]) -> Iterator[str]:
    on_path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in dict.fromkeys([*folders, *on_path]):
        for name in names:
            found = shutil.which(name, path=folder) if folder else None
            if found:
                yield found


def _inspect(path: str) -> Tool | None:
    """Ask the program at PATH for its version; None when it is none of ours. A file that was replaced is asked anew."""
    try:
        changed = Path(path).stat().st_mtime_ns
    except OSError:
        return None
    return _asked(path, changed)


@cache
def _asked(path: str, changed: int) -> Tool | None:  # noqa: ARG001 (part of the cache's key)
    command = [path, "--version"]
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=_SECONDS_TO_ANSWER, env=environment, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    mariadb = _MARIADB_VERSION.search(done.stdout)
    found = mariadb or _MYSQL_VERSION.search(done.stdout) or _VERSION.search(done.stdout)
    if not found or done.returncode != 0:
        return None
    return Tool(Path(path).name, path, found.group(1), mariadb=mariadb is not None)
