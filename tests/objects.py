# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the running operator apply, and how they wait for it."""

from __future__ import annotations

import base64
import json
from typing import Any

from localstack.controlplane import ControlPlane
from localstack.postgresql import Login
from localstack.processes import wait_until

Body = dict[str, Any]


def instance(namespace: str, login: Login, name: str = "main", **metadata: Any) -> list[Body]:
    """A DatabaseInstance and its Secret."""

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{name}-admin", "namespace": namespace},
        "data": {"username": encoded(login.user), "password": encoded(login.password)},
    }
    connection = {
        "host": login.host,
        "port": login.port,
        "database": "postgres",
        "secretRef": {"name": f"{name}-admin"},
    }
    spec = {"engine": "postgres", "deletionProtection": False, "connection": connection, "postgres": {}}
    return [secret, _own("DatabaseInstance", namespace, name, spec, metadata)]


def user(namespace: str, name: str, login: str, *, on: str = "main", **metadata: Any) -> Body:
    """A DatabaseUser with the account LOGIN."""
    spec = {"instanceRef": {"name": on}, "username": login, "postgres": {}}
    return _own("DatabaseUser", namespace, name, spec, metadata)


def _own(kind: str, namespace: str, name: str, spec: Body, metadata: Body) -> Body:
    return {
        "apiVersion": "dbops.dbprovision.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": spec,
    }


def apply(cluster: ControlPlane, *bodies: Body) -> None:
    """`kubectl apply`, as a person does it."""
    cluster.kubectl("apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}))


def get(cluster: ControlPlane, kind: str, namespace: str, name: str) -> Body | None:
    """The object as it is; None if there is none."""
    text = cluster.kubectl("get", kind, name, "--namespace", namespace, "--ignore-not-found", "--output", "json")
    body: Body | None = json.loads(text) if text.strip() else None
    return body


def ready(body: Body | None) -> str:
    """Status of Ready at the present generation; "" if it was not told yet."""
    for condition in ((body or {}).get("status") or {}).get("conditions") or ():
        current = body and condition.get("observedGeneration") == body["metadata"]["generation"]
        if condition["type"] == "Ready" and current:
            return str(condition["status"])
    return ""


def wait_ready(cluster: ControlPlane, kind: str, namespace: str, *names: str, timeout: float = 60) -> None:
    """Return when all of them are Ready."""

    def look() -> bool:
        return all(ready(get(cluster, kind, namespace, name)) == "True" for name in names)

    wait_until(look, what=f"{kind} {', '.join(names)} Ready", timeout=timeout)


def wait_gone(cluster: ControlPlane, kind: str, namespace: str, name: str, timeout: float = 60) -> None:
    """Return when the object is gone."""
    wait_until(lambda: get(cluster, kind, namespace, name) is None, what=f"{kind} {name} gone", timeout=timeout)
