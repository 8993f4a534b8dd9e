# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs mysqldump or mariadb-dump: its output goes to the store, and is counted on the way.

Called by mysql/engine.py, for backups and to compare what was restored with them. Names come behind `--`, so that none
of them is an option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import processes
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.client_files import ClientFiles
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import Watch
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql import client
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.contents import Contents
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.tools import Tool
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

_LAST = b"-- Dump completed"
_ALWAYS = ("--default-character-set=utf8mb4", "--hex-blob", "--no-tablespaces", "--max-allowed-packet=1G", "--tz-utc")


@dataclass(frozen=True)
class Dumping:
    """One run of a dump tool."""

    tool: Tool
    connection: Mapping[str, Any]
    """Connection options."""
    database: str
    options: Mapping[str, Any]
    """As mysql/examine.py gives them."""


def dump(dumping: Dumping, sink: Callable[[bytes], object], watch: Watch, *, phase: str = "dump") -> Contents:
    """Give the tool's output to SINK and what is in it to the caller. Raises DbopsError unless it exited with 0."""
    contents = Contents()
    total = dumping.options.get("tables_total")
    size = 0
    end = b""

    def take(data: bytes) -> None:
        nonlocal size, end
        contents.feed(data)
        sink(data)
        size += len(data)
        end = (end + data)[-200:]
        watch.report(phase, size=size, tables_done=len(contents.rows), tables_total=total)

    with ClientFiles() as files:
        defaults = client.defaults_file(files, dumping.connection, dumping.tool)
        given = [f"--defaults-file={defaults}", *arguments(dumping)]
        command = processes.Command(dumping.tool.path, given, descriptors=files.descriptors)
        ended = processes.run(command, watch, sink=take)
    client.require_success(dumping.tool, ended, doing=f"dump of {dumping.database}")
    contents.finish()
    if _LAST not in end:
        raise DbopsError(Reason.NOT_VERIFIABLE, f"{dumping.tool.name} exited well without ending its dump")
    return contents


def arguments(dumping: Dumping) -> list[str]:
    """Give the tool's arguments but for where to connect."""
    options, database = dumping.options, dumping.database
    single = bool(options.get("single_transaction", True))
    lock = options.get("lock_tables")
    given = [*_ALWAYS]
    given.append("--single-transaction" if single else "--skip-single-transaction")
    given.append("--lock-tables" if (not single if lock is None else lock and not single) else "--skip-lock-tables")
    for name in ("quick", "extended_insert", "triggers", "routines", "events"):
        word = name.replace("_", "-")
        given.append(f"--{word}" if options.get(name, True) else f"--skip-{word}")
    if options.get("no_data"):
        given.append("--no-data")
    if not dumping.tool.mariadb:
        given += [f"--set-gtid-purged={options.get('set_gtid_purged', 'OFF')}", "--skip-column-statistics"]
    given += [f"--ignore-table={database}.{table}" for table in options.get("exclude_tables") or ()]
    return [*given, "--", database, *(options.get("tables") or ())]
