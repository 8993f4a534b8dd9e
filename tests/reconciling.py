# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconcilers called one at a time against a real API server and a real PostgreSQL: no watch, no queue, no runs.

What happens in which order is up to the test, and so is where a reconcile breaks off. The fixture `operator` of
tests/e2e/reconcile/conftest.py gives an Operator.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

from ansible_collections.dbprovision.dbops.plugins.module_utils.backup import worker
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.converge import converge
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from ansible_collections.dbprovision.dbops.plugins.plugin_utils import standby
from dbops_operator import status
from dbops_operator.client import Client, NotFound
from dbops_operator.context import Context, clock
from dbops_operator.events import Events
from dbops_operator.keys import Key
from dbops_operator.metrics import Metrics
from dbops_operator.reconcile.table import RECONCILERS
from dbops_operator.resources import GROUP, OWN, RESOURCES, VERSION
from dbops_operator.settings import INSTANCE_LABEL, DropBrake, Settings
from dbops_operator.store import Store
from dbops_operator.template_process import TemplateProcess
from dbops_operator.work import Job, Priority, ServerTarget, Told, Verdict
from localstack.controlplane import ControlPlane
from localstack.mysql import MySQLLogin
from localstack.postgresql import Login, PostgreSQLServer

Body = dict[str, Any]


class Crash(BaseException):
    """The operator was killed here."""


class CrashingClient(Client):
    """A client that counts writes and dies before the one that a test names."""

    writes = 0
    crash_at: int | None = None

    async def _json(self, method: str, path: str, **options: Any) -> Body:
        if method != "GET" and "/events" not in path:
            self.writes += 1
            if self.writes == self.crash_at:
                raise Crash
        return await super()._json(method, path, **options)


class DirectLanes:
    """The engine, called in a thread of its own instead of a run."""

    def __init__(self) -> None:
        self.calls: list[Mapping[str, Any]] = []
        self.targets: list[ServerTarget] = []
        self.results: list[ObjectResult] = []
        self.crash_after = False
        self.crash_at: int | None = None
        """Die after so many more results."""

    async def converge(
        self,
        target: ServerTarget,
        obj: Mapping[str, Any],
        *,
        key: Key,
        priority: Priority,  # noqa: ARG002
        cancel: asyncio.Event | None = None,  # noqa: ARG002
        check: bool = False,
    ) -> ObjectResult:
        request = {
            "connection": dict(target.connection),
            "objects": [{**obj, "ref": key.ref}],
            "check": check,
            "acknowledge": list(target.acknowledge),
            "drop_brake": dict(target.drop_brake),
            "server_identity": target.identity,
        }
        self.targets.append(target)
        self.calls.append({**obj, "check": check})
        document = await asyncio.to_thread(converge, request)
        result = ObjectResult.from_dict(document["objects"][0])
        self.results.append(result)
        if self.crash_at is not None:
            self.crash_at -= 1
        if self.crash_after or self.crash_at == 0:
            raise Crash
        return result


