# SPDX-License-Identifier: GPL-3.0-or-later
"""Options become declared objects; what is wrong is named by its option, and no secret is repeated."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import argument_specs, parse
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    DefaultPrivilege,
    Desired,
    DesiredDatabase,
    DesiredGrant,
    DesiredUser,
    Extension,
    Grant,
    Schema,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Owner
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason


def one(**entry: Any) -> Desired | parse.Invalid:
    (parsed,) = parse.entries([entry], "postgres")
    return parsed


def error(**entry: Any) -> DbopsError:
    parsed = one(**entry)
    assert isinstance(parsed, parse.Invalid), parsed
    return parsed.error


@pytest.mark.feature("U01")
def test_explicit_false_and_zero_survive() -> None:
    parsed = one(kind="database_user", name="app", superuser=False, inherit="no", connection_limit=0, in_roles=[])
    assert isinstance(parsed, DesiredUser)
    assert (parsed.superuser, parsed.inherit, parsed.connection_limit, parsed.in_roles) == (False, False, 0, ())
    assert (parsed.create_db, parsed.valid_until, parsed.config_parameters) == (None, None, None)


def test_a_user_with_everything() -> None:
    parsed = one(
        kind="database_user",
        ref="DatabaseUser/team/app",
        name="app",
        state="absent",
        password="x",
        config_parameters={
            "jit": False,
            "work_mem": "8MB",
            "statement_timeout": 5,
            "role": None,
            "search_path": ["a", "b"],
        },
        in_roles=["b", "a", "b"],
        dbops_owner={"cluster": "c", "kind": "DatabaseUser", "namespace": "team", "name": "app"},
        adopt=True,
    )
    assert isinstance(parsed, DesiredUser)
    assert parsed.ref == "DatabaseUser/team/app"
    assert not parsed.present
    assert parsed.owner_record == Owner("c", "DatabaseUser", "team", "app")
    settings = {"jit": "off", "work_mem": "8MB", "statement_timeout": "5", "role": None, "search_path": "a, b"}
    assert parsed.config_parameters == settings
    assert parsed.in_roles == ("b", "a")
    assert "'x'" not in repr(parsed)


def test_a_database_with_everything() -> None:
    parsed = one(
        kind="database",
        name="app",
        extensions=[{"name": "hstore"}, {"name": "citext", "version": "1.6", "state": "absent", "cascade": True}],
        schemas=[{"name": "app", "owner": "o"}],
        default_privileges=[{"role": "r", "schema": "s", "object_type": "tables", "privileges": ["SELECT"]}],
        is_template=False,
    )
    assert isinstance(parsed, DesiredDatabase)
    assert parsed.extensions == (Extension("hstore"), Extension("citext", None, "1.6", False, True))
    assert parsed.schemas == (Schema("app", "o"),)
    assert parsed.default_privileges == (DefaultPrivilege("r", "s", "tables", ("SELECT",)),)
    assert parsed.is_template is False
    bare = one(kind="database", name="app")
    assert isinstance(bare, DesiredDatabase)
    assert (bare.extensions, bare.default_privileges) == ((), None)


@pytest.mark.parametrize(("kind", "declared"), [("database", DesiredDatabase), ("database_user", DesiredUser)])
def test_every_option_has_a_reader(kind: str, declared: type[Desired]) -> None:
    renamed = {"state": "present", "dbops_owner": "owner_record"}
    options = {renamed.get(name, name) for name in argument_specs.KINDS[kind]}
    assert options | {"kind", "ref"} == {one.name for one in fields(declared)}


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"kind": "nope", "name": "x"}, "kind"),
        ({"name": "x"}, "kind"),
        ({"kind": "database_user"}, "name"),
        ({"kind": "database_user", "name": "x", "colour": "red"}, "colour"),
        ({"kind": "database_user", "name": "x", "connection_limit": "many"}, "connection_limit"),
        ({"kind": "database_user", "name": "x", "update_password": "never"}, "update_password"),
        ({"kind": "database_user", "name": "x", "dbops_owner": {"cluster": "c"}}, "dbops_owner"),
        ({"kind": "database", "name": "x", "extensions": [{"schema": "s"}]}, "name"),
    ],
)
def test_what_is_wrong_is_named(entry: dict[str, Any], field: str) -> None:
    found = error(**entry)
    assert (found.reason, found.field) == (Reason.INVALID_SPEC, field)


def test_a_wrong_secret_is_not_repeated() -> None:
    with pytest.raises(DbopsError) as caught:
        parse.connection({"login_password": "sesame", "ssl_mode": "sesame"})
    assert "sesame" not in caught.value.message


def test_names_and_refs_are_claimed_once() -> None:
    user = {"kind": "database_user", "name": "x"}
    parsed = parse.entries([user, user, {**user, "ref": "other"}, {"kind": "database", "name": "x"}], "postgres")
    assert [isinstance(entry, parse.Invalid) for entry in parsed] == [False, True, True, False]
    assert len({entry.ref for entry in parsed}) == 4


def test_what_is_no_mapping() -> None:
    (parsed,) = parse.entries(["text"], "postgres")
    assert isinstance(parsed, parse.Invalid)


def test_connection_defaults() -> None:
    options = parse.connection({"host": "db"})
    assert (options["login_host"], options["ssl_mode"], options["connect_timeout"]) == ("db", "prefer", 10)


def test_null_in_an_entry_is_the_same_as_nothing() -> None:
    grant = {"privileges": ["SELECT"], "database": "app", "level": None, "schema": None, "columns": None}
    entry = {"kind": "database_grant", "user": "app", "grants": [grant]}
    (parsed,) = parse.entries([entry], "postgres")
    assert isinstance(parsed, DesiredGrant)
    assert parsed.grants == (Grant(privileges=("SELECT",), database="app"),)
