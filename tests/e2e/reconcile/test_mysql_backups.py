# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups and restores on MySQL and MariaDB through custom resources, as root and as a managed cloud's admin."""

from __future__ import annotations

import os
from typing import Any

import pytest
from buckets import Bucket
from reconciling import Operator

from dbops_operator.keys import Key
from dbops_operator.work import Done, Human
from localstack.mysql import MySQLLogin, MySQLServer

ACKNOWLEDGED = {"acknowledgeDataLoss": "I-UNDERSTAND-DATA-LOSS"}


async def done(operator: Operator, key: Key) -> dict[str, Any]:
    """Have it worked on; gives its status."""
    verdict = await operator.run(key)
    status = await operator.status(key)
    assert isinstance(verdict, Done), status
    return status


TABLES = (
    "CREATE TABLE orders (id int PRIMARY KEY, price int NOT NULL)",
    "INSERT INTO orders VALUES (1, 10), (2, 20)",
)
CODE = (
    "CREATE SQL SECURITY INVOKER VIEW totals AS SELECT sum(price) AS total FROM orders",
    "CREATE FUNCTION doubled(n int) RETURNS int DETERMINISTIC SQL SECURITY INVOKER RETURN 2 * n",
)


def content(server: MySQLServer, database: str, *, code: bool) -> list[tuple[Any, ...]]:
    looks = ["SELECT total FROM totals", "SELECT doubled(21)"] if code else []
    checksum = server.query("CHECKSUM TABLE orders", database=database)[0][1]
    return [(checksum,), *(row for look in looks for row in server.query(look, database=database))]


@pytest.mark.feature("B01", "B05", "B07", "T01", "T02", "T04")
async def test_made_and_restored(
    operator: Operator,
    mysql_server: MySQLServer,
    mysql_admin: MySQLLogin,
    bucket: Bucket,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(mysql_server.binaries.directory / "bin"), prepend=os.pathsep)
    reference = {"instanceRef": {"name": "main"}}
    await operator.mysql_instance(mysql_admin, mysql_server.engine)
    shop = await operator.create("Database", "shop", {**reference, "name": name, "deletionProtection": False})
    await done(operator, shop)
    # The usual cloud's admin may not make views and functions, and so cannot bring them back.
    code = mysql_admin == mysql_server.admin
    for statement in (*TABLES, *(CODE if code else ())):
        mysql_server.query(statement, database=name)
    before = content(mysql_server, name, code=code)
    await operator.create_secret("store", bucket.credentials)
    wanted = {"databaseRef": {"name": "shop"}, "storage": bucket.storage(), "compression": {"algorithm": "zstd"}}
    backup = await operator.create("DatabaseBackup", "first", wanted)
    status = await done(operator, backup)
    assert status["phase"] == "Completed", status
    assert status["source"]["engine"] == mysql_server.engine
    assert status["backup"]["path"].endswith(".sql.zst")
    assert sorted(bucket.objects()) == [status["backup"]["path"], f"{status['backup']['path']}.manifest.json"]

    new = {**reference, "databaseName": f"{name}_new"}
    into_new = await operator.create("DatabaseRestore", "new", {"backupRef": {"name": "first"}, "target": new})
    status = await done(operator, into_new)
    assert status["phase"] == "Completed", status
    assert content(mysql_server, f"{name}_new", code=code) == before

    mysql_server.query("DELETE FROM orders", database=name)
    target = {"inPlace": True, "databaseRef": {"name": "shop"}}
    in_place = {"backupRef": {"name": "first"}, "target": target, "confirmation": ACKNOWLEDGED}
    back = await operator.create("DatabaseRestore", "back", in_place)
    if not code:
        # Whoever does not see events cannot know what would be lost with the old database.
        assert isinstance(await operator.run(back), Human)
        assert await operator.ready(back) == ("False", "PrivilegeMissing")
        assert "EVENT" in (await operator.status(back))["message"]
        assert content(mysql_server, name, code=code) != before
        return
    status = await done(operator, back)
    assert status["phase"] == "Completed", status
    assert content(mysql_server, name, code=code) == before


@pytest.mark.feature("T03")
async def test_what_the_admin_cannot_bring_back_is_said_first(
    operator: Operator, mysql_server: MySQLServer, bucket: Bucket, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(mysql_server.binaries.directory / "bin"), prepend=os.pathsep)
    await operator.mysql_instance(mysql_server.weak_admin(), mysql_server.engine)
    spec = {"instanceRef": {"name": "main"}, "name": name, "deletionProtection": False}
    await done(operator, await operator.create("Database", "shop", spec))
    for statement in (*TABLES, *CODE):
        mysql_server.query(statement, database=name)
    await operator.create_secret("store", bucket.credentials)
    wanted = {"databaseRef": {"name": "shop"}, "storage": bucket.storage()}
    await done(operator, await operator.create("DatabaseBackup", "first", wanted))
    target = {"instanceRef": {"name": "main"}, "databaseName": f"{name}_new"}
    key = await operator.create("DatabaseRestore", "new", {"backupRef": {"name": "first"}, "target": target})
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "PrivilegeMissing")
    assert "GRANT" in (await operator.status(key))["message"]
    assert not mysql_server.query("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [f"{name}_new"])
