# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a grant without a server: three sets, few statements, and in whose name they are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.desired import DesiredGrant, Grant
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.ownership import Owner
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import grant, quoting
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.acls import (
    AclEntry,
    AclObject,
    DatabaseAcls,
)
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.grant_items import Target
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import (
    Admin,
    Declaration,
    Facts,
    Role,
    ServerState,
)

_OWNER = Owner("c", "DatabaseGrant", "team", "g")
_WEAK = Admin("weak", False, False, True, administers=frozenset({"own"}), inherits=frozenset({"weak"}))
_WORDS = ("SELECT", "INSERT", "UPDATE")


def state(admin: Admin | None = None, **tables: AclObject) -> ServerState:
    """A database db of own, with a schema s that is free to use, and tables in it."""
    facts = Facts("17.4", 170004, None, False, False, "postgres", admin or Admin("postgres", True, True, True))
    database = DatabaseAcls(AclObject("database", "", "db", "own"))
    schema = AclObject("schema", "s", "", "own", entries={"app": (entry("own", "USAGE"),)})
    database.objects = {("schema", "s"): {schema.key: schema}, ("table", "s"): {}}
    for name, one in tables.items():
        one.name = name
        database.objects["table", "s"][one.key] = one
    app = Role("app", False, False, False, True, True, False, False, -1, None)
    return ServerState(facts, roles={"app": app}, role_names=frozenset({"app"}), acls={"db": database})


def table(*entries: AclEntry, owner: str = "own", **options: Any) -> AclObject:
    """A table with what app holds on it."""
    return AclObject("table", "s", "t", owner, entries={"app": entries} if entries else {}, **options)


def entry(grantor: str, *words: str, column: str = "", grantable: tuple[str, ...] = ()) -> AclEntry:
    return AclEntry(grantor, column, frozenset(words), frozenset(grantable))


def on(*words: str, **options: Any) -> Grant:
    """An entry on the table t, without what is implied being at stake."""
    return Grant(privileges=words, **{"database": "db", "schema": "s", "tables": ("t",), **options})


def desired(*entries: Grant, **options: Any) -> DesiredGrant:
    common: dict[str, Any] = {"kind": "database_grant", "ref": "g", "name": "c/DatabaseGrant/team/g"}
    return DesiredGrant(**common | {"grantee": "app", "grantee_kind": "user", "grants": entries, **options})


def gave(*entries: list[Any]) -> dict[str, Any]:
    """What the ledger remembers."""
    return {"grantee": "app", "grants": [["db", *one] for one in entries]}


def statements(plan: Plan) -> list[str]:
    return [quoting.masked(step.statement) for step in plan.steps]


@pytest.mark.feature("G06")
def test_equal_is_no_statement() -> None:
    made = grant.plan(desired(on("SELECT", "INSERT")), state(t=table(entry("own", "SELECT", "INSERT"))), {})
    assert (made.steps, made.differences, made.ahead) == ([], [], None)
    assert made.applied == {
        "grantee": "app",
        "roles": [],
        "grants": [
            ["db", "schema", "s", "", "", ["USAGE"], []],
            ["db", "table", "s", "t", "", ["INSERT", "SELECT"], []],
        ],
        "default_privileges": [],
    }


@pytest.mark.feature("G05", "G06")
def test_what_is_lacking_is_granted_and_what_was_given_is_revoked() -> None:
    memory = gave(["table", "s", "t", "", ["INSERT", "UPDATE"], []], ["schema", "s", "", "", ["USAGE"], []])
    held = table(entry("own", "INSERT", "DELETE"))
    made = grant.plan(desired(on("SELECT"), owner_record=_OWNER), state(t=held), memory)
    assert statements(made) == [
        'REVOKE INSERT ON TABLE "s"."t" FROM "app"',
        'GRANT SELECT ON TABLE "s"."t" TO "app"',
    ], "UPDATE is not held, DELETE was given by hand"
    assert [step.destructive for step in made.steps] == [True, False]
    assert {step.database for step in made.steps} == {"db"}
    assert made.ahead
    assert made.ahead["grants"][1] == ["db", "table", "s", "t", "", ["INSERT", "SELECT", "UPDATE"], []]
    assert made.applied["grants"][1] == ["db", "table", "s", "t", "", ["SELECT"], []]


