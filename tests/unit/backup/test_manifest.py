# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests: what is written is read, and what somebody forged is refused with a reason."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.facts import StreamFacts
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import (
    MAX_SIZE,
    Manifest,
    from_json,
    moment,
    timestamp,
    to_json,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

PATH = "app-nightly-20260101-020000.dump.zst.age"
MANIFEST = Manifest(
    engine="postgres",
    server_version="17.10",
    tool="pg_dump",
    tool_version="17.10",
    format="custom",
    path=PATH,
    database="app",
    backup_name="nightly",
    started="2026-01-01T02:00:00Z",
    completed="2026-01-01T02:00:09Z",
    stream=StreamFacts(1000, "a" * 64, 500, "b" * 64),
    compression="zstd",
    encryption="age",
    recipients=("age1xyz",),
    options={"format": "custom", "jobs": None, "tables": ["a"]},
    created_by={"cluster": "c", "kind": "DatabaseBackup", "namespace": "n", "name": "x"},
    objects={"tables": 2},
    rows={"public.a": 0, "public.b": 7},
    extensions={"pgcrypto": "1.3"},
    roles=("app",),
    server={"encoding": "UTF8"},
)


@pytest.mark.feature("B07")
@pytest.mark.parametrize(
    "manifest",
    [
        MANIFEST,
        replace(MANIFEST, rows=None, rows_missing="of no use", encryption=None, recipients=(), created_by=None),
        replace(MANIFEST, database="Ünï/\u202e'\"", compression="none", engine="mariadb", format="plain"),
    ],
)
def test_what_is_written_is_read(manifest: Manifest) -> None:
    content = to_json(manifest)
    assert from_json(content, PATH) == manifest
    assert to_json(from_json(content, PATH)) == content
    assert json.loads(content)["version"] == 1


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001
def test_moments_are_utc_to_the_second(naive: datetime) -> None:
    at = naive.replace(microsecond=0, tzinfo=timezone(timedelta(hours=-5)))
    assert moment(timestamp(at)) == at
    assert moment(timestamp(at)).tzinfo is UTC


def changed(**values: Any) -> bytes:
    """Give MANIFEST's document with some values replaced; a value of `...` removes the field."""
    document = {**json.loads(to_json(MANIFEST)), **values}
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


STREAM = json.loads(to_json(MANIFEST))["stream"]


@pytest.mark.feature("B07", "T03")
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "is no JSON object"),
        (b"{}", "has no version"),
        (b'{"version": NaN}', "a number that JSON does not know"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"version": 1, "x": ' + b"[" * 50 + b"]" * 50 + b"}", "nested too deep"),
        (b" " * (MAX_SIZE + 1), "more than"),
        (changed(version=2), "version 2; this program knows 1"),
        (changed(version=True), "has no version"),
        (changed(version=0), "has no version"),
        (changed(surprise=1), "unknown fields: surprise"),
        (changed(rows=...), "lacks rows"),
        (changed(engine=7), "wrong type of value in engine"),
        (changed(rows={"a": -1}), "wrong type of value in rows"),
        (changed(rows={"a": True}), "wrong type of value in rows"),
        (changed(objects=None), "wrong type of value in objects"),
        (changed(roles=["a", 1]), "wrong type of value in roles"),
        (changed(created_by={"kind": 1}), "wrong type of value in created_by"),
        (changed(options=[]), "wrong type of value in options"),
        (changed(engine="oracle"), "unknown engine"),
        (changed(format=""), "no format"),
        (changed(compression="xz"), "unknown compression"),
        (changed(encryption="rot13"), "unknown encryption"),
        (changed(path="../../other.dump"), "is of another dump"),
        (changed(completed="yesterday"), "a time that is none"),
        (changed(completed="2025-01-01T00:00:00Z"), "complete before it was started"),
        (changed(stream={}), "no whole account"),
        (changed(stream={**STREAM, "plain_bytes": -1}), "a size that is no size"),
        (changed(stream={**STREAM, "stored_bytes": 1.5}), "a size that is no size"),
        (changed(stream={**STREAM, "stored_sha256": "A" * 64}), "a checksum that is none"),
        (changed(stream={**STREAM, "plain_sha256": "a" * 64 + "\n"}), "a checksum that is none"),
    ],
)
def test_forged_and_foreign_manifests_are_refused(content: bytes, told: str) -> None:
    with pytest.raises(DbopsError) as caught:
        from_json(content, PATH)
    assert caught.value.reason is Reason.NOT_VERIFIABLE
    assert told in caught.value.message
    assert PATH in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(json.loads(to_json(MANIFEST)))), JSON)
def test_any_value_in_any_field_is_taken_or_refused(name: str, value: Any) -> None:
    with suppress(DbopsError):
        assert from_json(changed(**{name: value}), PATH).path == PATH
