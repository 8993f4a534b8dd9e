# SPDX-License-Identifier: GPL-3.0-or-later
"""Splitting a script by the rules of each server's own client; servers judge it in tests/integration."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.content_hash import content_hash
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import InitSQL
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.init_sql import statements
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.sql_script import split

ATOMIC = "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END"
WHOLE_POSTGRESQL = (
    "SELECT ';'", "SELECT 'it''s; me'", r"SELECT E'a\';b'", "SELECT E'a'\n  '\\';b'", 'SELECT ";" FROM t',
    "SELECT $$a;b$$", "SELECT $t$ $$ ; $$ $t$", "SELECT $ä$;$ä$", "SELECT 1 /* ; /* ; */ ; */", "SELECT 1 -- ; '",
    "SELECT a$b$ FROM x", "SELECT U&'d;a'", "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", ATOMIC,
    "SELECT $1::text", "SELECT 5 --- 1", "SELECT (')')",
)  # fmt: skip
WHOLE_MYSQL = (
    "SELECT ';'", "SELECT 'it''s; me'", r"SELECT 'a\';b'", r'SELECT "a\";b"', "SELECT `;` FROM t", "SELECT 1 # ; '",
    "SELECT 1 -- ; '", "SELECT 5--1", "SELECT 1 /* ; */", "SELECT /*!40000 ';' */ 1", "SELECT 1 /* /* ; */",
)  # fmt: skip


@pytest.mark.feature("D09")
@pytest.mark.parametrize("whole", WHOLE_POSTGRESQL)
def test_what_only_looks_like_an_end_on_postgresql(whole: str) -> None:
    assert split(f"{whole}\n;SELECT 2;", "postgres") == [whole, "SELECT 2"]


@pytest.mark.feature("D09")
@pytest.mark.parametrize("whole", WHOLE_MYSQL)
def test_what_only_looks_like_an_end_on_mysql(whole: str) -> None:
    assert split(f"{whole}\n;SELECT 2;", "mysql") == [whole, "SELECT 2"]


@given(
    st.lists(st.sampled_from(WHOLE_POSTGRESQL), max_size=6), st.sampled_from(["\n;", "\n;\n\n", "\n---\n", "\n;;\n"])
)
def test_many_on_postgresql(pieces: list[str], ending: str) -> None:
    assert split("".join(piece + ending for piece in pieces), "postgres") == pieces


@given(st.lists(st.sampled_from(WHOLE_MYSQL), max_size=6), st.sampled_from(["\n;", "\n;\n\n", "\n---\n", "\n;;\n"]))
def test_many_on_mysql(pieces: list[str], ending: str) -> None:
    assert split("".join(piece + ending for piece in pieces), "mysql") == pieces


@given(st.text(alphabet="ab'\"`$;-/*\\# \n()eE", max_size=40), st.sampled_from(["postgres", "mysql"]))
def test_any_text_is_split_or_refused(text: str, engine: str) -> None:
    position = 0
    with contextlib.suppress(DbopsError):
        # Nothing is made up, and the order stays.
        for piece in split(text, engine):
            position = text.index(piece, position) + len(piece)


@pytest.mark.parametrize(
    ("script", "engine"),
    [
        *(
            (text, "postgres")
            for text in ("SELECT 'a", 'SELECT "a', "SELECT $a$ $b$", "/* /* */", r"\! ls", "SELECT E'a\\'")
        ),
        *((text, "mysql") for text in ("SELECT 'a", 'SELECT "a', "SELECT `a", "SELECT /* a", r"\! ls", r"'a\'")),
    ],
)
def test_what_does_not_end_and_commands_of_clients_are_refused(script: str, engine: str) -> None:
    with pytest.raises(DbopsError, match="line 3"):
        split(f"SELECT 1;\n\n{script}", engine)


def test_delimiters() -> None:
    script = "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END//\ndelimiter ;\nSELECT 3;DELIMITER $$\n"
    expected = ["CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END", "SELECT 3", "DELIMITER $$"]
    assert split(script, "mysql") == expected
    assert split("delimiter $$\nSELECT 1$$SELECT a$$\n", "mariadb") == ["SELECT 1", "SELECT a"]


def test_a_line_of_hyphens_within_a_text_splits_nothing() -> None:
    assert split("SELECT '\n---\n'", "postgres") == ["SELECT '\n---\n'"]
    assert split("/*\n---\n*/ SELECT 1", "postgres") == ["/*\n---\n*/ SELECT 1"]


@pytest.mark.feature("D09")
def test_the_published_hash() -> None:
    first = "e004ebd5b5532a4b85984a62f8ad48a81aa3460c1ca07701f386135d72cdecf5"
    second = "f3880685b703f744714b2037b0149cac64783109654947551831202790adc9e5"
    two = ("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    assert content_hash(("SELECT 1",), None) == first
    assert content_hash((), "\nSELECT 1\n---\n") == first
    assert content_hash(two, None) == second
    assert content_hash((), "\n---\n".join(two) + "\n") == second


def test_an_item_of_a_list_is_one_statement_whatever_it_holds() -> None:
    assert statements(InitSQL(("SELECT 1; SELECT 2", "")), "postgres") == ("SELECT 1; SELECT 2",)
