# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsing and dumping: what a user wrote survives, and what is wrong is named in the user's words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import published
import pytest
from pydantic import ValidationError

from ansible_collections.dbprovision.dbops.plugins.module_utils.core.reasons import DbopsError, Reason
from dbops_operator.api.common import Condition, DriftPolicy
from dbops_operator.api.database import DATABASE
from dbops_operator.api.database_backup import DATABASE_BACKUP
from dbops_operator.api.database_instance import DATABASE_INSTANCE, DatabaseInstanceStatus
from dbops_operator.api.database_restore import DATABASE_RESTORE
from dbops_operator.api.database_user import DATABASE_USER, PostgresUser
from dbops_operator.api.kinds import KINDS
from dbops_operator.api.model import camel_case, dump, parse, parse_status

USER: dict[str, Any] = {"instanceRef": {"name": "main"}, "username": "app"}
DATABASE_SPEC: dict[str, Any] = {"instanceRef": {"name": "main"}, "name": "app"}


def invalid(kind: str, spec: dict[str, Any]) -> DbopsError:
    """The error of parsing an object of KIND with SPEC."""
    with pytest.raises(DbopsError) as failure:
        parse(KINDS[kind], {"spec": spec})
    assert failure.value.reason is Reason.INVALID_SPEC
    return failure.value


@pytest.mark.parametrize("choice", published.CHOICES)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_field_survives_parsing_and_dumping(kind: str, choice: int) -> None:
    spec, status = published.full_part(kind, "spec", choice=choice), published.full_part(kind, "status")
    body = {"apiVersion": "dbops.dbprovision.io/v1alpha1", "kind": kind, "spec": spec, "status": status}
    assert dump(parse(KINDS[kind], body)) == spec
    assert dump(parse_status(KINDS[kind], body)) == status


def test_explicit_false_and_zero_are_told_from_absent() -> None:
    spec = {**USER, "postgres": {"login": False, "connectionLimit": 0, "superuser": False}}
    parsed = parse(DATABASE_USER, {"spec": spec})
    assert parsed.postgres
    assert (parsed.postgres.login, parsed.postgres.connection_limit, parsed.postgres.superuser) == (False, 0, False)
    assert parsed.postgres.model_fields_set == {"login", "connection_limit", "superuser"}
    assert parsed.postgres.create_db is None
    assert dump(parsed) == spec


def test_defaults_are_set_inside_present_blocks_only() -> None:
    bare = parse(DATABASE_USER, {"spec": USER})
    assert (bare.postgres, bare.mysql, bare.drift_policy, bare.password_secret) == (None, None, None, None)
    block = parse(DATABASE_USER, {"spec": {**USER, "postgres": {}, "driftPolicy": {}}})
    assert block.postgres == PostgresUser()
    assert block.postgres.inherit is True
    assert block.drift_policy == DriftPolicy(mode="detect", interval="8h")


def test_keys_of_maps_are_data() -> None:
    data = {"DATABASE_URL": "x", "databaseUrl": "y", "spring.datasource.url": "z", "init_sql": ""}
    template = {"data": data, "labels": {"team_name": "a"}, "annotations": {"createDB": "b"}}
    spec = {**USER, "passwordSecret": {"secretName": "s", "secretTemplate": template}}
    parsed = parse(DATABASE_USER, {"spec": spec})
    assert parsed.password_secret
    assert parsed.password_secret.secret_template
    assert parsed.password_secret.secret_template.data == data
    assert dump(parsed) == spec


def test_unknown_fields_are_ignored_and_null_is_absent_as_the_api_server_has_it() -> None:
    spec = {**USER, "deletionPolicy": "Retain", "roles": None, "postgres": {"canLogin": True, "inherit": None}}
    parsed = parse(DATABASE_USER, {"spec": spec})
    assert dump(parsed) == {**USER, "postgres": {}}
    assert parsed.postgres == PostgresUser()


