# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of users and the Secrets that carry them: pure decisions over what was read.

Two Secrets per DatabaseUser. The state Secret, in the operator's namespace, learns a password before the server does;
the consumer's Secret, beside the object, is rendered only after a login with it worked. Its keys:

    current            the password whose Secret was rendered (absent for a user that was never changed)
    next               the password that the server is being given, or was given last
    rotation           which login they are of, and what rotation must remember (rotation_record.py), if anything

So `next` alone is a new user, both together a change in flight, `current` alone a finished change. A new user is not
promoted to `current`: that would be one write more for nothing. A crash between any two steps finds one of
these states again and goes on from it; reconcile/database_user.py carries the steps out.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator.access import STATE_LABEL
from dbops_operator.connection import secret_text
from dbops_operator.keys import Key
from dbops_operator.resources import GROUP
from dbops_operator.rotation_record import Record, from_text, to_text

Body = Mapping[str, Any]

USER_LABEL = f"{GROUP}/user"
MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "db-provision-operator"
USER_ANNOTATION = f"{GROUP}/state-of"
_LABEL_LENGTH = 63
_NAME_LENGTH = 253


@dataclass(frozen=True)
class State:
    """Content of the state Secret."""

    current: str | None = field(default=None, repr=False)
    next: str | None = field(default=None, repr=False)
    rotation: Record | None = None

    @property
    def rendered(self) -> str | None:
        """The password that the consumer's Secret has when nothing is in flight."""
        return self.current or self.next


@dataclass(frozen=True)
class Given:
    """What was read before a password is decided on."""

    state: State
    existing: str | None = field(default=None, repr=False)
    """The password from `existingPasswordSecret`, if the spec names one."""
    consumer_exists: bool = False
    consumer_password: str | None = field(default=None, repr=False)
    """Key `password` of the consumer's Secret, if it has one."""
    watches_password: bool = True
    """Whether the consumer's Secret has the key `password`, so that an edit of it is an order."""
    was_rendered: bool = False
    """Whether status says that the consumer's Secret was there, under the name that it has now."""
    rotate: bool = False
    """Whether a rotation is due; it waits while another change is under way."""


@dataclass(frozen=True)
class Choice:
    """The password to give to the server, and the state that must be written before."""

    password: str = field(repr=False)
    state: State = field(repr=False)
    write: bool
    """Whether `state` differs from what was read."""
    regenerated: bool = False
    """The consumer's Secret was deleted or emptied by hand; the event SecretRegenerated is due."""
    rotates: bool = False
    """The password is a new one because a rotation is due."""
    landed: Record | None = None
    """What is to be remembered of rotation after the consumer's Secret was rendered."""

    @property
    def finished(self) -> State:
        """The state after the consumer's Secret was rendered with the password."""
        done = State(current=self.password) if self.state.current else self.state
        return replace(done, rotation=self.landed)


def choose(given: Given, *, fresh: str) -> Choice:
    """Decide which password the user is to have; FRESH is a newly made one, used only where one is needed."""
    state = given.state
    if given.existing is not None:
        return _move_to(state, given.existing)
    if state.rendered is None:
        # The state is new, or was lost: then what the consumer's Secret says is the best that is known.
        return _move_to(state, given.consumer_password or fresh)
    in_flight = state.current is not None and state.next is not None
    lost = not given.consumer_exists or (given.watches_password and not given.consumer_password)
    if lost:
        if in_flight or not (given.was_rendered or given.consumer_exists):
            return Choice(state.next or state.rendered, state, write=False, regenerated=in_flight)
        return Choice(fresh, State(current=state.rendered, next=fresh), write=True, regenerated=True)
    edited = given.watches_password and given.consumer_password not in (state.current, state.next)
    if edited:
        assert given.consumer_password
        return _move_to(state, given.consumer_password)
    if given.rotate and not in_flight:
        return Choice(fresh, State(current=state.rendered, next=fresh), write=True, rotates=True)
    return Choice(state.next or state.rendered, state, write=False)


def _move_to(state: State, password: str) -> Choice:
    if state.rendered is None:
        return Choice(password, State(next=password), write=True)
    if password == (state.next or state.current):
        return Choice(password, state, write=False)
    wanted = State(current=state.current or state.next, next=password)
    return Choice(password, wanted, write=True)


def state_key(key: Key, *, operator_namespace: str) -> Key:
    """Where the state of a DatabaseUser lies. The name is a digest, since names of two parts may be too long."""
    digest = hashlib.sha256(f"{key.namespace}/{key.name}".encode()).hexdigest()[:40]
    return Key("Secret", operator_namespace, f"dbops-user-{digest}")


def state_secret(key: Key, state: State, *, place: Key, cluster: str) -> dict[str, Any]:
    """The state Secret of a DatabaseUser as it is to be."""
    rotation = to_text(state.rotation) if state.rotation else None
    values = {"current": state.current, "next": state.next, "rotation": rotation}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": place.name,
            "namespace": place.namespace,
            "labels": {MANAGED_BY: MANAGER, STATE_LABEL: "DatabaseUser"},
            "annotations": {USER_ANNOTATION: f"{key.namespace}/{key.name}", f"{GROUP}/cluster-id": cluster},
        },
        "type": f"{GROUP}/user-state",
        "data": {name: encode(value) for name, value in values.items() if value is not None},
    }


def read_state(secret: Body | None) -> State:
    """What a state Secret says; an absent one says nothing."""
    if secret is None:
        return State()
    rotation = secret_text(secret, "rotation")
    return State(
        current=secret_text(secret, "current"),
        next=secret_text(secret, "next"),
        rotation=from_text(rotation) if rotation else None,
    )


