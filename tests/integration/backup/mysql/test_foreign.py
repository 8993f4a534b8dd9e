# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump is foreign code: what it tries on MySQL and MariaDB, as whom it runs, and what a failed restore leaves."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from integration.backup.mysql import shop
from integration.backup.mysql.backups import DEFAULTS, NOTHING, Backups, watch

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engine import BackupRequest
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.engines import open_engine
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from localstack.mysql import MySQLServer

Unique = Callable[[str], str]


@pytest.fixture
def backups(mysql_server: MySQLServer) -> Backups:
    """Backups as root."""
    return Backups(mysql_server, mysql_server.admin)


@pytest.fixture
def weak(mysql_server: MySQLServer) -> Backups:
    """Backups as the admin of a managed cloud."""
    return Backups(mysql_server, mysql_server.weak_admin())


def databases(backups: Backups) -> list[str]:
    """Give all databases of the server."""
    return [name for (name,) in backups.server.query("SHOW DATABASES")]


@pytest.mark.feature("T07")
def test_what_a_dump_must_not_do_fails_and_touches_nothing(backups: Backups, unique: Unique, tmp_path: Path) -> None:
    name, other, copy = unique("shop"), unique("other"), unique("copy")
    backups.server.query(f"CREATE DATABASE `{other}`")
    shop.fill(backups.server, name, code=False)
    manifest, dump = backups.backup(name)
    mark = tmp_path / "executed"
    for attempt, reason in (
        (f"\\! touch {mark}\n", "InvalidSpec"),
        (f"system touch {mark}\n", "InvalidSpec"),
        (f"source {mark}\n", "InvalidSpec"),
        (f"SELECT 1 \\! touch {mark}\n;\n", "InvalidSpec"),
        # Past what looks for commands, so the client itself has to refuse.
        (f"INSERT INTO `log` VALUES ('a') \\! touch {mark}\n;\n", "InvalidSpec"),
        (f"CREATE TABLE `{other}`.t (id int);\n", "PrivilegeMissing"),
        (f"DROP TABLE `{name}`.customer;\n", "PrivilegeMissing"),
        ("CREATE USER intruder;\n", "PrivilegeMissing"),
        ("SELECT * FROM mysql.user;\n", "PrivilegeMissing"),
        ("SELECT 1 INTO OUTFILE '/tmp/dbops-intruder';\n", None),
        ("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE log;\n", None),
        ("CREATE FUNCTION sys_eval RETURNS string SONAME 'lib.so';\n", None),
        (f"GRANT ALL ON `{copy}`.* TO root;\n", "PrivilegeMissing"),
    ):
        before = databases(backups)
        with pytest.raises(DbopsError) as raised:
            backups.restore(manifest, dump + attempt.encode(), copy)
        assert reason in (None, raised.value.reason.value), (attempt, raised.value.message)
        assert databases(backups) == before
        assert backups.left() == NOTHING
    assert not mark.exists()
    assert not backups.server.query("SELECT 1 FROM mysql.user WHERE user = 'intruder'")
    assert backups.server.query(f"SHOW TABLES FROM `{other}`") == []


@pytest.mark.feature("T07", "T05")
def test_what_is_restored_has_the_locked_login_as_its_definer(backups: Backups, unique: Unique) -> None:
    name, copy = unique("shop"), unique("copy")
    shop.fill(backups.server, name)
    manifest, dump = backups.backup(name)
    assert manifest.roles == ("`root`@`localhost`",)
    backups.restore(manifest, dump, copy)
    definers = set()
    for table, column in (("VIEWS", "TABLE"), ("TRIGGERS", "TRIGGER"), ("ROUTINES", "ROUTINE"), ("EVENTS", "EVENT")):
        query = f"SELECT DEFINER FROM information_schema.{table} WHERE {column}_SCHEMA = %s"
        definers |= {row[0] for row in backups.server.query(query, (copy,))}
    (definer,) = definers
    user = definer.partition("@")[0]
    assert user.startswith("dbops_restore_")
    assert backups.server.query(f"SELECT count(*) FROM `{copy}`.rich") == [(1,)]
    grants = [row[0] for row in backups.server.query("SHOW GRANTS FOR %s@'%%'", (user,))]
    assert [one for one in grants if "USAGE ON *.*" not in one and copy.replace("_", "\\_") not in one] == []
    assert backups.left() == NOTHING


