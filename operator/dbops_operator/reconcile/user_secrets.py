# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing the Secrets of a DatabaseUser; credentials.py decides what is in them, rotation.py when.

Called by database_user.py in this order: `read`, `write_ahead`, (the server learns the password and a login is
tried), `write_consumer`, `finish`. Whatever is cut off in between goes on from what is there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import passwords
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import annotation, credentials, rotation, rotation_record, templates
from dbops_operator.api.database_user import DatabaseUserSpec, PasswordSecret
from dbops_operator.client import AlreadyExists, Invalid, NotFound
from dbops_operator.connection import required_text, secret_text
from dbops_operator.context import Context
from dbops_operator.credentials import Choice, Given, Rendered, State
from dbops_operator.keys import Key
from dbops_operator.reconcile.common import Body, current, has_finalizer
from dbops_operator.resolve import Server
from dbops_operator.rotation import Wishes
from dbops_operator.rotation_record import Record

_FIELD = "spec.passwordSecret"
# Of the API server's words only those that name a field: what it says of a value may quote it.
_REFUSED_FIELD = re.compile(r"((?:metadata|data|type|immutable)[-\w. \[\]]*): (\w+ value|Too long|Forbidden|Duplicate)")


@dataclass(frozen=True)
class Secrets:
    """What was read of a user's Secrets, and what follows from it."""

    state_key: Key
    state: Body | None = field(repr=False)
    consumer_key: Key | None
    """None: the spec brings its own Secret and asks for no other."""
    consumer: Body | None = field(repr=False)
    choice: Choice = field(repr=False)
    rotates: Wishes
    """What the spec says about rotation."""

    @property
    def record(self) -> Record | None:
        """What is remembered of rotation while the server is worked on."""
        return self.choice.state.rotation

    @property
    def login(self) -> str:
        """The login that has the password."""
        return self.record.target if self.record else self.rotates.username


async def read(context: Context, body: Body, spec: DatabaseUserSpec, engine: str) -> Secrets:
    """Read all Secrets of the user and choose its login and password. Raises DbopsError."""
    key = Key.of(body)
    _check(spec, key)
    rotates = rotation.wishes(spec, engine, now=context.now(), zone=context.settings.time_zone)
    state_key = credentials.state_key(key, operator_namespace=context.settings.operator_namespace)
    # Before the finalizer is on, nothing was ever written for this object.
    state = await _get(context, state_key) if has_finalizer(body) else None
    existing = await _existing(context, spec, key)
    consumer_key = _consumer_key(spec, key)
    consumer = None
    if consumer_key:
        context.depends(consumer_key)
        if context.store.get(consumer_key) is not None or has_finalizer(body):
            consumer = await _get(context, consumer_key)
    if consumer_key and consumer and not credentials.is_ours(consumer, body):
        raise conflict(consumer_key)
    template = spec.password_secret.secret_template if spec.password_secret else None
    known = credentials.read_state(state)
    given = Given(
        state=known,
        existing=existing,
        consumer_exists=consumer is not None,
        consumer_password=secret_text(consumer, "password") if consumer else None,
        watches_password=consumer_key is not None and not (template and template.data),
        # Under another name before: nothing was deleted, the Secret only moves.
        was_rendered=consumer_key is not None
        and (body.get("status", {}).get("secret") or {}).get("name") == consumer_key.name,
    )
    choice = _choose(context, body, given, rotates, fresh=_fresh(spec))
    return Secrets(state_key, state, consumer_key, consumer, choice, rotates)


def _choose(context: Context, body: Body, given: Given, rotates: Wishes, *, fresh: str) -> Choice:
    """Choose the password, and begin a rotation if one is due."""
    known = given.state.rotation
    if known is None and given.state.rendered is None:
        # The state is new, or was lost.
        known = rotation_record.from_status(body.get("status", {}).get("rotation") or {})
        # What the annotation says was most likely carried out; that it was not noted any more is no new request.
        known = replace(known, requested=annotation.text(body, annotation.ROTATE_AT)) if known else None
    now, zone = context.now(), context.settings.time_zone
    decision = rotation.decide(
        known,
        rotates,
        request="" if given.existing else annotation.text(body, annotation.ROTATE_AT),
        new=given.state.rendered is None and not given.consumer_password,
        now=now,
        zone=zone,
    )
    choice = credentials.choose(replace(given, rotate=decision.begun is not None), fresh=fresh)
    record = decision.begun if choice.rotates else decision.record
    landed = rotation.landed(record, rotates, now=now) if record and record.under_way else record
    state = replace(choice.state, rotation=record)
    return replace(choice, state=state, landed=landed, write=choice.write or record != given.state.rotation)


