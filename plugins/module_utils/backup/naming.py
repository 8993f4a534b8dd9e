# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup's file is called; pure.

`<database>-<backup>-<YYYYMMDD-HHMMSS><format>[.gz|.lz4|.zst][.age|.enc]`, below the store's prefix. The same backup of
the same moment always has the same name, so that a second run finds the first.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import compression as compressions
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import encryption as encryptions
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import paths
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

FORMATS = {"plain": ".sql", "custom": ".dump", "directory": ".dir", "tar": ".tar"}
"""What a dump's name ends with, by format."""
_COMPRESSION = {"algorithm": "gzip", "level": 6}


def compression_of(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the option `compression` with its defaults."""
    return options.get("compression") or _COMPRESSION


def moment(text: str | None) -> datetime.datetime:
    """Read the option `started`; now, if it is not given. Raises InvalidSpec."""
    if text is None:
        return datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        message = f"started is no time in ISO 8601: {text[:40]!r}"
        raise DbopsError(Reason.INVALID_SPEC, message, field="started") from None
    zoned = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    return zoned.astimezone(datetime.UTC).replace(microsecond=0)


def written_format(options: Mapping[str, Any]) -> str:
    """Give the format in which the options of `database_backup` have the dump written."""
    if options["engine"] != "postgres":
        return "plain"
    return str((options.get("postgresql") or {}).get("format") or "custom")


def dump_path(options: Mapping[str, Any], started: datetime.datetime) -> str:
    """Give the path of the dump that the options of `database_backup` describe. Raises InvalidSpec."""
    database = str(options["database"])
    name = str(options.get("backup_name") or database)
    kind = encryptions.kind_of(options.get("encryption"))
    suffixes = (
        FORMATS[written_format(options)],
        compressions.SUFFIXES[compression_of(options)["algorithm"]],
        encryptions.SUFFIXES[kind],
    )
    file = f"{paths.segment(database)}-{paths.segment(name)}-{started:%Y%m%d-%H%M%S}{''.join(suffixes)}"
    return paths.checked(file, field="backup_name")
