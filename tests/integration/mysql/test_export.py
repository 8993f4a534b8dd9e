# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that others built is exported; the export declares just what is there, and makes the same elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from exported import operator_objects
from integration.mysql.engine import Engine

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.export import export
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.manifests import manifests
from localstack.mysql import MySQLServer
from localstack.mysql_binaries import MARIADB_10_11, MARIADB_11_8, MYSQL_9_7, binaries

# By hand, as somebody who never heard of us would.
DATABASES = (
    "CREATE DATABASE shop CHARACTER SET latin1 COLLATE latin1_german1_ci",
    "CREATE DATABASE my_app",
    "CREATE DATABASE `Lager ``Nord`` \\\\ 100%`",
)
DATA = (
    "CREATE TABLE shop.orders (id int, note text, total int)",
    "CREATE TABLE `Lager ``Nord`` \\\\ 100%`.`Odd, table` (`Spalte ß` int)",
    "CREATE PROCEDURE shop.close_all() SELECT 1",
    "CREATE FUNCTION shop.total() RETURNS int DETERMINISTIC RETURN 1",
)
"""What no list declares; made on either server before grants."""
ACCOUNTS = (
    "CREATE ROLE readers, writers",
    "CREATE USER app IDENTIFIED BY 'x'",
    "CREATE USER reports@localhost IDENTIFIED BY 'x' REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 7 MAX_USER_CONNECTIONS 3",
    "CREATE USER reports@'10.%' IDENTIFIED BY 'x' REQUIRE SSL WITH MAX_QUERIES_PER_HOUR 7 MAX_USER_CONNECTIONS 3",
    "CREATE USER `it's me ß` IDENTIFIED BY 'x' REQUIRE X509 PASSWORD EXPIRE INTERVAL 90 DAY ACCOUNT LOCK",
    "GRANT readers TO app",
    "GRANT readers TO writers",
)
ONLY = {
    "mysql": (
        "SET DEFAULT ROLE readers TO app",
        "ALTER USER app FAILED_LOGIN_ATTEMPTS 4 PASSWORD_LOCK_TIME 2",
        "CREATE USER old IDENTIFIED WITH sha256_password BY 'x'",
        "GRANT BACKUP_ADMIN, CONNECTION_ADMIN ON *.* TO reports@localhost",
        "GRANT BACKUP_ADMIN, CONNECTION_ADMIN ON *.* TO reports@'10.%'",
        "GRANT ROLE_ADMIN ON *.* TO app WITH GRANT OPTION",
    ),
    "mariadb": (
        "SET DEFAULT ROLE readers FOR app",
        "CREATE USER old IDENTIFIED BY 'x' WITH MAX_CONNECTIONS_PER_HOUR 9",
        "GRANT CONNECTION ADMIN, READ_ONLY ADMIN ON *.* TO reports@localhost",
        "GRANT CONNECTION ADMIN, READ_ONLY ADMIN ON *.* TO reports@'10.%'",
        "GRANT DELETE HISTORY ON shop.* TO app",
    ),
}
GRANTS = (
    "GRANT SELECT ON shop.* TO readers",
    "GRANT ALL ON `my\\_app`.* TO app WITH GRANT OPTION",
    "GRANT SELECT, INSERT ON my_app.* TO writers",
    "GRANT PROCESS, SELECT ON *.* TO reports@localhost",
    "GRANT PROCESS, SELECT ON *.* TO reports@'10.%'",
    "GRANT ALL ON shop.orders TO writers",
    "GRANT INSERT, UPDATE ON shop.orders TO app WITH GRANT OPTION",
    "GRANT SELECT (id, note), UPDATE (note) ON shop.orders TO `it's me ß`",
    "GRANT SELECT (`Spalte ß`) ON `Lager ``Nord`` \\\\ 100%`.`Odd, table` TO app",
    "GRANT SELECT ON `Lager ``Nord`` \\\\\\\\ 100\\%`.* TO `it's me ß`",
    "GRANT EXECUTE ON PROCEDURE shop.close_all TO app",
    "GRANT EXECUTE, ALTER ROUTINE ON FUNCTION shop.total TO readers",
)
CANNOT = (
    "CREATE DATABASE gone",
    "CREATE TABLE gone.things (id int)",
    "GRANT SELECT ON gone.things TO app",
    "GRANT SELECT ON gone.* TO app",
    "DROP DATABASE gone",
    "GRANT SELECT ON `web%`.* TO app",
    "GRANT DELETE ON shop.orders TO reports@localhost",
    "CREATE USER twofold@localhost ACCOUNT LOCK",
    "CREATE USER twofold@'10.%'",
    "GRANT writers TO twofold@localhost",
    "GRANT writers TO twofold@'10.%'",
)
SAID = (
    "app@% has privileges on the database gone, which does not exist",
    "app@% has privileges on all databases like web%, which cannot be declared",
    " has privileges on all databases like my_app, which is declared for the database my_app only",
    "the accounts of reports differ in privileges on shop.orders, which cannot be declared",
    "the accounts of twofold differ in account_locked, which cannot be declared",
    "twofold has the roles writers in a way that cannot be declared",
    "passwords are not exported",
)


