# SPDX-License-Identifier: GPL-3.0-or-later
"""Kopf as the shell around the control loop: it watches our kinds, and each event goes to the controller at once.

Only `on.event` is used: no handler waits, writes or keeps state, and Kopf puts nothing on our objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import kopf
from kubernetes.aio.client import Configuration

from dbops_operator import kubeconfig
from dbops_operator.resources import GROUP, OWN, VERSION, Resource

Seen = Callable[[str, dict[str, Any]], None]
"""Told the event's type (ADDED, MODIFIED, DELETED, or none for the first list) and the object's body."""
Heard = Callable[[str, str], None]
"""Told the kind, and the namespace ("" for all), of what the API server answered."""

_SECONDS_TO_END = 3.0


class _Nothing(kopf.DiffBaseStorage):
    """Keeps nothing: Kopf would copy and compare each body for change handlers, which there are none of."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:  # noqa: ARG002
        """Give nothing to compare."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> None:
        """There is no earlier state."""

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Write nothing."""


class Pauses:
    """Seconds before Kopf asks the API again after an error: growing, capped, for ever."""

    def __iter__(self) -> Iterator[float]:
        """Begin anew."""
        pause = 0.5
        while True:
            yield pause
            pause = min(30.0, pause * 2)


async def watch(
    configuration: Configuration,
    namespaces: Collection[str],
    seen: Seen,
    *,
    ready: asyncio.Event,
    heard: Heard,
    listed: Heard,
    spawned: Callable[[], None],
) -> None:
    """Watch all our kinds in NAMESPACES (none: everywhere) until cancelled; READY is set when the watches are open.

    HEARD is told of each sign of life of a watch, which is opened anew at least every four minutes. LISTED is told when
    one begins with a list, at the start and where it could not go on: SEEN gets what is there, and nothing of what
    vanished before. SPAWNED is called when Kopf has made its tasks; it took SIGTERM and SIGINT for itself by then.
    Raises when a watch fails for good: the process must then end and be started again.
    """
    registry = kopf.OperatorRegistry()
    for resource in OWN:
        _register(registry, resource, seen)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        return _session(await kubeconfig.for_kopf(configuration), _paths(configuration.host, namespaces), heard, listed)

    # Not kopf.operator(): at its end that cancels every task of the process that is younger than itself.
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=_settings(),
        standalone=True,
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        ready_flag=ready,
    )
    spawned()
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise RuntimeError("Kopf ended by itself")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_SECONDS_TO_END)


def watched(namespaces: Collection[str]) -> Iterator[tuple[Resource, str]]:
    """What is watched: each of our kinds, in each of NAMESPACES, or in all ("")."""
    for resource in OWN:
        for namespace in (namespaces if resource.namespaced else ()) or ("",):
            yield resource, namespace


def _paths(host: str, namespaces: Collection[str]) -> dict[str, tuple[str, str]]:
    """The kind and the namespace by the path of its URL."""
    # The API server may be behind a path of its own.
    prefix = urlsplit(host).path.rstrip("/")
    return {
        prefix + resource.path(namespace): (resource.kind, namespace) for resource, namespace in watched(namespaces)
    }


def _session(
    info: kopf.ConnectionInfo, paths: Mapping[str, tuple[str, str]], heard: Heard, listed: Heard
) -> kopf.AiohttpSession:
    """A session like Kopf's own that tells which watch was answered, and which list."""

    async def answered(_session: Any, _context: Any, parameters: aiohttp.TraceRequestEndParams) -> None:
        about = paths.get(parameters.url.path)
        if about and parameters.response.status == 200:
            heard(*about)
            if not parameters.url.query.keys() & {"watch", "continue"}:
                listed(*about)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(answered)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=bool(info.trust_env),
        trace_configs=[trace],
    )
    return kopf.AiohttpSession(server=info.server, default_namespace=info.default_namespace, aiohttp_session=session)


def _register(registry: kopf.OperatorRegistry, resource: Resource, seen: Seen) -> None:
    @kopf.on.event(GROUP, VERSION, resource.plural, registry=registry, id=resource.plural)
    async def handler(event: kopf.RawEvent, **_: Any) -> None:
        seen(str(event["type"] or ""), {**event["object"], "kind": resource.kind})


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    # Namespaces are names, not patterns, and the CRDs are there before the operator.
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _Nothing()
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 255
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = Pauses()
    settings.queueing.exit_timeout = 1
    # The order of the end is ours (application.py), and so are its limits.
    settings.process.ultimate_exiting_timeout = None
    return settings
