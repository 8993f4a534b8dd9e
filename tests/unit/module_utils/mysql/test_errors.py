# SPDX-License-Identifier: GPL-3.0-or-later
"""Error numbers become reasons, and no text that may quote a statement is shown."""

from __future__ import annotations

import ssl

import pymysql
import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import errors


@pytest.mark.feature("L10")
@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (1044, Reason.PRIVILEGE_MISSING),
        (1045, Reason.PRIVILEGE_MISSING),
        (1205, Reason.TIMEOUT),
        (1213, Reason.CONFLICT),
        (1290, Reason.UNSUPPORTED),
        (1396, Reason.CONFLICT),
        (1961, Reason.INVALID_SPEC),
        (1962, Reason.CONFLICT),
        (4006, Reason.BLOCKED),
        (4027, Reason.INVALID_SPEC),
        (2013, Reason.CONNECTION_FAILED),
        (0, Reason.CONNECTION_FAILED),
        (9999, Reason.INTERNAL_ERROR),
    ],
)
def test_numbers(number: int, reason: Reason) -> None:
    assert errors.reason_of(number)[0] is reason


def test_while_connecting_some_mean_something_else() -> None:
    assert errors.reason_of(1045, at_login=True)[0] is Reason.AUTHENTICATION_FAILED
    assert errors.reason_of(1698, at_login=True)[0] is Reason.AUTHENTICATION_FAILED
    assert errors.reason_of(1040, at_login=True)[0] is Reason.CONNECTION_FAILED


@pytest.mark.feature("U10")
@pytest.mark.parametrize("number", [1064, 1149, 1300, 1366, 2013])
def test_text_that_may_quote_is_not_shown(number: int) -> None:
    error = pymysql.OperationalError(number, "near 'IDENTIFIED BY sesame'")
    assert "sesame" not in errors.statement_error(error, doing="create user app").message


def test_other_text_is_shown() -> None:
    error = pymysql.OperationalError(1819, "Your password does not satisfy the current policy requirements")
    found = errors.statement_error(error, doing="create user app")
    assert (found.reason, found.message.count("current policy")) == (Reason.INVALID_SPEC, 1)


def test_what_is_behind_an_error() -> None:
    lost = pymysql.OperationalError(2013, "Lost connection (timed out)")
    lost.__context__ = TimeoutError("timed out")
    assert errors.timed_out(lost)
    assert errors.statement_error(lost, doing="x").reason is Reason.TIMEOUT
    assert errors.tls_error(lost) is None
    wrapped = pymysql.OperationalError(2003, "no")
    wrapped.original_exception = ssl.SSLCertVerificationError("no")  # type: ignore[attr-defined]
    assert errors.tls_error(wrapped)


def test_every_number_that_is_tried_again_has_a_reason() -> None:
    assert {errors.reason_of(number)[0] for number in errors.RETRIED} == {Reason.CONFLICT}
    for number in errors.PASSWORD_WAS_RIGHT | errors.WRONG_PASSWORD:
        assert errors.reason_of(number)[0] is not Reason.INTERNAL_ERROR