@pytest.mark.feature("B01", "B02", "T03")
def test_a_weak_admin_is_told_what_it_cannot_do(backups: Backups, weak: Backups, unique: Unique) -> None:
    name, copy = unique("shop"), unique("copy")
    shop.fill(weak.server, name)
    manifest, dump = weak.backup(name)
    assert "events" not in manifest.objects
    assert any("EVENT" in one for one in weak.examine(name).warnings)
    assert manifest.objects["views"] == 2
    before = databases(weak)
    with pytest.raises(DbopsError, match="CREATE VIEW") as raised:
        weak.restore(manifest, dump, copy)
    assert raised.value.reason is Reason.PRIVILEGE_MISSING
    assert databases(weak) == before
    assert backups.restore(manifest, dump, copy) == ([], None)


@pytest.mark.feature("T03")
def test_a_target_that_is_not_empty_stays(backups: Backups, unique: Unique) -> None:
    name = unique("shop")
    shop.fill(backups.server, name, code=False)
    manifest, dump = backups.backup(name)
    before = shop.described(backups.server, name)
    with pytest.raises(DbopsError) as raised:
        backups.restore(manifest, dump, name)
    assert raised.value.reason is Reason.CONFLICT
    with pytest.raises(DbopsError) as raised:
        backups.restore(manifest, dump, unique("gone"), in_place=True)
    assert raised.value.reason is Reason.DEPENDENCY_NOT_READY
    assert shop.described(backups.server, name) == before


@pytest.mark.feature("T06", "B08")
def test_cancelled_work_ends_and_leaves_nothing(backups: Backups, unique: Unique) -> None:
    name, copy = unique("shop"), unique("copy")
    shop.fill(backups.server, name, code=False)
    manifest, dump = backups.backup(name)
    request = backups.request(copy)
    # Like a lock that does not come: the client waits for an answer.
    endless = io.BytesIO(dump + b"SELECT SLEEP(1000);\n")
    with open_engine(backups.options) as engine:
        target = engine.prepare(request, manifest, scratch=False)
        with pytest.raises(DbopsError) as raised:
            engine.load(target, request, manifest, endless, watch(seconds=20))
        assert raised.value.reason is Reason.TIMEOUT
        engine.abandon(target)
    assert backups.left() == NOTHING
    assert copy not in databases(backups)


@pytest.mark.feature("T03")
def test_a_dump_of_the_other_engine_is_refused(mysql: MySQLServer, mariadb: MySQLServer, unique: Unique) -> None:
    name = unique("shop")
    source = Backups(mysql, mysql.admin)
    shop.fill(mysql, name, code=False)
    manifest, dump = source.backup(name)
    with pytest.raises(DbopsError) as raised:
        Backups(mariadb, mariadb.admin).restore(manifest, dump, name)
    assert raised.value.reason is Reason.INVALID_SPEC


@pytest.mark.feature("B01")
def test_no_password_is_in_arguments_or_environment(backups: Backups, unique: Unique) -> None:
    name, user, password = unique("shop"), unique("u")[:30], "p\"a's\\s #w;ö\td"
    shop.fill(backups.server, name, code=False)
    backups.server.query(f"CREATE USER `{user}` IDENTIFIED BY %s", (password,))
    backups.server.query(f"GRANT SELECT, TRIGGER, SHOW VIEW, LOCK TABLES ON `{name}`.* TO `{user}`")
    seen = []

    def look(_data: bytes) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                texts = [(process / part).read_bytes() for part in ("cmdline", "environ")]
            except OSError:
                continue
            if b"defaults-file" in texts[0]:
                seen.append(process.name)
            assert all(password.encode() not in text for text in texts)

    options = {**backups.options, "login_user": user, "login_password": password}
    request = BackupRequest(name, {**DEFAULTS}, backups.tools)
    with open_engine(options) as engine:
        engine.dump(engine.examine(request), request, look, watch())
    assert seen
