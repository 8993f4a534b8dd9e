# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of MySQL and MariaDB by the servers' own tools, restored elsewhere, in place, and not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from integration.backup.mysql import shop
from integration.backup.mysql.backups import NOTHING, Backups

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from localstack.mysql import MySQLLogin, MySQLServer

Unique = Callable[[str], str]


@pytest.fixture
def backups(mysql_server: MySQLServer) -> Backups:
    """Backups as root."""
    return Backups(mysql_server, mysql_server.admin)


@pytest.fixture
def either(mysql_server: MySQLServer, mysql_admin: MySQLLogin) -> Backups:
    """Backups as each of the two kinds of admins."""
    return Backups(mysql_server, mysql_admin)


def with_grants(backups: Backups, name: str) -> str:
    """Make an account that may read the database and one of its tables."""
    user = f"reader_{abs(hash(name)) % 10**8}"
    for statement in (
        f"CREATE USER `{user}`", f"GRANT SELECT ON `{name}`.* TO `{user}`",
        f"GRANT INSERT ON `{name}`.customer TO `{user}`",
    ):  # fmt: skip
        backups.server.query(statement)
    return user


@pytest.mark.feature("B01", "B07", "T01", "T02", "B10")
def test_a_database_with_everything_comes_back_elsewhere(backups: Backups, unique: Unique) -> None:
    name, copy = unique("shop"), unique("copy")
    shop.fill(backups.server, name)
    manifest, dump = backups.backup(name)
    assert manifest.rows == {**manifest.rows, **shop.ROWS}
    assert {kind: manifest.objects[kind] for kind in ("views", "triggers", "events", "procedures", "functions")} == {
        "views": 2, "triggers": 2, "events": 1, "procedures": 1, "functions": 1
    }  # fmt: skip
    before = shop.described(backups.server, name)
    differences, previous = backups.restore(manifest, dump, copy)
    assert (differences, previous) == ([], None)
    assert shop.described(backups.server, copy) == before
    assert shop.described(backups.server, name) == before
    assert backups.left() == NOTHING


@pytest.mark.feature("T01", "T04", "T05")
def test_in_place_replaces_it_and_keeps_the_old_one(backups: Backups, unique: Unique) -> None:
    name = unique("shop")
    shop.fill(backups.server, name)
    user = with_grants(backups, name)
    grants = backups.server.query(f"SHOW GRANTS FOR `{user}`")
    manifest, dump = backups.backup(name)
    before = shop.described(backups.server, name)
    backups.server.query(f"DELETE FROM `{name}`.purchase")
    backups.server.query(f"DROP VIEW `{name}`.a_first")
    backups.server.query(f"CREATE TABLE `{name}`.later (id int)")
    differences, previous = backups.restore(manifest, dump, name, in_place=True)
    assert differences == []
    assert shop.described(backups.server, name) == before
    assert backups.server.query(f"SHOW GRANTS FOR `{user}`") == grants
    assert previous
    assert backups.server.query(f"SELECT count(*) FROM `{previous}`.later") == [(0,)]
    assert backups.server.query(f"SELECT count(*) FROM `{previous}`.purchase") == [(0,)]
    old = shop.described(backups.server, previous)
    assert len(old["triggers"]), old["triggers"]
    assert old["rows rich"] == before["rows rich"]
    assert backups.left() == NOTHING


@pytest.mark.feature("T04")
@pytest.mark.parametrize("where", ["drop", "_move", "_replay", "_check"])
def test_a_swap_that_fails_is_taken_back(
    backups: Backups, unique: Unique, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql import code, swap

    name = unique("shop")
    shop.fill(backups.server, name)
    manifest, dump = backups.backup(name)
    backups.server.query(f"DELETE FROM `{name}`.purchase WHERE id = 1")
    before = shop.described(backups.server, name)
    definers = backups.server.query("SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s", (name,))
    module = code if where == "drop" else swap
    genuine = getattr(module, where)

    def fails(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(module, where, genuine)
        genuine(*arguments, **options)
        raise DbopsError(Reason.INTERNAL_ERROR, "cut off here")

    monkeypatch.setattr(module, where, fails)
    with pytest.raises(DbopsError, match="cut off here"):
        backups.restore(manifest, dump, name, in_place=True)
    assert shop.described(backups.server, name) == before
    after = backups.server.query("SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s", (name,))
    assert after == definers
    assert backups.left() == NOTHING
    kept = backups.server.query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE %s",
                                (f"{name}_before%",))  # fmt: skip
    assert not kept


@pytest.mark.feature("B01", "B02", "T02", "T07")
def test_tables_and_triggers_as_either_admin(either: Backups, unique: Unique) -> None:
    name, copy = unique("shop"), unique("copy")
    shop.fill(either.server, name, code=False)
    either.server.query(f"ALTER TABLE `{name}`.purchase DROP FOREIGN KEY fk_customer")
    manifest, dump = either.backup(name)
    before = shop.described(either.server, name)
    differences, _previous = either.restore(manifest, dump, copy)
    assert differences == []
    assert shop.described(either.server, copy) == before
    assert either.left() == NOTHING


@pytest.mark.feature("B10")
def test_a_verification_leaves_nothing_and_sees_what_is_missing(backups: Backups, unique: Unique) -> None:
    name = unique("shop")
    shop.fill(backups.server, name)
    manifest, dump = backups.backup(name)
    assert backups.restore(manifest, dump, name, scratch=True) == ([], None)
    assert backups.left() == NOTHING
    cut = dump.replace(b"'p2'", b"'p9'") if b"('p2')" in dump else dump
    assert cut != dump
    rows = {**manifest.rows, "log": 4, "gone": 1}
    told, _ignored = backups.restore(replace(manifest, rows=rows), cut, name, scratch=True)
    assert any("log has 3 rows, in the backup 4" in one for one in told)
    assert any("gone" in one for one in told)
    told, _ignored = backups.restore(manifest, cut, name, scratch=True)
    assert any("log" in one for one in told), "a value that differs"
    assert backups.left() == NOTHING
    assert shop.described(backups.server, name)