@pytest.mark.feature("G05")
def test_what_others_declare_stays_also_by_a_star() -> None:
    memory = gave(["table", "s", "t", "", ["INSERT", "UPDATE"], []])
    server = state(t=table(entry("own", "INSERT", "UPDATE")))
    other = Declaration("other", items={Target("db", "table", "s", "*"): {"INSERT": False}})
    server.others = lambda grantee, own: [other] if (grantee, own[1]) == ("app", "c/DatabaseGrant/team/g") else []
    made = grant.plan(desired(owner_record=_OWNER), server, memory)
    assert statements(made) == ['REVOKE UPDATE ON TABLE "s"."t" FROM "app"']


@pytest.mark.feature("G04")
@pytest.mark.parametrize(
    ("declared", "given", "held", "sent"),
    [
        (True, [], (), 'GRANT SELECT ON TABLE "s"."t" TO "app" WITH GRANT OPTION'),
        (True, [], ("SELECT",), None),
        (False, [], ("SELECT",), None),
        (False, ["SELECT"], ("SELECT",), 'REVOKE GRANT OPTION FOR SELECT ON TABLE "s"."t" FROM "app"'),
        (False, ["SELECT"], (), None),
    ],
)
def test_the_grant_option_by_itself(declared: bool, given: list[str], held: tuple[str, ...], sent: str | None) -> None:
    server = state(t=table(entry("own", "SELECT", grantable=held)))
    memory = gave(["table", "s", "t", "", ["SELECT"], given])
    made = grant.plan(desired(on("SELECT", grant_option=declared), owner_record=_OWNER), server, memory)
    assert statements(made) == ([sent] if sent else [])


@pytest.mark.feature("G02")
def test_what_is_alike_is_one_statement_of_bounded_length() -> None:
    tables = {f"t{number:03}": table() for number in range(205)}
    made = grant.plan(desired(on("SELECT", "INSERT", tables=("*",))), state(**tables), {})
    sent = statements(made)
    assert [one.count('"s".') for one in sent] == [100, 100, 5]
    assert sent[2].startswith('GRANT SELECT, INSERT ON TABLE "s"."t200", ')
    assert made.steps[0].target == "SELECT, INSERT on tables s.t000, s.t001, s.t002 and 97 more to app"


@pytest.mark.feature("G02", "I11")
def test_a_weak_admin_acts_as_the_owner_for_a_moment() -> None:
    made = grant.plan(desired(on("SELECT")), state(_WEAK, t=table()), {})
    assert statements(made) == [
        'GRANT "own" TO "weak" WITH INHERIT TRUE, SET TRUE',
        'GRANT SELECT ON TABLE "s"."t" TO "app"',
        'REVOKE "own" FROM "weak"',
    ]
    assert [step.changes for step in made.steps] == [False, True, False]
    assert made.steps[2].cleanup


@pytest.mark.feature("G05", "I11")
def test_an_option_of_its_own_does_not_stand_in_for_the_owner() -> None:
    """With both at hand the server would look for an entry by the weak admin, and take back nothing."""
    held = table(entry("own", "SELECT"), entry("weak", "SELECT"), options={"weak": frozenset({"SELECT"})})
    memory = gave(["table", "s", "t", "", ["SELECT"], []])
    made = grant.plan(desired(owner_record=_OWNER), state(_WEAK, t=held), memory)
    assert statements(made) == [
        'GRANT "own" TO "weak" WITH INHERIT TRUE, SET TRUE',
        'SET LOCAL ROLE "own"',
        'REVOKE SELECT ON TABLE "s"."t" FROM "app"',
        "SET LOCAL ROLE NONE",
        'REVOKE SELECT ON TABLE "s"."t" FROM "app"',
        'REVOKE "own" FROM "weak"',
    ]