def conflict(key: Key, field: str = f"{_FIELD}.secretName") -> DbopsError:
    """The error for a Secret of that name that is somebody else's."""
    return DbopsError(
        Reason.CONFLICT,
        f"Secret {key.name} exists and is not this object's; name another one in {field}, or delete it",
        field=field,
    )


def _check(spec: DatabaseUserSpec, key: Key) -> None:
    block = spec.password_secret
    if spec.existing_password_secret and (spec.existing_password_secret.namespace or key.namespace) != key.namespace:
        raise DbopsError(
            Reason.ACCESS_DENIED,
            "spec.existingPasswordSecret must be in the namespace of the object",
            field="spec.existingPasswordSecret.namespace",
        )
    if block is None:
        return
    if not block.generate and not spec.existing_password_secret:
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"{_FIELD}.generate is false, so the password's Secret must be named in spec.existingPasswordSecret",
            field=f"{_FIELD}.generate",
        )
    if (block.secret_namespace or key.namespace) != key.namespace:
        raise DbopsError(
            Reason.UNSUPPORTED,
            f"{_FIELD}.secretNamespace: Secrets in other namespaces are not served by this version of the operator",
            field=f"{_FIELD}.secretNamespace",
        )
    if block.secret_template:
        one = block.secret_template
        templates.check(one.type, one.annotations or {}, one.data or {})


async def _existing(context: Context, spec: DatabaseUserSpec, key: Key) -> str | None:
    reference = spec.existing_password_secret
    if reference is None:
        return None
    place = Key("Secret", key.namespace, reference.name)
    context.depends(place)
    secret = await _get(context, place)
    if secret is None:
        raise DbopsError(Reason.DEPENDENCY_NOT_READY, f"Secret {place.namespace}/{place.name} does not exist")
    return required_text(secret, reference.key)


def _consumer_key(spec: DatabaseUserSpec, key: Key) -> Key | None:
    block = spec.password_secret
    if spec.existing_password_secret and block is None:
        return None
    name = credentials.consumer_name(spec.username, block.secret_name if block else None)
    if spec.existing_password_secret and spec.existing_password_secret.name == name:
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"{_FIELD}.secretName and spec.existingPasswordSecret name the same Secret",
            field=f"{_FIELD}.secretName",
        )
    return Key("Secret", key.namespace, name)


def _fresh(spec: DatabaseUserSpec) -> str:
    block = spec.password_secret
    if block is None:
        return passwords.generate()
    return passwords.generate(
        length=block.length, special=block.include_special_chars, exclude=block.exclude_chars or ""
    )


async def _get(context: Context, key: Key) -> Body | None:
    body = await current(context, key)
    return dict(body) if body else None


async def write_ahead(context: Context, body: Body, secrets: Secrets) -> None:
    """Let the state Secret know the password before the server does."""
    if secrets.choice.write:
        await _write_state(context, Key.of(body), secrets, secrets.choice.state, before=secrets.state)


async def finish(context: Context, body: Body, secrets: Secrets) -> Record | None:
    """Note that a change is over: the old password is forgotten. A new user costs no write here.

    Gives what is remembered of rotation from now on.
    """
    state = secrets.choice.finished
    if state != secrets.choice.state:
        await _note(context, body, secrets, state)
    return state.rotation


async def remember(context: Context, body: Body, secrets: Secrets, record: Record) -> None:
    """Note something else about rotation; the passwords stay as they are after `finish`."""
    await _note(context, body, secrets, replace(secrets.choice.finished, rotation=record))


async def rename(context: Context, body: Body, secrets: Secrets) -> None:
    """Give the login under way another name; the one that it had is somebody else's on the server."""
    assert secrets.record
    now, zone = context.now(), context.settings.time_zone
    record = rotation.other_name(secrets.record, secrets.rotates, now=now, zone=zone)
    await _note(context, body, secrets, replace(secrets.choice.state, rotation=record))


async def _note(context: Context, body: Body, secrets: Secrets, state: State) -> None:
    before = await _get(context, secrets.state_key)
    await _write_state(context, Key.of(body), secrets, state, before=before)


