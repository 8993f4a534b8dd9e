# SPDX-License-Identifier: GPL-3.0-or-later
"""Unpacks packages of any Debian suite, with all that they depend on, into the user's cache.

Used for database servers that this machine's own suite does not have. Needs apt and dpkg-deb, but neither root
nor the system's package database: apt works in folders of its own, checks the archive's signatures as always,
and no package's script runs. What is unpacked is newer or older than the system, so each program gets a small
script in `bin` that starts it with the C library and the loader that came with it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localstack.locks import locked
from localstack.paths import cache_directory
from localstack.processes import ServerError

Say = Callable[[str], None]
DEFAULT_MIRROR = "http://deb.debian.org/debian"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SECONDS_BETWEEN_REPORTS = 10.0
# Folders of /usr/share that no server and no client reads.
_UNUSED = ("doc", "locale", "man", "perl")

_WRAPPER = """#!/bin/sh
root=$(dirname -- "$(dirname -- "$(readlink -f -- "$0")")")/root
exec "$root/{loader}" --library-path "{libraries}" "$root/{program}" "$@"
"""


@dataclass(frozen=True)
class DebianPackages:
    """Packages of SUITE, of which the first gives the version; PROGRAMS are paths such as `usr/sbin/mysqld`."""

    suite: str
    names: tuple[str, ...]
    programs: tuple[str, ...]

    def unpacked(self) -> Path | None:
        """The folder in the cache, if they have been unpacked: `root` and, with a script per program, `bin`."""
        folders = list(_directory().glob(f"{self.suite}-{self.names[0]}-*-{self._key()}"))
        return max(folders, key=lambda folder: folder.stat().st_mtime, default=None)

    def unpack(self, say: Say) -> Path:
        """Unpack them unless that has been done, and give the folder; what happens is told through SAY."""
        waiting = "waiting for another run that unpacks Debian packages"
        with locked(_directory() / "lock", waiting=lambda: say(waiting)):
            return self.unpacked() or self._unpack(say)

    def _key(self) -> str:
        return hashlib.sha256(repr((self.names, self.programs)).encode()).hexdigest()[:8]

    def _unpack(self, say: Say) -> Path:
        for program in ("apt-get", "dpkg-deb"):
            if not shutil.which(program):
                raise ServerError(f"{self.names[0]} comes from Debian's archive, and there is no {program} here")
        if not _KEYRING.exists():
            raise ServerError(f"{_KEYRING} is missing; the package debian-archive-keyring has it")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=_directory()) as temporary:
            archives = _download(self, Path(temporary), say)
            folder = Path(temporary) / "unpacked"
            folder.mkdir()
            say(f"{self.names[0]}: unpacking {len(archives)} packages")
            for archive in archives:
                subprocess.run(["dpkg-deb", "--extract", str(archive), str(folder / "root")], check=True)
            for unused in _UNUSED:
                shutil.rmtree(folder / "root" / "usr" / "share" / unused, ignore_errors=True)
            _write_wrappers(folder, self.programs)
            # Another user's server runs them, whatever our umask.
            for one in (folder, folder / "root", folder / "bin"):
                one.chmod(0o755)
            version = next(_version(archive) for archive in archives if _name(archive) == self.names[0])
            target = _directory() / f"{self.suite}-{self.names[0]}-{version}-{self._key()}"
            folder.rename(target)
        say(f"{self.names[0]}: {version} of Debian {self.suite}, done in {time.monotonic() - started:.0f} s")
        return target


def mirror(settings: Path = Path("/etc/apt")) -> str:
    """The Debian mirror that this machine uses by apt's SETTINGS, else the default one."""
    sources = settings / "sources.list.d"
    files = [settings / "sources.list", *sorted(sources.glob("*.sources")), *sorted(sources.glob("*.list"))]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())
    # Both styles: `URIs: http://...` and `deb [options] http://... suite main`. Others than Debian's own archive
    # (its security updates, Ubuntu, vendors) do not end with /debian.
    found = re.search(r"^(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(https?://\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
    return found.group(1) if found else DEFAULT_MIRROR


def _directory() -> Path:
    return cache_directory() / "debian"


def _download(packages: DebianPackages, directory: Path, say: Say) -> list[Path]:
    """Let apt find and fetch the packages and all that they depend on; give the files."""
    archives = directory / "archives"
    for folder in ("archives/partial", "lists/partial", "etc/preferences.d", "etc/apt.conf.d"):
        (directory / folder).mkdir(parents=True)
    # An empty list of installed packages: nothing of the system is counted on.
    (directory / "status").touch()
    source = f"deb [signed-by={_KEYRING} target=Packages] {mirror()} {packages.suite} main\n"
    (directory / "etc" / "sources.list").write_text(source, encoding="utf-8")
    (directory / "apt.conf").write_text(_apt_configuration(directory), encoding="utf-8")
    say(f"{packages.names[0]}: reading what Debian {packages.suite} has, from {mirror()}")
    _apt(directory, "update")
    say(f"{packages.names[0]}: downloading it with the libraries that it needs")
    _apt(
        directory,
        *("install", "--download-only", "--yes", "--no-install-recommends", *packages.names),
        report=lambda: say(f"{packages.names[0]}: {len(list(archives.glob('*.deb')))} packages downloaded"),
    )
    return sorted(archives.glob("*.deb"))


def _apt_configuration(directory: Path) -> str:
    # How this machine reaches archives (proxies, timeouts), but none of its hooks, which clean up or notify.
    acquire = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True).stdout
    return f"""{acquire}
APT::Sandbox::User "root";
Acquire::Languages "none";
Dir::Cache "{directory}";
Dir::Cache::archives "{directory}/archives";
Dir::Etc "{directory}/etc";
Dir::Etc::parts "{directory}/etc/apt.conf.d";
Dir::State "{directory}";
Dir::State::lists "{directory}/lists";
Dir::State::status "{directory}/status";
"""


