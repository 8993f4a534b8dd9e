# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords and their Secrets: every crash heals, and what people do to the Secret by hand is understood."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import credentials
from dbops_operator.credentials import Choice, Given, Place, Rendered, State, choose
from dbops_operator.keys import Key

USER: dict[str, Any] = {
    "apiVersion": "dbops.dbprovision.io/v1alpha1",
    "kind": "DatabaseUser",
    "metadata": {"name": "app", "namespace": "team", "uid": "u-1"},
}
PLACE = Place(host="db", port=5432, database="postgres", ssl_mode="require")
STEPS = ("write ahead", "server", "consumer", "finish", "status")


@dataclass
class World:
    """What lasts: two Secrets, the server's password and what status says."""

    state: State = field(default_factory=State)
    consumer: str | None = None
    server: str | None = None
    rendered: bool = False
    existing: str | None = None
    regenerated: int = 0

    def run(self, fresh: str, *, steps: int = len(STEPS)) -> Choice:
        """One reconcile that dies after so many STEPS."""
        choice = choose(
            Given(
                state=self.state,
                existing=self.existing,
                consumer_exists=self.consumer is not None,
                consumer_password=self.consumer,
                was_rendered=self.rendered,
            ),
            fresh=fresh,
        )
        for step in STEPS[:steps]:
            if step == "write ahead" and choice.write:
                self.state = choice.state
            elif step == "server":
                # The state Secret always knows what the server is being given.
                assert choice.password in (self.state.current, self.state.next)
                self.server = choice.password
            elif step == "consumer":
                self.consumer = choice.password
            elif step == "finish":
                self.state = choice.finished
            elif step == "status":
                self.rendered = True
                self.regenerated += choice.regenerated
        return choice

    @property
    def healthy(self) -> bool:
        """Whether what applications read logs in, and the state agrees."""
        return self.consumer == self.server == self.state.rendered


def settled_world() -> World:
    world = World()
    world.run("first")
    assert world.healthy
    return world


def disturb(world: World, how: str) -> None:
    """What may happen to a user between two reconciles."""
    if how == "edited":
        world.consumer = "by hand"
    elif how == "deleted":
        world.consumer = None
    elif how == "emptied":
        world.consumer = ""
    elif how == "state lost":
        world.state = State()
    elif how == "given":
        world.existing = "given"


@pytest.mark.parametrize("how", ["new", "edited", "deleted", "emptied", "state lost", "given", "nothing"])
@pytest.mark.parametrize(("first", "second"), list(itertools.product(range(len(STEPS) + 1), range(len(STEPS) + 1))))
def test_two_crashes_at_any_steps_heal(how: str, first: int, second: int) -> None:
    world = World() if how == "new" else settled_world()
    disturb(world, how)
    world.run("second", steps=first)
    world.run("third", steps=second)
    world.run("fourth")
    assert world.healthy
    expected = {"edited": {"by hand"}, "given": {"given"}, "nothing": {"first"}, "state lost": {"first"}}
    assert world.server in expected.get(how, {"second", "third", "fourth"})


def test_a_new_user_costs_one_write_of_state() -> None:
    world = World()
    choice = world.run("first")
    assert choice.write
    assert choice.finished == choice.state
    assert not world.run("unused").write


def test_a_quiet_user_keeps_its_password() -> None:
    world = settled_world()
    for fresh in ("a", "b", "c"):
        choice = world.run(fresh)
        assert not choice.write
        assert choice.password == "first"
    assert world.regenerated == 0


@pytest.mark.parametrize("how", ["deleted", "emptied"])
def test_a_lost_secret_gives_a_new_password_once(how: str) -> None:
    world = settled_world()
    disturb(world, how)
    world.run("second")
    assert world.server == "second"
    assert world.regenerated == 1
    assert not world.run("third").write


def test_a_failing_server_does_not_make_a_password_per_try() -> None:
    world = settled_world()
    disturb(world, "deleted")
    assert {world.run(fresh, steps=1).password for fresh in ("a", "b", "c")} == {"a"}


def test_a_second_edit_during_a_change_wins() -> None:
    world = settled_world()
    world.consumer = "one"
    world.run("unused", steps=2)
    world.consumer = "two"
    world.run("unused")
    assert world.healthy
    assert world.server == "two"


def test_a_template_without_password_never_counts_as_edited() -> None:
    choice = choose(
        Given(state=State(next="first"), consumer_exists=True, watches_password=False, was_rendered=True), fresh="x"
    )
    assert (choice.password, choice.write) == ("first", False)


