# SPDX-License-Identifier: GPL-3.0-or-later
"""DatabaseUser, reconcile by reconcile: its password and its Secrets whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from reconciling import Crash, Operator

from dbops_operator import credentials
from dbops_operator.client import AlreadyExists, Conflict
from dbops_operator.keys import Key
from dbops_operator.work import Done, Human, Wait
from localstack.postgresql import PostgreSQLServer

LogIn = Callable[[Mapping[str, str]], bool]
REFERENCE = {"instanceRef": {"name": "main"}}


@pytest.fixture
def name(unique: Callable[[str], str]) -> str:
    """The user's name on the server."""
    return unique("u")


async def create(operator: Operator, name: str, **spec: Any) -> Key:
    return await operator.create("DatabaseUser", name.replace("_", "-"), {**REFERENCE, "username": name, **spec})


def secret_of(key: Key) -> str:
    return f"{key.name}-credentials"


async def test_a_user_becomes_ready_with_four_writes(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    before = operator.api.writes
    assert isinstance(await operator.run(key), Done)
    # Finalizer, state Secret, consumer's Secret, status.
    assert operator.api.writes - before == 4
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "CredentialsReady") == ("True", "LoginSucceeded")
    status = await operator.status(key)
    assert status["secret"]["name"] == secret_of(key)
    secret = await operator.secret(secret_of(key))
    assert set(secret) == {"username", "password", "host", "port", "database", "uri"}
    assert can_log_in(secret)
    assert "Created" in await operator.events(key)
    # Nothing is written when nothing changed.
    before = operator.api.writes
    await operator.run(key)
    assert operator.api.writes == before
    assert operator.lanes.calls[-1]["check"] is True
    assert await operator.status(key) == status


