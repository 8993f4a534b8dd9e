# SPDX-License-Identifier: GPL-3.0-or-later
"""Restores of PostgreSQL: what is looked at first, what replaces what, whose it is, and what a dump may not do."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from integration.backup.postgresql.backups import Backups, checksums, schema, state
from psycopg.sql import SQL, Identifier

ACKNOWLEDGED = {"in_place": True, "acknowledge_data_loss": "I-UNDERSTAND-DATA-LOSS"}
STARTED = "2026-11-30T03:00:00Z"


@pytest.fixture
def small(backups: Backups, unique: Callable[[str], str]) -> str:
    """A small database that belongs to the role of the same name."""
    name, server = unique("small"), backups.server
    server.query(SQL("CREATE ROLE {}").format(Identifier(name)))
    server.query(SQL("CREATE DATABASE {0} OWNER {0}").format(Identifier(name)))
    statements = (
        SQL("SET ROLE {}").format(Identifier(name)),
        SQL("CREATE TABLE orders (id integer PRIMARY KEY, note text)"),
        SQL("INSERT INTO orders SELECT g, 'n' || g FROM generate_series(1, 100) g"),
        SQL("CREATE TABLE others (id integer)"),
    )
    with psycopg.connect(server.admin.dsn(name)) as connection:
        for statement in statements:
            connection.execute(statement)
    return name


@pytest.mark.feature("T01", "T04")
def test_in_place(backups: Backups, small: str) -> None:
    """The database is replaced with its privileges and settings, sessions are ended, and the old one is kept."""
    server = backups.server
    server.query(SQL("ALTER DATABASE {} SET work_mem = '5MB'").format(Identifier(small)))
    server.query(SQL("ALTER DATABASE {} CONNECTION LIMIT 33").format(Identifier(small)))
    server.query(SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(Identifier(small)))
    path = backups.made(small)
    before = checksums(server, small)
    acl = "ARRAY(SELECT unnest(datacl)::text ORDER BY 1)"
    facts = f"SELECT {acl}, datconnlimit, pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"
    expected = server.query(facts, [small])
    server.query("DELETE FROM orders WHERE id > 10", dbname=small)
    with psycopg.connect(server.admin.dsn(small)) as session:
        done = backups.restored(path, small, target=ACKNOWLEDGED)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert checksums(server, small) == before
    assert server.query(facts, [small]) == expected
    assert server.query("SHOW work_mem", dbname=small) == [("5MB",)]
    previous = done["restore"]["previous"]
    server.query(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(Identifier(previous)))
    assert server.query("SELECT count(*) FROM orders", dbname=previous) == [(10,)]
    assert backups.left() == []


@pytest.mark.feature("T03")
def test_nothing_is_touched_without_acknowledgement(backups: Backups, small: str) -> None:
    """Nor by a check, nor with a wrong word."""
    path = backups.made(small)
    before = state(backups.server)
    for options in ({"target": {"in_place": True}}, {"drop_existing": True}):
        done = backups.run("restore", backup=path, **options)
        assert (done["failed"], done["reason"]) == (True, "AcknowledgementNeeded")
    assert backups.run("restore", check=True, backup=path, target=ACKNOWLEDGED)["changed"] is True
    assert state(backups.server) == before


@pytest.mark.feature("T03", "T04")
@pytest.mark.parametrize("damage", ["flipped bit", "cut", "other dump", "no manifest", "gone"])
def test_a_damaged_backup_touches_nothing(backups: Backups, small: str, damage: str) -> None:
    """Whatever happened to the file, the target is as it was, and says why."""
    path = backups.made(small, compression={"algorithm": "none"}, postgresql={"format": "plain"})
    file = backups.folder / path
    content = bytearray(file.read_bytes())
    match damage:
        case "flipped bit":
            content[content.index(b"n50")] ^= 1
            file.write_bytes(content)
        case "cut":
            file.write_bytes(content[:-100])
        case "other dump":
            file.write_bytes(content.replace(b"n50", b"n51"))
        case "no manifest":
            (backups.folder / f"{path}.manifest.json").unlink()
        case "gone":
            file.unlink()
    before = (state(backups.server), schema(backups.server, small), checksums(backups.server, small))
    done = backups.run("restore", backup=path, target=ACKNOWLEDGED)
    assert (done["failed"], done["reason"]) == (True, "NotVerifiable"), done
    assert (state(backups.server), schema(backups.server, small), checksums(backups.server, small)) == before
    assert backups.left() == []


@pytest.mark.feature("T05")
@pytest.mark.parametrize("written", ["custom", "plain"])
def test_roles_are_mapped(backups: Backups, small: str, unique: Callable[[str], str], written: str) -> None:
    """Privileges follow the mapping; nobody becomes an owner because a dump says so."""
    server, reader, copy = backups.server, unique("reader"), unique("copy")
    other = unique("other")
    for role in (reader, other):
        server.query(SQL("CREATE ROLE {}").format(Identifier(role)))
    server.query(SQL("GRANT SELECT ON orders TO {}").format(Identifier(reader)), dbname=small)
    path = backups.made(small, postgresql={"format": written})
    backups.restored(path, copy, role_mapping={reader: other})
    owners = "SELECT tablename::text, tableowner::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    assert server.query(owners, dbname=copy) == [(name, f"db_{copy}_owner") for name in ("orders", "others")]
    may = "SELECT has_table_privilege(%s, 'orders', 'SELECT')"
    assert [server.query(may, [role], dbname=copy) for role in (reader, other)] == [[(False,)], [(True,)]]


@pytest.mark.feature("T05")
def test_chosen_tables(backups: Backups, small: str, unique: Callable[[str], str]) -> None:
    """Only what was chosen; from a plain dump nothing can be chosen."""
    copy = unique("copy")
    backups.restored(backups.made(small, started=STARTED), copy, tables=["orders"])
    assert list(checksums(backups.server, copy)) == ["public.orders", "large objects"]
    path = backups.made(small, started=STARTED, postgresql={"format": "plain"})
    done = backups.run("restore", backup=path, target={"database": unique("x")}, tables=["orders"])
    assert (done["reason"], done["field"]) == ("Unsupported", "tables")


@pytest.mark.feature("T01")
def test_into_an_existing_database(backups: Backups, small: str) -> None:
    """Rows alone go into tables that exist, all of them or none."""
    server = backups.server
    path = backups.made(small)
    before = checksums(server, small)
    done = backups.run("restore", backup=path, data_only=True)
    # The rows are there already: the first duplicate takes everything back.
    assert done["failed"] is True
    assert checksums(server, small) == before
    server.query("TRUNCATE orders", dbname=small)
    backups.restored(path, small, data_only=True)
    assert checksums(server, small) == before
    assert backups.left() == []


EVIL = {
    "shell": (b"\\! touch {mark}\n", "InvalidSpec"),
    "shell in a line": (b"SELECT 1 \\! touch {mark}\n", "InvalidSpec"),
    "program": (b"COPY orders FROM PROGRAM 'touch {mark}';\n", "PrivilegeMissing"),
    "superuser": (b"RESET ROLE; ALTER ROLE {login} SUPERUSER;\n", "PrivilegeMissing"),
    "authorization": (b"SELECT set_config('role', 'postgres', false);\n", "PrivilegeMissing"),
    "other database": (b"DROP DATABASE {database};\n", "PrivilegeMissing"),
    "half": (b"CREATE TABLE a (b int);\nCOPY a FROM stdin;\n1\n", "NotVerifiable"),
}


@pytest.mark.feature("T07")
@pytest.mark.parametrize("what", EVIL)
def test_an_evil_dump(backups: Backups, small: str, what: str, unique: Callable[[str], str]) -> None:
    """A dump that tries more than its login may fails with a reason, and nothing is there afterwards."""
    script, reason = EVIL[what]
    mark = backups.folder / "mark"
    text = (
        script.replace(b"{mark}", bytes(mark))
        .replace(b"{database}", small.encode())
        .replace(b"{login}", b"current_user")
    )
    (backups.folder / "evil.sql.gz").write_bytes(gzip.compress(b"CREATE TABLE orders (a text);\n" + text))
    before = state(backups.server)
    done = backups.run(
        "restore", backup="evil.sql.gz", compression={"algorithm": "gzip"}, target={"database": unique("evil")}
    )
    assert (done["failed"], done["reason"]) == (True, reason), done
    assert "admin account" not in done["message"]
    assert not mark.exists()
    assert state(backups.server) == before


@pytest.mark.feature("T02")
def test_a_dump_made_by_hand(backups: Backups, small: str, unique: Callable[[str], str]) -> None:
    """Somebody else's dump without a manifest is restored when it is said how it is compressed."""
    server, copy = backups.server, unique("copy")
    command = [str(server.binaries.program("pg_dump")), "--dbname", server.admin.dsn(small), "--format=plain"]
    dump = subprocess.run(command, capture_output=True, check=True).stdout
    Path(backups.folder / "old.sql.gz").write_bytes(gzip.compress(dump))
    backups.restored("old.sql.gz", copy, compression={"algorithm": "gzip"}, owner=small)
    assert schema(server, copy) == schema(server, small)
    assert checksums(server, copy) == checksums(server, small)