def test_attribute_names_are_no_names_of_the_api() -> None:
    """Only the API's spelling is a field, or YAML with a field of ours in snake case would work here alone."""
    error = invalid("Database", {"instance_ref": {"name": "main"}, "name": "app"})
    assert "instanceRef" in error.message


@pytest.mark.parametrize(
    ("kind", "spec", "field", "says"),
    [
        ("Database", {}, "spec.name", "required"),
        ("Database", {**DATABASE_SPEC, "name": "my-app"}, "spec.name", "pattern"),
        ("Database", {**DATABASE_SPEC, "name": "a" * 64}, "spec.name", "63"),
        ("Database", {**DATABASE_SPEC, "deletionPolicy": "Keep"}, "spec.deletionPolicy", "'Retain'"),
        ("Database", {**DATABASE_SPEC, "deletionProtection": "yes"}, "spec.deletionProtection", "boolean"),
        ("Database", {**DATABASE_SPEC, "deletionProtection": 0}, "spec.deletionProtection", "boolean"),
        (
            "Database",
            {**DATABASE_SPEC, "postgres": {"extensions": [{"name": "hstore"}, {"version": "1"}]}},
            "spec.postgres.extensions[1].name",
            "required",
        ),
        (
            "Database",
            {**DATABASE_SPEC, "postgres": {"connectionLimit": "5"}},
            "spec.postgres.connectionLimit",
            "integer",
        ),
        ("Database", {**DATABASE_SPEC, "postgres": {"connectionLimit": -2}}, "spec.postgres.connectionLimit", "-1"),
        ("DatabaseUser", {**USER, "postgres": {"createDB": 1}}, "spec.postgres.createDB", "boolean"),
        (
            "DatabaseGrant",
            {
                "userRef": {"name": "app"},
                "postgres": {"grants": [{"database": "app", "privileges": ["SELECT", "drop table"]}]},
            },
            "spec.postgres.grants[0].privileges[1]",
            "pattern",
        ),
        ("DatabaseUser", {"username": "app"}, "spec", "instanceRef and clusterInstanceRef"),
        ("DatabaseUser", {**USER, "clusterInstanceRef": {"name": "x"}}, "spec", "exclude one another"),
        ("Database", {**DATABASE_SPEC, "initSQL": {}}, "spec.initSQL", "exactly one of inline"),
        (
            "Database",
            {**DATABASE_SPEC, "initSQL": {"inline": [], "secretRef": {"name": "s", "key": "k"}}},
            "spec.initSQL",
            "exactly one of inline",
        ),
    ],
)
def test_error_names_the_field_and_says_what_is_wrong(kind: str, spec: dict[str, Any], field: str, says: str) -> None:
    error = invalid(kind, spec)
    assert error.field == field
    assert error.message.startswith(f"{field}: ")
    assert says in error.message


def test_error_never_repeats_the_input() -> None:
    secret = "correct horse battery staple"
    for spec in (
        {**DATABASE_SPEC, "initSQL": {"inline": secret}},
        {**DATABASE_SPEC, "name": secret},
        {**DATABASE_SPEC, "deletionPolicy": secret},
        {**DATABASE_SPEC, "postgres": secret},
    ):
        assert secret not in invalid("Database", spec).message


def test_all_problems_are_told_up_to_a_few() -> None:
    error = invalid("DatabaseInstance", {"engine": "oracle", "connection": {"port": 0}})
    assert error.message.count(";") == 3
    extensions = [{} for _ in range(9)]
    error = invalid("Database", {**DATABASE_SPEC, "postgres": {"extensions": extensions}})
    assert error.message.endswith("and 4 more")
    assert len(error.message) < 1024


def test_object_without_spec_or_status() -> None:
    assert invalid("Database", {}).field == "spec.name"
    with pytest.raises(DbopsError, match="spec: "):
        parse(DATABASE, {"spec": ["name"]})
    assert parse_status(DATABASE, {"spec": DATABASE_SPEC}).phase is None