class DirectLongLanes:
    """The worker, called in a thread of its own instead of a run."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.results: list[Mapping[str, Any]] = []
        self.crash_after = False
        self.crash_at_finish = False
        """Die when the end is noted, and not done yet."""
        self.begun = asyncio.Event()

    async def do(
        self,
        action: str,  # noqa: ARG002
        lane: str,  # noqa: ARG002
        prepare: Callable[[], Awaitable[Job]],
        *,
        told: Told,
        cancel: asyncio.Event,
    ) -> Mapping[str, Any]:
        job = await prepare()
        self.jobs.append(job)
        self.begun.set()
        message = job.request()
        loop = asyncio.get_running_loop()

        def progress(news: Mapping[str, Any]) -> None:
            loop.call_soon_threadsafe(told.progress, dict(news))
            if news["phase"] == standby.FINISH:
                asyncio.run_coroutine_threadsafe(self._finishing(told), loop).result()

        result = await asyncio.to_thread(
            worker.run,
            job.action,
            standby._with_connection(message["options"]),
            progress=progress,
            cancelled=cancel.is_set,
        )
        # As it comes over the socket.
        result = json.loads(json.dumps(result))
        self.results.append(result)
        if self.crash_after:
            raise Crash
        return result

    async def _finishing(self, told: Told) -> None:
        await told.finishing()
        if self.crash_at_finish:
            raise Crash


class Operator:
    """What a test drives: apply objects, reconcile them, look at what came out."""

    def __init__(self, client: CrashingClient, namespace: str, settings: Settings, cluster: ControlPlane) -> None:
        self.api = client
        self.namespace = namespace
        self.settings = settings
        self.cluster = cluster
        self.lanes = DirectLanes()
        self.long_lanes = DirectLongLanes()
        self.templates = TemplateProcess()
        self.metrics = Metrics()
        self.store = Store()
        client.on_write = self.store.put
        self.cancel = asyncio.Event()
        self.woken: list[Key] = []
        self.depends: set[Key] = set()
        self.ahead = timedelta()

    def later(self, **time: float) -> None:
        """Let time pass."""
        self.ahead += timedelta(**time)

    def now(self) -> datetime:
        """The time as the operator sees it."""
        return clock() + self.ahead

    def brake(self, brake: DropBrake) -> None:
        """Use another brake on drops."""
        self.settings = dataclasses.replace(self.settings, drop_brake=brake)

    def key(self, kind: str, name: str, namespace: str | None = None) -> Key:
        namespaced = RESOURCES[kind].namespaced
        return Key(kind, (self.namespace if namespace is None else namespace) if namespaced else "", name)

    async def create(self, kind: str, name: str, spec: Body, **metadata: Any) -> Key:
        key = self.key(kind, name, metadata.pop("namespace", None))
        place = {"namespace": key.namespace} if key.namespace else {}
        # Not for an operator that runs beside: it is the test that decides when something happens.
        metadata["labels"] = {INSTANCE_LABEL: "driven-by-the-test", **metadata.get("labels", {})}
        await self.api.create(
            {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": kind,
                "metadata": {"name": name, **place, **metadata},
                "spec": spec,
            }
        )
        return key

    async def create_secret(self, name: str, data: Mapping[str, str], **metadata: Any) -> Key:
        key = self.key("Secret", name, metadata.pop("namespace", None))
        await self.api.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": key.namespace, **metadata},
                "data": {name: base64.b64encode(value.encode()).decode() for name, value in data.items()},
            }
        )
        return key

    async def instance(self, login: Login | PostgreSQLServer, name: str = "main", **spec: Any) -> Key:
        """A ready instance of a server (or of another account on it)."""
        login = login.admin if isinstance(login, PostgreSQLServer) else login
        await self.create_secret(f"{name}-admin", {"username": login.user, "password": login.password})
        connection = {
            "host": login.host,
            "port": login.port,
            "database": "postgres",
            "secretRef": {"name": f"{name}-admin"},
        }
        key = await self.create(
            "DatabaseInstance", name, {"engine": "postgres", "connection": connection, "postgres": {}, **spec}
        )
        await self.run(key)
        return key

    async def mysql_instance(self, login: MySQLLogin, engine: str, name: str = "main") -> Key:
        """A ready instance of a server of MySQL or MariaDB, with its TLS verified."""
        await self.create_secret(f"{name}-admin", {"username": login.user, "password": login.password})
        assert login.ca_certificate
        await self.create_secret(f"{name}-tls", {"ca.crt": login.ca_certificate.read_text(encoding="utf-8")})
        spec = {
            "engine": engine,
            "connection": {
                "host": login.host,
                "port": login.port,
                "database": "mysql",
                "secretRef": {"name": f"{name}-admin"},
            },
            "tls": {"enabled": True, "mode": "verify-full", "secretRef": {"name": f"{name}-tls"}},
            "mysql": {},
        }
        key = await self.create("DatabaseInstance", name, spec)
        await self.run(key)
        return key

    async def run(self, key: Key) -> Verdict:
        """One reconcile of KEY, with everything known that the API has."""
        store, self.cancel = self.store, asyncio.Event()
        for resource in (*OWN, RESOURCES["Secret"], RESOURCES["Namespace"]):
            bodies, version = await self.api.list_with_version(resource.kind)
            store.replace(resource.kind, bodies, version=version)
        context = Context(
            api=self.api,
            store=store,
            lanes=self.lanes,
            long_lanes=self.long_lanes,
            settings=self.settings,
            events=Events(self.api),
            metrics=self.metrics,
            templates=self.templates,
            cancel=self.cancel,
            priority=Priority.CHANGE,
            depends=self.depends.add,
            wake=lambda woken, _: self.woken.append(woken),
            now=self.now,
        )
        return await RECONCILERS[key.kind](context, key)

    async def get(self, key: Key) -> Body:
        return await self.api.get(key)

    async def exists(self, key: Key) -> bool:
        try:
            await self.api.get(key)
        except NotFound:
            return False
        return True

    async def status(self, key: Key) -> Body:
        return cast("Body", (await self.get(key)).get("status") or {})

    async def condition(self, key: Key, type_: str) -> tuple[str, str] | None:
        """Status and reason of a condition."""
        found = status.condition(await self.get(key), type_)
        return (found["status"], found["reason"]) if found else None

    async def ready(self, key: Key) -> tuple[str, str] | None:
        return await self.condition(key, "Ready")

    async def secret(self, name: str, namespace: str | None = None) -> dict[str, str]:
        body = await self.api.get(self.key("Secret", name, namespace))
        return {key: base64.b64decode(value).decode() for key, value in (body.get("data") or {}).items()}

    async def patch(self, key: Key, patch: Body) -> None:
        """A user's edit."""
        path = f"{RESOURCES[key.kind].path(key.namespace, key.name)}"
        await self.api._json("PATCH", path, body=patch, content_type="application/merge-patch+json")

    async def annotate(self, key: Key, **annotations: str | None) -> None:
        named = {f"{GROUP}/{name.replace('_', '-')}": value for name, value in annotations.items()}
        await self.patch(key, {"metadata": {"annotations": named}})

    async def edit_secret(self, name: str, **data: str | None) -> None:
        encoded = {
            key: None if value is None else base64.b64encode(value.encode()).decode() for key, value in data.items()
        }
        await self.patch(self.key("Secret", name), {"data": encoded})

    async def delete(self, key: Key) -> None:
        await self.api.delete(key)

    async def events(self, key: Key) -> list[str]:
        """Reasons of the events about an object."""
        found = await self.api.list("Event", key.namespace or "default")
        return [
            one["reason"]
            for one in found
            if Key(one["regarding"]["kind"], key.namespace, one["regarding"]["name"]) == key
        ]
