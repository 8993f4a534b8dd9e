# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines of the operator, as text or as JSON, each with what is worked on: object, reconcile, run.

Set up once by the operator's start.
"""

from __future__ import annotations

import contextvars
import json
import logging
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass
class Subject:
    """What a task works on: an object's ref, this look at it, and the run that worked on it last."""

    object: str = ""
    run: str = ""
    reconcile: str = field(default_factory=lambda: secrets.token_hex(4))
    """Becomes `status.reconcileID` when the look changes something."""


_NOTHING = Subject(reconcile="")

subject: contextvars.ContextVar[Subject | None] = contextvars.ContextVar("subject", default=None)
"""Of the current task and of those that it starts; the lanes add the run's name when there is one."""


def reconcile_id() -> str:
    """The id of the look at an object that is going on."""
    return (subject.get() or Subject()).reconcile


FIELDS = ("object", "reconcile", "run", "server", "database", "editor")
"""What a line may say beside its message: from the call's `extra`, or from `subject`."""
_NOISY = ("aiohttp", "asyncio", "kopf", "kubernetes", "urllib3")


def fields(record: logging.LogRecord) -> dict[str, str]:
    """What is to be said of RECORD beside its message."""
    about = subject.get() or _NOTHING
    found = {name: getattr(record, name, "") or getattr(about, name, "") for name in FIELDS}
    return {name: str(value) for name, value in found.items() if value}


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """One line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        record.about = "".join(f" {name}={value}" for name, value in fields(record).items())
        return super().format(record)


def set_up(*, level: str, form: str) -> None:
    """Log to standard error at LEVEL (debug, info, warning, error) in FORM (text, json)."""
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s%(about)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        # What they say at lower levels is about single requests and watches.
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
