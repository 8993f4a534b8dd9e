# SPDX-License-Identifier: GPL-3.0-or-later
"""Data directories for new MySQL and MariaDB servers: made once per release in the cache, then copied.

Used by localstack.mysql. Making one takes seconds, copying it a tenth of one. A new directory has one account,
root@localhost, without a password; the server's first start gives it one.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from localstack.locks import locked
from localstack.mysql_binaries import MySQLBinaries
from localstack.paths import cache_directory
from localstack.processes import ServerError

# What must be the same when the directory is made and when a server starts with it, or shapes the files in it.
FILE_SETTINGS = {
    "mysql": ("--innodb-redo-log-capacity=16M",),
    "mariadb": ("--innodb-log-file-size=8M",),
}
# As mariadb-install-db does it, without the help texts.
_MARIADB_FILES = (
    "system_tables.sql",
    "performance_tables.sql",
    "system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "sys_schema.sql",
)


def server_files(binaries: MySQLBinaries) -> tuple[str, ...]:
    """Options that tell the server where its own files lie, which it was not built for."""
    share = _share(binaries)
    return (
        f"--basedir={binaries.base}",
        f"--lc-messages-dir={share}",
        f"--character-sets-dir={share / 'charsets'}",
        f"--plugin-dir={binaries.base / 'lib' / 'mysql' / 'plugin'}",
    )


def new_data_directory(binaries: MySQLBinaries, target: Path, *, user: pwd.struct_passwd) -> None:
    """Make TARGET a data directory that nobody else uses; its files belong to us."""
    shutil.copytree(_template(binaries, user), target)


def _template(binaries: MySQLBinaries, user: pwd.struct_passwd) -> Path:
    script = _script(binaries)
    settings = _initial_settings(binaries)
    key = hashlib.sha256(repr((script, FILE_SETTINGS[binaries.engine])).encode()).hexdigest()[:8]
    folder = cache_directory() / "mysql-data"
    template = folder / f"{binaries.directory.name}-{key}"
    with locked(folder / "lock"):
        if not template.exists():
            # Not in the cache, which the server's user may be unable to reach.
            with tempfile.TemporaryDirectory(prefix="dbops-mysql-data-") as temporary:
                data = _initialize(binaries, Path(temporary), settings, script, user)
                beside = Path(tempfile.mkdtemp(dir=folder))
                shutil.copytree(data, beside, dirs_exist_ok=True)
                beside.rename(template)
    return template


def _initial_settings(binaries: MySQLBinaries) -> tuple[str, ...]:
    if binaries.engine == "mysql":
        own: tuple[str, ...] = ("--initialize-insecure", "--secure-file-priv=NULL")
    else:
        own = ("--bootstrap", "--enforce-storage-engine=", "--max-allowed-packet=8M", "--net-buffer-length=16K")
    return (*own, *FILE_SETTINGS[binaries.engine])


def _script(binaries: MySQLBinaries) -> str:
    """What the server reads to fill its system tables; MySQL carries that in itself."""
    if binaries.engine == "mysql":
        return ""
    share = _share(binaries)
    texts = ["CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket = NULL;"]
    for name in _MARIADB_FILES:
        prefix = "" if name.startswith("maria_") else f"{_prefix(binaries)}_"
        texts.append((share / f"{prefix}{name}").read_text(encoding="utf-8"))
    # Others stand for the machine's own names.
    texts.append("DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';")
    return "\n".join([*texts, ""])


def _share(binaries: MySQLBinaries) -> Path:
    return binaries.base / "share" / _prefix(binaries)


def _prefix(binaries: MySQLBinaries) -> str:
    # MariaDB's files were called after MySQL until 10.11.
    return "mariadb" if (binaries.base / "share" / "mariadb" / "charsets").exists() else "mysql"


def _initialize(
    binaries: MySQLBinaries, directory: Path, settings: Sequence[str], script: str, user: pwd.struct_passwd
) -> Path:
    data = directory / "data"
    data.mkdir()
    as_other = os.geteuid() != user.pw_uid
    if as_other:
        for folder in (directory, data):
            os.chown(folder, user.pw_uid, user.pw_gid)
    done = subprocess.run(
        [str(binaries.server), "--no-defaults", *server_files(binaries), f"--datadir={data}", *settings],
        cwd=data,
        input=script,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        user=user.pw_uid if as_other else None,
        group=user.pw_gid if as_other else None,
        extra_groups=[] if as_other else None,
    )
    if done.returncode:
        raise ServerError(f"{binaries.engine} {binaries.version} made no data directory\n{done.stderr}{done.stdout}")
    # Says which server it is: each copy makes its own.
    (data / "auto.cnf").unlink(missing_ok=True)
    return data