@pytest.mark.feature("G05")
def test_a_superuser_speaks_for_whoever_gave_it() -> None:
    held = table(entry("own", "SELECT"), entry("other", "SELECT", "INSERT"))
    memory = gave(["table", "s", "t", "", ["SELECT"], []])
    made = grant.plan(desired(owner_record=_OWNER), state(t=held), memory)
    revoke = 'REVOKE SELECT ON TABLE "s"."t" FROM "app"'
    assert statements(made) == [revoke, 'SET LOCAL ROLE "other"', revoke, "SET LOCAL ROLE NONE"]


@pytest.mark.feature("G06")
def test_columns_get_back_what_a_revoke_on_their_table_takes() -> None:
    held = table(entry("own", "SELECT"), entry("own", "SELECT", "UPDATE", column="a", grantable=("SELECT",)))
    memory = gave(["table", "s", "t", "", ["SELECT"], []])
    made = grant.plan(desired(owner_record=_OWNER), state(t=held), memory)
    assert statements(made) == [
        'REVOKE SELECT ON TABLE "s"."t" FROM "app"',
        'GRANT SELECT ("a") ON TABLE "s"."t" TO "app" WITH GRANT OPTION',
    ]


@pytest.mark.feature("G02")
def test_an_owner_has_it_all_and_loses_nothing() -> None:
    held = AclObject("table", "s", "t", "app", entries={"app": (entry("app", "SELECT", "INSERT"),)})
    memory = gave(["table", "s", "t", "", ["INSERT"], []])
    made = grant.plan(desired(on("SELECT", grant_option=True), owner_record=_OWNER), state(t=held), memory)
    assert statements(made) == []


@pytest.mark.feature("G05")
def test_what_could_not_be_taken_back_is_not_forgotten() -> None:
    """The weak admin may not act as the owner of the table any more."""
    memory = gave(["table", "s", "t", "", ["SELECT"], []])
    server = state(_WEAK, t=table(entry("root", "SELECT"), owner="root"))
    made = grant.plan(desired(owner_record=_OWNER, present=False), server, memory)
    assert made.waits
    assert made.waits.reason == "PrivilegeMissing"
    assert made.applied["grants"] == memory["grants"]


_SETS = st.dictionaries(st.sampled_from(_WORDS), st.booleans())


@pytest.mark.feature("G05", "G06")
@given(wanted=_SETS, before=_SETS, others=_SETS, held=_SETS)
def test_the_three_sets_decide(
    wanted: dict[str, bool], before: dict[str, bool], others: dict[str, bool], held: dict[str, bool]
) -> None:
    """What is held afterwards: all that is declared, and of the rest what nobody gave."""
    options = tuple(word for word, option in held.items() if option)
    server = state(t=table(entry("own", *held, grantable=options)) if held else table())
    other = Declaration("other", items={Target("db", "table", "s", "t"): others})
    server.others = lambda _grantee, _own: [other]
    memory = gave(["table", "s", "t", "", list(before), [word for word, option in before.items() if option]])
    entries = [on(word, grant_option=option) for word, option in wanted.items()]
    made = grant.plan(desired(*entries, owner_record=_OWNER), server, memory)
    after = dict(held)
    for statement in statements(made):
        words = statement.partition(" ON ")[0].replace(",", "").split()
        for word in (one for one in words if one in _WORDS):
            if statement.startswith("REVOKE GRANT OPTION"):
                after[word] = False
            elif statement.startswith("REVOKE"):
                del after[word]
            else:
                after[word] = after.get(word, False) or statement.endswith("WITH GRANT OPTION")
    sets = (wanted, before, others, held)
    for word in _WORDS:
        # 0: not at all, 1: the privilege, 2: with the right to pass it on.
        wants, gave_before, others_give, has = (1 + one[word] if word in one else 0 for one in sets)
        declared = max(wants, others_give)
        level = has
        if has and gave_before and not declared:
            level = 0
        elif has == gave_before == 2 and declared == 1:
            level = 1
        assert (1 + after[word] if word in after else 0) == max(level, wants)
