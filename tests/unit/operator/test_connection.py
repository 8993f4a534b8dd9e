# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection options from an instance's spec and its Secrets."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import connection
from dbops_operator.api.database_instance import DATABASE_INSTANCE, DatabaseInstanceSpec
from dbops_operator.api.model import parse


def instance(**spec: Any) -> DatabaseInstanceSpec:
    base = {"host": "db", "port": 5433, "database": "admin", "secretRef": {"name": "s"}}
    return parse(
        DATABASE_INSTANCE,
        {"spec": {"engine": "postgres", **spec, "connection": {**base, **spec.get("connection", {})}}},
    )


def secret(**data: str) -> dict[str, Any]:
    encoded = {key.replace("__", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": {"name": "s", "namespace": "n"}, "data": encoded}


ADMIN = secret(username="admin\n", password="p w ", user="other", pass_="x")


def test_default_and_custom_keys() -> None:
    made = connection.options(instance(), credentials=ADMIN, tls=None)
    assert (made["login_user"], made["login_password"]) == ("admin", "p w ")
    custom = instance(connection={"secretRef": {"name": "s", "keys": {"username": "user", "password": "pass_"}}})
    made = connection.options(custom, credentials=ADMIN, tls=None)
    assert (made["login_user"], made["login_password"]) == ("other", "x")


def test_a_missing_key_is_named() -> None:
    with pytest.raises(DbopsError, match="no key password") as failure:
        connection.options(instance(), credentials=secret(username="a"), tls=None)
    assert failure.value.reason is Reason.DEPENDENCY_NOT_READY


def test_existing_secret_counts_when_secret_ref_is_absent() -> None:
    spec = instance(connection={"secretRef": None, "existingSecret": {"name": "other"}})
    assert connection.credentials_reference(spec.connection).name == "other"
    both = instance(connection={"existingSecret": {"name": "other"}})
    assert connection.credentials_reference(both.connection).name == "s"
    with pytest.raises(DbopsError):
        connection.credentials_reference(instance(connection={"secretRef": None}).connection)


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ({}, "disable"),
        ({"postgres": {}}, "prefer"),
        ({"postgres": {"sslMode": "disable"}}, "disable"),
        ({"tls": {}}, "disable"),
        ({"tls": {"enabled": False, "mode": "verify-full"}}, "disable"),
        ({"tls": {"enabled": True}}, "require"),
        ({"tls": {"enabled": True, "mode": "disable"}, "postgres": {"sslMode": "disable"}}, "require"),
        ({"tls": {"enabled": True, "mode": "verify-ca"}, "postgres": {"sslMode": "require"}}, "verify-ca"),
        ({"tls": {"enabled": True, "mode": "require"}, "postgres": {"sslMode": "verify-full"}}, "verify-full"),
    ],
)
def test_the_stricter_mode_wins_and_enabled_is_never_plain(spec: dict[str, Any], mode: str) -> None:
    assert connection.ssl_mode(instance(**spec)) == mode


TLS = {"enabled": True, "mode": "verify-full", "secretRef": {"name": "t"}}


def test_tls_material() -> None:
    pem = secret(ca__crt="CA", tls__crt="CERT", tls__key="KEY")
    made = connection.options(instance(tls=TLS), credentials=ADMIN, tls=pem)
    assert {key: made[key] for key in ("ca_cert", "ssl_cert", "ssl_key", "ssl_mode")} == {
        "ca_cert": "CA",
        "ssl_cert": "CERT",
        "ssl_key": "KEY",
        "ssl_mode": "verify-full",
    }
    without_pair = connection.options(instance(tls=TLS), credentials=ADMIN, tls=secret(ca__crt="CA"))
    assert "ssl_key" not in without_pair


@pytest.mark.parametrize(
    ("tls", "content"),
    [
        (TLS, secret(tls__crt="CERT")),
        ({**TLS, "secretRef": {"name": "t", "keys": {"ca": "other"}}}, secret(ca__crt="CA")),
        ({**TLS, "secretRef": {"name": "t", "keys": {"cert": "c", "key": "k"}}}, secret(ca__crt="CA", c="CERT")),
    ],
)
def test_missing_tls_material_is_an_error(tls: dict[str, Any], content: dict[str, Any]) -> None:
    with pytest.raises(DbopsError, match="no key"):
        connection.options(instance(tls=tls), credentials=ADMIN, tls=content)


def test_verifying_needs_an_authority() -> None:
    with pytest.raises(DbopsError, match="secretRef"):
        connection.options(instance(postgres={"sslMode": "verify-ca"}), credentials=ADMIN, tls=None)


def test_tuning_fields() -> None:
    spec = instance(postgres={"connectTimeout": 3, "statementTimeout": "90s", "applicationName": "mine"})
    made = connection.options(spec, credentials=ADMIN, tls=None)
    assert (made["connect_timeout"], made["statement_timeout"], made["application_name"]) == (3, 90, "mine")
    assert "connect_timeout" not in connection.options(instance(), credentials=ADMIN, tls=None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5min", 300), ("1500", 2), ("100ms", 1), ("1h", 3600), ("1m30s", 90), ("0", 0), ("2m", 120)],
)
def test_statement_timeouts(text: str, seconds: int) -> None:
    assert connection.statement_timeout(text) == seconds


def test_a_bad_timeout_names_its_field() -> None:
    with pytest.raises(DbopsError) as failure:
        connection.statement_timeout("soon")
    assert failure.value.field == "spec.postgres.statementTimeout"


def test_one_server_is_one_lane() -> None:
    assert connection.lane(instance()) == connection.lane(instance(connection={"host": "DB"})) == "postgres://db:5433"
