# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLSTATEs become reasons by one table; the whole code is looked up before its class."""

from __future__ import annotations

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.errors import reason_of


@pytest.mark.feature("L10")
@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        (None, Reason.CONNECTION_FAILED),
        ("08006", Reason.CONNECTION_FAILED),
        ("53300", Reason.CONNECTION_FAILED),
        ("57P01", Reason.CONNECTION_FAILED),
        ("57P03", Reason.CONNECTION_FAILED),
        ("28P01", Reason.AUTHENTICATION_FAILED),
        ("28000", Reason.AUTHENTICATION_FAILED),
        ("42501", Reason.PRIVILEGE_MISSING),
        ("0LP01", Reason.INVALID_SPEC),
        ("22023", Reason.INVALID_SPEC),
        ("42601", Reason.INVALID_SPEC),
        ("3D000", Reason.DEPENDENCY_NOT_READY),
        ("42704", Reason.DEPENDENCY_NOT_READY),
        ("42P04", Reason.CONFLICT),
        ("23505", Reason.CONFLICT),
        ("40P01", Reason.CONFLICT),
        ("2BP01", Reason.BLOCKED),
        ("55006", Reason.IN_USE),
        ("55P03", Reason.TIMEOUT),
        ("57014", Reason.TIMEOUT),
        ("25006", Reason.UNSUPPORTED),
        ("0A000", Reason.UNSUPPORTED),
        ("XX000", Reason.INTERNAL_ERROR),
        ("ZZ999", Reason.INTERNAL_ERROR),
    ],
)
def test_reasons(sqlstate: str | None, reason: Reason) -> None:
    found, remedy = reason_of(sqlstate)
    assert found is reason
    assert remedy
