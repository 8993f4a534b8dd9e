# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs mysql or mariadb: the dump goes in as text, in a session of the login that has one database and nothing else.

Called by mysql/place.py and mysql/swap.py. The client executes no command of its own: binary mode ends them all but
DELIMITER, system commands and MariaDB's sandbox go off by name, and LOAD DATA LOCAL is off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import processes
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.client_files import ClientFiles
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql import client
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.tools import Tool

_ALWAYS = (
    *("--batch", "--binary-mode", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"),
    # MariaDB's client takes comments out of routines unless it is told not to.
    *("--no-auto-rehash", "--skip-reconnect", "--local-infile=0", "--comments"),
)
# Options that older clients of a series do not have are left out by `loose`: binary mode is there in all of them.
_NO_COMMANDS = {
    True: ("--loose-sandbox",),
    False: ("--loose-system-command=OFF", "--loose-commands=OFF"),
}


@dataclass(frozen=True)
class Loading:
    """One run of a client."""

    tool: Tool
    connection: Mapping[str, Any]
    """Connection options."""
    database: str
    user: str | None = None
    """None: our own account."""
    password: str | None = field(default=None, repr=False)
    checks_keys: bool = False
    """Whether foreign keys are checked although the dump does not say so."""


def load(loading: Loading, source: processes.Source, watch: Watch, *, doing: str) -> None:
    """Execute the SQL of SOURCE. Raises DbopsError for the first statement that fails; nothing comes after it."""
    with ClientFiles() as files:
        defaults = client.defaults_file(
            files, loading.connection, loading.tool, user=loading.user, password=loading.password
        )
        given = [f"--defaults-file={defaults}", *_ALWAYS, *_NO_COMMANDS[loading.tool.mariadb]]
        if not loading.checks_keys:
            given.append("--init-command=SET SESSION foreign_key_checks = 0, unique_checks = 0")
        command = processes.Command(
            loading.tool.path, [*given, f"--database={loading.database}"], descriptors=files.descriptors
        )
        ended = processes.run(command, watch, source=source)
    denied = "the dump asks for more than the login that restores may do" if loading.user else ""
    client.require_success(loading.tool, ended, doing=doing, denied=denied)
