# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps of MySQL and MariaDB as text: where statements begin, what is counted, what is rewritten, and what never is."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.contents import Contents
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.heads import head_of
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.rewriting import Rewriting, Selection
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.mysql.scanner import Scanner
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason


def rewritten(dump: bytes, *, size: int = 1 << 20, selection: Selection | None = None) -> bytes:
    """Read all of a dump through a Rewriting, SIZE bytes at a time."""
    source = Rewriting(io.BytesIO(dump), database="new", selection=selection or Selection(), table=lambda _name: None)
    return b"".join(iter(lambda: source.read(size), b""))


def contents(dump: bytes, *, size: int = 1 << 20) -> Contents:
    """Count what is in a dump."""
    found = Contents()
    for start in range(0, len(dump), size):
        found.feed(dump[start : start + size])
    found.finish()
    return found


@pytest.mark.parametrize(
    ("statement", "verb", "kind", "name", "table", "definer"),
    [
        (b"CREATE TABLE `a``b` (id int);", "CREATE", "TABLE", "a`b", "", ""),
        (b"DROP TABLE IF EXISTS `t`;", "DROP", "TABLE", "t", "", ""),
        (b"/*!40000 ALTER TABLE `t` DISABLE KEYS */;", "ALTER", "TABLE", "t", "", ""),
        (b"LOCK TABLES `t` WRITE;", "LOCK", "TABLE", "t", "", ""),
        (b"INSERT INTO `t` (`a`) VALUES (1);", "INSERT", "TABLE", "t", "", ""),
        (b"INSERT  IGNORE INTO `t` VALUES (1);", "INSERT", "TABLE", "t", "", ""),
        (b"/*!50001 DROP VIEW IF EXISTS `v`*/;", "DROP", "VIEW", "v", "", ""),
        (
            (b"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`r`@`%` SQL SECURITY DEFINER */\n"
            b"/*!50001 VIEW `v` AS select 1 */;"),
            "CREATE", "VIEW", "v", "", "DEFINER=`r`@`%`",
        ),
        (
            (b"/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`localhost`*/ /*!50003 TRIGGER `g` BEFORE INSERT ON `t` "
            b"FOR EACH ROW SET new.a = 1 */;"),
            "CREATE", "TRIGGER", "g", "t", "DEFINER=`r`@`localhost`",
        ),
        (b"CREATE DEFINER = 'r'@'1.%' PROCEDURE p() SELECT 1;", "CREATE", "PROCEDURE", "p", "", "DEFINER = 'r'@'1.%'"),
        (b"CREATE DEFINER=CURRENT_USER() FUNCTION f() ...;", "CREATE", "FUNCTION", "f", "", "DEFINER=CURRENT_USER()"),
        (b"CREATE OR REPLACE DEFINER=role VIEW v AS SELECT 1;", "CREATE", "VIEW", "v", "", "DEFINER=role"),
        (b"CREATE AGGREGATE FUNCTION IF NOT EXISTS `f`() ...", "CREATE", "FUNCTION", "f", "", ""),
        (
            b"/*!50106 CREATE*/ /*!50117 DEFINER=`r`@`%`*/ /*!50106 EVENT `e` ON SCHEDULE EVERY 1 DAY DO SELECT 1 */;",
            "CREATE", "EVENT", "e", "", "DEFINER=`r`@`%`",
        ),
        (b"CREATE SEQUENCE `s` start with 1;", "CREATE", "SEQUENCE", "s", "", ""),
        (b"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 */;", "CREATE", "DATABASE", "shop", "", ""),
        (b"USE `shop`;", "USE", "DATABASE", "shop", "", ""),
        (b"ALTER DATABASE `shop` CHARACTER SET utf8mb4;", "ALTER", "DATABASE", "shop", "", ""),
        (b"CREATE TABLE definer (definer int);", "CREATE", "TABLE", "definer", "", ""),
    ],
)  # fmt: skip
def test_what_a_statement_is_about(statement: bytes, verb: str, kind: str, name: str, table: str, definer: str) -> None:
    head = head_of(statement, b";")
    start, end = head.definer or (0, 0)
    found = (head.verb, head.kind, head.name, head.table, statement[start:end].decode())
    assert found == (verb, kind, name, table, definer)


