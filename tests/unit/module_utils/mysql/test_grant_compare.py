# SPDX-License-Identifier: GPL-3.0-or-later
"""Privileges on databases against a model of what the server does: one row decides, the one that says most."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql import dialects, grant_items, names
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.grant_compare import Held, compare
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import (
    Account,
    AccountName,
    Admin,
    Facts,
    Target,
)

ME = AccountName("app", "%")
FACTS = Facts("8.4.0", dialects.of("mysql", 80400), None, Admin(AccountName("root", "%")))
NAMES = ("a_b", "axb", "ab", "a%")
PATTERNS = ("a_b", "a\\_b", "axb", "a%", "a\\%", "%", "a_%", "ab")
WORDS = st.frozensets(st.sampled_from(["SELECT", "INSERT", "DELETE"]), max_size=3)
ROWS = st.dictionaries(st.sampled_from(PATTERNS), WORDS.filter(bool), max_size=4)
ITEMS = st.dictionaries(st.sampled_from(NAMES), WORDS.filter(bool), max_size=3)

Rows = dict[str, frozenset[str]]


def account(rows: Rows) -> Account:
    return Account(ME, privileges={Target("database", pattern): words for pattern, words in rows.items()})


def effective(rows: Rows, name: str) -> frozenset[str]:
    """What the server lets do in a database."""
    matching = [pattern for pattern in rows if names.matches(pattern, name)]
    if not matching:
        return frozenset()
    most = max(map(specificity, matching))
    return frozenset().union(*(rows[one] for one in matching if specificity(one) == most))


def specificity(pattern: str) -> int:
    first = next((number for number, part in enumerate(names._parts(pattern)) if part in ("%", "_")), None)
    return 128 if first is None else len("".join(part[-1] for part in names._parts(pattern)[:first]))


def on(items: dict[str, frozenset[str]]) -> grant_items.Items:
    return {Target("database", name): words for name, words in items.items()}


def applied(rows: Rows, held: Held, lacking: grant_items.Items, extra: grant_items.Items) -> Rows:
    """What the rows are after GRANT and REVOKE."""
    now = dict(rows)
    for target, words in extra.items():
        pattern = held.row(target.database)
        assert pattern is not None
        assert words <= now[pattern], "a REVOKE of what is not there is an error"
        now[pattern] -= words
    for target, words in lacking.items():
        pattern = held.exact_row(target.database)
        now[pattern] = now.get(pattern, frozenset()) | words
    return {pattern: words for pattern, words in now.items() if words}


@pytest.mark.feature("G05", "G06")
@given(ROWS, ITEMS, ITEMS, ITEMS)
def test_what_is_declared_holds_and_nothing_else_is_lost(
    rows: Rows,
    wanted: dict[str, frozenset[str]],
    given_before: dict[str, frozenset[str]],
    others: dict[str, frozenset[str]],
) -> None:
    held = Held(account(rows), FACTS)
    found = compare(held, wanted=on(wanted), given=on(given_before), others=[on(others)], carried={})
    after = applied(rows, held, found.lacking, found.extra)
    for name in NAMES:
        declared = wanted.get(name, frozenset())
        if name in wanted:
            assert declared <= effective(after, name)
    ours = {name: given_before.get(name, frozenset()) - wanted.get(name, frozenset()) for name in NAMES}
    for name in wanted:
        lost = effective(rows, name) - effective(after, name)
        assert lost <= ours[name] - others.get(name, frozenset())


@pytest.mark.feature("G06")
@given(ROWS, ITEMS)
def test_a_second_look_finds_nothing(rows: Rows, wanted: dict[str, frozenset[str]]) -> None:
    held = Held(account(rows), FACTS)
    first = compare(held, wanted=on(wanted), given={}, others=[], carried={})
    now = Held(account(applied(rows, held, first.lacking, first.extra)), FACTS)
    again = compare(now, wanted=on(wanted), given=on(wanted), others=[], carried=first.carried)
    assert (again.lacking, again.extra) == ({}, {})
    assert again.carried == first.carried


@pytest.mark.feature("G05")
@given(ROWS, ITEMS)
def test_what_was_given_is_taken_back_without_a_trace(rows: Rows, wanted: dict[str, frozenset[str]]) -> None:
    """Where nothing was held by name before."""
    rows = {pattern: words for pattern, words in rows.items() if names.is_wild(pattern) and pattern not in NAMES}
    held = Held(account(rows), FACTS)
    first = compare(held, wanted=on(wanted), given={}, others=[], carried={})
    after = applied(rows, held, first.lacking, first.extra)
    now = Held(account(after), FACTS)
    back = compare(now, wanted={}, given=on(wanted), others=[], carried=first.carried)
    assert back.lacking == {}
    assert applied(after, now, {}, back.extra) == rows


def test_with_partial_revokes_names_are_literal() -> None:
    facts = replace(FACTS, partial_revokes=True)
    held = Held(account({"a\\_b": frozenset({"SELECT"}), "a_b": frozenset({"INSERT"})}), facts)
    assert held.on(Target("database", "a_b")) == {"INSERT"}
    assert held.exact_row("a_b") == "a_b"
    assert held.hidden_by("a_b") == frozenset()


def test_names_are_folded_as_the_server_does() -> None:
    facts = replace(FACTS, lower_case_table_names=2)
    rights = {Target("table", "App", "Orders"): frozenset({"SELECT"}), Target("database", "App"): frozenset({"INSERT"})}
    held = Held(Account(ME, privileges=rights), facts)
    assert held.on(Target("table", "app", "orders")) == {"SELECT"}
    assert held.on(Target("database", "app")) == {"INSERT"}
