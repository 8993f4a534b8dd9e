# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain dump's bytes become statements and rows, whatever the pieces are that they come in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.listing import parse
from ansible_collections.dbprovision.dbops.plugins.module_utils.backup.postgresql.script import (
    Data,
    EndOfData,
    Event,
    ScriptReader,
    Statement,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

SCRIPT = rb"""--
-- PostgreSQL database dump
--
\restrict 1aB2

SET statement_timeout = 0;
CREATE FUNCTION public.a() RETURNS text
    LANGUAGE sql
    AS $_$ select 'it''s; $$' || "x;y" -- ;
\. not the end;
$_$;
CREATE FUNCTION public.b() RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT 1;
 SELECT CASE WHEN true THEN 2 ELSE 3 END;
END;
CREATE TABLE public."t;(" (a text DEFAULT E'\'; \\', b text DEFAULT ';' /* ; /* nested ' */ */);
COPY public."t;(" (a, b) FROM stdin;
one\\.	two
\\.	\N
\.


COPY public.empty  FROM stdin;
\.


SELECT pg_catalog.setval('public.s', 1, true); SELECT 2;
\unrestrict 1aB2
"""
STATEMENTS = (
    "SET statement_timeout", "CREATE FUNCTION public.a", "CREATE FUNCTION public.b", "CREATE TABLE",
    "COPY public.\"t;(\"", "COPY public.empty", "SELECT pg_catalog.setval", "SELECT 2;",
)  # fmt: skip


def _read(script: bytes, cuts: list[int] | None = None) -> list[Event]:
    reader = ScriptReader()
    places = [0, *sorted(cut % (len(script) + 1) for cut in cuts or []), len(script)]
    events = [event for start, end in itertools.pairwise(places) for event in reader.feed(script[start:end])]
    return [*events, *reader.close()]


def _joined(events: list[Event]) -> list[Event | bytes]:
    """Put the pieces of rows together."""
    found: list[Event | bytes] = []
    for event in events:
        if isinstance(event, Data):
            before = found.pop() if isinstance(found[-1], bytes) else b""
            assert isinstance(before, bytes)
            found.append(before + event.content)
        else:
            found.append(event)
    return found


def test_statements_and_rows() -> None:
    """Quotes, dollar quotes, comments, bodies of routines, and rows that look like an end."""
    events = _joined(_read(SCRIPT))
    statements = [event.text.decode() for event in events if isinstance(event, Statement)]
    assert [text.startswith(start) for text, start in zip(statements, STATEMENTS, strict=True)] == [True] * 8
    assert statements[2].endswith("END;")
    rows = [event for event in events if isinstance(event, bytes)]
    assert rows == [b"one\\\\.\ttwo\n\\\\.\t\\N\n"]
    assert sum(isinstance(event, EndOfData) for event in events) == 2


@given(st.lists(st.integers(0, 2000), max_size=40))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    """Cut anywhere, also in the middle of the end of rows, the same comes out."""
    assert _joined(_read(SCRIPT, cuts)) == _joined(_read(SCRIPT))


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=20))
def test_rows_come_out_as_they_are(rows: bytes, cuts: list[int]) -> None:
    """Rows are any bytes but the line that ends them."""
    if rows and (b"\n\\.\n" in b"\n" + rows + b"\n" or not rows.endswith(b"\n")):
        rows = rows.replace(b"\\.", b"") + b"\n"
    events = _joined(_read(b"COPY t FROM stdin;\n" + rows + b"\\.\nSELECT 1;\n", cuts))
    assert b"".join(event for event in events if isinstance(event, bytes)) == rows
    assert events[-1] == Statement(b"SELECT 1;", 2, copies=False)


@pytest.mark.feature("T07")
@pytest.mark.parametrize(
    "command", [rb"\! touch /tmp/x", rb"\copy t from program 'id'", rb"\o |id", rb"\connect x", rb"\i f"]
)
@pytest.mark.parametrize("before", [b"", b"SELECT 1;\n", b"SELECT 1 ", b"COPY t FROM stdin;\n1\n\\.\n"])
def test_client_commands_are_refused(command: bytes, before: bytes) -> None:
    """Nothing that psql would execute itself gets through, at the beginning of a line or in the middle of one."""
    with pytest.raises(DbopsError, match="commands of psql are not executed") as caught:
        _read(before + command + b"\n")
    assert caught.value.reason is Reason.INVALID_SPEC


@pytest.mark.parametrize(
    "cut", [b"SELECT", b"COPY t FROM stdin;\n1\t2\n", b"CREATE FUNCTION f() AS $$ x;", b"SELECT '1;"]
)
def test_a_script_that_ends_too_early(cut: bytes) -> None:
    """What was cut off is never taken for all of it."""
    with pytest.raises(DbopsError, match="ends in the middle") as caught:
        _read(cut)
    assert caught.value.reason is Reason.NOT_VERIFIABLE


def test_the_tools_list_is_counted_by_type() -> None:
    """Names in capitals are no part of the type, and privileges are no objects."""
    listed = b"""; Archive created at 2026-11-30
215; 1259 16388 TABLE public SEQUENCE shop
216; 1259 16389 TABLE public orders shop
3404; 0 0 ACL public TABLE orders shop
3408; 826 16500 DEFAULT ACL sales DEFAULT PRIVILEGES FOR TABLES shop
217; 1259 16390 SEQUENCE public OWNED shop
3405; 0 0 SEQUENCE OWNED BY public OWNED shop
3406; 2606 16400 FK CONSTRAINT public orders orders_fk shop
3407; 1255 16401 FUNCTION public f(integer, text) shop
"""
    found = parse(listed)
    expected = {"foreign_keys": 1, "functions": 1, "sequence_owned_by": 1, "sequences": 1, "tables": 2}
    assert (found.objects, found.tables) == (expected, (16388, 16389))