def test_only_the_clause_is_a_definer() -> None:
    kept = (
        b"CREATE TABLE t (definer int, b text DEFAULT 'DEFINER=`root`@`%`');\n"
        b"-- CREATE DEFINER=`root`@`%` VIEW v\n# DEFINER=`root`@`%`\n/* CREATE DEFINER=`root`@`%` */\n"
        b"INSERT INTO `t` VALUES (1,'CREATE DEFINER=`root`@`%` VIEW'),(2,'\\'; CREATE DEFINER=`a`@`b` VIEW v;');\n"
        b"DELIMITER ;;\n"
    )
    body = (
        b" PROCEDURE p() BEGIN SELECT 1 FROM mysql.proc WHERE definer = 'root@localhost'; "
        b"/* DEFINER=`x`@`y` */ SET @sql = 'CREATE DEFINER=`root`@`%` VIEW v AS SELECT 1'; END ;;\nDELIMITER ;\n"
    )
    dump = kept + b"CREATE DEFINER=`root`@`localhost`" + body
    for size in (1, 3, 1 << 20):
        assert rewritten(dump, size=size) == kept + b"CREATE DEFINER=CURRENT_USER" + body


def test_names_of_databases_are_the_target() -> None:
    dump = (
        b"CREATE DATABASE `old`;\nUSE `old`;\nCREATE TABLE t (id int);\n"
        b"ALTER DATABASE `old` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;\n"
    )
    expected = b"\n\nCREATE TABLE t (id int);\nALTER DATABASE `new` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ;\n"
    assert rewritten(dump) == expected
    with pytest.raises(DbopsError) as raised:
        rewritten(dump + b"USE `other`;\n")
    assert raised.value.reason is Reason.UNSUPPORTED


def test_what_is_about_the_server_is_left_out() -> None:
    dump = (
        b"SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;\nSET @@SESSION.SQL_LOG_BIN= 0;\n"
        b"SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'a:1-5';\nSET NAMES utf8mb4;\n"
    )
    left = [line for line in rewritten(dump).splitlines() if line]
    assert left == [b"SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;", b"SET NAMES utf8mb4;"]


@pytest.mark.parametrize(
    "command",
    [
        b"system ls;", b"\\! ls\n", b"SELECT 1 \\! ls\n;", b"source /etc/passwd\n", b"\\. /etc/passwd\n",
        b"tee /tmp/x\n", b"SYSTEM ls\n", b"connect x y;\n", b"pager less\n", b"edit;\n",
    ],
)  # fmt: skip
@pytest.mark.feature("T07")
def test_commands_of_a_client_are_refused(command: bytes) -> None:
    with pytest.raises(DbopsError) as raised:
        rewritten(b"CREATE TABLE t (id int);\n" + command)
    assert raised.value.reason is Reason.INVALID_SPEC


def test_strings_without_escapes_end_where_the_server_ends_them() -> None:
    dump = (
        b"/*!50003 SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES' */ ;\nDELIMITER ;;\n"
        b"CREATE DEFINER=`a`@`b` PROCEDURE p() SELECT 'C:\\' ;;\nCREATE DEFINER=`a`@`b` PROCEDURE q() SELECT '' ;;\n"
        b"DELIMITER ;\nSET sql_mode = '';\nSELECT 'it\\'s';\nCREATE DEFINER=`a`@`b` VIEW v AS SELECT 1;\n"
    )
    for size in (1, 1 << 20):
        assert rewritten(dump, size=size) == dump.replace(b"`a`@`b`", b"CURRENT_USER")


@pytest.mark.parametrize("end", [b"SELECT 'abc", b"SELECT `abc", b"SELECT /* abc", b"SELECT 'abc\\"])
def test_a_dump_that_ends_in_the_middle_is_told(end: bytes) -> None:
    with pytest.raises(DbopsError) as raised:
        rewritten(b"CREATE TABLE t (id int);\n" + end)
    assert raised.value.reason is Reason.NOT_VERIFIABLE


@pytest.mark.feature("T05")
def test_chosen_tables() -> None:
    dump = (
        b"".join(
            b"DROP TABLE IF EXISTS `%b`;\nCREATE TABLE `%b` (id int);\nLOCK TABLES `%b` WRITE;\n"
            b"INSERT INTO `%b` VALUES (1);\nUNLOCK TABLES;\nCREATE DEFINER=`a`@`b` TRIGGER `g%b` BEFORE INSERT ON `%b` "
            b"FOR EACH ROW SET @a = 1;\n" % ((table,) * 6)
            for table in (b"one", b"two")
        )
        + b"CREATE PROCEDURE p() SELECT 1;\n"
    )
    chosen = rewritten(dump, selection=Selection.of(["two"], schema_only=False, data_only=False, options={}))
    assert b"`one`" not in chosen
    assert chosen.count(b"`two`") == 5
    assert b"PROCEDURE" not in chosen
    data = rewritten(dump, selection=Selection.of([], schema_only=False, data_only=True, options={}))
    assert (data.count(b"INSERT"), data.count(b"CREATE"), data.count(b"DROP")) == (2, 0, 0)
    schema = rewritten(dump, selection=Selection.of([], schema_only=True, data_only=False, options={}))
    assert (schema.count(b"INSERT"), schema.count(b"CREATE")) == (2, 5), "those are words of the triggers"


