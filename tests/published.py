# SPDX-License-Identifier: GPL-3.0-or-later
"""The published v1alpha1 API as a table, our CRDs in the same form, and manifests that set every published field.

The two .tsv files under tests/unit/api/published are what the unit and the end-to-end tests of the API
compare with; they are the promise to existing manifests and are not edited.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "unit" / "api" / "published"
BOUNDS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "format")


@dataclass(frozen=True)
class Field:
    """One row: a field's path, its type in the table's words, and what the schema says about it."""

    kind: str
    path: str
    type: str
    required: bool
    default: str
    constraints: frozenset[str]


def kinds() -> dict[str, dict[str, str]]:
    """Rows of the kinds by name: scope, plural, short names, printer columns."""
    return {row["kind"]: row for row in _rows("published_kinds.tsv")}


def fields() -> list[Field]:
    """All rows of the fields."""
    return [
        Field(
            kind=row["kind"],
            path=row["path"],
            type=row["type"],
            required=row["required"] == "yes",
            default=row["default"],
            constraints=frozenset(filter(None, row["constraints"].split("; "))),
        )
        for row in _rows("published_fields.tsv")
    ]


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def fields_of(crd: Mapping[str, Any]) -> Iterator[Field]:
    """Give spec and status of a CRD as rows of the same form."""
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for part in ("spec", "status"):
        yield from _walk(crd["spec"]["names"]["kind"], part, schema["properties"][part], required=False)


def _walk(kind: str, path: str, node: Mapping[str, Any], *, required: bool) -> Iterator[Field]:
    type_ = node["type"]
    inner = node
    if type_ == "array":
        inner = node["items"]
        type_ = f"list of {inner['type']}"
    elif "additionalProperties" in node:
        type_ = f"map of {node['additionalProperties']['type']}"
    yield Field(kind, path, type_, required, _default(node), frozenset(_constraints(node)))
    prefix = f"{path}[]." if inner is not node else f"{path}."
    for name, child in inner.get("properties", {}).items():
        yield from _walk(kind, prefix + name, child, required=name in inner.get("required", ()))


def _default(node: Mapping[str, Any]) -> str:
    value = node.get("default", "")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _constraints(node: Mapping[str, Any]) -> Iterator[str]:
    if "enum" in node:
        yield f"enum={'|'.join(node['enum'])}"
    for bound in BOUNDS:
        if bound in node:
            yield f"{bound}={node[bound]}"
        if node["type"] == "array" and bound in node["items"]:
            yield f"items.{bound}={node['items'][bound]}"
    for rule in node.get("x-kubernetes-validations", ()):
        yield f"CEL: {rule['rule']}"


_INSTANCES = ("spec.instanceRef", "spec.clusterInstanceRef")
# Groups of fields that exclude one another.
_EXCLUSIVE = {
    "Database": (_INSTANCES, ("spec.initSQL.inline", "spec.initSQL.configMapRef", "spec.initSQL.secretRef")),
    "DatabaseUser": (_INSTANCES,),
    "DatabaseRole": (_INSTANCES,),
    "DatabaseGrant": (("spec.userRef", "spec.roleRef"),),
    "DatabaseRestore": (("spec.target.instanceRef", "spec.target.clusterInstanceRef"),),
}
CHOICES = range(3)
"""What `full_part` may be asked for, so that together every published field of every kind is set."""
_TEXTS = {"format=date-time": "2026-11-24T08:00:00Z", "items.pattern=^[A-Z][A-Z ]*$": "SELECT"}


def full_part(kind: str, part: str, *, choice: int = 0) -> dict[str, Any]:
    """Make the spec or status (PART) of an object of KIND with every published field set.

    Booleans are false and numbers as low as they may be, so what treats those as absent is found out. CHOICE
    selects the one that is set of fields that exclude one another.
    """
    groups = _EXCLUSIVE.get(kind, ())
    skipped = [path for group in groups for path in group if path != group[choice % len(group)]]
    result: dict[str, Any] = {}
    for field in fields():
        if field.kind != kind or field.path.split(".")[0] != part or field.path == part:
            continue
        if not any(field.path == path or field.path.startswith(f"{path}.") for path in skipped):
            _put(result, field.path.split(".")[1:], _value(field))
    return result


def _put(block: dict[str, Any], path: list[str], value: Any) -> None:
    *parents, last = path
    for name in parents:
        inner = block[name.removesuffix("[]")]
        block = inner[0] if name.endswith("[]") else inner
    block[last] = value


def _value(field: Field) -> Any:
    match field.type:
        case "object":
            return {}
        case "map of string":
            return {"snake_case_key": "1", "camelCaseKey": "", "dotted.key/x": "{{ .Password }}"}
        case "list of object":
            return [{}]
        case "list of string":
            return [_text(field)]
        case "boolean":
            return False
        case "integer":
            return next((int(rule.split("=")[1]) for rule in field.constraints if rule.startswith("minimum=")), 0)
        case _:
            return _text(field)


def _text(field: Field) -> str:
    for rule in field.constraints:
        if rule.startswith("enum="):
            return rule.removeprefix("enum=").split("|")[-1]
        if rule in _TEXTS:
            return _TEXTS[rule]
    return "some_text"
