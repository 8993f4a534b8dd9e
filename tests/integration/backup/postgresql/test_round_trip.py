# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL database comes back as it was, from every format, judged by pg_dump and by the server's checksums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from integration.backup.postgresql.backups import Backups, checksums, schema
from integration.backup.postgresql.shop import Shop

STARTED = "2026-11-30T03:00:00Z"


@pytest.mark.feature("B01", "B07", "T02", "T05")
@pytest.mark.parametrize("written", ["plain", "custom", "directory", "tar"])
def test_everything_comes_back(written: str, both_backups: Backups, shop: Shop, unique: Callable[[str], str]) -> None:
    """Each type of object, each row, owner and privilege is there again in another database."""
    backups, server = both_backups, both_backups.server
    done = backups.run("backup", database=shop.database, started=STARTED, postgresql={"format": written, "jobs": 2})
    assert done["failed"] is False, done.get("message")
    made = done["backup"]
    assert made["rows"]['sales.order; "quoted"'] == 5000
    assert made["tables"] == 8
    assert (made["objects"]["tables"], made["objects"]["large_objects"], made["objects"]["policies"]) == (9, 2, 1)
    assert made["extensions"] == {"hstore": "1.8"}
    copy = unique("copy")
    restored = backups.restored(made["path"], copy, owner=shop.owner)
    assert restored["restore"]["tables"] == 8
    assert restored["warnings"] == []
    assert schema(server, copy) == schema(server, shop.database)
    assert checksums(server, copy) == checksums(server, shop.database)
    assert backups.left() == []


@pytest.mark.feature("B01", "B06")
def test_four_runs(backups: Backups, shop: Shop) -> None:
    """Check, run, check, run: changed, changed, ok, ok, and a check writes nothing."""
    options: dict[str, Any] = {"database": shop.database, "started": STARTED}
    runs = [
        (backups.run("backup", check=check, **options)["changed"], len(backups.files())) for check in (True, False) * 2
    ]
    assert runs == [(True, 0), (True, 2), (False, 2), (False, 2)]
    name = f"{shop.database}-{shop.database}-20261130-030000.dump.gz"
    assert backups.files() == [name, f"{name}.manifest.json"]
    assert [backups.run("remove", check=check, **options)["changed"] for check in (True, False) * 2] == [
        True, True, False, False,
    ]  # fmt: skip
    assert backups.files() == []


@pytest.mark.feature("B10")
@pytest.mark.parametrize("written", ["plain", "custom"])
def test_verified(written: str, both_backups: Backups, shop: Shop) -> None:
    """A scratch database is made, compared, and gone."""
    path = both_backups.made(shop.database, started=STARTED, postgresql={"format": written})
    done = both_backups.run("verify", database=shop.database, started=STARTED, postgresql={"format": written})
    assert done["failed"] is False, done.get("message")
    assert (done["backup"]["path"], done["verification"]["verified"]) == (path, True)
    assert both_backups.left() == []
