# SPDX-License-Identifier: GPL-3.0-or-later
"""The namespace boundary: without consent the answer is no."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator import access
from dbops_operator.access import Consumer, Limits
from dbops_operator.annotation import ALLOW_FROM
from dbops_operator.api.access_policy import AccessPolicy, Ceiling, LabelSelector
from dbops_operator.api.database import DATABASE, DatabaseSpec
from dbops_operator.api.database_user import DATABASE_USER, DatabaseUserSpec
from dbops_operator.api.model import parse
from dbops_operator.settings import CrossNamespace, Settings

SETTINGS = Settings(cluster_id="c", api_server="https://10.0.0.1:6443", allow_loopback=False)
OPEN = replace(SETTINGS, cross_namespace=CrossNamespace.OPEN)


def secret(allow: str = "", *, namespace: str = "vault", labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": "s", "namespace": namespace, "annotations": {ALLOW_FROM: allow}, "labels": labels or {}}
    }


def refused(call: Any, *arguments: Any, **named: Any) -> DbopsError:
    with pytest.raises(DbopsError) as failure:
        call(*arguments, **named)
    return failure.value


@pytest.mark.parametrize(
    ("allow", "reader", "host", "admitted"),
    [
        ("", "team", "db", False),
        ("team", "team", "db", True),
        ("other, team", "team", "db", True),
        ("*", "team", "db", True),
        ("teams", "team", "db", False),
        ("team@db", "team", "DB", True),
        ("team@db", "team", "evil", False),
        ("*@db", "team", "evil", False),
        ("*@db,team@evil", "team", "evil", True),
        ("cluster", "", "db", True),
        ("*", "", "db", True),
        ("team", "", "db", False),
        ("@db", "", "db", False),
    ],
)
def test_a_secret_of_another_namespace_needs_consent(allow: str, reader: str, host: str, admitted: bool) -> None:
    if admitted:
        access.check_secret(secret(allow), reader=reader, host=host, settings=SETTINGS)
        return
    error = refused(access.check_secret, secret(allow), reader=reader, host=host, settings=SETTINGS)
    assert error.reason is Reason.ACCESS_DENIED
    assert ALLOW_FROM in error.message
    access.check_secret(secret(allow), reader=reader, host=host, settings=OPEN)


def test_own_secrets_need_none() -> None:
    access.check_secret(secret(namespace="team"), reader="team", host="db", settings=SETTINGS)
    operator = SETTINGS.operator_namespace
    access.check_secret(secret(namespace=operator), reader="", host="db", settings=SETTINGS)
    refused(access.check_secret, secret(namespace=operator), reader="team", host="db", settings=SETTINGS)


@pytest.mark.parametrize("settings", [SETTINGS, OPEN])
def test_state_of_the_operator_is_never_readable(settings: Settings) -> None:
    state = secret("*", namespace=settings.operator_namespace, labels={access.STATE_LABEL: "DatabaseUser"})
    for reader in ("", "team", settings.operator_namespace):
        assert refused(access.check_secret, state, reader=reader, host="db", settings=settings)


@pytest.mark.parametrize("host", ["/tmp", "a,b", "@x", "a b", "a=b", "a'b", "db\n"])
def test_hosts_that_are_none(host: str) -> None:
    assert refused(access.check_host, host).reason is Reason.INVALID_SPEC
    for good in ("db", "db.example.org", "10.1.2.3", "::1"):
        access.check_host(good)


@pytest.mark.parametrize(
    ("address", "port", "admitted"),
    [
        ("10.0.0.2", 6443, True),
        ("10.0.0.1", 5432, True),
        ("10.0.0.1", 6443, False),
        ("169.254.169.254", 5432, False),
        ("fe80::1%eth0", 5432, False),
        ("::ffff:169.254.169.254", 5432, False),
        ("127.0.0.1", 5432, False),
        ("::1", 5432, False),
        ("0.0.0.0", 5432, False),  # noqa: S104
    ],
)
def test_addresses_that_are_no_database(address: str, port: int, admitted: bool) -> None:
    arguments: dict[str, Any] = {"port": port, "api_addresses": {"10.0.0.1"}, "settings": SETTINGS}
    if admitted:
        access.check_addresses([address], **arguments)
    else:
        # One bad address among good ones is enough.
        assert refused(access.check_addresses, ["10.0.0.9", address], **arguments).reason is Reason.ACCESS_DENIED


def test_loopback_is_fine_outside_a_cluster() -> None:
    settings = replace(SETTINGS, allow_loopback=True)
    access.check_addresses(["127.0.0.1", "0.0.0.0"], port=5432, api_addresses=(), settings=settings)  # noqa: S104


def test_what_else_is_admitted_does_not_admit_this_host() -> None:
    settings = replace(SETTINGS, allow_link_local=True)
    access.check_addresses(["169.254.1.1"], port=5432, api_addresses=(), settings=settings)
    for address in ("0.0.0.0", "::", "224.0.0.1"):  # noqa: S104
        assert refused(access.check_addresses, [address], port=5432, api_addresses=(), settings=settings)


INSTANCE: dict[str, Any] = {"kind": "DatabaseInstance", "metadata": {"name": "main", "namespace": "dba"}}
CLUSTER: dict[str, Any] = {"kind": "ClusterDatabaseInstance", "metadata": {"name": "main"}}
TEAM = Consumer("Database", "team", {"tier": "gold"})


def policy(**namespaces: Any) -> AccessPolicy:
    return AccessPolicy.model_validate({"namespaces": namespaces})


@pytest.mark.parametrize(
    ("instance", "rules", "admitted"),
    [
        (INSTANCE, None, False),
        (CLUSTER, None, True),
        (CLUSTER, AccessPolicy(), False),
        (INSTANCE, AccessPolicy(), False),
        (INSTANCE, policy(), False),
        (INSTANCE, policy(names=["team"]), True),
        (INSTANCE, policy(names=["*"]), True),
        (INSTANCE, policy(names=["other"]), False),
        (INSTANCE, policy(selector={"matchLabels": {"tier": "gold"}}), True),
        (INSTANCE, policy(selector={"matchLabels": {"tier": "iron"}}), False),
        (INSTANCE, AccessPolicy.model_validate({"namespaces": {"names": ["*"]}, "kinds": ["DatabaseUser"]}), False),
        ({**INSTANCE, "metadata": {**INSTANCE["metadata"], "annotations": {ALLOW_FROM: "team"}}}, None, True),
    ],
)
def test_instances_serve_whom_they_admit(instance: dict[str, Any], rules: AccessPolicy | None, admitted: bool) -> None:
    if admitted:
        access.check_instance(instance, rules, TEAM, settings=SETTINGS)
    else:
        error = refused(access.check_instance, instance, rules, TEAM, settings=SETTINGS)
        assert error.reason is Reason.ACCESS_DENIED
        access.check_instance(instance, rules, TEAM, settings=OPEN)
    access.check_instance(INSTANCE, rules, Consumer("Database", "dba", {}), settings=SETTINGS)


@pytest.mark.parametrize(
    ("operator", "values", "selected"),
    [
        ("In", ["gold"], True),
        ("In", ["iron"], False),
        ("NotIn", ["iron"], True),
        ("NotIn", ["gold"], False),
        ("Exists", None, True),
        ("DoesNotExist", None, False),
    ],
)
def test_selectors(operator: str, values: list[str] | None, selected: bool) -> None:
    selector = LabelSelector.model_validate(
        {"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]}
    )
    assert access.selects(selector, {"tier": "gold"}) is selected


def user(**spec: Any) -> DatabaseUserSpec:
    return parse(DATABASE_USER, {"spec": {"instanceRef": {"name": "main"}, "username": "app", **spec}})


def database(**spec: Any) -> DatabaseSpec:
    return parse(DATABASE, {"spec": {"instanceRef": {"name": "main"}, "name": "app", **spec}})


LIMITS = Limits("team-a", None, frozenset({"mine"}))


@pytest.mark.parametrize(
    "spec",
    [
        {"postgres": {"superuser": True}},
        {"postgres": {"createRole": True}},
        {"postgres": {"inRoles": ["pg_read_all_data"]}},
        {"roles": ["theirs"]},
        {"postgres": {"configParameters": {"session_preload_libraries": "x"}}},
        {"postgres": {"defaultRole": "theirs"}},
    ],
)
def test_users_of_other_namespaces_stay_below_the_ceiling(spec: dict[str, Any]) -> None:
    assert refused(access.check_user, user(**spec), LIMITS).reason is Reason.ACCESS_DENIED
    ceiling = Ceiling.model_validate(
        {
            "roleAttributes": ["superuser", "createRole"],
            "roles": ["pg_read_all_data", "theirs"],
            "configParameters": ["SESSION_PRELOAD_LIBRARIES"],
        }
    )
    access.check_user(user(**spec), replace(LIMITS, policy=AccessPolicy(ceiling=ceiling)))


def test_a_role_that_is_not_known_to_be_ones_own_yet_is_waited_for() -> None:
    limits = replace(LIMITS, awaited=frozenset({"soon"}))
    assert refused(access.check_user, user(roles=["soon"]), limits).reason is Reason.DEPENDENCY_NOT_READY
    assert refused(access.check_database, database(owner="soon"), limits).reason is Reason.DEPENDENCY_NOT_READY


def test_ordinary_users_of_other_namespaces_pass() -> None:
    access.check_user(user(roles=["mine"], postgres={"superuser": False, "connectionLimit": 5}), LIMITS)


@pytest.mark.parametrize(
    "spec",
    [
        {"owner": "theirs"},
        # A copy of somebody else's data.
        {"postgres": {"template": "theirs"}},
        {"postgres": {"template": "postgres"}},
        {"postgres": {"extensions": [{"name": "file_fdw"}]}},
        {"postgres": {"schemas": [{"name": "s", "owner": "theirs"}]}},
        {
            "postgres": {
                "defaultPrivileges": [
                    {"role": "theirs", "schema": "public", "objectType": "tables", "privileges": ["SELECT"]}
                ]
            }
        },
    ],
)
def test_databases_of_other_namespaces_stay_below_the_ceiling(spec: dict[str, Any]) -> None:
    assert refused(access.check_database, database(**spec), LIMITS).reason is Reason.ACCESS_DENIED


def test_ordinary_databases_of_other_namespaces_pass() -> None:
    access.check_database(database(owner="mine", postgres={"extensions": [{"name": "citext"}]}), LIMITS)


@pytest.mark.parametrize("template", ["", "template0", "template1", "golden"])
def test_copies_of_own_databases_pass(template: str) -> None:
    access.check_database(
        database(postgres={"template": template}), replace(LIMITS, own_databases=frozenset({"golden"}))
    )


def test_name_patterns() -> None:
    limits = replace(LIMITS, policy=AccessPolicy(name_patterns=["{namespace}_*"]))
    access.check_database(replace_name("team_a_app"), limits)
    assert refused(access.check_database, replace_name("team_b_app"), limits).reason is Reason.ACCESS_DENIED


def replace_name(name: str) -> DatabaseSpec:
    return database().model_copy(update={"name": name})