@pytest.mark.feature("U06")
@pytest.mark.parametrize("change", ["created", "edited", "deleted"])
async def test_killed_before_any_write_heals(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str, change: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    if change != "created":
        await operator.run(key)
    if change == "edited":
        await operator.edit_secret(secret_of(key), password="by-hand-1234")
    if change == "deleted":
        await operator.delete(operator.key("Secret", secret_of(key)))
    for write in range(1, 8):
        operator.api.writes, operator.api.crash_at = 0, write
        try:
            await operator.run(key)
        except Crash:
            continue
        break
    else:
        pytest.fail("never came to an end")
    operator.api.crash_at = None
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    secret = await operator.secret(secret_of(key))
    assert can_log_in(secret)
    if change == "edited":
        assert secret["password"] == "by-hand-1234"


async def test_killed_after_the_server_learned_the_password(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    operator.lanes.crash_after = True
    with pytest.raises(Crash):
        await operator.run(key)
    operator.lanes.crash_after = False
    await operator.run(key)
    assert can_log_in(await operator.secret(secret_of(key)))
    assert operator.lanes.calls[-1]["password"] == operator.lanes.calls[-2]["password"]


@pytest.mark.feature("U06")
async def test_a_deleted_secret_comes_back_with_a_new_password(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    old = await operator.secret(secret_of(key))
    await operator.delete(operator.key("Secret", secret_of(key)))
    await operator.run(key)
    new = await operator.secret(secret_of(key))
    assert new["password"] != old["password"]
    assert can_log_in(new)
    assert not can_log_in(old)
    assert "SecretRegenerated" in await operator.events(key)


@pytest.mark.feature("U06")
async def test_a_password_edited_by_hand_reaches_the_server(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    before = (await operator.status(key))["reconcileID"]
    await operator.edit_secret(secret_of(key), password="chosen by hand", junk="x")
    await operator.run(key)
    secret = await operator.secret(secret_of(key))
    assert secret["password"] == "chosen by hand"
    assert "chosen%20by%20hand" in secret["uri"]
    assert "junk" not in secret
    assert can_log_in(secret)
    assert (await operator.status(key))["reconcileID"] != before


@pytest.mark.feature("U06")
async def test_a_foreign_secret_is_never_touched(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    foreign = await operator.create_secret(secret_of(key), {"password": "theirs"})
    before = await operator.get(foreign)
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "Conflict")
    assert await operator.get(foreign) == before
    assert postgres.query(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'") == []
    await operator.delete(foreign)
    await operator.run(key)
    assert can_log_in(await operator.secret(secret_of(key)))


@pytest.mark.feature("U03")
async def test_a_password_from_a_secret(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, existingPasswordSecret={"name": "given", "key": "pw"})
    assert isinstance(await operator.run(key), Wait)
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert operator.key("Secret", "given") in operator.depends
    await operator.create_secret("given", {"pw": "given-password"})
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert (await operator.status(key))["secret"]["name"] == "given"
    assert not await operator.exists(operator.key("Secret", secret_of(key)))
    login = {"username": name, "database": "postgres", "host": postgres.admin.host, "port": str(postgres.admin.port)}
    assert can_log_in({**login, "password": "given-password"})
    await operator.edit_secret("given", pw="another-password")
    await operator.run(key)
    assert can_log_in({**login, "password": "another-password"})
    assert not can_log_in({**login, "password": "given-password"})


@pytest.mark.feature("U03")
async def test_shape_of_a_generated_password(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    block = {
        "secretName": f"{operator.namespace}-s",
        "length": 64,
        "includeSpecialChars": False,
        "excludeChars": "abc0",
    }
    key = await create(operator, name, passwordSecret=block)
    await operator.run(key)
    password = (await operator.secret(f"{operator.namespace}-s"))["password"]
    assert len(password) == 64
    assert password.isalnum()
    assert not set(password) & set("abc0")


@pytest.mark.feature("U04")
async def test_a_template(operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str) -> None:
    await operator.instance(postgres)
    template = {
        "type": "example.org/login",
        "labels": {"team": "x"},
        "annotations": {"example.org/a": "b"},
        "data": {
            "DATABASE_URL": "postgresql://{{ .Username }}:{{ .Password | urlEncode }}@{{ .Host }}:{{ .Port }}/x",
            "pw": "{{ .Password }}",
            "place": "{{ .Namespace }}/{{ .Name }} {{ .Database }}",
        },
    }
    key = await create(operator, name, passwordSecret={"secretName": "mine", "secretTemplate": template})
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    secret = await operator.secret("mine")
    assert set(secret) == {"DATABASE_URL", "pw", "place"}
    assert secret["place"] == f"{operator.namespace}/{key.name} postgres"
    admin = postgres.admin
    login = {"username": name, "host": admin.host, "port": str(admin.port), "database": "postgres"}
    assert can_log_in({**login, "password": secret["pw"]})
    body = await operator.get(operator.key("Secret", "mine"))
    assert body["type"] == "example.org/login"
    assert body["metadata"]["labels"]["team"] == "x"
    assert body["metadata"]["annotations"]["example.org/a"] == "b"


@pytest.mark.feature("U04")
async def test_tls_material_in_a_template(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    assert postgres.admin.ca_certificate
    authority = postgres.admin.ca_certificate.read_text()
    await operator.create_secret("tls", {"ca.crt": authority})
    tls = {"enabled": True, "mode": "verify-full", "secretRef": {"name": "tls"}}
    await operator.instance(postgres, tls=tls)
    template = {"data": {"ca.pem": "{{ .CA }}", "mode": "{{ .SSLMode }}", "rest": "[{{ .TLSCert }}{{ .TLSKey }}]"}}
    key = await create(operator, name, passwordSecret={"secretName": "mine", "secretTemplate": template})
    await operator.run(key)
    assert await operator.secret("mine") == {"ca.pem": authority, "mode": "verify-full", "rest": "[]"}


@pytest.mark.feature("U04")
@pytest.mark.parametrize("source", ["{{ .Username", "{{ nope }}", "{{ .Nope }}"])
async def test_a_broken_template_is_a_clear_condition(
    operator: Operator, postgres: PostgreSQLServer, name: str, source: str
) -> None:
    await operator.instance(postgres)
    block = {"secretName": "mine", "secretTemplate": {"data": {"k": source}}}
    key = await create(operator, name, passwordSecret=block)
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "InvalidSpec")
    assert await operator.condition(key, "Stalled") == ("True", "InvalidSpec")
    assert (await operator.status(key))["phase"] == "Failed"
    assert not await operator.exists(operator.key("Secret", "mine"))
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key)


async def test_a_secret_under_a_new_name_keeps_the_password(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, passwordSecret={"secretName": "one"})
    await operator.run(key)
    before = await operator.secret("one")
    await operator.patch(key, {"spec": {"passwordSecret": {"secretName": "two"}}})
    await operator.run(key)
    assert await operator.secret("two") == before
    assert can_log_in(before)
    assert "SecretRegenerated" not in await operator.events(key)
    assert (await operator.status(key))["secret"]["name"] == "two"


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"secretName": "Not_Legal"}, "metadata.name"),
        ({"secretName": "mine", "secretTemplate": {"labels": {"team": "not legal"}}}, "metadata.labels"),
        ({"secretName": "mine", "secretTemplate": {"data": {"not legal": "{{ .Password }}"}}}, "data[not legal]"),
        ({"secretName": "mine", "secretTemplate": {"type": "kubernetes.io/tls"}}, "data[tls.crt]"),
    ],
)
async def test_a_secret_that_the_api_refuses_is_a_clear_condition(
    operator: Operator, postgres: PostgreSQLServer, name: str, block: dict[str, Any], field: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, passwordSecret=block)
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "InvalidSpec")
    assert field in (await operator.status(key))["message"]
    # The password is kept, so that the corrected Secret has one that logs in.
    await operator.patch(key, {"spec": {"passwordSecret": {"secretName": "right", "secretTemplate": None}}})
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")


