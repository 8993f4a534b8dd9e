# SPDX-License-Identifier: GPL-3.0-or-later
"""As whom database servers run on this machine, and programs in a place that this user can reach.

Used by the files of the database servers. PostgreSQL refuses to run as root, and no server should: those of
root run as another user, who must be able to read the programs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path

from localstack.processes import ServerError


def server_user() -> pwd.struct_passwd:
    """The operating system's user that servers run as: ourselves, or for root `postgres` or else `nobody`."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def reachable(folder: Path, *, user: pwd.struct_passwd, name: str) -> Path:
    """Give FOLDER in a place that USER can reach: as it is, or else a copy /var/tmp/dbops-NAME, made once.

    A checkout or a cache in root's home, or in a private temporary folder, can be reached by root only. NAME
    must tell one content of FOLDER from another. Where the file system allows, the copy takes no space.
    """
    if user.pw_uid == os.geteuid() or all(_searchable(parent, user) for parent in folder.parents):
        return folder
    target = Path(f"/var/tmp/dbops-{name}")  # noqa: S108 (owner checked below)
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            copy = Path(temporary) / "copy"
            shutil.copytree(folder, copy, symlinks=True, copy_function=_link_or_copy)
            copy.chmod(0o755)
            copy.rename(target)
    if target.is_symlink() or target.stat().st_uid != os.geteuid():
        raise ServerError(f"{target} belongs to somebody else")
    return target


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        return shutil.copy2(source, target)
    return target


def _searchable(folder: Path, user: pwd.struct_passwd) -> bool:
    status = folder.stat()
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & 0o100)
    if status.st_gid == user.pw_gid:
        return bool(status.st_mode & 0o010)
    return bool(status.st_mode & 0o001)
