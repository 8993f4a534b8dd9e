# SPDX-License-Identifier: GPL-3.0-or-later
"""`/healthz`, `/readyz` and `/metrics` over HTTP. Health is what the control loop and the watches really do.

Started by application.py; aiohttp comes with Kopf. Who may read /metrics is up to scrapers.py.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from dbops_operator.client import ApiError
from dbops_operator.metrics import Metrics
from dbops_operator.scrapers import Certificate, Files, Review, Scrapers
from dbops_operator.settings import Settings

logger = logging.getLogger(__name__)

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

    def ages(self) -> dict[Watched, float]:
        """Seconds since each watch was heard of last."""
        now = time.monotonic()
        return {watched: now - heard for watched, heard in self._watches().items()}

    def problems(self) -> list[str]:
        """What is wrong; empty when all is well."""
        found = ["the control loop hangs"] if time.monotonic() - self._beat() > OLDEST_BEAT else []
        dead = [watched for watched, age in self.ages().items() if age > OLDEST_WATCH]
        return found + [f"the watch of {' in '.join(filter(None, watched))} is dead" for watched in dead]


def address(text: str) -> tuple[str, int] | None:
    """Read a bind address such as `:8081` or `127.0.0.1:8081`; `0` and nothing mean off. Raises ValueError."""
    if text in ("", "0"):
        return None
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"{text!r} is no address such as :8081")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 (what ":8081" means)


@dataclass(frozen=True)
class Guard:
    """What stands before /metrics unless it is switched off."""

    scrapers: Scrapers
    certificate: Certificate


def guard(settings: Settings, review: Review) -> Guard | None:
    """What SETTINGS want before /metrics. Raises OSError and ssl.SSLError for a certificate that is none."""
    if not settings.metrics_secure:
        return None
    folder = settings.metrics_certificates
    files = Files(folder / settings.metrics_certificate, folder / settings.metrics_key) if folder else None
    return Guard(Scrapers(review), Certificate(files))


async def serve(
    health: Health, metrics: Metrics, *, probes: str, measures: str, guard: Guard | None
) -> list[web.AppRunner]:
    """Listen at the addresses PROBES and MEASURES; gives what must be cleaned up at the end."""

    async def live(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.Response(status=500 if problems else 200, text="\n".join(problems) or "ok")

    async def ready(request: web.Request) -> web.Response:
        return await live(request) if health.ready else web.Response(status=503, text="not ready yet")

    async def measure(request: web.Request) -> web.Response:
        refused = await _refusal(guard, request) if guard else None
        if refused:
            return refused
        for watched, age in health.ages().items():
            metrics.watch_age.labels(*watched).set(age)
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    routes = [web.get("/healthz", live), web.get("/readyz", ready)]
    tls = guard.certificate.context if guard else None
    found = [await _listen(probes, routes, None), await _listen(measures, [web.get("/metrics", measure)], tls)]
    return [runner for runner in found if runner]


async def _refusal(guard: Guard, request: web.Request) -> web.Response | None:
    try:
        guard.certificate.refresh()
        status = await guard.scrapers.refusal(request.headers.get("Authorization", ""), request.path)
    except (ApiError, OSError) as error:
        logger.warning("a request for metrics was not answered: %s", error)
        return web.Response(status=500, text="the API server did not say who this is")
    return web.Response(status=status, text="a token of an account that may get /metrics is needed") if status else None


async def _listen(text: str, routes: Iterable[web.RouteDef], tls: ssl.SSLContext | None) -> web.AppRunner | None:
    place = address(text)
    if place is None:
        return None
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, *place, ssl_context=tls).start()
    return runner