def test_state_goes_through_its_secret() -> None:
    key = Key("DatabaseUser", "team", "app")
    place = credentials.state_key(key, operator_namespace="operator")
    for state in (State(), State(next="ä"), State(current="a", next="b"), State(current="c")):
        assert credentials.read_state(credentials.state_secret(key, state, place=place, cluster="c")) == state
    assert place.namespace == "operator"
    assert place != credentials.state_key(Key("DatabaseUser", "team-app", ""), operator_namespace="operator")


def test_passwords_are_in_no_repr() -> None:
    values = (State("s3cret", "s3cret"), Given(State("s3cret"), "s3cret", True, "s3cret"), Rendered({"a": "s3cret"}))
    choice = choose(Given(State()), fresh="s3cret")
    assert "s3cret" not in repr((*values, choice))


@pytest.mark.parametrize(
    ("username", "secret_name", "expected"),
    [
        ("app", None, "app-credentials"),
        ("app_user", None, "app-user-credentials"),
        ("_App", None, "app-credentials"),
        ("___", None, "user-credentials"),
        ("app_user", "mine", "mine"),
    ],
)
def test_name_of_the_secret(username: str, secret_name: str | None, expected: str) -> None:
    assert credentials.consumer_name(username, secret_name) == expected


def consumer(rendered: Rendered, before: dict[str, Any] | None = None) -> dict[str, Any]:
    return credentials.consumer_secret(USER, "app-credentials", rendered, before=before)


def test_exactly_the_declared_keys() -> None:
    before = consumer(Rendered({"old": "1", "kept": "2"}))
    before["metadata"] |= {"resourceVersion": "7", "uid": "s-1", "labels": {"theirs": "x"}}
    after = consumer(Rendered({"kept": "2"}), before)
    assert set(after["data"]) == {"kept"}
    assert after["metadata"]["resourceVersion"] == "7"
    assert after["metadata"]["labels"]["theirs"] == "x"
    assert credentials.differs(after, before)
    assert not credentials.differs(consumer(Rendered({"kept": "2"}), after), after)


def test_labels_of_the_template_win() -> None:
    made = consumer(Rendered({}, labels={credentials.MANAGED_BY: "us"}, annotations={"a/b": "c"}))
    assert made["metadata"]["labels"][credentials.MANAGED_BY] == "us"
    assert made["metadata"]["annotations"] == {"a/b": "c"}


def test_type_cannot_change() -> None:
    before = consumer(Rendered({}))
    with pytest.raises(DbopsError) as failure:
        consumer(Rendered({}, type="example.org/other"), before)
    assert failure.value.reason is Reason.IMMUTABLE_FIELD


@pytest.mark.parametrize(
    ("metadata", "ours"),
    [
        ({}, False),
        ({"labels": {credentials.USER_LABEL: "app"}}, False),
        ({"labels": {credentials.USER_LABEL: "app", credentials.MANAGED_BY: credentials.MANAGER}}, True),
        ({"labels": {credentials.USER_LABEL: "other", credentials.MANAGED_BY: credentials.MANAGER}}, False),
        ({"ownerReferences": [credentials.owner_reference(USER)]}, True),
        ({"ownerReferences": [{**credentials.owner_reference(USER), "uid": "restored"}]}, True),
        ({"ownerReferences": [{**credentials.owner_reference(USER), "name": "other"}]}, False),
        (
            {
                "labels": {credentials.USER_LABEL: "app", credentials.MANAGED_BY: credentials.MANAGER},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "app", "uid": "x"}],
            },
            False,
        ),
    ],
)
def test_whose_secret_it_is(metadata: dict[str, Any], ours: bool) -> None:
    assert credentials.is_ours({"metadata": {"name": "app-credentials", **metadata}}, USER) is ours


def test_long_names_stay_legal_labels() -> None:
    names = ["a" * 64, "a" * 65, "a" * 49 + "." + "b" * 40]
    values = [credentials.label_value(name) for name in names]
    assert len(set(values)) == len(names)
    assert all(len(value) <= 63 and value[0].isalnum() and value[-1].isalnum() for value in values)


def test_default_keys_and_uri() -> None:
    data = credentials.default_data(username="a@b", password="p/ä:%", place=PLACE)
    assert set(data) == {"username", "password", "host", "port", "database", "uri"}
    assert data["port"] == "5432"
    assert data["uri"] == "postgresql://a%40b:p%2F%C3%A4%3A%25@db:5432/postgres?sslmode=require"
    assert "@[::1]:" in credentials.uri(username="a", password="b", place=Place("::1", 1, "d", "disable"))
