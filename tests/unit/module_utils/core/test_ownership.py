# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may create, change and drop what: every case of the ledger's answer."""

from __future__ import annotations

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import (
    Claim,
    Entry,
    Owner,
    claim,
    release,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason

ME = Owner("c", "DatabaseUser", "team", "me")
OTHER = Owner("c", "DatabaseUser", "team", "other")


def entry(owner: Owner, state: str = "present", *, adopted: bool = False) -> Entry:
    return Entry("role", "app", owner, state, adopted)


def ask(owner: Owner | None, known: Entry | None, *, exists: bool, adopt: bool = False, force: bool = False) -> Claim:
    return claim(owner=owner, entry=known, exists=exists, adopt=adopt, force=force, what="role app")


@pytest.mark.feature("L08", "L09")
def test_claims() -> None:
    assert ask(None, None, exists=True) == Claim()
    assert ask(None, entry(OTHER), exists=True) == Claim()
    assert ask(ME, None, exists=False) == Claim(record=True)
    assert ask(ME, entry(ME), exists=True) == Claim()
    assert ask(ME, entry(ME, adopted=True), exists=True) == Claim(adopt=True)
    assert ask(ME, entry(ME, "intent"), exists=True) == Claim(record=True)
    assert ask(ME, None, exists=True, adopt=True) == Claim(record=True, adopt=True)
    assert ask(ME, entry(OTHER, "absent"), exists=False) == Claim(record=True)
    assert ask(ME, entry(OTHER), exists=True, force=True) == Claim(record=True, adopt=True)


@pytest.mark.feature("L08", "L09")
@pytest.mark.parametrize(
    ("known", "adopt", "reason"),
    [
        (None, False, Reason.NOT_ADOPTED),
        (entry(OTHER), False, Reason.CONFLICT),
        (entry(OTHER), True, Reason.CONFLICT),
        (entry(OTHER, "intent"), True, Reason.CONFLICT),
        (entry(OTHER, "absent"), False, Reason.NOT_ADOPTED),
    ],
)
def test_refusals(known: Entry | None, adopt: bool, reason: Reason) -> None:
    with pytest.raises(DbopsError) as caught:
        ask(ME, known, exists=True, adopt=adopt)
    assert caught.value.reason is reason


@pytest.mark.feature("L08")
def test_releases() -> None:
    def may(owner: Owner | None, known: Entry | None, *, force: bool = False) -> bool:
        return release(owner=owner, entry=known, force=force, what="role app")

    assert may(ME, entry(ME))
    assert may(ME, entry(ME, "intent"))
    assert not may(ME, entry(OTHER))
    assert not may(ME, None)
    assert not may(ME, entry(ME, "absent"))
    assert may(ME, entry(OTHER), force=True)
    assert may(None, None)
    assert may(None, entry(OTHER, "absent"))
    assert may(None, entry(OTHER), force=True)
    with pytest.raises(DbopsError) as caught:
        may(None, entry(OTHER))
    assert caught.value.reason is Reason.CONFLICT


@pytest.mark.parametrize("value", [1, True, ["team"], 1.5, {"cluster": "c"}, {"cluster": 1}])
def test_what_names_no_owner(value: object) -> None:
    with pytest.raises(DbopsError) as caught:
        Owner.from_options(value, kind="database_user", name="app")
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_SPEC, "dbops_owner")
