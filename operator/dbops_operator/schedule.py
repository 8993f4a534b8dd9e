# SPDX-License-Identifier: GPL-3.0-or-later
"""Times that a schedule names: five fields of cron, as Debian's cron reads them; pure.

rotation.py asks when a schedule is due next. Clock changes are cron's affair: what falls into the hour that is
skipped happens right after it, and what falls into the hour that comes twice happens once.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from cronsim import CronSim, CronSimError

_FIELDS = 5


def next_time(expression: str, *, after: datetime, zone: tzinfo) -> datetime | None:
    """The first time later than AFTER that EXPRESSION names in ZONE, in UTC; None if there is none.

    Raises ValueError for what is no schedule.
    """
    if len(expression.split()) != _FIELDS:
        raise ValueError('a schedule has five fields, such as "0 3 1 * *"')
    try:
        found = next(CronSim(expression, after.astimezone(zone)), None)
    except CronSimError as error:
        raise ValueError(str(error)) from None
    return found.astimezone(UTC) if found else None