@pytest.mark.feature("T06", "B08")
@pytest.mark.parametrize("action", ["backup", "restore"])
def test_cancelled_while_the_server_works(
    backups: Backups, small: str, action: str, unique: Callable[[str], str]
) -> None:
    """Cancelled in the middle, the tool, the scratch database and the upload are gone, and the next try works."""
    server = backups.server
    copy = unique("copy")
    path = backups.made(small, started=STARTED) if action == "restore" else ""
    files, before = backups.files(), state(server)
    with psycopg.connect(server.admin.dsn(small)) as locking:
        locking.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        seen: list[str] = []
        options = {"backup": path, "target": {"database": copy}} if path else {"database": small, "started": STARTED}
        done = backups.run(
            action, progress=lambda report: seen.append(report["phase"]), cancelled=lambda: len(seen) > 0, **options
        )
        assert (done["failed"], done["reason"]) == (True, "Cancelled"), done
    assert (backups.files(), state(server)) == (files, before)
    assert backups.run(action, **options)["changed"] is True


@pytest.mark.feature("B08")
def test_the_deadline_ends_a_dump(backups: Backups, small: str) -> None:
    """A table that stays locked does not hold up the dump for longer than its deadline."""
    server = backups.server
    with psycopg.connect(server.admin.dsn(small)) as locking:
        locking.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        done = backups.run("backup", database=small, deadline=3)
    assert (done["failed"], done["reason"]) == (True, "Timeout"), done
    assert backups.files() == []
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = 'dbops'"
    assert server.query(sessions, [small]) == [(0,)]
