# SPDX-License-Identifier: GPL-3.0-or-later
"""From an object's references to a server to work on: instance, consent, Secrets, connection.

A reconciler asks with a context; what is missing or not ready comes back as DbopsError with DependencyNotReady,
and the object is woken by what it waits for, since everything is announced with `context.depends` before it is
read. Secrets are read from the API when they are needed and kept nowhere.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import access, annotation, connection
from dbops_operator.api.cluster_database_instance import CLUSTER_DATABASE_INSTANCE
from dbops_operator.api.common import ClusterInstanceRef, InstanceReferences
from dbops_operator.api.database_instance import DATABASE_INSTANCE, DatabaseInstanceSpec
from dbops_operator.api.model import parse
from dbops_operator.client import NotFound
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.store import readiness
from dbops_operator.work import ServerTarget

Body = Mapping[str, Any]

_RESOLVE_SECONDS = 5.0


@dataclass(frozen=True)
class Server:
    """An instance and how to reach its server."""

    key: Key
    body: Body = field(repr=False)
    spec: DatabaseInstanceSpec
    target: ServerTarget = field(repr=False)

    @property
    def admin(self) -> str:
        """Name of the account that manages the server."""
        return str(self.target.connection["login_user"])


class ClusterReference(Protocol):
    """The spec of a cluster-scoped kind, which names a ClusterDatabaseInstance."""

    @property
    def cluster_instance_ref(self) -> ClusterInstanceRef:
        """The ClusterDatabaseInstance."""


References = InstanceReferences | ClusterReference


def instance_key(spec: References, namespace: str) -> Key:
    """Which instance an object of NAMESPACE (none: a cluster-scoped one) refers to."""
    if spec.cluster_instance_ref:
        return Key("ClusterDatabaseInstance", "", spec.cluster_instance_ref.name)
    assert isinstance(spec, InstanceReferences)
    assert spec.instance_ref
    return Key("DatabaseInstance", spec.instance_ref.namespace or namespace, spec.instance_ref.name)


def parse_instance(body: Body) -> DatabaseInstanceSpec:
    """The typed spec of an instance of either scope."""
    kind = DATABASE_INSTANCE if body["kind"] == "DatabaseInstance" else CLUSTER_DATABASE_INSTANCE
    spec = parse(kind, body)
    assert isinstance(spec, DatabaseInstanceSpec)
    return spec


def find_instance(context: Context, key: Key) -> Body:
    """The instance as it was seen last. Raises DependencyNotReady when there is none."""
    context.depends(key)
    body = context.store.get(key)
    if body is None:
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"{_named(key)} does not exist")
    return body


def require_ready(body: Body) -> None:
    """Raise DependencyNotReady, with the instance's own reason, when it is not Ready as it stands now."""
    status, current = readiness(body)
    if status == "True" and current and not body["metadata"].get("deletionTimestamp"):
        return
    key = Key.of(body)
    why = next((one for one in body.get("status", {}).get("conditions") or () if one["type"] == "Ready"), None)
    if body["metadata"].get("deletionTimestamp"):
        text = f"{_named(key)} is being deleted"
    elif status == "False" and why:
        text = f"{_named(key)} is not ready: {why['reason']}"
    else:
        text = f"{_named(key)} is not ready yet"
    raise DbopsError(Reason.DEPENDENCY_NOT_READY, text)


def check_consent(context: Context, instance: Body, consumer_kind: str, namespace: str) -> bool:
    """Refuse an instance that does not serve NAMESPACE; give whether the instance is another namespace's."""
    place = Key("Namespace", "", namespace)
    labels: Mapping[str, str] = {}
    if instance["metadata"].get("namespace", "") != namespace:
        context.depends(place)
        labels = ((context.store.get(place) or {}).get("metadata") or {}).get("labels") or {}
    consumer = access.Consumer(kind=consumer_kind, namespace=namespace, labels=labels)
    policy = parse_instance(instance).access_policy
    access.check_instance(instance, policy, consumer, settings=context.settings)
    return access.is_foreign(instance, consumer)


async def server(context: Context, instance: Body) -> Server:
    """Read what is needed to reach the server of an INSTANCE. Raises DbopsError."""
    key = Key.of(instance)
    spec = parse_instance(instance)
    if spec.engine not in ("postgres", "mysql", "mariadb"):
        text = f"engine {spec.engine} is not served; postgres, mysql and mariadb are"
        raise DbopsError(Reason.UNSUPPORTED, text, field="spec.engine")
    access.check_host(spec.connection.host)
    reference = connection.credentials_reference(spec.connection)
    namespace = reference.namespace or key.namespace or context.settings.operator_namespace
    credentials = await _secret(context, Key("Secret", namespace, reference.name), key, spec.connection.host)
    tls = None
    if name := connection.tls_secret_name(spec):
        tls = await _secret(context, Key("Secret", key.namespace or namespace, name), key, spec.connection.host)
    options = connection.options(spec, credentials=credentials, tls=tls)
    await check_addresses(context, spec.connection.host, spec.connection.port)
    return Server(
        key=key,
        body=instance,
        spec=spec,
        target=ServerTarget(
            lane=connection.lane(spec),
            connection=options,
            drop_brake={
                "drops": context.settings.drop_brake.drops,
                "seconds": context.settings.drop_brake.seconds,
            },
            acknowledge=annotation.words(instance, annotation.ACKNOWLEDGE),
            identity=str((instance.get("status") or {}).get("serverIdentity") or ""),
        ),
    )


def credentials_key(context: Context, instance: Body) -> Key:
    """The Secret with the credentials of an INSTANCE. Raises InvalidSpec when it names none."""
    reference = connection.credentials_reference(parse_instance(instance).connection)
    namespace = reference.namespace or instance["metadata"].get("namespace") or context.settings.operator_namespace
    return Key("Secret", namespace, reference.name)


async def _secret(context: Context, key: Key, instance: Key, host: str) -> Body:
    context.depends(key)
    try:
        secret = await context.api.get(key)
    except NotFound as error:
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Secret {key.namespace}/{key.name} does not exist") from error
    access.check_secret(secret, reader=instance.namespace, host=host, settings=context.settings)
    return secret


async def check_addresses(context: Context, host: str, port: int, *, field: str = "spec.connection.host") -> None:
    """Refuse what a HOST resolves to where access.check_addresses does; FIELD is where it is named."""
    addresses = await _addresses(host)
    if not addresses:
        raise DbopsError(Reason.CONNECTION_FAILED, f"the name {host} does not resolve", field=field)
    api_host = urlsplit(context.settings.api_server).hostname
    access.check_addresses(
        addresses,
        port=port,
        api_addresses=await _addresses(api_host) if api_host else frozenset(),
        settings=context.settings,
        field=field,
    )


async def _addresses(host: str) -> frozenset[str]:
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return frozenset()
    return frozenset(str(one[4][0]) for one in found)


def _named(key: Key) -> str:
    return f"{key.kind} {key.namespace}/{key.name}" if key.namespace else f"{key.kind} {key.name}"
