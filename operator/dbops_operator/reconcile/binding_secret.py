# SPDX-License-Identifier: GPL-3.0-or-later
"""The Secret of a DatabaseUser that the Service Binding specification asks for, beside the credentials Secret.

Called by database_user.py: `read` before the server is worked on, `write` after a login with the password worked.
https://servicebinding.io/spec/core/1.1.0/
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import credentials
from dbops_operator.api.database_user import DatabaseUserSpec
from dbops_operator.context import Context
from dbops_operator.keys import Key
from dbops_operator.reconcile import user_secrets
from dbops_operator.reconcile.common import Body, current
from dbops_operator.reconcile.user_secrets import Secrets
from dbops_operator.resolve import Server

_FIELD = "spec.serviceBinding"


@dataclass(frozen=True)
class Binding:
    """The Secret as it is and as it must be."""

    name: str | None
    """None: the spec asks for none."""
    before: Body | None = field(default=None, repr=False)
    wanted: Body | None = field(default=None, repr=False)
    """None: it is right."""


async def read(context: Context, body: Body, spec: DatabaseUserSpec, server: Server, secrets: Secrets) -> Binding:
    """Find out what is to be written. Raises DbopsError."""
    block = spec.service_binding
    if block is None:
        return Binding(None)
    metadata = body["metadata"]
    name = credentials.consumer_name(spec.username, block.secret_name, ending="binding")
    taken = {secrets.consumer_key.name if secrets.consumer_key else ""}
    if spec.existing_password_secret:
        taken.add(spec.existing_password_secret.name)
    if name in taken:
        text = f"{_FIELD}.secretName and another field name the same Secret"
        raise DbopsError(Reason.INVALID_SPEC, text, field=f"{_FIELD}.secretName")
    key = Key("Secret", metadata["namespace"], name)
    context.depends(key)
    found = await current(context, key)
    before = dict(found) if found else None
    if before and not credentials.is_ours(before, body):
        raise user_secrets.conflict(key, f"{_FIELD}.secretName")
    place = user_secrets.place_of(server)
    content = credentials.binding(
        username=secrets.login,
        password=secrets.choice.password,
        place=replace(place, database=block.database or place.database),
        ca=str(server.target.connection.get("ca_cert", "")),
    )
    wanted = credentials.consumer_secret(body, name, content, before=before)
    right = before is not None and not credentials.differs(wanted, before)
    return Binding(name, before, None if right else wanted)


async def write(context: Context, binding: Binding) -> None:
    """Write the Secret. Raises DbopsError."""
    if binding.wanted:
        await user_secrets.write_secret(context, binding.wanted, before=binding.before, field=_FIELD)


def fields(binding: Binding) -> dict[str, Any]:
    """What status says of it."""
    return {"binding": {"name": binding.name} if binding.name else None}