async def read_record(context: Context, body: Body) -> Record | None:
    """What is remembered of the rotation of a user that goes."""
    place = credentials.state_key(Key.of(body), operator_namespace=context.settings.operator_namespace)
    known = credentials.read_state(await _get(context, place)).rotation
    return known or rotation_record.from_status(body.get("status", {}).get("rotation") or {})


async def _write_state(context: Context, key: Key, secrets: Secrets, state: State, *, before: Body | None) -> None:
    wanted = credentials.state_secret(key, state, place=secrets.state_key, cluster=context.settings.cluster_id)
    if before is None:
        await context.api.create_secret(wanted)
        return
    wanted["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
    await context.api.replace_secret(wanted)


async def delete_state(context: Context, key: Key) -> None:
    """Forget the passwords of a user that is gone."""
    place = credentials.state_key(key, operator_namespace=context.settings.operator_namespace)
    state = await _get(context, place)
    if state:
        with contextlib.suppress(NotFound):
            await context.api.delete_secret(state)


async def render(context: Context, body: Body, spec: DatabaseUserSpec, server: Server, secrets: Secrets) -> Rendered:
    """Render what is to be in the consumer's Secret. Raises DbopsError for a broken template."""
    place = place_of(server)
    username, password = secrets.login, secrets.choice.password
    block: PasswordSecret | None = spec.password_secret
    template = block.secret_template if block else None
    data: Mapping[str, str]
    if template and template.data:
        data = await context.templates.render(
            template.data, _variables(body, server, place, username=username, password=password)
        )
    else:
        data = credentials.default_data(username=username, password=password, place=place)
    if template is None:
        return Rendered(data)
    return Rendered(data, template.labels or {}, template.annotations or {}, template.type or "Opaque")


def place_of(server: Server) -> credentials.Place:
    """Where logins of a server log in."""
    options = server.target.connection
    return credentials.Place(
        host=str(options["login_host"]),
        port=int(options["login_port"]),
        # MySQL and MariaDB need none to log in.
        database=str(options.get("login_db") or server.spec.connection.database or ""),
        engine=server.spec.engine,
        ssl_mode=str(options["ssl_mode"]),
    )


def _variables(body: Body, server: Server, place: credentials.Place, *, username: str, password: str) -> dict[str, Any]:
    options, tls = server.target.connection, server.spec.tls
    # The client's key is the admin's own: it never leaves the instance's namespace.
    own = server.key.namespace == body["metadata"]["namespace"]
    return {
        "Username": username,
        "Password": password,
        "Host": place.host,
        "Port": place.port,
        "Database": place.database,
        "SSLMode": tls.mode if tls and tls.enabled else "",
        "Namespace": body["metadata"]["namespace"],
        "Name": body["metadata"]["name"],
        "CA": str(options.get("ca_cert", "")),
        "TLSCert": str(options.get("ssl_cert", "")) if own else "",
        "TLSKey": str(options.get("ssl_key", "")) if own else "",
    }


def wanted_consumer(body: Body, secrets: Secrets, rendered: Rendered) -> Body | None:
    """The consumer's Secret as it must be written; None when it is right, or nobody asked for one."""
    if secrets.consumer_key is None:
        return None
    wanted = credentials.consumer_secret(body, secrets.consumer_key.name, rendered, before=secrets.consumer)
    if secrets.consumer and not credentials.differs(wanted, secrets.consumer):
        return None
    return wanted


async def write_secret(context: Context, wanted: Body, *, before: Body | None, field: str = _FIELD) -> None:
    """Write a Secret for applications, which the spec describes in FIELD.

    Raises DbopsError: Conflict when somebody else's took its name meanwhile, InvalidSpec when the API server does not
    take what the spec makes of it (a label, a key, a type that asks for other keys).
    """
    try:
        if before:
            await context.api.replace_secret(wanted)
        else:
            await context.api.create_secret(wanted)
    except AlreadyExists as error:
        raise conflict(Key.of(wanted), f"{field}.secretName") from error
    except Invalid as error:
        found = _REFUSED_FIELD.findall(str(error))
        why = "; ".join(sorted({f"{field}: {what}" for field, what in found})) or "it is not valid"
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"the API server refuses the Secret that {field} describes: {why}",
            field=field,
        ) from None
