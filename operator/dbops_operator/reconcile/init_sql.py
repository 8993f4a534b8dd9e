# SPDX-License-Identifier: GPL-3.0-or-later
"""A Database's initSQL: its source is read here, and what became of it goes into status.initSQL.

The engine runs it, once per content, and remembers how far it came. Called by database.py.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.content_hash import content_hash
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.results import ObjectResult
from dbops_operator import access, annotation, status
from dbops_operator.api.database import InitSQL
from dbops_operator.client import NotFound
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile.common import Body

FAILED = "InitSQLFailed"
"""Reason of Synced=False."""


@dataclass(frozen=True)
class Source:
    """What is to run: an option of the engine, and its hash."""

    options: Mapping[str, Any] = field(repr=False)
    hash: str

    def runs(self, body: Body) -> bool:
        """Whether it has not run with success yet, as far as status says."""
        told = body.get("status", {}).get("initSQL") or {}
        return told.get("hash") != self.hash or not told.get("applied")


async def read_or_go_on(context: Context, body: Body, spec: InitSQL | None) -> tuple[Source | None, DbopsError | None]:
    """Read the statements; where a failure is only to be reported, give what is missing beside nothing to run."""
    try:
        return await read(context, body, spec), None
    except DbopsError as error:
        if not spec or spec.failure_policy == "Block" or error.reason is not Reason.DEPENDENCY_NOT_READY:
            raise
        return None, error


async def read(context: Context, body: Body, spec: InitSQL | None) -> Source | None:
    """Read the statements. Raises DependencyNotReady for what is missing, AccessDenied for what may not be read."""
    if spec is None:
        return None
    on_failure = spec.failure_policy.lower()
    if spec.inline is not None:
        return Source({"statements": list(spec.inline), "on_failure": on_failure}, content_hash(spec.inline, None))
    reference = spec.config_map_ref or spec.secret_ref
    assert reference
    kind = "ConfigMap" if spec.config_map_ref else "Secret"
    namespace = body["metadata"]["namespace"]
    key = Key(kind, reference.namespace or namespace, reference.name)
    found = await _get(context, key)
    _check_consent(context, found, kind, namespace)
    content = (found.get("data") or {}).get(reference.key)
    if content is None:
        text = f"{kind} {key.namespace}/{key.name} has no key {reference.key}"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="spec.initSQL")
    script = base64.b64decode(content).decode() if kind == "Secret" else str(content)
    return Source({"script": script, "on_failure": on_failure}, content_hash((), script))


async def _get(context: Context, key: Key) -> Mapping[str, Any]:
    context.depends(key)
    try:
        return await context.api.get(key)
    except NotFound as error:
        text = f"{key.kind} {key.namespace}/{key.name} does not exist"
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, text, field="spec.initSQL") from error


def _check_consent(context: Context, found: Mapping[str, Any], kind: str, reader: str) -> None:
    namespace, name = found["metadata"]["namespace"], found["metadata"]["name"]
    access.require_not_ours(found)
    if namespace == reader or access.is_open(context.settings):
        return
    if kind == "Secret":
        # The annotation on a Secret consents to connections only.
        text = f"Secret {namespace}/{name} is not of namespace {reader}, and no Secret's content becomes SQL elsewhere"
        raise DbopsError(Reason.ACCESS_DENIED, text, field="spec.initSQL")
    if not access.consents(found, namespace=reader):
        raise DbopsError(
            Reason.ACCESS_DENIED,
            f"ConfigMap {namespace}/{name} does not consent to being used from namespace {reader}: "
            f"annotate it {annotation.ALLOW_FROM}={reader}",
            field="spec.initSQL",
        )


def told(body: Body, result: ObjectResult) -> dict[str, Any] | None:
    """status.initSQL after a run; None when the spec has none."""
    facts = result.observed.get("init_sql")
    if not facts:
        return None
    before = body.get("status", {}).get("initSQL") or {}
    same = before.get("hash") == facts["hash"] and before.get("applied")
    applied_at = before.get("appliedAt") if same else status.now()
    return {
        "applied": facts["applied"],
        **({"appliedAt": applied_at} if facts["applied"] else {}),
        "hash": facts["hash"],
        "statementsExecuted": facts["statements_executed"],
        "error": facts["error"] or "",
    }


def missing(error: DbopsError) -> dict[str, Any]:
    """status.initSQL when the source cannot be read."""
    return {"applied": False, "hash": "", "statementsExecuted": 0, "error": error.message}
