# SPDX-License-Identifier: GPL-3.0-or-later
"""Our CRDs are the published API: every field, default and constraint of its table, and additions by name only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import published
import pytest
import yaml

from dbops_operator.api import crd
from dbops_operator.api.kinds import KINDS

CRDS: dict[str, dict[str, Any]] = {name: crd.crd(kind) for name, kind in KINDS.items()}
OURS = {(field.kind, field.path): field for document in CRDS.values() for field in published.fields_of(document)}
PUBLISHED = {(field.kind, field.path): field for field in published.fields()}

INSTANCES = ("DatabaseInstance", "ClusterDatabaseInstance")
WITH_DRIFT = (
    "Database",
    "DatabaseUser",
    "DatabaseRole",
    "ClusterDatabaseRole",
    "DatabaseGrant",
    "ClusterDatabaseGrant",
)
RUN_ONCE = ("DatabaseBackup", "DatabaseBackupSchedule", "DatabaseRestore")

# Fields that the published API lacks, with everything below them; all of them optional and without default.
ADDED_FIELDS = {
    ("DatabaseBackup", "spec.encryption.recipients"),
    ("DatabaseBackup", "status.progress"),
    ("DatabaseBackup", "status.attempts"),
    ("DatabaseBackup", "status.warnings"),
    ("DatabaseBackupSchedule", "spec.template.spec.encryption.recipients"),
    ("DatabaseRestore", "spec.fromPath.encryption.recipients"),
    ("DatabaseRestore", "spec.decryption"),
    ("DatabaseRestore", "status.attempts"),
    *((kind, "spec.accessPolicy") for kind in INSTANCES),
    *((kind, "status.capabilities") for kind in INSTANCES),
    *((kind, "status.serverIdentity") for kind in INSTANCES),
    *((kind, f"status.{name}") for kind in INSTANCES for name in ("consumers", "consumersCount", "serverChangedAt")),
    *(
        (kind, f"status.discoveredResources.{sort}Count")
        for kind in INSTANCES
        for sort in ("databases", "users", "roles")
    ),
    *((kind, "status.drift.diffsCount") for kind in WITH_DRIFT),
    *((kind, f"status.{name}") for kind in WITH_DRIFT for name in ("appliedTo", "leftOn")),
    *((kind, "status.observedGeneration") for kind in RUN_ONCE),
    ("Database", "spec.postgres.extensions[].cascade"),
    ("Database", "spec.postgres.extensions[].state"),
    ("Database", "spec.postgres.schemas[].cascade"),
    ("Database", "spec.postgres.schemas[].state"),
    ("DatabaseBackupSchedule", "status.message"),
    ("DatabaseGrant", "status.appliedGrants.grantee"),
    ("ClusterDatabaseGrant", "status.appliedGrants.grantee"),
    ("DatabaseUser", "spec.serviceBinding"),
    ("DatabaseUser", "status.binding"),
    ("DatabaseUser", "status.ownershipBlock.ownedObjectsCount"),
}
# Phases that are written although the published enum lacks them.
ADDED_PHASES = {
    "DatabaseInstance": "|Deleting|PendingDeletion",
    "ClusterDatabaseInstance": "|Deleting|PendingDeletion",
    "Database": "|PendingDeletion",
    "DatabaseUser": "|PendingDeletion",
    "DatabaseRole": "|PendingDeletion",
    "DatabaseBackup": "|Deleting",
    "DatabaseBackupSchedule": "|Failed",
}
ADDED_ALGORITHM = "|age"
"""age encrypts for public keys, so that who makes backups cannot read them."""
# What nobody has looked at yet is in progress for kstatus.
STATUS_DEFAULT = str({"observedGeneration": -1})


def test_kinds_are_the_published_ones() -> None:
    assert set(CRDS) == set(published.kinds())


@pytest.mark.parametrize("name", sorted(KINDS))
def test_names_scope_and_columns_are_the_published_ones(name: str) -> None:
    row, spec = published.kinds()[name], CRDS[name]["spec"]
    columns = spec["versions"][0]["additionalPrinterColumns"]
    shown = [f"{column['name']}={column['jsonPath']}" for column in columns if not column.get("priority")]
    assert (spec["scope"], spec["names"]["plural"]) == (row["scope"], row["plural"])
    assert spec["names"]["shortNames"] == row["short names"].split(", ")
    assert " | ".join(shown) == row["printer columns"]
    assert spec["names"]["categories"] == ["dbops"]
    assert [column["name"] for column in columns if column.get("priority")] == ["Ready", "Reason", "Message"]


def test_every_published_field_is_there_as_published() -> None:
    different = {}
    for key, theirs in PUBLISHED.items():
        constraints = theirs.constraints
        if theirs.path == "status.phase":
            extra = ADDED_PHASES.get(theirs.kind, "")
            constraints = frozenset(rule + extra if rule.startswith("enum=") else rule for rule in constraints)
        if theirs.path.endswith("encryption.algorithm"):
            constraints = frozenset(rule + ADDED_ALGORITHM for rule in constraints)
        default = STATUS_DEFAULT if theirs.path == "status" else theirs.default
        ours = OURS.get(key)
        if ours != published.Field(theirs.kind, theirs.path, theirs.type, theirs.required, default, constraints):
            different[key] = (theirs, ours)
    assert different == {}


def test_only_named_fields_are_added() -> None:
    def named(kind: str, path: str) -> bool:
        return any(
            kind == added and (path == top or path.startswith((f"{top}.", f"{top}[]"))) for added, top in ADDED_FIELDS
        )

    assert [key for key in OURS if key not in PUBLISHED and not named(*key)] == []
    assert set(OURS) >= ADDED_FIELDS
    assert [key for key in ADDED_FIELDS if OURS[key].required or OURS[key].default] == []


def test_every_field_and_kind_is_explained() -> None:
    silent = []

    def look(path: str, node: dict[str, Any]) -> None:
        if "metadata" not in path and not node.get("description"):
            silent.append(path)
        for name, child in node.get("properties", {}).items():
            look(f"{path}.{name}", child)
        if node["type"] == "array" and "properties" in node["items"]:
            look(f"{path}[]", node["items"])

    for name, document in CRDS.items():
        look(name, document["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    assert silent == []


def test_conditions_of_several_writers_are_merged_by_type() -> None:
    for document in CRDS.values():
        status = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
        conditions = status["properties"]["conditions"]
        assert conditions["x-kubernetes-list-type"] == "map"
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_every_rule_has_a_message() -> None:
    rules = []

    def look(node: object) -> None:
        if isinstance(node, dict):
            rules.extend(node.get("x-kubernetes-validations", ()))
            for child in node.values():
                look(child)
        elif isinstance(node, list):
            for child in node:
                look(child)

    look(list(CRDS.values()))
    assert rules
    assert [rule for rule in rules if not rule["message"]] == []


def test_committed_files_are_what_the_models_say() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in crd.DIRECTORY.iterdir()}
    assert committed == crd.files(), "run `make crds`"


def test_written_files_are_the_crds_and_strangers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "databasepets.yaml").write_text("a kind of yesterday", encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["crd", str(tmp_path)])
    assert crd.main() == 0
    written = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in tmp_path.iterdir()}
    assert written == {f"{kind.plural}.yaml": CRDS[name] for name, kind in KINDS.items()}


@pytest.mark.parametrize(
    ("kind", "finalizer"),
    [
        ("DatabaseInstance", "instance-protection"),
        ("ClusterDatabaseInstance", "cluster-instance-protection"),
        ("Database", "database-protection"),
        ("DatabaseUser", "user-protection"),
        ("DatabaseRole", "role-protection"),
        ("ClusterDatabaseRole", "cluster-role-protection"),
        ("DatabaseGrant", "grant-protection"),
        ("ClusterDatabaseGrant", "cluster-grant-protection"),
        ("DatabaseBackup", "backup-protection"),
        ("DatabaseBackupSchedule", "schedule-protection"),
        ("DatabaseRestore", "restore-protection"),
    ],
)
def test_finalizers_are_those_that_published_objects_carry(kind: str, finalizer: str) -> None:
    assert KINDS[kind].finalizer == f"dbops.dbprovision.io/{finalizer}"


def test_user_is_a_provisioned_service() -> None:
    labels = {name: document["metadata"].get("labels") for name, document in CRDS.items()}
    assert labels.pop("DatabaseUser") == {"servicebinding.io/provisioned-service": "true"}
    assert set(labels.values()) == {None}
