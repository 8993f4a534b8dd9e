# SPDX-License-Identifier: GPL-3.0-or-later
"""One operator process from start to end: everything is put together here, started, and ended in order.

Called by `dbops operator run` (cli/operator.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import sys
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from kubernetes.aio.client import Configuration

from dbops_operator import health, kubeconfig
from dbops_operator.client import Client, NotFound
from dbops_operator.controller import Controller
from dbops_operator.events import Events
from dbops_operator.keys import Key
from dbops_operator.lanes import ServerLanes
from dbops_operator.leader import Elector, LeaseLost
from dbops_operator.long_lanes import LongWork
from dbops_operator.metadata_watch import MetadataWatch
from dbops_operator.metrics import Metrics, ObjectCounter
from dbops_operator.reconcile.table import RECONCILERS
from dbops_operator.resources import REFERRED
from dbops_operator.run.pool import Pool
from dbops_operator.settings import Settings
from dbops_operator.store import Store
from dbops_operator.template_process import TemplateProcess
from dbops_operator.vanished import Vanished
from dbops_operator.watch import watch, watched

logger = logging.getLogger(__name__)


async def run(settings: Settings, *, probes: str, measures: str) -> None:
    """Run the operator until SIGTERM or SIGINT. PROBES and MEASURES are bind addresses (see health.address).

    Raises what a watch raises when it fails for good: the process must end then, and be started again.
    """
    stop = asyncio.Event()
    _stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        configuration = await kubeconfig.load()
        store, metrics = Store(), Metrics()
        metrics.registry.register(ObjectCounter(store.phases))
        client = Client(configuration)
        stack.push_async_callback(client.close)
        settings = dataclasses.replace(
            settings, api_server=configuration.host, cluster_id=settings.cluster_id or await _cluster_id(client)
        )
        await _require_own_namespace(client, settings.operator_namespace)
        elector = await _elector(stack, configuration, settings) if settings.leader_elect else None
        client.before_write = elector.require if elector else None
        pool = Pool(settings, metrics)
        stack.push_async_callback(pool.close)
        controller = Controller(store=store, settings=settings, metrics=metrics, reconcilers=RECONCILERS)
        client.on_write, client.writing = controller.written, controller.writing
        controller.client, controller.events, controller.templates = client, Events(client), TemplateProcess()
        stack.push_async_callback(controller.templates.close)
        lanes = ServerLanes(pool, settings, metrics, wake=controller.wake, editor=store.editor)
        controller.lanes, controller.long_lanes = lanes, LongWork(pool, settings, metrics)
        watches = _metadata_watches(client, store, settings, controller)
        heard = {(resource.kind, place): time.monotonic() for resource, place in watched(settings.namespaces)}
        vanished = Vanished(client, store, heard, controller.changed)
        state = health.Health(
            beat=lambda: controller.beat if controller.begun else time.monotonic(),
            watches=lambda: heard | {(one.kind, one.namespace): one.heard for one in watches},
        )
        guard = health.guard(settings, client.review)
        for runner in await health.serve(state, metrics, probes=probes, measures=measures, guard=guard):
            stack.push_async_callback(runner.cleanup)
        if elector is None:
            pool.start()
        # All of it is known before anything is decided: a reference is missing only if it really is.
        versions = [await one.list() for one in watches]
        await controller.list_all()
        work = _lead(elector, settings, controller, lanes, pool, metrics, stop) if elector else controller.run(stop)
        parts = [work, *(one.run(version) for one, version in zip(watches, versions, strict=True))]
        try:
            await _until_stopped(settings, controller, vanished, parts, state, heard, stop, elector)
        except LeaseLost:
            await controller.abandon()
            raise


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _until_stopped(
    settings: Settings,
    controller: Controller,
    vanished: Vanished,
    parts: list[Coroutine[Any, Any, None]],
    state: health.Health,
    heard: dict[health.Watched, float],
    stop: asyncio.Event,
    elector: Elector | None,
) -> None:
    """Run the watches and the PARTS until STOP, and let what is in work end; the end of any of them ends all."""
    kopf_ready = asyncio.Event()
    jobs: list[Coroutine[Any, Any, None]] = [
        watch(
            controller.client.configuration,
            settings.namespaces,
            controller.seen,
            ready=kopf_ready,
            heard=lambda kind, namespace: heard.update({(kind, namespace): time.monotonic()}),
            listed=vanished.listed,
            spawned=lambda: _stop_on_signals(stop),
        ),
        vanished.run(),
        *parts,
    ]
    tasks = [asyncio.ensure_future(job) for job in jobs]
    ready = asyncio.ensure_future(kopf_ready.wait())
    stopped = asyncio.ensure_future(stop.wait())
    done, _ = await asyncio.wait({ready, stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    if ready in done:
        state.ready = True
        logger.info("ready: watching %s", ", ".join(settings.namespaces) or "all namespaces")
        done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    state.ready = False
    failed = [task for task in done if task in tasks and not task.cancelled() and task.exception()]
    stop.set()
    lost = [task for task in failed if isinstance(task.exception(), LeaseLost)]
    if not lost:
        logger.info("ending: finishing what is in work")
        await _unless_lost(controller.drain(max(0.0, settings.grace_period - 10.0)), elector)
    for task in (*tasks, ready, stopped):
        task.cancel()
    await asyncio.gather(*tasks, ready, stopped, return_exceptions=True)
    if lost:
        raise LeaseLost from lost[0].exception()
    if failed:
        raise RuntimeError("a part of the operator ended for good") from failed[0].exception()


async def _elector(stack: AsyncExitStack, configuration: Configuration, settings: Settings) -> Elector:
    """Prepare the election; at the end the Lease is given back once everything that could write has ended."""
    client = Client(configuration)
    stack.push_async_callback(client.close)
    elector = Elector(client, namespace=settings.operator_namespace, name=settings.lease)
    stack.push_async_callback(elector.release)
    return elector


async def _lead(
    elector: Elector,
    settings: Settings,
    controller: Controller,
    lanes: ServerLanes,
    pool: Pool,
    metrics: Metrics,
    stop: asyncio.Event,
) -> None:
    """Wait for the Lease and work under it until STOP. Raises LeaseLost."""
    leading = metrics.leading.labels(settings.lease)
    leading.set(0)
    number = await elector.acquire()
    leading.set(1)
    lanes.epoch = {"name": f"{settings.cluster_id}/{settings.instance_id}", "number": number}
    pool.start()
    await _unless_lost(controller.run(stop), elector)


async def _unless_lost(work: Coroutine[Any, Any, None], elector: Elector | None) -> None:
    """Do WORK to its end, or until the Lease is lost. Raises LeaseLost."""
    if elector is None or not elector.leads:
        await work
        return
    either = [asyncio.ensure_future(work), asyncio.ensure_future(elector.lost())]
    try:
        done, _ = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in either:
            task.cancel()
        await asyncio.gather(*either, return_exceptions=True)


def _metadata_watches(client: Client, store: Store, settings: Settings, controller: Controller) -> list[MetadataWatch]:
    """The watches of what objects refer to: where we look after objects, and in our own namespace."""
    watches = []
    for resource in REFERRED:
        everywhere = not settings.namespaces or not resource.namespaced
        namespaces = ("",) if everywhere else tuple(dict.fromkeys((*settings.namespaces, settings.operator_namespace)))
        watches += [MetadataWatch(client, store, resource.kind, one, controller.changed) for one in namespaces]
    return watches


async def _require_own_namespace(client: Client, name: str) -> None:
    """End with a clear word where the Secrets of the operator itself could not be kept."""
    try:
        await client.get(Key("Namespace", "", name))
    except NotFound:
        sys.exit(
            f"the namespace {name}, where the operator keeps its own Secrets, does not exist: make it, or name "
            "another by --operator-namespace"
        )


async def _cluster_id(client: Client) -> str:
    """The uid of the namespace kube-system, by which clusters are told apart."""
    namespace = await client.get(Key("Namespace", "", "kube-system"))
    return str(namespace["metadata"]["uid"])
