# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles that are none of the server's: a locked account, whose members may do what it may, and no more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from integration.mysql.engine import Engine, grant, owner, role, user
from integration.mysql.test_grant import made_place, rows, works

Unique = Callable[[str], str]


@pytest.mark.feature("O01")
def test_it_is_a_locked_account(engine: Engine, unique: Unique) -> None:
    name = unique("grp")
    engine.four_runs(role(name, native=False))
    assert not engine.logs_in(name, "")
    ((host, statement),) = [("%", engine.query("SHOW CREATE USER %s@'%%'", (name,))[0][0])]
    assert "ACCOUNT LOCK" in statement
    assert engine.query("SELECT Host FROM mysql.user WHERE User = %s", [name]) == [(host,)]
    if engine.mariadb:
        result = engine.one(role(name))
        assert (result["reason"], result["field"]) == ("Conflict", "native")
    engine.four_runs(role(name, native=False, state="absent"))
    assert engine.query("SELECT 1 FROM mysql.user WHERE User = %s", [name]) == []


@pytest.mark.feature("O01", "O02", "U08")
def test_members_follow(engine: Engine, unique: Unique) -> None:
    name, by_grant, group, other = unique("app"), unique("byg"), unique("grp"), unique("oth")
    place = made_place(engine, unique("db"))
    selects = {"database": place, "privileges": ["SELECT"]}
    inserts = {"database": place, "table": "other", "privileges": ["INSERT"]}
    read, write = f"SELECT * FROM {place}.t", f"INSERT INTO {place}.other VALUES (1)"
    members = (name, by_grant)

    def emulated(who: str, **options: object) -> dict[str, object]:
        return role(who, native=False, dbops_owner=owner(who, kind="DatabaseRole"), **options)

    def ours(**options: object) -> dict[str, object]:
        return user(name, password="x", dbops_owner=owner(name), **options)

    gift = grant(user=by_grant, dbops_owner=owner("gift", kind="DatabaseGrant"))
    engine.four_runs(
        emulated(group, grants=[selects]),
        emulated(other, grants=[selects]),
        ours(in_roles=[group]),
        user(by_grant, password="x"),
        gift | {"roles": [group]},
    )
    for member in members:
        assert works(engine, member, read)
        assert not works(engine, member, write)
    engine.four_runs(emulated(group, grants=[selects, inserts]))
    assert all(works(engine, member, write) for member in members), "members get what their role gets"
    more = grant(role=group, dbops_owner=owner("more", kind="DatabaseGrant"))
    engine.four_runs(more | {"grants": [{"database": place, "table": "t", "privileges": ["DELETE"]}]})
    assert all(works(engine, member, f"DELETE FROM {place}.t WHERE a = 9") for member in members)
    engine.four_runs(more | {"state": "absent"})
    assert not any(works(engine, member, f"DELETE FROM {place}.t WHERE a = 9") for member in members)
    engine.four_runs(emulated(group))
    assert not any(works(engine, member, one) for member in members for one in (read, write))
    engine.four_runs(emulated(group, grants=[selects, inserts]))
    for member, declared in ((name, ours(in_roles=[other])), (by_grant, gift | {"roles": [other]})):
        engine.four_runs(declared)
        assert works(engine, member, read), "the other role gives it as well"
        assert not works(engine, member, write)
    engine.four_runs(ours(in_roles=[]), gift | {"roles": []})
    assert not any(works(engine, member, read) for member in members)
    assert rows(engine, name) == rows(engine, by_grant) == []
    engine.four_runs(ours(in_roles=[group]))
    engine.four_runs(emulated(group, state="absent"))
    assert not works(engine, name, read)


@pytest.mark.feature("O01", "G05")
def test_what_a_member_has_of_its_own_stays(engine: Engine, unique: Unique) -> None:
    name, group = unique("app"), unique("grp")
    place = made_place(engine, unique("db"))
    selects = {"database": place, "privileges": ["SELECT"]}
    own = grant(user=name, grants=[selects], dbops_owner=owner("own", kind="DatabaseGrant"))
    declared = user(name, password="x", in_roles=[group], dbops_owner=owner(name))
    engine.run(role(group, native=False, grants=[selects], dbops_owner=owner(group)), declared, own)
    engine.four_runs(role(group, native=False, dbops_owner=owner(group)))
    assert works(engine, name, f"SELECT * FROM {place}.t")
    engine.run(own | {"state": "absent"})
    assert not works(engine, name, f"SELECT * FROM {place}.t")


def test_a_user_is_no_role(engine: Engine, unique: Unique) -> None:
    name, somebody = unique("app"), unique("user")
    engine.run(user(somebody, password="x"))
    result = engine.one(user(name, in_roles=[somebody]))
    if engine.mariadb:
        assert (result["reason"], result["field"]) == ("DependencyNotReady", "in_roles")


@pytest.mark.feature("G05", "O02")
def test_a_grant_that_goes_to_another_one(engine: Engine, unique: Unique) -> None:
    old, new, member, group = unique("old"), unique("new"), unique("app"), unique("grp")
    place = made_place(engine, unique("db"))
    selects = {"database": place, "privileges": ["SELECT"]}
    read = f"SELECT * FROM {place}.t"
    groups = [role(one, native=False, dbops_owner=owner(one, kind="DatabaseRole")) for one in (old, new)]
    engine.four_runs(*groups, user(member, password="x", in_roles=[old], dbops_owner=owner(member)))
    gift = grant(name="gift", dbops_owner=owner("gift", kind="DatabaseGrant"), grants=[selects])
    engine.four_runs(gift | {"role": old})
    assert works(engine, member, read)
    engine.four_runs(gift | {"role": new})
    assert not works(engine, member, read), "members lose what their role loses"
    # And the other way: who it is for has the privileges of such a role.
    another = unique("oth")
    reader = role(group, native=False, grants=[selects], dbops_owner=owner(group, kind="DatabaseRole"))
    belongs = grant(name="belongs", dbops_owner=owner("belongs", kind="DatabaseGrant"), roles=[group])
    engine.four_runs(reader, user(another, password="x"), belongs | {"user": member})
    assert works(engine, member, read)
    engine.four_runs(belongs | {"user": another})
    assert (works(engine, member, read), works(engine, another, read)) == (False, True)
    assert rows(engine, member) == []


def test_a_grant_that_goes_to_a_user_who_is_made_in_place_of_another(engine: Engine, unique: Unique) -> None:
    old, new = unique("old"), unique("new")
    place = made_place(engine, unique("db"))
    gift = grant(name="gift", dbops_owner=owner("gift", kind="DatabaseGrant"))
    gift["grants"] = [{"database": place, "privileges": ["SELECT"]}]
    engine.four_runs(user(old, password="x"), gift | {"user": old})
    engine.four_runs(user(old, state="absent"), user(new, password="x"), gift | {"user": new})
    assert works(engine, new, f"SELECT * FROM {place}.t")
    engine.four_runs(user(old, password="x"))
    assert not works(engine, old, f"SELECT * FROM {place}.t")