def test_status_that_is_built_here_is_dumped_in_the_names_of_the_api() -> None:
    moment = datetime(2026, 11, 24, 8, 0, 0, 123456, tzinfo=UTC)
    condition = Condition(
        type="Ready", status="True", reason="ReconcileSuccess", message="", last_transition_time=moment
    )
    status = DatabaseInstanceStatus(
        phase="Ready", reconcile_id="0a1b2c3d", observed_generation=3, last_checked_at=moment, conditions=[condition]
    )
    assert dump(status) == {
        "phase": "Ready",
        "reconcileID": "0a1b2c3d",
        "observedGeneration": 3,
        "lastCheckedAt": "2026-11-24T08:00:00Z",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "ReconcileSuccess",
                "message": "",
                "lastTransitionTime": "2026-11-24T08:00:00Z",
            }
        ],
    }


def test_phase_that_the_crd_lacks_cannot_be_built() -> None:
    with pytest.raises(ValidationError):
        DatabaseInstanceStatus(phase="Sleeping")  # type: ignore[arg-type]


def test_parsed_specs_are_typed_and_do_not_change() -> None:
    spec = {"engine": "postgres", "connection": {"host": "db", "port": 5432, "database": "postgres"}}
    parsed = parse(DATABASE_INSTANCE, {"spec": spec})
    assert parsed.connection.port == 5432
    with pytest.raises(ValidationError):
        parsed.connection.port = 1  # type: ignore[misc]


def test_access_policy_is_read() -> None:
    policy = {
        "namespaces": {
            "names": ["team-a"],
            "selector": {
                "matchLabels": {"dbops_team": "b"},
                "matchExpressions": [{"key": "env", "operator": "Exists"}],
            },
        },
        "kinds": ["Database", "DatabaseUser"],
        "namePatterns": ["{namespace}_*"],
        "ceiling": {"roleAttributes": ["createDB"], "extensions": [], "configParameters": ["search_path"]},
        "quotas": {"databases": 0},
    }
    spec = {
        "engine": "postgres",
        "connection": {"host": "db", "port": 5432, "database": "postgres"},
        "accessPolicy": policy,
    }
    parsed = parse(DATABASE_INSTANCE, {"spec": spec})
    assert dump(parsed) == spec
    assert parsed.access_policy
    assert parsed.access_policy.quotas
    assert (parsed.access_policy.quotas.databases, parsed.access_policy.quotas.users) == (0, None)


def test_one_source_of_a_restore_and_one_target() -> None:
    target = {"instanceRef": {"name": "a"}, "clusterInstanceRef": {"name": "b"}}
    assert invalid("DatabaseRestore", {"target": target}).field == "spec.target"
    assert parse(DATABASE_RESTORE, {"spec": {"target": {}}}).target.in_place is None


def test_backup_defaults_hold_in_the_schedules_template_too() -> None:
    backup = {"databaseRef": {"name": "app"}, "storage": {"type": "pvc", "pvc": {"claimName": "c"}}}
    schedule = parse(KINDS["DatabaseBackupSchedule"], {"spec": {"schedule": "0 2 * * *", "template": {"spec": backup}}})
    assert schedule.template.spec == parse(DATABASE_BACKUP, {"spec": backup})
    assert schedule.template.spec.active_deadline_seconds == 3600


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("create_db", "createDB"),
        ("bypass_rls", "bypassRLS"),
        ("init_sql", "initSQL"),
        ("sql_mode", "sqlMode"),
        ("ssl_mode", "sslMode"),
        ("require_ssl", "requireSSL"),
        ("require_x509", "requireX509"),
        ("reconcile_id", "reconcileID"),
        ("set_gtid_purged", "setGtidPurged"),
        ("schema_", "schema"),
        ("s3", "s3"),
    ],
)
def test_names_of_the_api(attribute: str, name: str) -> None:
    assert camel_case(attribute) == name
