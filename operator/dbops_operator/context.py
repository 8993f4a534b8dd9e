# SPDX-License-Identifier: GPL-3.0-or-later
"""What a reconciler gets beside its key: the API, what was last seen, the way to the servers, and its environment.

Made by the controller, one per reconcile; `cancel` and `depends` belong to that one reconcile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dbops_operator.client import Client
from dbops_operator.keys import Key
from dbops_operator.settings import Settings
from dbops_operator.store import Store
from dbops_operator.work import Lanes, LongLanes, Priority, Verdict

if TYPE_CHECKING:
    from dbops_operator.events import Events
    from dbops_operator.metrics import Metrics
    from dbops_operator.template_process import TemplateProcess


def clock() -> datetime:
    """The time, in whole seconds as status has it."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True)
class Context:
    """The environment of one reconcile."""

    api: Client
    store: Store
    lanes: Lanes
    long_lanes: LongLanes
    settings: Settings
    events: Events
    metrics: Metrics
    templates: TemplateProcess
    cancel: asyncio.Event
    """Set when the object was edited, deleted or replaced meanwhile: what is done now is out of date."""
    priority: Priority
    """Why the key is being worked on; goes along to the lanes."""
    depends: Callable[[Key], None]
    """Say, before reading it, that this object depends on another: its events wake this one. Holds until the next
    reconcile of this object is over; what that one does not name any more is forgotten."""
    wake: Callable[[Key, Priority], None]
    """Have another key looked at."""
    now: Callable[[], datetime] = clock
    """The time by which schedules and grace periods go."""


Reconciler = Callable[[Context, Key], Awaitable[Verdict]]
Reconcilers = Mapping[str, Reconciler]
"""Reconciler by kind."""
