# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a backup: a JSON document beside the dump, written last, without which it is no backup.

It holds what a restore needs to judge itself, and no secret. `from_json` takes what lies in a store, which anybody may
have written, and gives a Manifest or raises NotVerifiable. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, NoReturn

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import paths
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.facts import StreamFacts
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

VERSION = 1
"""Of the document. A newer one is refused; a field that is added gets a new one."""
SUFFIX = ".manifest.json"
MAX_SIZE = 8 << 20
"""Bytes: a table's entry takes about 100, so a database of 50,000 tables has room."""

_MAX_DEPTH = 8
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENGINES = ("postgres", "mysql", "mariadb")
_COMPRESSIONS = ("none", "gzip", "lz4", "zstd")
_ENCRYPTIONS = (None, "age", "aes-256-gcm")
_FORMATS = ("plain", "custom", "directory", "tar")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is known of one backup. Times are UTC in ISO 8601 with a `Z`, to the second."""

    engine: str
    """`postgres`, `mysql` or `mariadb`."""
    server_version: str
    tool: str
    """The dump's program, `pg_dump`."""
    tool_version: str
    format: str
    """`plain`, `custom`, `directory` (as a tar archive of it) or `tar`."""
    path: str
    """Of the dump, below the store's prefix."""
    database: str
    backup_name: str
    started: str
    completed: str
    stream: StreamFacts
    compression: str
    encryption: str | None
    """None, `age` or `aes-256-gcm`."""
    recipients: tuple[str, ...] = ()
    """Those of age, which are public."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What was asked of the tool (an option of the module), without secrets."""
    created_by: Mapping[str, str] | None = None
    """The object that asked for it: cluster, kind, namespace, name."""
    objects: Mapping[str, int] = field(default_factory=dict)
    """How many objects of each type."""
    rows: Mapping[str, int] | None = None
    """Rows by table, counted in the dump or its snapshot; None with `rows_missing`."""
    rows_missing: str | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    """Of each table's rows as the same tool dumps them, where the engine has such."""
    extensions: Mapping[str, str] = field(default_factory=dict)
    """Versions by name."""
    roles: tuple[str, ...] = ()
    """Roles or accounts that the dump refers to."""
    server: Mapping[str, str] = field(default_factory=dict)
    """More about the server and the database: flavour, encoding, collation, and what else the engine notes."""

    @property
    def manifest_path(self) -> str:
        """Where the manifest lies, below the store's prefix."""
        return path_of(self.path)

    @property
    def started_at(self) -> datetime:
        """When the backup was started."""
        return moment(self.started)

    @property
    def completed_at(self) -> datetime:
        """When the backup was complete."""
        return moment(self.completed)


def path_of(dump: str) -> str:
    """Give the path of the manifest that belongs to the dump at path DUMP."""
    return dump + SUFFIX


