# SPDX-License-Identifier: GPL-3.0-or-later
"""What an engine says about one kind of object: the same few verbs for every kind, which core.objects loops over.

Each engine has a table of them (postgresql/kinds.py, mysql/kinds.py). The verbs are pure: they say what must be
read, compare what was read with what is declared, and describe what is there.

What a planner can count on:
- `wanted` is asked first, for all declared objects together; the engine's catalogs fill the state with it, again
  and again during a run.
- `plan` raises DbopsError for what cannot or must not be done, before anything is sent. It is asked again under
  the object's lock after a fresh look, and once more after each step with `look_again`; it must then go on from
  what it finds. `memory` is what the ledger remembers as given by this declaration, {} if nothing.
- Steps run in their order. Those next to each other that are transactional and in the same session are one
  transaction. `database=NAME` runs in a session in that database, which is closed before anything that needs
  the database to be free (each step that is not transactional).
- In check mode a plan is shown and not applied, so it must foresee also what follows a `look_again`. Each step says
  by its `effect` what it changes, so that the plans after it see the state as it leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.plan import Plan


@dataclass(frozen=True)
class Kind:
    """The verbs of one kind. The first argument of each is the declared object (core.desired) of that kind."""

    thing: str | None
    """What it is in the ledger and in messages: `database`, `role`, `grant`; None for what is only observed."""
    wanted: Callable[[Any], Any]
    plan: Callable[[Any, Any, Mapping[str, Any]], Plan]
    observed: Callable[[Any, Any], dict[str, Any]]
    exists: Callable[[Any, Any], bool]
    locks: Callable[[Any], tuple[str, str]] | None = None
    """The thing and name whose lock its writers take, where that is another one: who gets something is locked, so
    that what one declaration takes away cannot cross with what another one gives."""
    former: Callable[[Any, Any, Mapping[str, Any]], Any] | None = None
    """Declared, observed and `memory` in: the declared object that takes back what `memory` says somebody else was
    given, or None where it is for whom it was."""
