# SPDX-License-Identifier: GPL-3.0-or-later
"""What declared entries of `grants` mean, item by item, in a grant and as a role's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import Grant
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import grant_items, routines
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import Items, Target

ON_TABLES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


def read(*privileges: str, inline: bool = False, version: int = 170000, **options: Any) -> dict[str, str]:
    """Read one entry; give short names of its targets and the privileges, with a star behind grant options."""
    entry = Grant(privileges=privileges, **{"database": "db", **options})
    found = grant_items.read([entry], version, inline=inline)
    return {
        "/".join(filter(None, (target.type, target.schema, target.name, target.column))): " ".join(
            f"{name}*" if option else name for name, option in sorted(rights.items())
        )
        for target, rights in found.items()
    }


@pytest.mark.feature("G02", "O02")
@pytest.mark.parametrize(
    ("privileges", "options", "in_grant", "in_role"),
    [
        (["CONNECT", "TEMP"], {}, {"database": "CONNECT TEMPORARY"}, {"database": "CONNECT TEMPORARY"}),
        (["ALL"], {}, {"database": "CONNECT CREATE TEMPORARY"}, {"database": "CONNECT CREATE TEMPORARY"}),
        (["SELECT"], {"schema": "s"}, {"schema/s": "USAGE", "table/s/*": "SELECT"},
         {"schema/s": "USAGE", "table/s/*": "SELECT"}),
        (["USAGE"], {"schema": "s"}, {"schema/s": "USAGE"}, {"schema/s": "USAGE"}),
        (["CREATE"], {"schema": "s"}, {"schema/s": "CREATE USAGE"}, {"schema/s": "CREATE"}),
        (["ALL"], {"schema": "s"}, {"schema/s": "USAGE", "table/s/*": " ".join(sorted((*ON_TABLES, "MAINTAIN")))},
         {"schema/s": "CREATE USAGE"}),
        (["ALL", "CREATE"], {"schema": "s"},
         {"schema/s": "CREATE USAGE", "table/s/*": " ".join(sorted((*ON_TABLES, "MAINTAIN")))},
         {"schema/s": "CREATE USAGE"}),
        (["SELECT"], {"tables": ("t",)}, {"schema/public": "USAGE", "table/public/t": "SELECT"},
         {"table/public/t": "SELECT"}),
        (["SELECT", "USAGE"], {"schema": "s", "tables": ("t", "*"), "sequences": ("q",)},
         {"schema/s": "USAGE", "table/s/t": "SELECT", "table/s/*": "SELECT", "sequence/s/q": "SELECT USAGE"},
         {"table/s/t": "SELECT", "table/s/*": "SELECT", "sequence/s/q": "SELECT USAGE"}),
        (["ALL PRIVILEGES"], {"schema": "s", "tables": ("t",), "columns": ("c", "d")},
         {"schema/s": "USAGE", **dict.fromkeys(("column/s/t/c", "column/s/t/d"), "INSERT REFERENCES SELECT UPDATE")},
         dict.fromkeys(("column/s/t/c", "column/s/t/d"), "INSERT REFERENCES SELECT UPDATE")),
        (["EXECUTE"], {"functions": ("a.f(int)", "g"), "schema": ""},
         {**dict.fromkeys(("schema/a", "schema/public"), "USAGE"),
          **dict.fromkeys(("function/a/f(int)", "function/public/g"), "EXECUTE")},
         {"function/a/f(int)": "EXECUTE", "function/public/g": "EXECUTE"}),
        (["EXECUTE"], {"schema": "s", "functions": ("a.f", "f(a.t)")},
         {"schema/s": "USAGE", "function/s/a.f": "EXECUTE", "function/s/f(a.t)": "EXECUTE"},
         {"function/s/a.f": "EXECUTE", "function/s/f(a.t)": "EXECUTE"}),
    ],
)  # fmt: skip
def test_what_an_entry_means(
    privileges: list[str], options: dict[str, Any], in_grant: dict[str, str], in_role: dict[str, str]
) -> None:
    assert read(*privileges, **options) == in_grant
    assert read(*privileges, inline=True, **options) == in_role


@pytest.mark.feature("G04")
def test_the_grant_option_is_not_for_what_is_implied() -> None:
    assert read("SELECT", schema="s", grant_option=True) == {"schema/s": "USAGE", "table/s/*": "SELECT*"}
    assert read("USAGE", schema="s", grant_option=True) == {"schema/s": "USAGE*"}


@pytest.mark.feature("G02")
def test_a_privilege_that_only_newer_servers_have() -> None:
    assert read("ALL", schema="s", version=160004)["table/s/*"] == " ".join(sorted(ON_TABLES))
    with pytest.raises(DbopsError, match="MAINTAIN is not known to PostgreSQL 16") as caught:
        read("MAINTAIN", schema="s", version=160004)
    assert caught.value.reason is Reason.UNSUPPORTED


@pytest.mark.feature("G02", "L10")
@pytest.mark.parametrize(
    ("privileges", "options", "said"),
    [
        (["SELECT"], {"database": None}, "does not name its database"),
        (["SELECT"], {"database": ""}, "does not name its database"),
        (["SELECT"], {}, "SELECT is no privilege on databases; there are: CREATE, CONNECT, TEMPORARY, ALL"),
        (["SELECT", "CONNECT"], {"schema": "s"}, "CONNECT is no privilege on schemas and tables"),
        (["EXECUTE"], {"tables": ("t",), "sequences": ("q",)}, "EXECUTE is no privilege on tables and sequences"),
        (["ALL", "NONSENSE"], {"tables": ("t",)}, "NONSENSE is no privilege on tables"),
        (["SELECT"], {"columns": ("c",)}, "columns need the tables"),
        (["SELECT"], {"columns": ("c",), "tables": ("t", "*")}, "not all tables have the same"),
        (["EXECUTE"], {"functions": ("",)}, "grants[].functions is empty"),
        (["SELECT"], {"tables": ("",)}, "grants[].tables is empty"),
        (["SELECT"], {"tables": ("ü" * 32,)}, "64 bytes"),
    ],
)
def test_what_no_server_could_do(privileges: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises(DbopsError, match=r".") as caught:
        read(*privileges, **options)
    assert said in caught.value.message
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_SPEC, "grants")


def test_usage_is_no_privilege_of_what_a_role_declares_on_tables() -> None:
    with pytest.raises(DbopsError, match="USAGE is no privilege on tables"):
        read("USAGE", inline=True, tables=("t",))


_TEXT = st.text(min_size=1, max_size=5)
_TARGETS = st.builds(Target, _TEXT, st.sampled_from(["table", "schema", "column"]), _TEXT, _TEXT, _TEXT)
_ITEMS = st.dictionaries(_TARGETS, st.dictionaries(st.sampled_from(ON_TABLES), st.booleans(), min_size=1), max_size=5)


@given(_ITEMS)
def test_what_is_kept_in_the_ledger_is_read_as_it_was(items: Items) -> None:
    assert grant_items.from_ledger(grant_items.to_ledger(items)) == items


@given(_ITEMS, _ITEMS)
def test_items_together_have_what_either_has(first: Items, second: Items) -> None:
    both = grant_items.merge(grant_items.merge({}, first), second)
    for items in (first, second):
        for target, rights in items.items():
            assert all(both[target][word] >= option for word, option in rights.items())
    assert {(target, word) for target, rights in both.items() for word in rights} == {
        (target, word) for items in (first, second) for target, rights in items.items() for word in rights
    }


@pytest.mark.feature("G02")
@pytest.mark.parametrize(
    ("declared", "name", "types"),
    [
        ("total", "total", None),
        ("total()", "total", ()),
        ("total( INT , text )", "total", ("integer", "text")),
        ("f(numeric(10, 2), varchar(3)[])", "f", ("numeric", "character varying[]")),
        ("f(timestamp(3) with time zone)", "f", ("timestamp with time zone",)),
        ("f(pg_catalog.int4, int8 [ ], _x)", "f", ("integer", "bigint[]", "_x")),
        ('f(app."My, Type", app.t)', "f", ('app."My, Type"', "app.t")),
        ("f(int", "f(int", None),
        ("(int)", "(int)", None),
        ("f)", "f)", None),
    ],
)
def test_a_routine_is_split_into_its_name_and_types(declared: str, name: str, types: tuple[str, ...] | None) -> None:
    assert routines.split(declared) == (name, types)


@pytest.mark.feature("G02")
def test_a_type_may_go_without_its_schema() -> None:
    assert routines.takes(("t", "integer"), ("app.t", "integer"))
    assert routines.takes(("app.t",), ("app.t",))
    assert not routines.takes(("other.t",), ("app.t",))
    assert not routines.takes(("t",), ("app.t", "integer"))
    assert not routines.takes(("y.t",), ('"x.y".t',))
