# SPDX-License-Identifier: GPL-3.0-or-later
"""A database with every type of object that MySQL and MariaDB have, and how the server itself describes it."""

from __future__ import annotations

import re
from typing import Any

from localstack.mysql import MySQLServer

_TABLES = (
    """CREATE TABLE customer (
      id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
      name varchar(80) CHARACTER SET utf8mb4 NOT NULL COMMENT 'it''s a "name", `quoted`; -- DEFINER=`root`@`%`',
      email varchar(120) DEFAULT NULL,
      notes text, photo blob, born date, seen timestamp NULL, balance decimal(12,3), ratio double, flags bit(5),
      kind enum('a','b,c','d''e') DEFAULT 'a', tags set('x','y') DEFAULT NULL, place point, extra json,
      upper_name varchar(80) GENERATED ALWAYS AS (upper(name)) VIRTUAL,
      name_length int GENERATED ALWAYS AS (char_length(name)) STORED,
      UNIQUE KEY email_key (email), KEY by_name (name(10)), FULLTEXT KEY words (notes),
      CONSTRAINT balance_ok CHECK (balance > -1000000)
    ) COMMENT='customers; all of them'""",
    """CREATE TABLE purchase (
      id int NOT NULL, customer_id bigint unsigned NOT NULL, amount int NOT NULL DEFAULT (1 + 1),
      PRIMARY KEY (id), KEY of_customer (customer_id),
      CONSTRAINT fk_customer FOREIGN KEY (customer_id) REFERENCES customer (id) ON DELETE CASCADE
    )""",
    """CREATE TABLE measured (id int NOT NULL, at date NOT NULL, value float, PRIMARY KEY (id, at))
      PARTITION BY RANGE (year(at)) (PARTITION old VALUES LESS THAN (2000), PARTITION new VALUES LESS THAN MAXVALUE)""",
    "CREATE TABLE `odd ``name'; DELIMITER` (`a ``b` int, `values),(` varchar(20), `definer` varchar(40))",
    "CREATE TABLE empty_one (id int)",
    "CREATE TABLE counters (n int) ENGINE=MyISAM",
    "CREATE TABLE log (what text)",
)
_CODE = (
    "CREATE VIEW rich AS SELECT id, name FROM customer WHERE balance > 100",
    "CREATE ALGORITHM=MERGE SQL SECURITY INVOKER VIEW a_first AS SELECT r.name, 'DEFINER=`root`@`%`' AS t FROM rich r",
    """CREATE FUNCTION doubled(x int) RETURNS int DETERMINISTIC COMMENT 'twice'
       RETURN x * 2""",
    """CREATE PROCEDURE settle(IN who bigint unsigned)
       BEGIN
         -- it's settled; DEFINER=`root`@`%`
         DECLARE n int DEFAULT 0;
         SELECT count(*) INTO n FROM information_schema.VIEWS WHERE definer = 'root@localhost';
         UPDATE customer SET balance = 0 WHERE id = who;
       END""",
    "CREATE TRIGGER purchase_logged AFTER INSERT ON purchase FOR EACH ROW INSERT INTO log VALUES (concat('p', NEW.id))",
    "CREATE TRIGGER customer_checked BEFORE UPDATE ON customer FOR EACH ROW SET NEW.notes = concat('x', NEW.notes)",
    "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2040-01-01 00:00:00' DISABLE DO DELETE FROM log",
)
_MARIADB = (
    "CREATE SEQUENCE numbers START WITH 7 INCREMENT BY 3",
    "CREATE TABLE versioned (id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING",
    "INSERT INTO versioned VALUES (1, 1), (2, 2)",
    "SELECT NEXT VALUE FOR numbers",
)
_MYSQL = (
    "CREATE TABLE hidden (id int, secret int INVISIBLE, KEY i (secret) INVISIBLE, KEY f ((id + 1)))",
    "INSERT INTO hidden (id, secret) VALUES (1, 2)",
)
ROWS = {
    "customer": 4,
    "purchase": 3,
    "measured": 2,
    "odd `name'; DELIMITER": 1,
    "empty_one": 0,
    "counters": 1,
    "log": 3,
}