VALUE = st.binary(max_size=12) | st.sampled_from([b"),(", b"'),('", b"\\", b"\\'", b"\n),\n(", b";\n", b"DEFINER=a@b"])
ROWS = st.lists(st.tuples(st.integers(), VALUE), min_size=1, max_size=6)
STYLES = {"mysql": (b"VALUES ", b","), "mariadb": (b"VALUES\n", b",\n")}
_ESCAPES = {0: b"\\0", 10: b"\\n", 13: b"\\r", 92: b"\\\\", 39: b"\\'", 34: b'\\"', 26: b"\\Z"}


def escaped(value: bytes) -> bytes:
    """Write text as both tools do (mysql_real_escape_string)."""
    return b"'" + b"".join(_ESCAPES.get(one, bytes([one])) for one in value) + b"'"


def dump_of(tables: dict[str, list[list[tuple[int, bytes]]]], style: str) -> bytes:
    """Write a dump of TABLES: for each a list of INSERT statements, each a list of rows."""
    values, between = STYLES[style]
    parts = []
    for table, inserts in tables.items():
        parts.append(b"CREATE TABLE `%b` (\n  `a` int\n);\nLOCK TABLES `%b` WRITE;\n" % ((table.encode(),) * 2))
        for rows in inserts:
            texts = between.join(b"(%d,%b)" % (number, escaped(value)) for number, value in rows)
            parts.append(b"INSERT INTO `%b` %b%b;\n" % (table.encode(), values, texts))
        parts.append(b"UNLOCK TABLES;\n")
    return b"".join(parts)


TABLES = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.lists(ROWS, max_size=3), max_size=3)


@pytest.mark.feature("B07")
@given(tables=TABLES, style=st.sampled_from(sorted(STYLES)), size=st.integers(1, 40))
def test_rows_are_counted_whatever_they_hold(
    tables: dict[str, list[list[tuple[int, bytes]]]], style: str, size: int
) -> None:
    dump = dump_of(tables, style)
    found = contents(dump, size=size)
    assert found.rows == {table: sum(map(len, inserts)) for table, inserts in tables.items()}
    assert found.checksums == contents(dump).checksums
    assert found.objects == ({"tables": len(tables)} if tables else {})


@given(tables=TABLES, style=st.sampled_from(sorted(STYLES)), size=st.integers(1, 40))
def test_rows_are_never_rewritten(tables: dict[str, list[list[tuple[int, bytes]]]], style: str, size: int) -> None:
    dump = dump_of(tables, style)
    assert rewritten(dump, size=size) == dump


FRAGMENTS = st.lists(
    st.sampled_from(
        [b"'", b'"', b"`", b"\\'", b";", b";;", b"--", b"-- ", b"\n", b"#", b"/*", b"*/", b"/*!50003 ",
         b"DELIMITER ;;\n", b"DELIMITER ;\n", b"CREATE ", b"DEFINER=`a`@`b` ", b"VIEW v ", b"SELECT 1", b" ", b"-",
         b"/", b"INSERT INTO `t`"]
    ),
    max_size=30,
)  # fmt: skip


@given(fragments=FRAGMENTS, size=st.integers(1, 7))
def test_it_does_not_matter_how_the_bytes_come(fragments: list[bytes], size: int) -> None:
    dump = b"".join(fragments)

    def outcome(read: Callable[[], bytes]) -> bytes | str:
        try:
            return read()
        except DbopsError as error:
            return error.message

    assert outcome(lambda: rewritten(dump, size=size)) == outcome(lambda: rewritten(dump))


@given(fragments=FRAGMENTS, size=st.integers(1, 7))
def test_all_pieces_together_are_the_dump(fragments: list[bytes], size: int) -> None:
    dump, scanner, found = b"".join(fragments), Scanner(), b""
    try:
        for start in range(0, len(dump), size):
            found += b"".join(piece.data for piece in scanner.feed(dump[start : start + size]))
        found += b"".join(piece.data for piece in scanner.finish())
    except DbopsError:
        assert dump.startswith(found)
    else:
        assert found == dump
