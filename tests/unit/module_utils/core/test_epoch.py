# SPDX-License-Identifier: GPL-3.0-or-later
"""Epochs: which session belongs to an earlier one of the same name."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.epoch import LONGEST_MARK, Epoch
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.epochs import application_name


@pytest.mark.parametrize("name", ["dbops", "a" * 80, "dbops:01234567:1", "Müller & Söhne " * 5])
def test_a_session_is_known_whatever_its_name(name: str) -> None:
    earlier, now, later = (Epoch("cluster/default", number) for number in (999, 1000, 2**63 - 1))
    shown = application_name(name, earlier)
    assert len(shown.encode()) <= 63
    assert now.is_earlier(shown)
    assert not earlier.is_earlier(shown)
    assert not earlier.is_earlier(application_name(name, later))
    assert not Epoch("cluster/other", 1000).is_earlier(shown)
    assert not now.is_earlier(application_name(name, None))
    assert now.is_earlier(f"{earlier.mark}:0123")
    assert len(later.mark) == LONGEST_MARK


@pytest.mark.parametrize("wrong", [{"name": "x"}, {"number": 1}, {"name": "x", "number": 0}, {"name": "", "number": 1}])
def test_half_an_epoch_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DbopsError, match="dbops_epoch needs a name and a number"):
        Epoch.from_options(wrong)
    assert Epoch.from_options(None) is None
