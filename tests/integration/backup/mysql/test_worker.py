# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker with MySQL and MariaDB: compressed, encrypted, verified, restored, removed, and cut off in the middle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from integration.backup.mysql import shop
from integration.backup.mysql.backups import NOTHING, Backups

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import module_arguments, worker
from localstack.mysql import MySQLServer

Unique = Callable[[str], str]
_SPECS = {"backup": module_arguments.backup_spec, "restore": module_arguments.restore_spec}


class Worker:
    """The worker with one server and a folder as its store."""

    def __init__(self, backups: Backups, folder: Path) -> None:
        """Work as BACKUPS does, and keep what is made in FOLDER."""
        self.backups = backups
        self.folder = folder

    def run(self, action: str, *, cancelled: Callable[[], bool] = lambda: False, **options: Any) -> dict[str, Any]:
        """Run the worker as the module would."""
        storage = {"type": "file", "prefix": "team", "file": {"path": str(self.folder)}}
        login = {**self.backups.login.options(), "engine": self.backups.server.engine}
        given = {**login, "storage": storage, "tools_path": self.backups.tools, **options}
        checked = ArgumentSpecValidator(_SPECS["restore" if action == "restore" else "backup"]()).validate(given)
        assert not checked.error_messages, checked.error_messages
        return worker.run(
            action, checked.validated_parameters, check=False, cancelled=cancelled, progress=lambda _told: None
        )

    def files(self) -> list[str]:
        """Give what is in the store."""
        return sorted(str(one.relative_to(self.folder)) for one in self.folder.rglob("*") if one.is_file())


@pytest.fixture
def made(mysql_server: MySQLServer, tmp_path: Path) -> Worker:
    """The worker as root."""
    return Worker(Backups(mysql_server, mysql_server.admin), tmp_path)


@pytest.mark.feature("B01", "B03", "B04", "B06", "B10", "T01", "T02")
def test_compressed_encrypted_verified_and_restored(made: Worker, unique: Unique) -> None:
    name, copy = unique("shop"), unique("copy")
    server = made.backups.server
    shop.fill(server, name)
    before = shop.described(server, name)
    identity = pyrage.x25519.Identity.generate()
    encryption = {"recipients": [str(identity.to_public())]}
    started = "2026-01-02T03:04:05Z"
    again = {"database": name, "started": started, "compression": {"algorithm": "zstd"}, "encryption": encryption}
    done = made.run("backup", **again)
    assert (done["failed"], done["changed"]) == (False, True), done
    path = done["backup"]["path"]
    assert path == f"{name}-{name}-20260102-030405.sql.zst.age"
    assert not made.run("backup", **again)["changed"]
    # The recipients are part of the file's name; the identity reads it.
    reading = {"identities": [str(identity)]}
    verified = made.run("verify", **{**again, "encryption": {**encryption, **reading}})
    assert not verified["failed"], verified
    assert verified["verification"]["verified"]
    restored = made.run("restore", backup=path, target={"database": copy}, encryption=reading)
    assert not restored["failed"], restored
    assert shop.described(server, copy) == before
    replaced = made.run(
        "restore", backup=path, encryption=reading,
        target={"database": name, "in_place": True, "acknowledge_data_loss": "I-UNDERSTAND-DATA-LOSS"},
    )  # fmt: skip
    assert not replaced["failed"], replaced
    assert replaced["restore"]["previous"].startswith(name[:40])
    assert shop.described(server, name) == before
    assert made.backups.left() == NOTHING


@pytest.mark.feature("B06", "T03", "T04")
def test_a_flipped_bit_leaves_the_target_as_it_was(made: Worker, unique: Unique) -> None:
    name = unique("shop")
    shop.fill(made.backups.server, name)
    done = made.run("backup", database=name, compression={"algorithm": "none"})
    file = made.folder / "team" / done["backup"]["path"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    before = shop.described(made.backups.server, name)
    target = {"database": name, "in_place": True, "acknowledge_data_loss": "I-UNDERSTAND-DATA-LOSS"}
    failed = made.run("restore", backup=done["backup"]["path"], target=target)
    assert (failed["failed"], failed["reason"]) == (True, "NotVerifiable"), failed
    assert shop.described(made.backups.server, name) == before
    assert made.backups.left() == NOTHING


@pytest.mark.feature("B06", "B08")
def test_a_dump_that_is_cancelled_is_no_backup(made: Worker, unique: Unique) -> None:
    name = unique("shop")
    shop.fill(made.backups.server, name, code=False)
    asked = iter(range(1000))
    # However quick the tool is, it is asked again before the manifest is written.
    done = made.run("backup", database=name, cancelled=lambda: next(asked) > 0)
    assert (done["failed"], done["reason"]) == (True, "Cancelled"), done
    assert made.files() == []
