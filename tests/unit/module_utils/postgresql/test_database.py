# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner of databases without a server: what it decides for versions and accounts that are not at hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import (
    DefaultPrivilege,
    DesiredDatabase,
    Extension,
    Schema,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Owner
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import quoting
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import DefaultAcl
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.database import plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Admin,
    AvailableExtension,
    Database,
    DatabaseContent,
    Dependencies,
    ExtensionVersion,
    Facts,
    Membership,
    OwnedObject,
    Role,
    ServerState,
    Sessions,
)

TEMPLATE = Database("template1", "postgres", "UTF8", "en_US.UTF-8", "en_US.UTF-8", "pg_default", -1, True, True)
SUPERUSER = Admin("postgres", superuser=True, create_db=True, create_role=True)
WEAK = Admin("weak", superuser=False, create_db=True, create_role=True, administers=frozenset({"app"}))


def state(version: int = 170000, admin: Admin = SUPERUSER, **databases: Any) -> ServerState:
    """A server with the usual templates, the role `app`, and DATABASES as changes to a usual one."""
    facts = Facts("x", version, None, False, False, "dbops", admin, admin_database="maintenance")
    usual = replace(TEMPLATE, name="app", owner=admin.name, is_template=False, content=DatabaseContent())
    templates = {"template1": TEMPLATE, "template0": replace(TEMPLATE, name="template0", allow_connections=False)}
    return ServerState(
        facts,
        databases=templates | {name: replace(usual, name=name, **options) for name, options in databases.items()},
        role_names=frozenset({"app", "reader", admin.name}),
        tablespaces={"pg_default": False, "fast": True},
    )


def desired(name: str = "app", **options: Any) -> DesiredDatabase:
    return DesiredDatabase(kind="database", ref=f"database/{name}", name=name, **options)


def statements(made: Plan) -> list[str]:
    return [quoting.masked(step.statement) for step in made.steps]


def refusal(declared: DesiredDatabase, server: ServerState) -> DbopsError:
    with pytest.raises(DbopsError) as raised:
        plan(declared, server, {})
    return raised.value


def test_before_16_memberships_have_no_options() -> None:
    weak = replace(WEAK, administers=None)
    made = plan(desired(owner="app"), state(150000, weak), {})
    assert statements(made) == [
        'CREATE DATABASE "app" TEMPLATE "template1"',
        'GRANT "app" TO "weak"',
        'ALTER DATABASE "app" OWNER TO "app"',
        'REVOKE "app" FROM "weak"',
    ]
    error = refusal(desired(owner="app"), state(150000, replace(weak, create_role=False)))
    assert error.reason is Reason.PRIVILEGE_MISSING
    assert error.message.endswith('GRANT "app" TO "weak"')


def test_a_membership_of_ones_own_is_put_back_with_its_options() -> None:
    server = state(160000, WEAK)
    row = Membership("app", "weak", inherit=False, set=True)
    role = Role("weak", False, True, True, True, True, False, False, -1, None, member_of=(row,))
    server.roles["weak"] = role
    made = plan(desired(owner="app"), server, {})
    assert statements(made)[-1] == 'GRANT "app" TO "weak" WITH INHERIT FALSE, SET TRUE'
    assert [step.changes for step in made.steps] == [True, False, True, False]
    assert made.steps[-1].cleanup


def test_who_is_a_superuser_cannot_be_acted_for() -> None:
    server = state(170000, WEAK)
    server.roles["app"] = Role("app", True, False, False, True, True, False, False, -1, None)
    assert refusal(desired(owner="app"), server).reason is Reason.PRIVILEGE_MISSING


def test_in_14_public_belongs_to_a_superuser() -> None:
    declared = desired(schemas=(Schema("public", owner="app"),))
    assert "public" in statements(plan(declared, state(140000), {}))[-1]
    weak = replace(WEAK, administers=None)
    server = state(140000, weak)
    server.roles["postgres"] = Role("postgres", True, True, True, True, True, True, True, -1, None)
    assert refusal(declared, server).reason is Reason.PRIVILEGE_MISSING
    assert plan(declared, state(150000, weak), {}).steps


@pytest.mark.parametrize(("version", "known"), [(160000, False), (170000, True)])
def test_maintain_is_a_privilege_since_17(version: int, known: bool) -> None:
    declared = desired(default_privileges=(DefaultPrivilege("reader", "public", "tables", ("ALL",)),))
    server = state(version, app={"content": DatabaseContent(schemas={"public": "postgres"})})
    (statement,) = statements(plan(declared, server, {}))
    assert ("MAINTAIN" in statement) is known
    named = desired(default_privileges=(DefaultPrivilege("reader", "public", "tables", ("maintain",)),))
    if known:
        assert plan(named, server, {}).steps
    else:
        assert refusal(named, server).reason is Reason.UNSUPPORTED


def test_a_schema_that_goes_takes_its_default_privileges_along() -> None:
    memory = {"default_privileges": [["postgres", "old", "tables", "reader", ["SELECT"]]]}
    acl = DefaultAcl("postgres", "old", "tables", "reader", frozenset({"SELECT", "INSERT"}))
    content = DatabaseContent(schemas={"old": "postgres"}, default_acls=(acl,))
    server = state(app={"content": content})
    assert statements(plan(desired(schemas=(Schema("old", present=False),)), server, memory)) == ['DROP SCHEMA "old"']
    (revoke,) = statements(plan(desired(), server, memory))
    assert revoke.endswith('REVOKE SELECT ON TABLES FROM "reader"'), "INSERT was given by somebody else"
    assert plan(desired(), server, {}).empty


