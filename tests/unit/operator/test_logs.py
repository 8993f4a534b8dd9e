# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines: what each of them says beside its message."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dbops_operator.logs import JsonFormatter, Subject, TextFormatter, reconcile_id, subject


@contextmanager
def about(one: Subject) -> Iterator[None]:
    token = subject.set(one)
    yield
    subject.reset(token)


def record(**extra: str) -> logging.LogRecord:
    return logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, "hallo %s", ("du",), None, extra=extra)


@pytest.mark.feature("K03")
def test_a_line_names_the_object_the_reconcile_and_the_run() -> None:
    with about(Subject("DatabaseUser/team/app", "r3")):
        line, next_line = (json.loads(JsonFormatter().format(record())) for _ in range(2))
        assert line["reconcile"] == next_line["reconcile"] == reconcile_id()
    with about(Subject("DatabaseUser/team/app", "r3")):
        assert json.loads(JsonFormatter().format(record()))["reconcile"] != line["reconcile"]
    assert line["message"] == "hallo du"
    assert line["level"] == "info"
    assert (line["object"], line["run"]) == ("DatabaseUser/team/app", "r3")
    assert re.fullmatch("[0-9a-f]{8}", line["reconcile"])


def test_what_a_call_says_wins() -> None:
    with about(Subject("DatabaseUser/team/app", "r3")):
        line = json.loads(JsonFormatter().format(record(run="r4", editor="kubectl")))
    assert (line["object"], line["run"], line["editor"]) == ("DatabaseUser/team/app", "r4", "kubectl")


def test_what_is_not_known_is_left_out() -> None:
    assert json.loads(JsonFormatter().format(record())).keys() == {"time", "level", "logger", "message"}


def test_an_error_stands_in_one_line() -> None:
    one = record()
    one.exc_info = (ValueError, ValueError("two\nlines"), None)
    assert len(JsonFormatter().format(one).splitlines()) == 1


def test_text_for_people() -> None:
    with about(Subject("DatabaseUser/team/app", reconcile="0a1b2c3d")):
        text = TextFormatter("%(levelname)s %(message)s%(about)s").format(record())
    assert text == "INFO hallo du object=DatabaseUser/team/app reconcile=0a1b2c3d"
