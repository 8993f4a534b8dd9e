# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines of the operator, as text or as JSON, each with the object that is being worked on.

Set up once by the operator's start.
"""

from __future__ import annotations

import contextvars
import json
import logging
from datetime import UTC, datetime

object_of_log: contextvars.ContextVar[str] = contextvars.ContextVar("object_of_log", default="")
"""The ref of the object that the current task works on."""

_NOISY = ("aiohttp", "asyncio", "kopf", "kubernetes", "urllib3")


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if object_of_log.get():
            line["object"] = object_of_log.get()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """One line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        record.object = f" [{object_of_log.get()}]" if object_of_log.get() else ""
        return super().format(record)


def set_up(*, level: str, form: str) -> None:
    """Log to standard error at LEVEL (debug, info, warning, error) in FORM (text, json)."""
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter("%(asctime)s %(levelname)s %(name)s%(object)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        # What they say at lower levels is about single requests and watches.
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