def test_what_was_given_is_remembered_where_nobody_can_look() -> None:
    memory = {"default_privileges": [["postgres", "old", "tables", "reader", ["SELECT"]]]}
    server = state(app={"content": None, "allow_connections": False})
    made = plan(desired(), server, memory)
    assert (made.empty, made.applied) == (True, memory)
    assert plan(desired(), state(app={}), memory).applied == {}


def test_extensions_come_after_what_they_require() -> None:
    def available(*requires: str) -> AvailableExtension:
        return AvailableExtension("1.0", {"1.0": ExtensionVersion(requires=requires)})

    server = state(app={"content": DatabaseContent(schemas={"public": "postgres"})})
    server.extensions = {"c": available("b"), "b": available("a"), "a": available(), "fixed": available()}
    made = plan(desired(extensions=tuple(Extension(name) for name in "cab")), server, {})
    assert [step.target for step in made.steps] == ["extension a", "extension b", "extension c"]
    assert refusal(desired(extensions=(Extension("c"),)), server).reason is Reason.INVALID_SPEC
    assert plan(desired(extensions=(Extension("c", cascade=True),)), server, {}).steps


def test_an_extension_with_a_schema_of_its_own() -> None:
    server = state(app={"content": DatabaseContent(schemas={"public": "postgres"})})
    server.extensions = {"x": AvailableExtension("1", {"1": ExtensionVersion(schema="topology")})}
    assert statements(plan(desired(extensions=(Extension("x"),)), server, {})) == ['CREATE EXTENSION "x"']
    error = refusal(desired(extensions=(Extension("x", schema="public"),)), server)
    assert (error.reason, error.field) == (Reason.INVALID_SPEC, "extensions")


def test_what_shuts_us_out_comes_last() -> None:
    made = plan(desired(schemas=(Schema("a"),), allow_connections=False, connection_limit=0), state(), {})
    assert [text.split()[-1] for text in statements(made)[-2:]] == ["0", "FALSE"]
    assert "LIMIT" not in statements(made)[0]


def test_a_tablespace_that_is_the_templates_is_left_out() -> None:
    """Written down, it would take CREATE on it, which managed clouds do not give."""
    made = plan(desired(tablespace="pg_default"), state(170000, WEAK), {})
    assert statements(made) == ['CREATE DATABASE "app" TEMPLATE "template1"']
    assert refusal(desired(tablespace="nowhere"), state()).field == "tablespace"


@pytest.mark.parametrize("name", ["postgres", "template0", "template1", "dbops", "maintenance"])
def test_what_is_never_dropped(name: str) -> None:
    error = refusal(desired(name, present=False, force=True, end_sessions=True), state(**{name: {}}))
    assert (error.reason, error.field) == (Reason.INVALID_SPEC, "name")


@pytest.mark.parametrize("name", ["postgres", "template0", "template1", "dbops"])
def test_what_no_declaration_can_own(name: str) -> None:
    record = Owner("c", "Database", "ns", "n")
    assert refusal(desired(name, owner_record=record), state(**{name: {}})).reason is Reason.INVALID_SPEC


@pytest.mark.parametrize(
    "contradiction",
    [
        {"schemas": (Schema("a"), Schema("a", present=False))},
        {"extensions": (Extension("a"), Extension("a", version="2"))},
        {"schemas": (Schema("a", present=False),), "extensions": (Extension("x", schema="a"),)},
        {
            "schemas": (Schema("a", present=False),),
            "default_privileges": (DefaultPrivilege("reader", "a", "tables", ("SELECT",)),),
        },
    ],
)
def test_contradictions(contradiction: dict[str, Any]) -> None:
    assert refusal(desired(**contradiction), state(app={})).reason is Reason.INVALID_SPEC


def test_sessions_that_may_not_be_ended() -> None:
    server = state(170000, WEAK, app={"sessions": Sessions(3, frozenset({"boss"}))})
    error = refusal(desired(present=False, end_sessions=True), server)
    assert error.reason is Reason.IN_USE
    assert "boss" in error.message
    assert "3 sessions" in refusal(desired(present=False), server).message


@pytest.mark.parametrize(
    ("admin", "sessions", "force"), [(SUPERUSER, 0, True), (SUPERUSER, 1, True), (WEAK, 0, False), (WEAK, 1, True)]
)
def test_when_sessions_are_ended_by_force(admin: Admin, sessions: int, force: bool) -> None:
    """Without superuser, FORCE fails where autovacuum is at work, and a plain DROP does not."""
    server = state(170000, admin, app={"sessions": Sessions(sessions)})
    (statement,) = statements(plan(desired(present=False, end_sessions=True), server, {}))
    assert statement.endswith("FORCE)") is force
    (statement,) = statements(plan(desired(present=False), state(170000, admin, app={}), {}))
    assert statement == 'DROP DATABASE IF EXISTS "app"'


def test_a_dropped_database_holds_up_no_role_any_more() -> None:
    owned = (OwnedObject("", "", "app", "database"), OwnedObject("app", "s", "t", "table"))
    held = Dependencies(owned, {"": 1, "app": 1, "other": 2}, {"app": {}, "other": {}})
    server = state(app={"owner": "app"})
    server.roles["app"] = Role("app", False, False, False, True, True, False, False, -1, None, dependencies=held)
    for step in plan(desired(present=False), server, {}).steps:
        assert step.effect
        step.effect(server)
    left = server.roles["app"].dependencies
    assert left
    assert (left.owned_counts, left.owned, set(left.privileges_in)) == ({"other": 2}, (), {"other"})
    assert "app" not in server.databases