@pytest.mark.feature("U07")
async def test_credentials_that_cannot_be_tried_do_not_hold_up_ready(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name, postgres={"login": False})
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "CredentialsReady") == ("Unknown", "NotVerifiable")


@pytest.mark.feature("L09")
async def test_a_login_that_existed_is_adopted_by_consent(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    postgres.query(f"CREATE ROLE {name} LOGIN PASSWORD 'before' CONNECTION LIMIT 7")
    instance = await operator.instance(postgres)
    key = await create(operator, name)
    assert isinstance(await operator.run(key), Human)
    assert await operator.ready(key) == ("False", "NotAdopted")
    assert "adopt-users" in (await operator.status(key))["message"]
    await operator.annotate(instance, adopt_users=f"other, {name}")
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert can_log_in(await operator.secret(secret_of(key)))
    assert postgres.query(f"SELECT rolconnlimit FROM pg_roles WHERE rolname = '{name}'") == [(7,)]


@pytest.mark.feature("L09")
async def test_adopt_on_the_object_counts_in_the_instances_namespace(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    postgres.query(f"CREATE ROLE {name}")
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.annotate(key, adopt="true")
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")


@pytest.mark.feature("L08")
async def test_the_older_claim_wins_and_the_newer_never_drops(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    first = await create(operator, name)
    await operator.run(first)
    block = {"secretName": "second"}
    second = await operator.create("DatabaseUser", "second", {**REFERENCE, "username": name, "passwordSecret": block})
    assert isinstance(await operator.run(second), Human)
    assert await operator.ready(second) == ("False", "Conflict")
    assert await operator.condition(second, "Stalled") == ("True", "Conflict")
    await operator.delete(second)
    await operator.run(second)
    assert not await operator.exists(second)
    assert can_log_in(await operator.secret(secret_of(first)))


@pytest.mark.feature("L08")
async def test_the_newer_claim_comes_into_its_own_when_the_older_goes(
    operator: Operator, postgres: PostgreSQLServer, can_log_in: LogIn, name: str
) -> None:
    await operator.instance(postgres)
    first = await create(operator, name)
    await operator.run(first)
    block = {"secretName": "second"}
    second = await operator.create("DatabaseUser", "second", {**REFERENCE, "username": name, "passwordSecret": block})
    await operator.run(second)
    await operator.delete(first)
    await operator.run(first)
    assert second in operator.woken
    await operator.run(second)
    assert await operator.ready(second) == ("True", "ReconcileSuccess")
    assert can_log_in(await operator.secret("second"))


async def test_deleting_drops_the_login_and_forgets_the_state(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    state = credentials.state_key(key, operator_namespace=operator.settings.operator_namespace)
    assert await operator.exists(state)
    await operator.delete(key)
    await operator.run(key)
    assert not await operator.exists(key)
    assert not await operator.exists(state)
    assert postgres.query(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'") == []
    assert "Deleted" in await operator.events(key)


async def test_retain_touches_no_server(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    await operator.annotate(key, deletion_policy="Retain")
    await operator.delete(key)
    calls = len(operator.lanes.calls)
    await operator.run(key)
    assert not await operator.exists(key)
    assert len(operator.lanes.calls) == calls
    assert postgres.query(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'") == [(1,)]


@pytest.mark.feature("L04")
async def test_protection_by_annotation(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    await operator.annotate(key, deletion_protection="true")
    await operator.delete(key)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "DeletionProtected")
    assert "Deletion blocked by deletion protection" in (await operator.status(key))["message"]
    assert "DeletionBlocked" in await operator.events(key)
    await operator.annotate(key, deletion_protection=None)
    await operator.run(key)
    assert not await operator.exists(key)


async def test_owned_objects_block_the_drop(
    operator: Operator, postgres: PostgreSQLServer, name: str, unique: Callable[[str], str]
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    database = unique("d")
    postgres.query(f"CREATE DATABASE {database} OWNER {name}")
    await operator.delete(key)
    await operator.run(key)
    assert await operator.ready(key) == ("False", "OwnershipBlocks")
    block = (await operator.status(key))["ownershipBlock"]
    assert block["blocked"] is True
    assert [one["name"] for one in block["ownedObjects"]] == [database]
    postgres.query(f"DROP DATABASE {database}")
    await operator.run(key)
    assert not await operator.exists(key)


@pytest.mark.feature("L02")
async def test_waits_for_its_instance(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    key = await create(operator, name)
    assert isinstance(await operator.run(key), Wait)
    assert await operator.ready(key) == ("False", "DependencyNotReady")
    assert await operator.condition(key, "DependenciesReady") == ("False", "DependencyNotReady")
    assert (await operator.status(key))["phase"] == "Pending"
    assert operator.key("DatabaseInstance", "main") in operator.depends
    assert not (await operator.get(key))["metadata"].get("finalizers")
    await operator.instance(postgres)
    await operator.run(key)
    assert await operator.ready(key) == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "DependenciesReady") == ("True", "ReconcileSuccess")
    assert await operator.condition(key, "Reconciling") is None


async def test_instance_gone_first_holds_until_forced(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    instance = await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    await operator.api.patch_finalizers(await operator.get(instance), [])
    await operator.delete(instance)
    await operator.delete(key)
    await operator.run(key)
    assert await operator.exists(key)
    message = (await operator.status(key))["message"]
    assert "does not exist" in message
    assert "force-delete" in message
    await operator.annotate(key, force_delete="true")
    await operator.run(key)
    assert not await operator.exists(key)
    assert "DeleteFailed" in await operator.events(key)
    assert postgres.query(f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'") == [(1,)]


@pytest.mark.feature("L06")
@pytest.mark.parametrize("annotation", ["skip_reconcile", "pause_reconcile"])
async def test_paused_objects_are_left_alone(
    operator: Operator, postgres: PostgreSQLServer, name: str, annotation: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.annotate(key, **{annotation: "true"})
    before = operator.api.writes
    await operator.run(key)
    assert operator.api.writes == before
    await operator.annotate(key, **{annotation: "True"})
    await operator.run(key)
    await operator.annotate(key, **{annotation: "true"})
    await operator.delete(key)
    await operator.run(key)
    assert await operator.exists(key)
    await operator.annotate(key, **{annotation: None})
    await operator.run(key)
    assert not await operator.exists(key)


async def test_a_recreated_object_does_not_get_the_status_of_the_old_one(
    operator: Operator, postgres: PostgreSQLServer, name: str
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    old = await operator.get(key)
    await operator.annotate(key, deletion_policy="Retain")
    await operator.delete(key)
    await operator.run(key)
    await create(operator, name)
    with pytest.raises(Conflict):
        await operator.api.apply_status({**old, "status": {"phase": "Failed"}})
    # What the API server says of an object that nobody has looked at.
    assert await operator.status(key) == {"observedGeneration": -1}


async def test_state_of_an_earlier_object_is_found(operator: Operator, postgres: PostgreSQLServer, name: str) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    place = credentials.state_key(key, operator_namespace=operator.settings.operator_namespace)
    left = credentials.state_secret(key, credentials.State(next="left over 1"), place=place, cluster="c")
    await operator.api.create(left)
    with pytest.raises(AlreadyExists):
        await operator.api.create(left)
    await operator.run(key)
    assert (await operator.secret(secret_of(key)))["password"] == "left over 1"


async def test_secrets_are_in_no_status_and_no_event(
    operator: Operator, postgres: PostgreSQLServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    await operator.instance(postgres)
    key = await create(operator, name)
    await operator.run(key)
    await operator.edit_secret(secret_of(key), password="by-hand-9876")
    await operator.run(key)
    password = (await operator.secret(secret_of(key)))["password"]
    everything = [await operator.get(key), *await operator.api.list("Event", operator.namespace)]
    for secret in (password, postgres.admin.password):
        assert secret not in str(everything)
        assert secret not in caplog.text
