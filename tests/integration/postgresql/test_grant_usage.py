# SPDX-License-Identifier: GPL-3.0-or-later
"""USAGE on a schema that a grant gives without being told: not where the grantee has it all already."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from integration.postgresql.engine import grant, owner, role, user
from integration.postgresql.shop import Shop

Unique = Callable[[str], str]


@pytest.mark.feature("G02", "L07")
def test_what_is_held_and_can_be_reached_through_public_is_as_declared(shop: Shop, unique: Unique) -> None:
    app = unique("app")
    assert not shop.engine.run(user(app, password="x"))["failed"]
    shop.execute(
        "GRANT USAGE ON SCHEMA app TO PUBLIC", "GRANT SELECT ON app.orders TO {app}", app=app, as_role=shop.owner
    )
    entry = shop.entry("SELECT", schema="app", tables=["orders"])
    declared = grant("g", user=app, grants=[entry], dbops_owner=owner("g", kind="DatabaseGrant"), adopt=True)
    assert shop.engine.run(declared, check=True)["objects"][0]["differences"] == []
    shop.execute("REVOKE USAGE ON SCHEMA app FROM PUBLIC", as_role=shop.owner)
    assert not shop.may(app, "SELECT FROM app.orders")
    shop.engine.four_runs(declared)
    assert shop.held(app) == {"SELECT app.orders", "USAGE schema app"}
    shop.engine.four_runs(declared | {"state": "absent"})
    assert shop.held(app) == set()


@pytest.mark.feature("G02", "L07")
def test_usage_through_a_role_is_enough_and_usage_that_is_declared_is_given(shop: Shop, unique: Unique) -> None:
    app, group = unique("app"), unique("grp")
    assert not shop.engine.run(role(group), user(app, password="x", in_roles=[group]))["failed"]
    shop.execute(
        "GRANT USAGE ON SCHEMA app TO {group}",
        "GRANT SELECT ON app.orders TO {app}",
        group=group,
        app=app,
        as_role=shop.owner,
    )
    tables = shop.entry("SELECT", schema="app", tables=["orders"])
    assert not shop.engine.run(grant("g", user=app, grants=[tables]))["changed"]
    shop.engine.four_runs(grant("g", user=app, grants=[tables, shop.entry("USAGE", schema="app")]))
    assert shop.held(app) == {"SELECT app.orders", "USAGE schema app"}
