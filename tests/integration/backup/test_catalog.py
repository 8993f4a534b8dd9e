# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups a store holds, when each of the steps of writing and removing is the last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import catalog
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.facts import StreamFacts
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.manifest import Manifest, path_of, to_json
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.pipeline import DumpWriter
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.stores import Store

NOW = datetime(2026, 1, 1, 2, tzinfo=UTC)
PATH = "app/nightly-20260101-020000.sql"


def manifest(path: str, stream: StreamFacts) -> Manifest:
    """Give a manifest for a dump."""
    return Manifest(
        engine="postgres",
        server_version="17.10",
        tool="pg_dump",
        tool_version="17.10",
        format="plain",
        path=path,
        database="app",
        backup_name="nightly",
        started="2026-01-01T02:00:00Z",
        completed="2026-01-01T02:00:01Z",
        stream=stream,
        compression="none",
        encryption=None,
    )


def dump(store: Store, path: str) -> StreamFacts:
    """Write a dump without anything around it."""
    writer = DumpWriter(store, path, compression={"algorithm": "none"})
    writer.write(b"SELECT 1;\n")
    return writer.finish()


def back_up(store: Store, path: str = PATH) -> Manifest:
    """Make a backup as the worker does."""
    catalog.begin(store, path, started=NOW)
    made = manifest(path, dump(store, path))
    catalog.complete(store, made)
    return made


def content(store: Store) -> set[str]:
    """All paths in a store."""
    return {one.path for one in store.list()}


@pytest.mark.feature("B06", "B07")
def test_a_backup_is_a_dump_and_its_manifest_and_nothing_else_stays(files: Store) -> None:
    made = back_up(files)
    assert content(files) == {PATH, path_of(PATH)}
    assert catalog.listing(files) == catalog.Listing([made], [], [])
    assert catalog.find(files, PATH) == made
    assert catalog.find(files, "app/other.sql") is None
    assert catalog.list_backups(files, "app") == [made]
    assert catalog.list_backups(files, "ap") == []


@pytest.mark.feature("B06")
@pytest.mark.parametrize("stage", ["before the dump", "after the dump"])
def test_what_a_killed_worker_leaves_is_no_backup_and_goes_after_a_while(files: Store, stage: str) -> None:
    kept = back_up(files, "app/other-20260101-010000.sql")
    foreign = "app/foreign-20260101-020000.sql.gz.enc"
    files.write(foreign, b"of the published operator: no manifest, no marker")
    catalog.begin(files, PATH, started=NOW)
    if stage == "after the dump":
        dump(files, PATH)
    found = catalog.listing(files)
    assert found.backups == [kept]
    assert [one.path for one in found.unfinished] == [PATH]
    later = found.unfinished[0].since + timedelta(hours=1)
    assert catalog.remove_unfinished(files, now=later, grace=timedelta(hours=2)) == []
    assert catalog.remove_unfinished(files, now=later, grace=timedelta(minutes=59)) == [PATH]
    assert content(files) == {kept.path, kept.manifest_path, foreign}


def test_a_worker_killed_after_the_manifest_has_made_a_backup(files: Store) -> None:
    made = back_up(files)
    catalog.begin(files, PATH, started=NOW)
    assert catalog.listing(files) == catalog.Listing([made], [], [])
    assert catalog.remove_unfinished(files, now=NOW + timedelta(days=9999), grace=timedelta()) == []


@pytest.mark.feature("B06")
def test_pieces_of_a_killed_writer_go_too(files: Store, directory: Path) -> None:
    catalog.begin(files, PATH, started=NOW)
    folder = directory / "team/app/app"
    (folder / "nightly-20260101-020000.sql#1").write_bytes(b"half")
    (folder / "nightly-20260101-020000.sql#notes").write_bytes(b"somebody's")
    catalog.remove(files, PATH, now=NOW)
    assert [path.name for path in folder.iterdir()] == ["nightly-20260101-020000.sql#notes"]


class KilledError(Exception):
    pass


def killed_after(store: Store, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let STEPS changes of STORE happen, and no more."""
    left = [steps]

    def counted(original: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            if not left[0]:
                raise KilledError
            left[0] -= 1
            original(*arguments)

        return call

    for name in ("write", "remove"):
        monkeypatch.setattr(store, name, counted(getattr(store, name)))


@pytest.mark.feature("B06", "B08")
@pytest.mark.parametrize("steps", range(5))
def test_a_removal_that_is_killed_leaves_a_whole_backup_or_none_and_can_be_repeated(
    files: Store, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    made = back_up(files)
    with monkeypatch.context() as patch:
        killed_after(files, steps, patch)
        if steps < 4:
            with pytest.raises(KilledError):
                catalog.remove(files, PATH, now=NOW)
        else:
            catalog.remove(files, PATH, now=NOW)
    found = catalog.listing(files)
    assert found.broken == []
    assert found.backups == ([made] if steps < 2 else [])
    if steps in (2, 3):
        assert [one.path for one in found.unfinished] == [PATH]
    catalog.remove(files, PATH, now=NOW)
    assert content(files) == set()


@pytest.mark.feature("B07", "T03")
def test_what_is_wrong_is_listed_with_its_reason(files: Store) -> None:
    made = back_up(files)
    gone = replace(made, path="app/gone.sql")
    files.write(gone.manifest_path, to_json(gone))
    short = back_up(files, "app/short.sql")
    files.write(short.path, b"SELECT")
    files.write("app/forged.sql", b"x")
    files.write(path_of("app/forged.sql"), to_json(made))
    found = catalog.listing(files)
    assert found.backups == [made]
    assert [(one.path, one.message.partition(": ")[2]) for one in found.broken] == [
        ("app/forged.sql", f"its manifest is of another dump: '{PATH}'"),
        ("app/gone.sql", "the dump is gone, its manifest is there"),
        ("app/short.sql", "the object has 6 bytes, its manifest says 10"),
    ]
