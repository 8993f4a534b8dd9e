# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the running operator apply, and how they wait for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import psycopg

from localstack.controlplane import ApiError, ControlPlane
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


def database(namespace: str, name: str, database_name: str, *, on: str = "main", **spec: Any) -> Body:
    """A Database without deletion protection; SPEC adds to its spec."""
    given = {"instanceRef": {"name": on}, "name": database_name, "deletionProtection": False, "postgres": {}}
    return _own("Database", namespace, name, {**given, **spec}, {})


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


def path(kind: str, namespace: str, name: str = "") -> str:
    """Where the API has objects of a kind: of ours, or of one of the core."""
    group = "/apis/dbops.dbprovision.io/v1alpha1" if kind.lower().startswith("database") else "/api/v1"
    return f"{group}/namespaces/{namespace}/{kind.lower()}s" + (f"/{name}" if name else "")


def get(cluster: ControlPlane, kind: str, namespace: str, name: str) -> Body | None:
    """The object as it is; None if there is none."""
    try:
        return cluster.request("GET", path(kind, namespace, name))
    except ApiError as error:
        if error.status != 404:
            raise
        return None


def all_of(cluster: ControlPlane, kind: str, namespace: str) -> list[Body]:
    """All objects of a kind in a namespace."""
    return list(cluster.request("GET", path(kind, namespace))["items"])


def patch(cluster: ControlPlane, kind: str, namespace: str, name: str, change: Body) -> None:
    """Merge CHANGE into the object, as a person's `kubectl patch` does."""
    cluster.kubectl("patch", kind, name, "--namespace", namespace, "--type=merge", "--patch", json.dumps(change))


def annotate(cluster: ControlPlane, kind: str, namespace: str, name: str, **annotations: str) -> None:
    """Set annotations of our group; `force_delete` stands for `force-delete`."""
    named = {f"dbops.dbprovision.io/{word.replace('_', '-')}": value for word, value in annotations.items()}
    patch(cluster, kind, namespace, name, {"metadata": {"annotations": named}})


def condition(body: Body | None, type_: str = "Ready") -> Body:
    """The condition as it holds for the present generation; empty if it was not told yet."""
    for one in ((body or {}).get("status") or {}).get("conditions") or ():
        if body and one["type"] == type_ and one.get("observedGeneration") == body["metadata"]["generation"]:
            found: Body = one
            return found
    return {}


def ready(body: Body | None) -> str:
    """Status of Ready at the present generation; "" if it was not told yet."""
    return str(condition(body).get("status", ""))


def wait_in_work(cluster: ControlPlane, namespace: str, name: str) -> None:
    """Return when the DatabaseUser's work has begun and takes long."""

    def look() -> bool:
        body = get(cluster, "databaseuser", namespace, name) or {}
        found = body.get("status", {}).get("conditions", ())
        # With another reason it only waits for something.
        return any(one["type"] == one["reason"] == "Reconciling" for one in found)

    wait_until(look, what=f"{name} is in work")


def secret_content(cluster: ControlPlane, namespace: str, name: str) -> dict[str, str]:
    """What a Secret holds; empty if there is none."""
    body = get(cluster, "secret", namespace, name) or {}
    return {key: base64.b64decode(value).decode() for key, value in (body.get("data") or {}).items()}


def log_in(content: Mapping[str, str]) -> str:
    """Log in with the content of a credentials Secret, and nothing else; give who one is then."""
    with psycopg.connect(
        host=content["host"],
        port=int(content["port"]),
        user=content["username"],
        password=content["password"],
        dbname=content["database"],
        connect_timeout=10,
    ) as connection:
        row = connection.execute("SELECT current_user").fetchone()
    assert row
    return str(row[0])


def wait_reason(cluster: ControlPlane, kind: str, namespace: str, name: str, *reasons: str, timeout: float = 60) -> str:
    """Return when Ready is not True for one of REASONS; give the message."""

    def look() -> Body:
        return condition(get(cluster, kind, namespace, name))

    wait_until(
        lambda: look().get("status") == "False" and look().get("reason") in reasons,
        what=f"{kind} {name} says {' or '.join(reasons)}",
        timeout=timeout,
    )
    return str(look().get("message", ""))


def wait_ready(cluster: ControlPlane, kind: str, namespace: str, *names: str, timeout: float = 60) -> None:
    """Return when all of them are Ready."""

    def look() -> bool:
        return all(ready(get(cluster, kind, namespace, name)) == "True" for name in names)

    try:
        wait_until(look, what=f"{kind} {', '.join(names)} Ready", timeout=timeout)
    except TimeoutError as error:
        for name in names:
            body = get(cluster, kind, namespace, name) or {}
            error.add_note(f"{name}: {(body.get('status') or {}).get('message')} {condition(body)}")
        raise


def wait_gone(cluster: ControlPlane, kind: str, namespace: str, name: str, timeout: float = 60) -> None:
    """Return when the object is gone."""
    wait_until(lambda: get(cluster, kind, namespace, name) is None, what=f"{kind} {name} gone", timeout=timeout)
