# SPDX-License-Identifier: GPL-3.0-or-later
"""Which row of a grant table counts, and what a list of mandatory roles says; the servers' own order was tried."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.access_rows import Acting, sources
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.access_state import (
    Access,
    AccountFacts,
    TableName,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.catalog_access import mandatory_roles
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.dialects import of
from ansible_collections.dbprovision.dbops.plugins.module_utils.mysql.state import AccountName, Admin, Facts, Target

APP = AccountName("app", "%")
# As MariaDB 11.8 takes one of two of these for the database `abcde`, whichever was granted first.
MARIADB_ORDER = (
    *("_bcde", "abcd_", "a_c_e", "ab___", "____e", "a____", "_____", "ab%de", "%cde", "abc%", "%de", "a%e", "ab%"),
    *("_b%", "a%_", "%b%d%", "%e", "a%", "%_", "%"),
)


def facts(engine: str) -> Facts:
    number = {"mysql": 90704, "mariadb": 110809}[engine]
    return Facts(version="", dialect=of(engine, number), identity=None, admin=Admin(AccountName("root", "%")))


def counts(engine: str, patterns: tuple[str, ...], database: str, *, role_active: bool = False) -> str | None:
    """Give the pattern whose row counts."""
    held = {APP: {Target("database", one): frozenset({"SELECT"}) for one in patterns}}
    access = Access("table", (), {APP: AccountFacts(login=True)}, held)
    acting = Acting({APP: (APP,)}, None if role_active else APP)
    (found,) = sources(acting, access, TableName(database, "t"), "SELECT", facts(engine))
    return found.pattern


@pytest.mark.feature("G08")
def test_mariadb_takes_what_stands_for_the_fewest_names() -> None:
    for more, less in itertools.pairwise(MARIADB_ORDER):
        assert counts("mariadb", (less, more), "abcde") == more, (more, less)


@pytest.mark.feature("G08")
@pytest.mark.parametrize(
    ("patterns", "usual", "role_active"),
    [
        (("a%", "app"), "app", "app"),
        (("%", "app%"), "app%", "%"),
        (("%p", "a%"), "a%", "%p"),
        (("ap_", "a%", "app%"), "app%", "a%"),
    ],
)
def test_mysql_takes_another_one_once_a_role_is_active(patterns: tuple[str, ...], usual: str, role_active: str) -> None:
    assert counts("mysql", patterns, "app") == usual
    assert counts("mysql", patterns, "app", role_active=True) == role_active


@pytest.mark.feature("G08")
def test_mandatory_roles_are_read_in_any_quotes() -> None:
    text = "plain, `a``b`@`%`,'it''s'@localhost , \"x,y\"@'10.%'"
    assert list(mandatory_roles(text)) == [
        ("plain", "%"),
        ("a`b", "%"),
        ("it's", "localhost"),
        ("x,y", "10.%"),
    ]
    assert list(mandatory_roles("")) == []