def timestamp(at: datetime) -> str:
    """Write a moment as manifests do."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Read a moment as manifests have it; raises ValueError."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def to_json(manifest: Manifest) -> bytes:
    """Write a manifest; the same manifest is always the same bytes."""
    content = {one.name: getattr(manifest, one.name) for one in fields(Manifest)}
    content["stream"] = {one.name: getattr(manifest.stream, one.name) for one in fields(StreamFacts)}
    document = {"version": VERSION, **{name: _plain(value) for name, value in content.items()}}
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def from_json(content: bytes, path: str) -> Manifest:
    """Read the manifest of the dump at PATH; raises NotVerifiable saying what is wrong with it."""
    document = _parsed(content, path)
    version = document.pop("version", None)
    if not _is_whole(version) or version < 1:
        _refuse(path, "has no version")
    if version > VERSION:
        _refuse(path, f"is of version {version}; this program knows {VERSION}: use a newer one")
    _check_fields(document, path)
    stream = _stream(document.pop("stream"), path)
    manifest = Manifest(**{name: _typed(value) for name, value in document.items()}, stream=stream)
    _check_values(manifest, path)
    return manifest


def _parsed(content: bytes, path: str) -> dict[str, Any]:
    if len(content) > MAX_SIZE:
        _refuse(path, f"has more than {MAX_SIZE} bytes")
    try:
        document = json.loads(content, parse_constant=lambda _: _refuse(path, "has a number that JSON does not know"))
    except (ValueError, RecursionError) as error:
        raise _error(path, "is not JSON") from error
    if not isinstance(document, dict):
        _refuse(path, "is no JSON object")
    if _depth(document) > _MAX_DEPTH:
        _refuse(path, "is nested too deep")
    return document


def _depth(value: Any, level: int = 1) -> int:
    if level > _MAX_DEPTH or not isinstance(value, dict | list):
        return level
    inner = value.values() if isinstance(value, dict) else value
    return max((_depth(one, level + 1) for one in inner), default=level)


_TEXTS = (
    *("engine", "server_version", "tool", "tool_version", "format", "path", "database", "backup_name", "started"),
    *("completed", "compression"),
)
_OPTIONAL_TEXTS = ("encryption", "rows_missing")
_LISTS = ("recipients", "roles")
_MAPS_OF_COUNTS = ("objects", "rows")
_MAPS_OF_TEXTS = ("checksums", "extensions", "server", "created_by")


def _check_fields(document: dict[str, Any], path: str) -> None:
    known = {one.name for one in fields(Manifest)}
    if unknown := sorted(set(document) - known):
        _refuse(path, f"has unknown fields: {', '.join(unknown)[:200]}")
    if missing := sorted(known - set(document)):
        _refuse(path, f"lacks {', '.join(missing)}")
    wrong = [name for name in _TEXTS if not isinstance(document[name], str)]
    wrong += [name for name in _OPTIONAL_TEXTS if not isinstance(document[name], str | None)]
    wrong += [name for name in _LISTS if not _all(document[name], list, str)]
    wrong += [name for name in _MAPS_OF_COUNTS if not _counts(document[name], none=name == "rows")]
    wrong += [name for name in _MAPS_OF_TEXTS if not _texts(document[name], none=name == "created_by")]
    wrong += [] if isinstance(document["options"], dict) else ["options"]
    if wrong:
        _refuse(path, f"has a wrong type of value in {', '.join(sorted(wrong))}")


def _all(value: Any, container: type, kind: type) -> bool:
    return isinstance(value, container) and all(isinstance(one, kind) for one in value)  # type: ignore[attr-defined]


def _counts(value: Any, *, none: bool) -> bool:
    if value is None:
        return none
    return isinstance(value, dict) and all(_is_whole(one) and one >= 0 for one in value.values())


def _is_whole(value: Any) -> bool:
    # A bool is an int for Python, and true is no size.
    return isinstance(value, int) and not isinstance(value, bool)


def _texts(value: Any, *, none: bool) -> bool:
    if value is None:
        return none
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _stream(value: Any, path: str) -> StreamFacts:
    names = {one.name for one in fields(StreamFacts)}
    if not isinstance(value, dict) or set(value) != names:
        _refuse(path, "has no whole account of the dump's bytes")
    counts = (value["plain_bytes"], value["stored_bytes"])
    hashes = (value["plain_sha256"], value["stored_sha256"])
    if not all(_is_whole(one) and one >= 0 for one in counts):
        _refuse(path, "has a size that is no size")
    if not all(isinstance(one, str) and _SHA256.fullmatch(one) for one in hashes):
        _refuse(path, "has a checksum that is none")
    return StreamFacts(**value)


def _typed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _check_values(manifest: Manifest, path: str) -> None:
    for name, value, allowed in (
        ("engine", manifest.engine, _ENGINES),
        ("format", manifest.format, _FORMATS),
        ("compression", manifest.compression, _COMPRESSIONS),
        ("encryption", manifest.encryption, _ENCRYPTIONS),
    ):
        if value not in allowed:
            _refuse(path, f"has an unknown {name}: {value[:60]!r}" if value else f"has no {name}")
    if manifest.path != path:
        _refuse(path, f"is of another dump: {manifest.path[:200]!r}")
    try:
        paths.checked(manifest.path, field="path")
        if manifest.completed_at < manifest.started_at:
            _refuse(path, "says that it was complete before it was started")
    except ValueError as error:
        raise _error(path, "has a time that is none") from error


def _error(path: str, what: str) -> DbopsError:
    return DbopsError(Reason.NOT_VERIFIABLE, f"{path}: its manifest {what}", field="backup")


def _refuse(path: str, what: str) -> NoReturn:
    raise _error(path, what)
