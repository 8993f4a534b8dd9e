# SPDX-License-Identifier: GPL-3.0-or-later
"""`/healthz`, `/readyz` and `/metrics` over HTTP. Health is what the control loop and the watches really do.

Started by application.py; aiohttp comes with Kopf.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from dbops_operator.metrics import Metrics

OLDEST_BEAT = 60.0
"""The loop turns every 5 seconds; one that did not for this long hangs."""
OLDEST_WATCH = 330.0
"""Bookmarks come every minute, and the server ends each watch after four."""


Watched = tuple[str, str]
"""A kind, and the namespace in which it is watched; "" for all."""


class Health:
    """What is asked for the answers: the time of the loop's last turn, and of each watch's last sign of life."""

    def __init__(self, *, beat: Callable[[], float], watches: Callable[[], Mapping[Watched, float]]) -> None:
        """BEAT and WATCHES give monotonic seconds."""
        self.ready = False
        self._beat = beat
        self._watches = watches

    def problems(self) -> list[str]:
        """What is wrong; empty when all is well."""
        now = time.monotonic()
        found = ["the control loop hangs"] if now - self._beat() > OLDEST_BEAT else []
        dead = [watched for watched, heard in self._watches().items() if now - heard > OLDEST_WATCH]
        return found + [f"the watch of {' in '.join(filter(None, watched))} is dead" for watched in dead]


def address(text: str) -> tuple[str, int] | None:
    """Read a bind address such as `:8081` or `127.0.0.1:8081`; `0` and nothing mean off. Raises ValueError."""
    if text in ("", "0"):
        return None
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"{text!r} is no address such as :8081")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 (what ":8081" means)


async def serve(health: Health, metrics: Metrics, *, probes: str, measures: str) -> list[web.AppRunner]:
    """Listen at the addresses PROBES and MEASURES; gives what must be cleaned up at the end."""

    async def live(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.Response(status=500 if problems else 200, text="\n".join(problems) or "ok")

    async def ready(request: web.Request) -> web.Response:
        return await live(request) if health.ready else web.Response(status=503, text="not ready yet")

    async def measure(_: web.Request) -> web.Response:
        now = time.monotonic()
        for watched, heard in health._watches().items():
            metrics.watch_age.labels(*watched).set(now - heard)
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    runners = []
    for text, routes in (
        (probes, [web.get("/healthz", live), web.get("/readyz", ready)]),
        (measures, [web.get("/metrics", measure)]),
    ):
        place = address(text)
        if place:
            application = web.Application()
            application.add_routes(routes)
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, *place).start()
            runners.append(runner)
    return runners