def send(server: MySQLServer, *statements: str) -> None:
    """Send statements as root."""
    for statement in statements:
        server.query(statement)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(MYSQL_9_7, id="MySQL 9.7"),
        pytest.param(MARIADB_11_8, id="MariaDB 11.8"),
        pytest.param(MARIADB_10_11, id="MariaDB 10.11", marks=pytest.mark.slow),
    ],
)
def foreign(request: pytest.FixtureRequest) -> Iterator[MySQLServer]:
    """A server that was built by hand."""
    with MySQLServer(binaries(request.param)) as server:
        send(server, *DATABASES, *DATA, *ACCOUNTS, *ONLY[server.engine], *GRANTS)
        yield server


def exported(engine: Engine, **chosen: Any) -> dict[str, Any]:
    return export({"connection": engine.options, **chosen})


def names(found: dict[str, Any], kind: str) -> set[str]:
    """The names of the objects of a KIND."""
    return {one.get("name") or one.get("user") or one["role"] for one in found["objects"] if one["kind"] == kind}


@pytest.mark.feature("A07")
def test_an_export_makes_the_same_server_again(foreign: MySQLServer) -> None:
    """Passwords and data definitions aside, which are no part of it."""
    engine = Engine(foreign, foreign.admin)
    found = exported(engine)
    assert names(found, "database_role") == {"readers", "writers"}
    assert names(found, "database_user") == {"app", "it's me ß", "old", "reports"}
    assert names(found, "database_grant") == {"app", "it's me ß", "readers", "reports", "writers"}
    with MySQLServer(foreign.binaries) as empty:
        copy = Engine(empty, empty.admin)
        made = copy.run(*(one for one in found["objects"] if one["kind"] == "database"))
        assert not made["failed"], made["objects"]
        send(empty, *DATA)
        made = copy.run(*found["objects"])
        assert not made["failed"], [one for one in made["objects"] if one["failed"]]
        for user, host in sorted(accounts(engine)):
            assert shown(copy, user, host) == shown(engine, user, host)
        assert accounts(copy) == accounts(engine)
        assert str(exported(copy)["objects"]).lower() == str(found["objects"]).lower()


def accounts(engine: Engine) -> set[tuple[str, str]]:
    """All accounts that people made."""
    table = "global_priv" if engine.mariadb else "user"
    rows = engine.query(f"SELECT User, Host FROM mysql.{table}")
    return {(user, host) for user, host in rows if user not in ("root", "PUBLIC") and "." not in user}


def shown(engine: Engine, user: str, host: str) -> tuple[list[str], str]:
    """The server's own words about an account, without its password; a database's name as the exact pattern.

    The server shows a column in a grant as it was spelled there, and compares it without regard to case.
    """
    words = [text.partition(" IDENTIFIED")[0].lower() for text in engine.grants(user, host)]
    grants = [text.replace("`my_app`", "`my\\_app`") for text in words]
    if not host:
        return sorted(grants), ""
    made = engine.query("SHOW CREATE USER %s@%s", (user, host))[0][0]
    before, _ignored, after = made.partition(" IDENTIFIED")
    return sorted(grants), before + after[after.index(" REQUIRE") if " REQUIRE" in after else len(after) :]


@pytest.mark.feature("A07")
@pytest.mark.parametrize("account", ["superuser", "weak admin"])
def test_the_plan_of_an_export_is_empty(foreign: MySQLServer, account: str) -> None:
    engine = Engine(foreign, foreign.admin if account == "superuser" else foreign.weak_admin())
    before = engine.snapshot()
    found = exported(engine)
    assert names(found, "database_grant") >= {"app", "it's me ß", "readers", "reports", "writers"}
    document = engine.run(*found["objects"], check=True)
    assert not document["failed"], [one for one in document["objects"] if one["failed"]]
    assert [one for one in document["objects"] if one["steps"] or one["differences"]] == []
    assert not document["changed"]
    assert engine.snapshot() == before


@pytest.mark.feature("A07")
def test_the_custom_resources_mean_the_same_to_the_operator(foreign: MySQLServer) -> None:
    engine = Engine(foreign, foreign.admin)
    found = exported(engine)
    written = manifests(found["objects"], engine=foreign.engine, instance="main")
    meant = operator_objects(written.resources, engine=foreign.engine)
    document = engine.run(*meant, check=True)
    assert not document["failed"], [one for one in document["objects"] if one["failed"]]
    assert not document["changed"], [one for one in document["objects"] if one["changed"]]
    assert len(meant) > 9
    assert "it's me ß: the API admits only" in "\n".join(written.warnings)


@pytest.mark.feature("A07")
def test_what_cannot_be_declared_is_said(foreign: MySQLServer) -> None:
    send(foreign, *CANNOT)
    engine = Engine(foreign, foreign.admin)
    found = exported(engine)
    text = "\n".join(found["warnings"])
    for part in SAID:
        assert part in text
    document = engine.run(*found["objects"], check=True)
    assert not document["failed"], [one for one in document["objects"] if one["failed"]]
    assert not document["changed"], [one for one in document["objects"] if one["changed"]]
