# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that belong together, for the tests of what check mode foresees: who gets what, of whom, and what goes.

All is made of few names, so that what one object of a list does is what another one of it looks at. Each list is
one that a run would work through; names that collide and words that mean nothing are for the fuzzing tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Object = dict[str, Any]


@dataclass(frozen=True)
class Names:
    """What the lists are about; `entries` are what `grants` may say."""

    users: Sequence[str]
    roles: Sequence[str]
    databases: Sequence[str]
    entries: st.SearchStrategy[Object]
    user: Mapping[str, st.SearchStrategy[Any]]
    database: Mapping[str, st.SearchStrategy[Any]]
    inline: bool = True
    """Whether the roles' own entries are tried as well."""


# What lists without an owner have made is adopted; what an owner has made takes force where there is none.
_CONSENT: Sequence[Object] = ({"adopt": True}, {"adopt": True}, {"adopt": True}, {"force": True}, {})


def lists(names: Names) -> st.SearchStrategy[list[Object]]:
    """Give lists: each name at most once for each kind, and a few grants."""

    @st.composite
    def one(draw: st.DrawFn) -> list[Object]:
        owner = draw(st.sampled_from([{}, {"dbops_owner": "story"}, {"dbops_owner": "story"}]))
        found = [
            *(draw(_user(names, name)) for name in draw(_some(names.users))),
            *(draw(_role(names, name)) for name in draw(_some(names.roles))),
            *(draw(_database(names, name)) for name in draw(_some(names.databases))),
            *(draw(_grant(names, f"g{number}")) for number in draw(_some(range(4)))),
        ]
        return [each | owner | draw(st.sampled_from(_CONSENT)) for each in found]

    return one().filter(bool)


def _some(those: Sequence[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(those), unique=True, max_size=len(those))


def _state() -> st.SearchStrategy[str]:
    return st.sampled_from(["present", "present", "absent"])


def _user(names: Names, name: str) -> st.SearchStrategy[Object]:
    return st.fixed_dictionaries(
        {"kind": st.just("database_user"), "name": st.just(name), "state": _state(), "end_sessions": st.just(True)},
        optional={**names.user, "in_roles": _some(names.roles[:2])},
    )


def _role(names: Names, name: str) -> st.SearchStrategy[Object]:
    # Only of those that come after it: in a circle they would be refused.
    above = names.roles[names.roles.index(name) + 1 :]
    options: dict[str, st.SearchStrategy[Any]] = {"in_roles": _some(above)} if above else {}
    if names.inline:
        options["grants"] = st.lists(names.entries, max_size=2)
    return st.fixed_dictionaries(
        {"kind": st.just("database_role"), "name": st.just(name), "state": _state()}, optional=options
    )


def _database(names: Names, name: str) -> st.SearchStrategy[Object]:
    return st.fixed_dictionaries(
        {
            "kind": st.just("database"),
            "name": st.just(name),
            "state": st.sampled_from(["present"] * 5 + ["absent"]),
            "end_sessions": st.just(True),
        },
        optional=dict(names.database),
    )


@st.composite
def _grant(draw: st.DrawFn, names: Names, name: str) -> Object:
    grantee = draw(st.sampled_from([("user", one) for one in names.users] + [("role", one) for one in names.roles[:1]]))
    found: Object = {"kind": "database_grant", "name": name, "state": draw(_state()), grantee[0]: grantee[1]}
    if draw(st.booleans()):
        found["roles"] = draw(_some([one for one in names.roles if one != grantee[1]]))
    entries = draw(st.lists(names.entries, max_size=2))
    if entries or not found.get("roles"):
        found["grants"] = entries or [draw(names.entries)]
    return found


def difference(planned: Mapping[str, Any], done: Mapping[str, Any]) -> list[str]:
    """Give what a check and the run after it say differently, object by object, as lines for people."""
    found = []
    for before, after in zip(planned["objects"], done["objects"], strict=True):
        assert "InternalError" not in (before["reason"], after["reason"]), (before, after)
        shown = [step["statement"] for step in before["steps"]]
        sent = [step["statement"] for step in after["steps"]]
        if (shown, before["reason"]) != (sent, after["reason"]):
            found += [
                before["ref"],
                f"  planned: {before['reason'] or ''} {before['message']}",
                *(f"    {one}" for one in shown),
            ]
            found += [f"  sent: {after['reason'] or ''} {after['message']}", *(f"    {one}" for one in sent)]
    return found
