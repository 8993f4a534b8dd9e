# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of objects on PostgreSQL as a table: for each the same few verbs, and one loop over them.

The loop is core.converge, which reaches this table through postgresql/server.py. The verbs are pure: they say
what must be read, compare what was read with what is declared, and describe what is there. To add a kind, write
a planner beside user.py and give it a row here.

What a planner can count on:
- `wanted` is asked first, for all declared objects together; catalog.roles and catalog_databases.read_into fill
  the state with it, again and again during a run. A database in `contents` is looked into by a
  session of its own; where there could be none, `content` is None and `content_problem` says why.
- `plan` raises DbopsError for what cannot or must not be done, before anything is sent. It is asked again under
  the object's lock after a fresh look, and once more after each step with `look_again`; it must then go on from
  what it finds. `memory` is what the ledger remembers as given by this declaration, {} if nothing.
- Steps run in their order. Those next to each other that are transactional and in the same session are one
  transaction. `database=NAME` runs in a session in that database, which is closed before anything that needs
  the database to be free (each step that is not transactional).
- In check mode a plan is shown and not applied, so it must predict also what follows a `look_again`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql import database, instance, user
from ansible_collections.dbprovision.dbops.plugins.module_utils.postgresql.state import ServerState, Wanted


@dataclass(frozen=True)
class Kind:
    """The verbs of one kind. The first argument of each is the declared object (core.desired) of that kind."""

    thing: str | None
    """What it is in the ledger and in messages: `database`, `role`; None for what is only observed."""
    wanted: Callable[[Any], Wanted]
    plan: Callable[[Any, ServerState, Mapping[str, Any]], Plan]
    observed: Callable[[Any, ServerState], dict[str, Any]]
    exists: Callable[[Any, ServerState], bool]
    predict: Callable[[Any, ServerState], None]
    """Note in the state what a plan has removed, and in check mode also what it would have made or removed."""
    order: int = 0
    """Present objects are worked on by ascending order, absent ones by descending order."""


KINDS: dict[str, Kind] = {
    "database_instance": Kind(
        thing=None,
        wanted=instance.wanted,
        plan=instance.plan,
        observed=instance.observed,
        exists=lambda _desired, _state: True,
        predict=lambda _desired, _state: None,
    ),
    "database_user": Kind(
        thing="role",
        wanted=user.wanted,
        plan=user.plan,
        observed=user.observed,
        exists=lambda desired, state: desired.name in state.role_names,
        predict=user.predict,
        order=1,
    ),
    "database": Kind(
        thing="database",
        wanted=database.wanted,
        plan=database.plan,
        observed=database.observed,
        exists=lambda desired, state: desired.name in state.databases,
        predict=database.predict,
        order=2,
    ),
}
"""The rows; databases come after the users that own them."""