def fill(server: MySQLServer, name: str, *, code: bool = True) -> None:
    """Make the database NAME with all types of objects; without CODE only tables, triggers and what is in them."""
    server.query(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
    for statement in _TABLES:
        server.query(statement, database=name)
    for statement in _CODE if code else [one for one in _CODE if "TRIGGER" in one]:
        server.query(statement, database=name)
    for statement in (_MARIADB if server.engine == "mariadb" else _MYSQL) if code else ():
        server.query(statement, database=name)
    insert = (
        "INSERT INTO customer (name, email, notes, photo, born, seen, balance, ratio, flags, kind, tags, place, extra) "
        "VALUES (%s, %s, %s, %s, '1999-12-31', '2020-02-29 12:34:56', %s, 0.1, b'10101', %s, 'x,y', "
        "ST_GeomFromText('POINT(1 2)'), %s)"
    )
    for row in (
        ('O\'Neil \\ "q"', "a@b", "two\nlines\r\n\t\x1a\0;),('x'),(", bytes(range(256)), 1.5, "a", '{"a": [1, "),("]}'),
        ("Ünïcödé 🙂", "c@d", "DEFINER=`root`@`localhost`", b"\\", 200, "b,c", "[]"),
        ("", None, None, None, None, "d'e", None),
        ("last\\", "e@f", "\\'", b"'),('", -3, "a", '"x"'),
    ):
        server.query(insert, row, database=name)
    server.query("INSERT INTO purchase VALUES (1, 1, 5), (2, 2, 6), (3, 2, DEFAULT)", database=name)
    server.query("INSERT INTO measured VALUES (1, '1990-01-01', 1.5), (2, '2020-01-01', -1e30)", database=name)
    server.query("INSERT INTO `odd ``name'; DELIMITER` VALUES (1, 'x),(y', 'z')", database=name)
    server.query("INSERT INTO counters VALUES (1)", database=name)


_DESCRIBED = {
    "columns": "SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, COLUMN_DEFAULT, IS_NULLABLE, EXTRA, COLUMN_COMMENT, "
    "COLLATION_NAME, GENERATION_EXPRESSION FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s ORDER BY 1, 2",
    "triggers": "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT, "
    "SQL_MODE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION FROM information_schema.TRIGGERS "
    "WHERE TRIGGER_SCHEMA = %s ORDER BY 1",
    "routines": "SELECT ROUTINE_TYPE, ROUTINE_NAME, ROUTINE_DEFINITION, ROUTINE_COMMENT, IS_DETERMINISTIC, SQL_MODE "
    "FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s ORDER BY 1, 2",
    "events": "SELECT EVENT_NAME, EVENT_DEFINITION, INTERVAL_VALUE, INTERVAL_FIELD, STARTS, STATUS, EVENT_COMMENT "
    "FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s ORDER BY 1",
    "keys": "SELECT CONSTRAINT_NAME, TABLE_NAME, REFERENCED_TABLE_NAME, DELETE_RULE "
    "FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s ORDER BY 1",
    "database": "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA "
    "WHERE SCHEMA_NAME = %s",
}


def described(server: MySQLServer, name: str) -> dict[str, Any]:
    """Give what the server says about all that is in database NAME, without definers, with checksums of tables."""
    found: dict[str, Any] = {kind: server.query(query, (name,)) for kind, query in _DESCRIBED.items()}
    # MariaDB's tool ends each body with a line's end more.
    for kind in ("routines", "triggers", "events"):
        found[kind] = [[one.rstrip() if isinstance(one, str) else one for one in row] for row in found[kind]]
    rows = server.query(
        "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s ORDER BY 1", (name,)
    )
    for table, kind in rows:
        quoted = "`" + table.replace("`", "``") + "`"
        shown = server.query(f"SHOW CREATE TABLE {quoted}", database=name)[0]
        text = re.sub(r"DEFINER=`(?:[^`]|``)*`(?:@`[^`]*`)? ", "", shown[1])
        found[f"{kind} {table}"] = text.replace(f"`{name}`.", "")
        if kind == "BASE TABLE":
            found[f"checksum {table}"] = server.query(f"CHECKSUM TABLE {quoted}", database=name)[0][1]
        elif kind == "VIEW":
            found[f"rows {table}"] = server.query(f"SELECT * FROM {quoted} ORDER BY 1", database=name)
    return found