def consumer_name(username: str, secret_name: str | None, *, ending: str = "credentials") -> str:
    """Name of the consumer's Secret: as the spec says, else `<username>-credentials` made a legal name."""
    if secret_name:
        return secret_name
    legal = re.sub(r"[^a-z0-9.-]+", "-", username.lower()).strip("-.")
    return f"{legal or 'user'}-{ending}"[-_NAME_LENGTH:]


def is_ours(secret: Body, user: Body) -> bool:
    """Whether a Secret is that of the DatabaseUser: it is owned by it, or carries its labels and nobody's owner.

    Another uid of the same name counts: an object that was restored from a backup has one.
    """
    metadata, name = secret["metadata"], user["metadata"]["name"]
    owners = metadata.get("ownerReferences") or ()
    if any(
        one["kind"] == "DatabaseUser" and one["name"] == name and one["apiVersion"].startswith(GROUP) for one in owners
    ):
        return True
    labels = metadata.get("labels") or {}
    return not owners and labels.get(USER_LABEL) == label_value(name) and labels.get(MANAGED_BY) == MANAGER


def label_value(name: str) -> str:
    """NAME as the value of a label; one that is too long is cut and told apart by a digest."""
    if len(name) <= _LABEL_LENGTH:
        return name
    return f"{name[:50].rstrip('-.')}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class Place:
    """Where a user logs in, as its Secret tells it."""

    host: str
    port: int
    database: str
    """The instance's admin database: it exists wherever the instance does."""
    ssl_mode: str
    """The mode that connections of the operator use."""
    engine: str = "postgres"


def default_data(*, username: str, password: str, place: Place) -> dict[str, str]:
    """The keys of a Secret without a template."""
    return {
        "username": username,
        "password": password,
        "host": place.host,
        "port": str(place.port),
        "database": place.database,
        "uri": uri(username=username, password=password, place=place),
    }


def uri(*, username: str, password: str, place: Place) -> str:
    """The connection as libpq's URI, or as clients of MySQL and MariaDB take it."""
    host = f"[{place.host}]" if ":" in place.host else place.host
    who = f"{quote(username, safe='')}:{quote(password, safe='')}"
    # A mode that verifies needs the reader's own copy of the authority, whose path is not ours to know.
    mode = "require" if place.ssl_mode in ("verify-ca", "verify-full") else place.ssl_mode
    where = f"{who}@{host}:{place.port}/{quote(place.database, safe='')}"
    if place.engine != "postgres":
        # Options behind the question mark differ from driver to driver.
        return f"{place.engine}://{where}"
    return f"postgresql://{where}?sslmode={mode}"


@dataclass(frozen=True)
class Rendered:
    """What a template, or the lack of one, makes of the consumer's Secret."""

    data: Mapping[str, str] = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    type: str = "Opaque"


# What drivers and libraries that read bindings call the engines.
_BOUND = {"postgres": "postgresql"}


def binding(*, username: str, password: str, place: Place, ca: str) -> Rendered:
    """What is in the Secret that the Service Binding specification asks for: its well-known keys, and its type."""
    engine = _BOUND.get(place.engine, place.engine)
    data = {"type": engine, "provider": MANAGER, **default_data(username=username, password=password, place=place)}
    if ca:
        data["certificates"] = ca
    return Rendered(data, type=f"servicebinding.io/{engine}")


def consumer_secret(user: Body, name: str, rendered: Rendered, *, before: Body | None) -> dict[str, Any]:
    """The consumer's Secret as it is to be: exactly the declared keys; BEFORE is the Secret that is there.

    Labels and annotations that others put on it stay. Its type never changes (the API forbids it): Conflict tells.
    """
    metadata = user["metadata"]
    old = (before or {}).get("metadata") or {}
    if before is not None and before.get("type", "Opaque") != rendered.type:
        raise DbopsError(
            Reason.IMMUTABLE_FIELD,
            f"Secret {name} has type {before.get('type')}, which cannot change: delete the Secret to get a new one",
            field="spec.passwordSecret.secretTemplate.type",
        )
    labels = {MANAGED_BY: MANAGER, USER_LABEL: label_value(metadata["name"])} | dict(rendered.labels)
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            **{key: old[key] for key in ("uid", "resourceVersion", "finalizers") if key in old},
            "name": name,
            "namespace": metadata["namespace"],
            "labels": {**(old.get("labels") or {}), **labels},
            "ownerReferences": [owner_reference(user)],
        },
        "type": rendered.type,
        "data": {key: encode(value) for key, value in rendered.data.items()},
    }
    kept = {**(old.get("annotations") or {}), **rendered.annotations}
    if kept:
        made["metadata"]["annotations"] = kept
    return made


def owner_reference(user: Body) -> dict[str, Any]:
    """The reference that makes the garbage collector remove the Secret with its DatabaseUser."""
    return {
        "apiVersion": user["apiVersion"],
        "kind": user["kind"],
        "name": user["metadata"]["name"],
        "uid": user["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def differs(wanted: Body, before: Body) -> bool:
    """Whether the Secret that is there must be written."""
    old = before["metadata"]
    new = wanted["metadata"]
    return bool(
        (before.get("data") or {}) != wanted["data"]
        or (old.get("labels") or {}) != new["labels"]
        or (old.get("annotations") or {}) != new.get("annotations", {})
        or old.get("ownerReferences") != new["ownerReferences"]
    )


def encode(value: str) -> str:
    """A value as Secrets hold it."""
    return base64.b64encode(value.encode()).decode()
