# SPDX-License-Identifier: GPL-3.0-or-later
"""A real API server takes the CRDs and keeps what they promise: nothing pruned, defaults, rules, columns, help."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, get_args

import published
import pytest

from dbops_operator.api.kind import API_VERSION, GROUP, Kind
from dbops_operator.api.kinds import KINDS
from dbops_operator.api.model import Block, parse
from localstack.controlplane import ApiError, ControlPlane

REFERENCES = {"instanceRef": {"name": "main"}}
CONNECTION = {"host": "db", "port": 5432, "database": "postgres"}
STORAGE = {"type": "pvc", "pvc": {"claimName": "c"}}
BACKUP = {"databaseRef": {"name": "app"}, "storage": STORAGE}

# Specs with nothing in them that may be left out.
MINIMAL: dict[str, dict[str, Any]] = {
    "DatabaseInstance": {"engine": "postgres", "connection": CONNECTION},
    "ClusterDatabaseInstance": {"engine": "mysql", "connection": CONNECTION},
    "Database": {**REFERENCES, "name": "app"},
    "DatabaseUser": {**REFERENCES, "username": "app"},
    "DatabaseRole": {**REFERENCES, "roleName": "app"},
    "ClusterDatabaseRole": {"clusterInstanceRef": {"name": "main"}, "roleName": "app"},
    "DatabaseGrant": {"userRef": {"name": "app"}},
    "ClusterDatabaseGrant": {"clusterInstanceRef": {"name": "main"}},
    "DatabaseBackup": BACKUP,
    "DatabaseBackupSchedule": {"schedule": "0 2 * * *", "template": {"spec": BACKUP}},
    "DatabaseRestore": {"target": {}},
}


class Api:
    """Objects of our kinds in one namespace of a cluster, through plain requests."""

    def __init__(self, cluster: ControlPlane, namespace: str, name: str) -> None:
        """Take the CLUSTER, a NAMESPACE, and the NAME that all objects get."""
        self.cluster = cluster
        self.namespace = namespace
        self.name = name
        self.created: list[str] = []

    def path(self, kind: str) -> str:
        """The collection of KIND."""
        scope = f"/namespaces/{self.namespace}" if KINDS[kind].namespaced else ""
        return f"/apis/{API_VERSION}{scope}/{KINDS[kind].plural}"

    def create(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Create an object; an unknown field is an error, not pruned."""
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": self.name}, "spec": spec}
        created = self.cluster.request("POST", f"{self.path(kind)}?fieldValidation=Strict", body)
        self.created.append(kind)
        return created

    def replace(self, body: dict[str, Any], *, part: str = "") -> dict[str, Any]:
        """Replace an object, or its status."""
        path = f"{self.path(body['kind'])}/{self.name}{part}?fieldValidation=Strict"
        return self.cluster.request("PUT", path, body)

    def get(self, kind: str) -> dict[str, Any]:
        """Read the object."""
        return self.cluster.request("GET", f"{self.path(kind)}/{self.name}")

    def refused(self, kind: str, spec: dict[str, Any]) -> str:
        """Why an object cannot be created."""
        with pytest.raises(ApiError) as failure:
            self.create(kind, spec)
        assert failure.value.status == 422
        return str(failure.value)


@pytest.fixture
def api(crds: ControlPlane, namespace: str, unique: Callable[[str], str]) -> Iterator[Api]:
    """Access to a namespace of its own; objects of cluster-scoped kinds are removed afterwards."""
    access = Api(crds, namespace, unique("o").replace("_", "-"))
    yield access
    for kind in access.created:
        if not KINDS[kind].namespaced:
            crds.request("DELETE", f"{access.path(kind)}/{access.name}")


def blocks(model: type[Block]) -> Iterator[tuple[str, type[Block]]]:
    """The fields of MODEL that are blocks, by the API's name."""
    for field in model.model_fields.values():
        for choice in (field.annotation, *get_args(field.annotation)):
            if isinstance(choice, type) and issubclass(choice, Block):
                assert field.alias
                yield field.alias, choice


def with_empty_blocks(model: type[Block], spec: dict[str, Any]) -> dict[str, Any]:
    """SPEC with each optional block as empty as the schema allows."""
    result = dict(spec)
    for name, block in blocks(model):
        empty = with_empty_blocks(block, result.get(name, {}))
        required = {field.alias for field in block.model_fields.values() if field.is_required()}
        if required <= set(empty) and not block.rules:
            result[name] = empty
    return result