def _apt(directory: Path, *arguments: str, report: Callable[[], None] | None = None) -> None:
    log = directory / "apt.log"
    environment = {**os.environ, "APT_CONFIG": str(directory / "apt.conf"), "LC_ALL": "C.UTF-8"}
    with log.open("w") as output:
        command = ["apt-get", "--quiet=2", *arguments]
        apt = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        while True:
            try:
                status = apt.wait(timeout=_SECONDS_BETWEEN_REPORTS)
                break
            except subprocess.TimeoutExpired:
                if report:
                    report()
            except BaseException:
                apt.kill()
                raise
    if status:
        raise ServerError(f"{' '.join(command)} failed\n{log.read_text(encoding='utf-8')}")


def _name(archive: Path) -> str:
    return archive.name.split("_")[0]


def _version(archive: Path) -> str:
    # Without the epoch: a colon cannot stand in a list of library folders.
    return archive.name.split("_")[1].split("%3a")[-1]


def _write_wrappers(folder: Path, programs: tuple[str, ...]) -> None:
    root = folder / "root"
    # /lib and /usr/lib are two folders in older suites.
    loaders = [*root.glob("lib/*-linux-*/ld-linux*.so.*"), *root.glob("usr/lib/*-linux-*/ld-linux*.so.*")]
    loader = loaders[0].relative_to(root)
    triplet = loader.parent.name
    libraries = ":".join(f"$root/{place}/{triplet}" for place in ("usr/lib", "lib") if (root / place).exists())
    (folder / "bin").mkdir()
    for program in programs:
        if not (root / program).exists():
            raise ServerError(f"the packages have no {program}")
        wrapper = folder / "bin" / Path(program).name
        wrapper.write_text(_WRAPPER.format(loader=loader, libraries=libraries, program=program), encoding="utf-8")
        wrapper.chmod(0o755)
