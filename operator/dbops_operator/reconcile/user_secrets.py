# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and writing the two Secrets of a DatabaseUser; credentials.py decides what is in them.

Called by database_user.py in this order: `read`, `write_ahead`, (the server learns the password and a login is
tried), `write_consumer`, `finish`. Whatever is cut off in between goes on from what is there.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core import passwords
from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import credentials, templates
from dbops_operator.api.database_user import DatabaseUserSpec, PasswordSecret
from dbops_operator.client import AlreadyExists, Invalid, NotFound
from dbops_operator.connection import required_text, secret_text
from dbops_operator.context import Context
from dbops_operator.credentials import Choice, Given, Rendered, State
from dbops_operator.keys import Key
from dbops_operator.reconcile.common import Body, current, has_finalizer
from dbops_operator.resolve import Server

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


async def read(context: Context, body: Body, spec: DatabaseUserSpec) -> Secrets:
    """Read all Secrets of the user and choose its password. Raises DbopsError."""
    key = Key.of(body)
    _check(spec, key)
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
    given = Given(
        state=credentials.read_state(state),
        existing=existing,
        consumer_exists=consumer is not None,
        consumer_password=secret_text(consumer, "password") if consumer else None,
        watches_password=consumer_key is not None and not (template and template.data),
        # Under another name before: nothing was deleted, the Secret only moves.
        was_rendered=consumer_key is not None
        and (body.get("status", {}).get("secret") or {}).get("name") == consumer_key.name,
    )
    return Secrets(state_key, state, consumer_key, consumer, credentials.choose(given, fresh=_fresh(spec)))


def conflict(key: Key) -> DbopsError:
    """The error for a Secret of that name that is somebody else's."""
    return DbopsError(
        Reason.CONFLICT,
        f"Secret {key.name} exists and is not this object's; name another one in {_FIELD}.secretName, or delete it",
        field=f"{_FIELD}.secretName",
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


async def finish(context: Context, body: Body, secrets: Secrets) -> None:
    """Note that a change is over: the old password is forgotten. A new user costs no write here."""
    state = secrets.choice.finished
    if state != secrets.choice.state:
        before = await _get(context, secrets.state_key)
        await _write_state(context, Key.of(body), secrets, state, before=before)


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
    options = server.target.connection
    place = credentials.Place(
        host=str(options["login_host"]),
        port=int(options["login_port"]),
        # MySQL and MariaDB need none to log in.
        database=str(options.get("login_db") or server.spec.connection.database or ""),
        engine=server.spec.engine,
        ssl_mode=str(options["ssl_mode"]),
    )
    password = secrets.choice.password
    block: PasswordSecret | None = spec.password_secret
    template = block.secret_template if block else None
    data: Mapping[str, str]
    if template and template.data:
        data = await context.templates.render(
            template.data, _variables(body, server, place, username=spec.username, password=password)
        )
    else:
        data = credentials.default_data(username=spec.username, password=password, place=place)
    if template is None:
        return Rendered(data)
    return Rendered(data, template.labels or {}, template.annotations or {}, template.type or "Opaque")


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


async def write_consumer(context: Context, secrets: Secrets, wanted: Body) -> None:
    """Write the consumer's Secret.

    Raises DbopsError: Conflict when somebody else's took its name meanwhile, InvalidSpec when the API server does not
    take what the spec makes of it (a label, a key, a type that asks for other keys).
    """
    try:
        if secrets.consumer:
            await context.api.replace_secret(wanted)
        else:
            await context.api.create_secret(wanted)
    except AlreadyExists as error:
        assert secrets.consumer_key
        raise conflict(secrets.consumer_key) from error
    except Invalid as error:
        found = _REFUSED_FIELD.findall(str(error))
        why = "; ".join(sorted({f"{field}: {what}" for field, what in found})) or "it is not valid"
        raise DbopsError(
            Reason.INVALID_SPEC,
            f"the API server refuses the Secret that {_FIELD} describes: {why}",
            field=_FIELD,
        ) from None
