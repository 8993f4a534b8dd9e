# SPDX-License-Identifier: GPL-3.0-or-later
"""The finalizer `in-use` on admin Secrets: keeps the way to a server open while a namespace is being deleted.

The namespace controller deletes Secrets within seconds, and the databases and users that must be dropped with them
are gone only later. Called by the instance's reconciler, which Secrets and dependants wake.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError
from dbops_operator import annotation, deletion, resolve
from dbops_operator.client import Conflict, NotFound
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import removal
from dbops_operator.reconcile.common import Body, current, has_finalizer, remove_finalizer

_INSTANCES = ("DatabaseInstance", "ClusterDatabaseInstance")


async def update(context: Context, body: Body) -> None:
    """Put the finalizer on the instance's admin Secret, or take it off, as things are now."""
    with contextlib.suppress(DbopsError):
        await _settle(context, resolve.credentials_key(context, body))
    if body.get("status", {}).get("observedGeneration") != body["metadata"]["generation"]:
        # The reference may have been another one before.
        await _release_unreferenced(context)


async def release(context: Context, body: Body) -> None:
    """Let go of the Secret of an instance that is gone, unless another one still needs it."""
    with contextlib.suppress(DbopsError):
        await _settle(context, resolve.credentials_key(context, body), without=Key.of(body))


async def _settle(context: Context, key: Key, *, without: Key | None = None) -> None:
    context.depends(key)
    seen = context.store.get(key)
    if seen is None:
        return
    users = [one for one in _instances(context, key) if Key.of(one) != without]
    holds = deletion.holds_secret(
        deletion.SecretUse(
            deleting=bool(seen["metadata"].get("deletionTimestamp")),
            namespace_terminating=_is_terminating(context, key.namespace),
            needed=_is_needed(context, seen, users),
        )
    )
    if holds != (deletion.FINALIZER_IN_USE in (seen["metadata"].get("finalizers") or ())):
        await _set(context, key, holds=holds)


def _is_needed(context: Context, secret: Any, users: list[Any]) -> bool:
    if not secret["metadata"].get("deletionTimestamp"):
        return any(has_finalizer(dict(one)) for one in users)
    return any(
        must_be_dropped(context.store.get(child))
        for one in users
        for child in removal.dependants_in_store(context, Key.of(one))
    )


def must_be_dropped(body: Any) -> bool:
    """Whether an object that goes takes something on a server with it."""
    if body is None or not has_finalizer(dict(body)) or annotation.flag(body, annotation.FORCE_DELETE):
        return False
    if body["kind"] == "Database" and body["spec"].get("deletionPolicy") == "Retain":
        return False
    return not annotation.retains(body)


async def _set(context: Context, key: Key, *, holds: bool) -> None:
    secret = await current(context, key)
    if secret is None:
        return
    finalizers = list(secret["metadata"].get("finalizers") or ())
    with contextlib.suppress(NotFound, Conflict):
        # An edit at the same moment wakes the instance again.
        if not holds:
            await remove_finalizer(context, dict(secret), deletion.FINALIZER_IN_USE)
        elif deletion.FINALIZER_IN_USE not in finalizers and not secret["metadata"].get("deletionTimestamp"):
            await context.api.patch_finalizers(secret, [*finalizers, deletion.FINALIZER_IN_USE])


def _instances(context: Context, secret: Key) -> Iterator[Any]:
    for kind in _INSTANCES:
        for body in context.store.list(kind):
            with contextlib.suppress(DbopsError):
                if resolve.credentials_key(context, body) == secret:
                    yield body


def _is_terminating(context: Context, namespace: str) -> bool:
    key = Key("Namespace", "", namespace)
    context.depends(key)
    body = context.store.get(key)
    return bool(body and body["metadata"].get("deletionTimestamp"))


async def _release_unreferenced(context: Context) -> None:
    for key in context.store.keys("Secret"):
        seen = context.store.get(key)
        if seen and deletion.FINALIZER_IN_USE in (seen["metadata"].get("finalizers") or ()):
            if not any(True for _ in _instances(context, key)):
                await _set(context, key, holds=False)