def with_defaults(spec: Block) -> dict[str, Any]:
    """What the models say that SPEC is with its defaults."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_all_kinds_are_established_and_found_by_category(crds: ControlPlane) -> None:
    listed = json.loads(crds.kubectl("get", "crds", "--output", "json"))["items"]
    conditions = {
        item["spec"]["names"]["kind"]: {entry["type"]: entry["status"] for entry in item["status"]["conditions"]}
        for item in listed
        if item["spec"]["group"] == GROUP
    }
    assert conditions == {kind: {"Established": "True", "NamesAccepted": "True"} for kind in KINDS}
    found = crds.kubectl("api-resources", "--categories=dbops", "--no-headers").splitlines()
    assert {line.split()[0] for line in found} == {kind.plural for kind in KINDS.values()}


@pytest.mark.parametrize("choice", published.CHOICES)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_nothing_that_a_user_wrote_is_pruned_or_changed(api: Api, kind: str, choice: int) -> None:
    """Booleans are false and numbers zero or as low as admitted: those survive as well."""
    spec = published.full_part(kind, "spec", choice=choice)
    assert api.create(kind, spec)["spec"] == spec
    assert api.get(kind)["spec"] == spec


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_status_is_kept_and_is_a_part_of_its_own(api: Api, kind: str) -> None:
    status = published.full_part(kind, "status")
    created = api.create(kind, MINIMAL[kind])
    ignored = api.replace({**created, "status": status})
    # For kstatus: what nobody has looked at is in progress.
    assert ignored["status"] == {"observedGeneration": -1}
    stored = api.replace({**ignored, "spec": {}, "status": status}, part="/status")
    assert stored["status"] == status
    assert stored["spec"] == created["spec"]
    assert stored["metadata"]["generation"] == 1


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_phase_that_code_may_write_is_taken(api: Api, kind: str) -> None:
    phases = [
        value for choice in get_args(KINDS[kind].status.model_fields["phase"].annotation) for value in get_args(choice)
    ]
    assert phases
    body = api.create(kind, MINIMAL[kind])
    for phase in phases:
        body = api.replace({**body, "status": {"phase": phase, "observedGeneration": 1}}, part="/status")
        assert body["status"] == {"phase": phase, "observedGeneration": 1}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_defaults_are_set_in_present_blocks_only(api: Api, kind: str) -> None:
    model = KINDS[kind].spec
    sent = MINIMAL[kind]
    stored = api.create(kind, sent)["spec"]
    absent = [name for name, _ in blocks(model) if name not in sent]
    assert [name for name in absent if name in stored] == []
    assert stored == with_defaults(parse(KINDS[kind], {"spec": sent}))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_defaults_are_those_of_the_models(api: Api, kind: str) -> None:
    sent = with_empty_blocks(KINDS[kind].spec, MINIMAL[kind])
    stored = api.create(kind, sent)["spec"]
    assert stored == with_defaults(parse(KINDS[kind], {"spec": sent}))
    assert set(sent) > set(MINIMAL[kind])


INIT_SQL = {"inline": ["SELECT 1"], "secretRef": {"name": "s", "key": "k"}}
BOTH_INSTANCES = {**REFERENCES, "clusterInstanceRef": {"name": "main"}}


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("Database", {"name": "app"}, "one of instanceRef and clusterInstanceRef must be given"),
        ("DatabaseUser", {"username": "app"}, "one of instanceRef and clusterInstanceRef must be given"),
        ("DatabaseRole", {"roleName": "app"}, "one of instanceRef and clusterInstanceRef must be given"),
        ("Database", {**BOTH_INSTANCES, "name": "app"}, "instanceRef and clusterInstanceRef exclude one another"),
        (
            "DatabaseUser",
            {**BOTH_INSTANCES, "username": "app"},
            "instanceRef and clusterInstanceRef exclude one another",
        ),
        (
            "DatabaseRole",
            {**BOTH_INSTANCES, "roleName": "app"},
            "instanceRef and clusterInstanceRef exclude one another",
        ),
        ("DatabaseRestore", {"target": BOTH_INSTANCES}, "instanceRef and clusterInstanceRef exclude one another"),
        ("DatabaseGrant", {}, "one of userRef and roleRef must be given"),
        (
            "DatabaseGrant",
            {"userRef": {"name": "a"}, "roleRef": {"name": "b"}},
            "userRef and roleRef exclude one another",
        ),
        (
            "Database",
            {**MINIMAL["Database"], "initSQL": {}},
            "exactly one of inline, configMapRef and secretRef must be given",
        ),
        (
            "Database",
            {**MINIMAL["Database"], "initSQL": INIT_SQL},
            "exactly one of inline, configMapRef and secretRef must be given",
        ),
    ],
)
def test_rules_between_fields_refuse_with_their_message(
    api: Api, kind: str, spec: dict[str, Any], message: str
) -> None:
    assert message in api.refused(kind, spec)


@pytest.mark.parametrize(
    ("kind", "field", "other"),
    [
        ("DatabaseInstance", "engine", "mariadb"),
        ("ClusterDatabaseInstance", "engine", "mariadb"),
        ("Database", "name", "other"),
        ("DatabaseUser", "username", "other"),
        ("DatabaseRole", "roleName", "other"),
        ("ClusterDatabaseRole", "roleName", "other"),
    ],
)
def test_identity_on_the_server_never_changes(api: Api, kind: str, field: str, other: str) -> None:
    body = api.create(kind, MINIMAL[kind])
    with pytest.raises(ApiError) as failure:
        api.replace({**body, "spec": {**body["spec"], field: other}})
    assert f"{field} is immutable" in str(failure.value)
    assert api.get(kind)["spec"] == body["spec"]


def test_added_fields_are_kept(api: Api) -> None:
    policy = {
        "namespaces": {"names": ["a"], "selector": {"matchLabels": {"team": "b"}}},
        "kinds": ["Database"],
        "namePatterns": ["{namespace}_*"],
        "ceiling": {"roleAttributes": ["createDB"], "roles": [], "extensions": ["hstore"], "globalPrivileges": []},
        "quotas": {"databases": 0, "users": 5},
    }
    instance = api.create("DatabaseInstance", {**MINIMAL["DatabaseInstance"], "accessPolicy": policy})
    assert instance["spec"]["accessPolicy"] == policy
    found = {"serverIdentity": "741", "capabilities": [{"name": "createDatabase", "available": False, "message": "m"}]}
    assert api.replace({**instance, "status": found}, part="/status")["status"] == found
    user = api.create("DatabaseUser", MINIMAL["DatabaseUser"])
    bound = {"binding": {"name": "app-binding"}}
    assert api.replace({**user, "status": bound}, part="/status")["status"] == bound
    extension = {"name": "hstore", "schema": "public", "state": "absent", "cascade": False}
    schema = {"name": "old", "state": "absent", "cascade": True}
    spec = {**MINIMAL["Database"], "postgres": {"extensions": [extension], "schemas": [schema]}}
    database = api.create("Database", spec)
    assert (database["spec"]["postgres"]["extensions"], database["spec"]["postgres"]["schemas"]) == (
        [extension],
        [schema],
    )


def test_where_an_instance_is_may_change(api: Api) -> None:
    body = api.create("DatabaseInstance", MINIMAL["DatabaseInstance"])
    connection = {**CONNECTION, "host": "elsewhere", "port": 1, "database": "other", "secretRef": {"name": "s"}}
    changed = api.replace({**body, "spec": {**body["spec"], "connection": connection, "tls": {"enabled": True}}})
    assert changed["spec"]["connection"] == connection


@pytest.mark.parametrize("name", ["my-app", "1app", "", "a" * 64, "app;x"])
def test_names_on_the_server_are_checked(api: Api, name: str) -> None:
    assert "spec.name" in api.refused("Database", {**REFERENCES, "name": name})


def test_conditions_of_two_writers_live_side_by_side(api: Api) -> None:
    api.create("DatabaseUser", MINIMAL["DatabaseUser"])
    for writer in ("Ready", "Audited"):
        condition = {
            "type": writer,
            "status": "True",
            "reason": "Tried",
            "message": "",
            "lastTransitionTime": "2026-11-24T08:00:00Z",
        }
        body = {
            "apiVersion": API_VERSION,
            "kind": "DatabaseUser",
            "metadata": {"name": api.name, "namespace": api.namespace},
            "status": {"conditions": [condition]},
        }
        apply = ("apply", "--server-side", "--subresource=status", f"--field-manager={writer.lower()}", "--filename=-")
        api.cluster.kubectl(*apply, stdin=json.dumps(body))
    conditions = api.get("DatabaseUser")["status"]["conditions"]
    assert {condition["type"] for condition in conditions} == {"Ready", "Audited"}


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_columns_are_shown(api: Api, kind: Kind[Any, Any]) -> None:
    api.create(kind.name, published.full_part(kind.name, "spec"))
    body = {**api.get(kind.name), "status": published.full_part(kind.name, "status")}
    api.replace(body, part="/status")
    get = ("get", kind.short_name, api.name, "--namespace", api.namespace)
    header, row = api.cluster.kubectl(*get).splitlines()
    titles = [column.name.upper() for column in kind.columns]
    # Names of columns may have a blank in them, but never two.
    assert header.replace("  ", "\t").split("\t")[0] == "NAME"
    assert [title.strip() for title in header.split("  ") if title.strip()] == ["NAME", *titles]
    assert row.startswith(api.name)
    wide = api.cluster.kubectl(*get, "--output", "wide").splitlines()[0]
    assert wide.split()[-3:] == ["READY", "REASON", "MESSAGE"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_help_explains_the_fields(crds: ControlPlane, kind: str) -> None:
    text = crds.kubectl("explain", KINDS[kind].plural)
    assert " ".join(KINDS[kind].about.split()) in " ".join(text.split())
    fields = crds.kubectl("explain", f"{KINDS[kind].plural}.spec")
    for name in MINIMAL[kind]:
        assert name in fields


def test_help_explains_a_field_and_its_choices(crds: ControlPlane) -> None:
    text = crds.kubectl("explain", "databaseusers.spec.passwordRotation.oldUserPolicy.action")
    assert text.split("ENUM:")[1].split("DESCRIPTION:")[0].split() == ["retain", "disable", "delete"]
    assert "What is done with it after the grace period." in text


def test_unknown_field_is_named_to_the_user(api: Api) -> None:
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "DatabaseUser",
        "metadata": {"name": api.name, "namespace": api.namespace},
        "spec": {**MINIMAL["DatabaseUser"], "deletionPolicy": "Retain"},
    }
    with pytest.raises(subprocess.CalledProcessError) as failure:
        api.cluster.kubectl("create", "--filename=-", stdin=json.dumps(manifest))
    assert 'unknown field "spec.deletionPolicy"' in failure.value.stderr
