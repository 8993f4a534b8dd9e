# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the CustomResourceDefinitions from the models: `make crds` writes them to operator/deploy/crds.

pydantic's JSON schema is not the structural one that Kubernetes wants: it has references, nulls, titles. The
transformation here knows every key that may occur and fails on any other, so nothing is lost on the way.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from dbops_operator.api.kind import CATEGORY, CONDITION_COLUMNS, GROUP, VERSION, Column, Kind
from dbops_operator.api.kinds import KINDS
from dbops_operator.api.model import Block

DIRECTORY = Path(__file__).resolve().parents[2] / "deploy" / "crds"

_HEADER = """\
# SPDX-License-Identifier: GPL-3.0-or-later
# Made by `make crds` from operator/dbops_operator/api; do not edit.
"""

# Keys that mean the same on both sides.
_KEPT = frozenset(
    {
        "default",
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "required",
        "type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-validations",
    }
)

_API_VERSION = "Version of the API, dbops.dbprovision.io/v1alpha1."
_KIND = "Kind of the object."
# What nobody has looked at yet is in progress for kstatus, and with it for Flux, instead of done: no generation is -1.
_UNSEEN = {"observedGeneration": -1}


def schema_of(model: type[Block]) -> dict[str, Any]:
    """Give the structural schema of a MODEL."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, schema.get("$defs", {}))


def crd(kind: Kind[Any, Any]) -> dict[str, Any]:
    """Give the CustomResourceDefinition of KIND."""
    metadata: dict[str, Any] = {"name": kind.crd_name}
    if kind.labels:
        metadata["labels"] = dict(kind.labels)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short_name],
                "categories": [CATEGORY],
            },
            "scope": kind.scope,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in (*kind.columns, *CONDITION_COLUMNS)],
                    "schema": {
                        "openAPIV3Schema": {
                            "description": kind.about,
                            "type": "object",
                            "properties": {
                                "apiVersion": {"description": _API_VERSION, "type": "string"},
                                "kind": {"description": _KIND, "type": "string"},
                                "metadata": {"type": "object"},
                                "spec": schema_of(kind.spec),
                                "status": {**schema_of(kind.status), "default": _UNSEEN},
                            },
                        }
                    },
                }
            ],
        },
    }


def text_of(kind: Kind[Any, Any]) -> str:
    """Give the CustomResourceDefinition of KIND as the text of its file."""
    return _HEADER + yaml.safe_dump(crd(kind), sort_keys=False, width=120, allow_unicode=True)


def files() -> dict[str, str]:
    """Give all files by name: one per kind."""
    return {f"{kind.plural}.yaml": text_of(kind) for kind in KINDS.values()}


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        **({"priority": 1} if column.wide else {}),
    }


def _structural(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    node = _resolved(node, definitions)
    result: dict[str, Any] = {}
    for key, value in sorted(node.items()):
        match key:
            case "$defs" | "title":
                continue
            case "default" if value is None:
                continue
            case "description":
                result[key] = " ".join(value.split())
            case "const":
                result["enum"] = [value]
            case "properties":
                result[key] = {name: _structural(child, definitions) for name, child in sorted(value.items())}
            case "items" | "additionalProperties":
                result[key] = _structural(value, definitions)
            case _ if key in _KEPT:
                result[key] = sorted(value) if key == "required" else value
            case _:
                raise ValueError(f"no counterpart for {key!r} in a structural schema: {node}")
    return result


def _resolved(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Replace a reference by what it names and an optional value by the value; keys beside them win."""
    while True:
        outer = dict(node)
        if reference := outer.pop("$ref", None):
            inner = definitions[reference.rpartition("/")[2]]
        elif alternatives := outer.pop("anyOf", None):
            (inner,) = [choice for choice in alternatives if choice != {"type": "null"}]
        else:
            return node
        node = {**inner, **outer}


def main() -> int:
    """Write all files into the folder given, or into operator/deploy/crds, and remove those of no kind."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY
    directory.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for name, text in wanted.items():
        (directory / name).write_text(text, encoding="utf-8")
    for path in directory.glob("*.yaml"):
        if path.name not in wanted:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
